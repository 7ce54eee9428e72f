/* The default family: log spectrum and phase in, two stacks of causal ConvNeXt blocks around a
 * grouped residual quantizer, spectrum out. docs/architecture.md has the mathematics.
 * Sources: Vocos, arXiv:2306.00814 (spectrum head); ConvNeXt, arXiv:2201.03545 (the block);
 * HiFi-Codec, arXiv:2305.02765 (GRVQ). */
#include "rvq/tables.h"
#include "src/family.h"

#include <stdio.h>
#include <string.h>

extern const struct tess_family tess_family_tessera;

struct widths {
    int channels, expansion, kernel, encoder_blocks, decoder_blocks;
    int groups, layers, entries, group_width, phase_bins, n_fft, hop, sample_rate;
};

enum { X, H, Y, U }; /* slots: input, trunk, branch, expanded branch */

static const float NORM_EPSILON = 1e-6f;

static struct tess_row row(enum tess_operator op, int in, int out, int channels, const char *tensor)
{
    struct tess_row r = {.op = op, .in = in, .out = out, .channels = channels, .kernel = 1, .stride = 1, .dilation = 1};
    if (op == TESS_OP_NORM) r.value = NORM_EPSILON;
    snprintf(r.tensor, sizeof r.tensor, "%s", tensor);
    return r;
}

/* h += gain down(gelu(up(norm(depthwise(h))))) */
static void add_block(struct tess_rows *rows, const struct widths *w, const char *side, int index)
{
    const struct {
        enum tess_operator op;
        int in, out, channels, kernel;
        const char *part;
    } block[] = {
        {TESS_OP_DEPTHWISE, H, Y, w->channels, w->kernel, "dw"},
        {TESS_OP_NORM, Y, Y, w->channels, 1, "norm"},
        {TESS_OP_CONV, Y, U, w->expansion, 1, "up"},
        {TESS_OP_GELU, U, U, w->expansion, 1, ""},
        {TESS_OP_CONV, U, Y, w->channels, 1, "down"},
        {TESS_OP_SCALED_ADD, Y, H, w->channels, 1, "gain"},
    };
    for (size_t i = 0; i < sizeof block / sizeof *block; i++) {
        char tensor[sizeof((struct tess_row *)0)->tensor];
        snprintf(tensor, sizeof tensor, "%s.%d.%s", side, index, block[i].part);
        struct tess_row r = row(block[i].op, block[i].in, block[i].out, block[i].channels, tensor);
        r.kernel = block[i].kernel;
        tess_rows_add(rows, r);
    }
}

static struct tess_row transform(enum tess_operator op, int in, int out, const struct widths *w)
{
    struct tess_row r = row(op, in, out, op == TESS_OP_STFT ? w->n_fft + 2 : 1, "");
    r.kernel = w->n_fft;
    r.stride = w->hop;
    r.value = op == TESS_OP_STFT ? 1.0f / 60.0f : 1.0f / 1.5f; /* constants of the family */
    return r;
}

static void encoder(struct tess_rows *rows, const struct widths *w)
{
    struct tess_row features = row(TESS_OP_LOG_PHASE, Y, U, w->n_fft / 2 + 1 + 2 * w->phase_bins, "");
    features.kernel = w->phase_bins;
    tess_rows_add(rows, transform(TESS_OP_STFT, X, Y, w));
    tess_rows_add(rows, features);
    tess_rows_add(rows, row(TESS_OP_CONV, U, H, w->channels, "encoder.in"));
    tess_rows_add(rows, row(TESS_OP_NORM, H, H, w->channels, "encoder.in_norm"));
    for (int i = 0; i < w->encoder_blocks; i++) add_block(rows, w, "encoder", i);
    tess_rows_add(rows, row(TESS_OP_NORM, H, H, w->channels, "encoder.out_norm"));
    tess_rows_add(rows, row(TESS_OP_CONV, H, Y, w->groups * w->group_width, "encoder.to_latent"));
}

static void decoder(struct tess_rows *rows, const struct widths *w)
{
    tess_rows_add(rows, row(TESS_OP_CONV, X, H, w->channels, "decoder.from_latent"));
    tess_rows_add(rows, row(TESS_OP_NORM, H, H, w->channels, "decoder.in_norm"));
    for (int i = 0; i < w->decoder_blocks; i++) add_block(rows, w, "decoder", i);
    tess_rows_add(rows, row(TESS_OP_NORM, H, H, w->channels, "decoder.out_norm"));
    tess_rows_add(rows, row(TESS_OP_CONV, H, U, w->n_fft + 2, "decoder.head"));
    tess_rows_add(rows, row(TESS_OP_POLAR, U, Y, w->n_fft + 2, ""));
    tess_rows_add(rows, transform(TESS_OP_ISTFT, Y, X, w));
}

static int
read_widths(const struct tess_config *config, struct widths *w, char arithmetic[16], struct tess_why *why)
{
    const struct {
        const char *key;
        int min, max, *out;
    } keys[] = {
        {"channels",       1, 4096,   &w->channels      },
        {"expansion",      1, 16384,  &w->expansion     },
        {"kernel",         1, 31,     &w->kernel        },
        {"encoder_blocks", 0, 32,     &w->encoder_blocks},
        {"decoder_blocks", 0, 32,     &w->decoder_blocks},
        {"groups",         1, 8,      &w->groups        },
        {"layers",         1, 8,      &w->layers        },
        {"entries",        2, 65536,  &w->entries       },
        {"group_width",    1, 256,    &w->group_width   },
        {"phase_bins",     1, 4097,   &w->phase_bins    },
        {"n_fft",          4, 8192,   &w->n_fft         },
        {"hop",            1, 4096,   &w->hop           },
        {"sample_rate",    1, 192000, &w->sample_rate   },
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        int err = tess_config_int(config, keys[i].key, keys[i].min, keys[i].max, keys[i].out, why);
        if (err) return err;
    }
    int err = tess_config_string(config, "arithmetic", arithmetic, 16, why);
    if (err) return err;
    if (w->n_fft % 2 || w->n_fft % w->hop || w->n_fft / w->hop < 3)
        return tess_base_fail(why,
                              TESS_E_MODEL,
                              "config: n_fft is %d, which is not even or not a multiple, three or "
                              "more, of hop = %d",
                              w->n_fft,
                              w->hop);
    if (w->phase_bins > w->n_fft / 2 + 1)
        return tess_base_fail(why,
                              TESS_E_MODEL,
                              "config: phase_bins is %d, more than the %d bins of n_fft",
                              w->phase_bins,
                              w->n_fft / 2 + 1);
    return 0;
}

static int
describe(const struct tess_config *config, struct tess_blueprint *b, struct tess_why *why)
{
    struct widths w;
    int err = read_widths(config, &w, b->arithmetic, why);
    if (err) return err;
    b->sample_rate = w.sample_rate;
    b->channels = 1;
    b->hop = w.hop;
    b->latent_width = w.groups * w.group_width;
    b->n_entries = w.entries;
    int k = tess_tables_grvq(b->quantizer, w.groups, w.layers, w.group_width, "quantizer.%d.%d");
    if (k < 0) return tess_base_fail(why, TESS_E_MODEL, "config: groups times layers is above 64");
    b->n_codebooks = b->codebooks_default = k;
    for (int layer = 1; layer <= w.layers; layer++) /* whole layers are rates */
        b->codebooks_legal |= UINT64_C(1) << (layer * w.groups - 1);
    encoder(&b->encoder, &w);
    decoder(&b->decoder, &w);
    return 0;
}

const struct tess_family tess_family_tessera = {.name = "tessera", .describe = describe};
