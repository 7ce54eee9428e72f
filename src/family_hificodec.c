/* HiFi-Codec: stages of three residual branches around two groups of two codebooks. The encoder
 * normalises over the whole clip; the decoder is HiFi-GAN's generator.
 * Sources: arXiv:2305.02765; HiFi-GAN, arXiv:2010.05646. */
#include "rvq/tables.h"
#include "src/family.h"

#include <stdio.h>

extern const struct tess_family tess_family_hificodec;

enum { MAX_STAGES = 8 };

struct widths {
    int width, latent_width, kernel, encoder_last_kernel, norm_width;
    int groups, layers, group_width;
    int ratios[MAX_STAGES], kernels[MAX_STAGES], n_stages;
    int branch_kernels[4], n_branches, dilations[4], n_dilations;
};

enum { X, TRUNK, SPARE, R, R2, Y, Z, SUM, BRANCH }; /* slots */

static struct tess_row leaky(int in, int out, float slope, const char *name)
{
    struct tess_row row = tess_row(TESS_OP_LEAKY_RELU, in, out, 0, "%s", name);
    row.value = slope;
    return row;
}

/* out = trunk; for each dilation: out += plain(leaky(dilated(leaky(out)))) */
static void add_branch(struct tess_rows *rows,
                       const struct widths *w,
                       const char *name,
                       int kernel,
                       int channels,
                       int out)
{
    int from = TRUNK;
    for (int m = 0; m < w->n_dilations; m++) {
        const int to = m == w->n_dilations - 1 ? out : from == R ? R2 : R;
        char part[56];
        snprintf(part, sizeof part, "%s.%d", name, m);
        struct tess_row dilated = tess_row(TESS_OP_CONV, Y, Z, channels, "%s.dilated", part);
        struct tess_row plain = tess_row(TESS_OP_CONV, Z, Y, channels, "%s.plain", part);
        struct tess_row sum = tess_row(TESS_OP_ADD, Y, to, 0, "%s", part);
        sum.with = from;
        tess_rows_add(rows, leaky(from, Y, 0.1f, part));
        tess_rows_add(rows, tess_row_centred(dilated, kernel, w->dilations[m]));
        tess_rows_add(rows, leaky(Z, Z, 0.1f, part));
        tess_rows_add(rows, tess_row_centred(plain, kernel, 1));
        tess_rows_add(rows, sum);
        from = to;
    }
}

/* trunk = the mean of its branches; the encoder takes the largest kernel first and normalises after
 * each addition. A larger kernel lags more: the operand that is ahead waits. */
static void add_branches(
    struct tess_rows *rows, const struct widths *w, const char *side, int stage, int channels)
{
    const int encoder = side[0] == 'e';
    int sum = SUM;
    for (int b = 0; b < w->n_branches; b++) {
        char name[48];
        snprintf(name, sizeof name, "%s.%d.branch.%d", side, stage, b);
        add_branch(rows, w, name, w->branch_kernels[encoder ? w->n_branches - 1 - b : b], channels,
                   b ? BRANCH : SUM);
        if (b) {
            const int out = sum == SUM ? SPARE : SUM;
            struct tess_row add = tess_row(TESS_OP_ADD, encoder ? sum : BRANCH, out, 0, "%s", name);
            add.with = encoder ? BRANCH : sum;
            tess_rows_add(rows, add);
            sum = out;
        }
        if (encoder) {
            struct tess_row norm = tess_row(TESS_OP_GROUP_NORM, sum, sum, 0, "%s.norm", name);
            norm.kernel = w->norm_width;
            norm.value = 1e-6f;
            tess_rows_add(rows, norm);
        }
    }
    struct tess_row mean = tess_row(TESS_OP_SCALE, sum, TRUNK, 0, "%s.%d", side, stage);
    mean.value = 1.0f / (float)w->n_branches;
    tess_rows_add(rows, mean);
}

static void encoder(struct tess_rows *rows, const struct widths *w)
{
    int channels = w->width;
    tess_rows_add(rows, tess_row_centred(tess_row(TESS_OP_CONV, X, TRUNK, channels, "encoder.in"),
                                         w->kernel, 1));
    for (int i = 0; i < w->n_stages; i++) {
        const int at = w->n_stages - 1 - i;
        channels *= 2;
        struct tess_row down = tess_row(TESS_OP_CONV, SPARE, TRUNK, channels, "encoder.%d.down", i);
        down.kernel = w->kernels[at];
        down.stride = w->ratios[at];
        down.right = (down.kernel - down.stride) / 2;
        tess_rows_add(rows, leaky(TRUNK, SPARE, 0.1f, "encoder"));
        tess_rows_add(rows, down);
        add_branches(rows, w, "encoder", i, channels);
    }
    tess_rows_add(rows, leaky(TRUNK, TRUNK, 0.01f, "encoder"));
    tess_rows_add(
        rows, tess_row_centred(tess_row(TESS_OP_CONV, TRUNK, SPARE, w->latent_width, "encoder.out"),
                               w->encoder_last_kernel, 1));
}

static void decoder(struct tess_rows *rows, const struct widths *w)
{
    int channels = w->width << w->n_stages;
    tess_rows_add(rows, tess_row_centred(tess_row(TESS_OP_CONV, X, TRUNK, channels, "decoder.in"),
                                         w->kernel, 1));
    for (int i = 0; i < w->n_stages; i++) {
        channels /= 2;
        struct tess_row up = tess_row(TESS_OP_UPCONV, SPARE, TRUNK, channels, "decoder.%d.up", i);
        up.kernel = w->kernels[i];
        up.stride = w->ratios[i];
        up.right = (up.kernel - up.stride) / 2;
        tess_rows_add(rows, leaky(TRUNK, SPARE, 0.1f, "decoder"));
        tess_rows_add(rows, up);
        add_branches(rows, w, "decoder", i, channels);
    }
    tess_rows_add(rows, leaky(TRUNK, TRUNK, 0.1f, "decoder"));
    tess_rows_add(rows, tess_row_centred(tess_row(TESS_OP_CONV, TRUNK, SPARE, 1, "decoder.out"),
                                         w->kernel, 1));
    tess_rows_add(rows, tess_row(TESS_OP_TANH, SPARE, SPARE, 0, "decoder"));
}

static int read_widths(const struct tess_config *config, struct widths *w, struct tess_why *why)
{
    const struct tess_key keys[] = {
        {"width",               1, 256,  &w->width              },
        {"latent_width",        1, 4096, &w->latent_width       },
        {"kernel",              1, 31,   &w->kernel             },
        {"encoder_last_kernel", 1, 31,   &w->encoder_last_kernel},
        {"norm_width",          1, 4096, &w->norm_width         },
        {"groups",              1, 8,    &w->groups             },
        {"layers",              1, 8,    &w->layers             },
        {"group_width",         1, 4096, &w->group_width        },
    };
    int err = tess_config_keys(config, keys, sizeof keys / sizeof *keys, why);
    if (err) return err;
    w->n_stages = tess_config_ints(config, "ratios", 1, 64, w->ratios, MAX_STAGES, why);
    if (w->n_stages < 0) return w->n_stages;
    int n = tess_config_ints(config, "kernels", 1, 128, w->kernels, MAX_STAGES, why);
    if (n < 0) return n;
    w->n_branches = tess_config_ints(config, "branch_kernels", 1, 31, w->branch_kernels, 4, why);
    if (w->n_branches < 0) return w->n_branches;
    w->n_dilations = tess_config_ints(config, "dilations", 1, 31, w->dilations, 4, why);
    if (w->n_dilations < 0) return w->n_dilations;
    if (n != w->n_stages)
        return tess_base_fail(why, TESS_E_MODEL, "config: %d kernels for %d ratios", n,
                              w->n_stages);
    return 0;
}

static int
describe(const struct tess_config *config, struct tess_blueprint *b, struct tess_why *why)
{
    struct widths w;
    int err = tess_family_read_rates(config, b, why);
    if (!err) err = read_widths(config, &w, why);
    if (err) return err;
    b->latent_width = w.latent_width;
    b->drops_partial = 1;
    b->max_seconds = 60;
    int k = tess_tables_grvq(b->quantizer, w.groups, w.layers, w.group_width, "quantizer.%d.%d");
    if (k != b->n_codebooks || w.groups * w.group_width != w.latent_width)
        return tess_base_fail(why, TESS_E_MODEL,
                              "config: the groups do not make up the latent or the codebooks");
    encoder(&b->encoder, &w);
    decoder(&b->decoder, &w);
    return 0;
}

const struct tess_family tess_family_hificodec = {.name = "hificodec", .describe = describe};
