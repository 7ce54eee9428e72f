/* WaLLoC: wavelet packets of a stereo clip and one linear layer to a latent of companded, rounded
 * numbers; a decoder of convolutions, the packets joined again, and a filter. One column of zeros
 * stands before the latent's input and one after; each of the decoder's two blocks takes a column
 * away. Source: arXiv:2412.09405. */
#include "rvq/tables.h"
#include "src/family.h"

#include <stdio.h>

extern const struct tess_family tess_family_walloc;

enum { MAX_BLOCKS = 2, MAX_UNITS = 8 };

struct widths {
    int levels, latent_width, code_max, kernel, post_kernel;
    int widths[MAX_BLOCKS + 1], n_widths;
    int dilations[MAX_UNITS], n_dilations;
};

enum { X, TRUNK, TRUNK_2, Y, Z }; /* slots */

/* Between slots 0 and 1, from and to `slot`. Returns the slot of the result. */
static int add_wavelets(struct tess_rows *rows, enum tess_operator op, int levels, int slot)
{
    for (int i = 0; i < levels; i++, slot = !slot)
        tess_rows_add(rows, tess_row(op, slot, !slot, 0, "level %d", i));
    return slot;
}

static void encoder(struct tess_rows *rows, const struct widths *w)
{
    const int bands = add_wavelets(rows, TESS_OP_WAVELET, w->levels, 0);
    tess_rows_add(rows, tess_row(TESS_OP_PAD, bands, !bands, 0, "encoder"));
    tess_rows_add(rows, tess_row(TESS_OP_CONV, !bands, bands, w->latent_width, "encoder.in"));
}

/* to = from + conv_2(snake_2(conv_1(snake_1(from)))) */
static void
add_unit(struct tess_rows *rows, const struct widths *w, int block, int u, int from, int to)
{
    const int channels = w->widths[block + 1];
    char name[40];
    snprintf(name, sizeof name, "decoder.%d.unit.%d", block, u);
    struct tess_row conv_1 = tess_row(TESS_OP_CONV, Y, Z, channels, "%s.conv_1", name);
    struct tess_row sum = tess_row(TESS_OP_ADD, Y, to, 0, "%s", name);
    sum.with = from;
    tess_rows_add(rows, tess_row(TESS_OP_SNAKE, from, Y, 0, "%s.snake_1", name));
    tess_rows_add(rows, tess_row_centred(conv_1, w->kernel, w->dilations[u]));
    tess_rows_add(rows, tess_row(TESS_OP_SNAKE, Z, Z, 0, "%s.snake_2", name));
    tess_rows_add(rows, tess_row(TESS_OP_CONV, Z, Y, channels, "%s.conv_2", name));
    tess_rows_add(rows, sum);
}

static void decoder(struct tess_rows *rows, const struct widths *w, int channels)
{
    const int bands = channels << w->levels;
    int trunk = TRUNK;
    tess_rows_add(rows,
                  tess_row_centred(tess_row(TESS_OP_CONV, X, trunk, w->widths[0], "decoder.in"),
                                   w->kernel, 1));
    for (int i = 0; i < w->n_widths - 1; i++) {
        struct tess_row shorter =
            tess_row(TESS_OP_UPCONV, Y, trunk, w->widths[i + 1], "decoder.%d.transposed", i);
        shorter.kernel = 2;
        shorter.padding = TESS_PAD_NONE;
        tess_rows_add(rows, tess_row(TESS_OP_SNAKE, trunk, Y, 0, "decoder.%d.snake", i));
        tess_rows_add(rows, shorter);
        for (int u = 0; u < w->n_dilations; u++) {
            const int other = trunk == TRUNK ? TRUNK_2 : TRUNK;
            add_unit(rows, w, i, u, trunk, other);
            trunk = other;
        }
    }
    struct tess_row out = tess_row(TESS_OP_CONV, Y, X, bands, "decoder.out");
    out.plain = 1;
    tess_rows_add(rows, tess_row(TESS_OP_SNAKE, trunk, Y, 0, "decoder.snake"));
    tess_rows_add(rows, tess_row_centred(out, w->kernel, 1));
    const int sound = add_wavelets(rows, TESS_OP_UNWAVELET, w->levels, X);
    struct tess_row clamp = tess_row(TESS_OP_CLAMP, !sound, !sound, 0, "decoder.post");
    clamp.value = 0.5f;
    tess_rows_add(rows,
                  tess_row_centred(tess_row(TESS_OP_CONV, sound, !sound, channels, "decoder.post"),
                                   w->post_kernel, 1));
    tess_rows_add(rows, clamp);
}

static int read_widths(const struct tess_config *config,
                       struct tess_blueprint *b,
                       struct widths *w,
                       struct tess_why *why)
{
    const struct tess_key keys[] = {
        {"sample_rate",  1, 192000,             &b->sample_rate },
        {"channels",     1, 2,                  &b->channels    },
        {"hop",          2, 4096,               &b->hop         },
        {"levels",       1, 12,                 &w->levels      },
        {"latent_width", 1, TESS_MAX_CODEBOOKS, &w->latent_width},
        {"code_max",     1, 1024,               &w->code_max    },
        {"kernel",       1, 31,                 &w->kernel      },
        {"post_kernel",  1, 1023,               &w->post_kernel },
    };
    int err = tess_config_keys(config, keys, sizeof keys / sizeof *keys, why);
    if (!err)
        err = tess_config_string(config, "arithmetic", b->arithmetic, sizeof b->arithmetic, why);
    if (err) return err;
    w->n_widths = tess_config_ints(config, "widths", 1, 4096, w->widths, MAX_BLOCKS + 1, why);
    if (w->n_widths < 0) return w->n_widths;
    w->n_dilations = tess_config_ints(config, "dilations", 1, 31, w->dilations, MAX_UNITS, why);
    if (w->n_dilations < 0) return w->n_dilations;
    if (b->hop != 1 << w->levels || w->n_widths != MAX_BLOCKS + 1)
        return tess_base_fail(why, TESS_E_MODEL,
                              "config: hop is %d with %d levels, or widths are %d instead of %d",
                              b->hop, w->levels, w->n_widths, MAX_BLOCKS + 1);
    return 0;
}

static int
describe(const struct tess_config *config, struct tess_blueprint *b, struct tess_why *why)
{
    struct widths w;
    int err = read_widths(config, b, &w, why);
    if (err) return err;
    b->latent_width = w.latent_width;
    b->n_entries = 2 * w.code_max + 1;
    b->n_codebooks = b->codebooks_default = tess_tables_scalar(b->quantizer, w.latent_width);
    b->pad_last = 1;
    b->min_samples = 5 * b->hop; /* so that the published filters, ten taps, go round but once */
    b->max_seconds = 300;
    encoder(&b->encoder, &w);
    decoder(&b->decoder, &w, b->channels);
    return 0;
}

const struct tess_family tess_family_walloc = {.name = "walloc", .describe = describe};
