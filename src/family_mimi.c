/* Mimi: a causal SEANet with a causal transformer on either side of two quantizers. Its latent here is
 * what the quantizers see: the first one's projection beside the rest's, so the codebooks are plain
 * rows, and the projections linear layers of the networks.
 * Source: Moshi, arXiv:2410.00037, section 3.3. */
#include "rvq/tables.h"
#include "src/seanet.h"

#include <stdio.h>

extern const struct tess_family tess_family_mimi;

struct widths {
    int layers, heads, expansion, context, rotary_period, downsample, entry_width;
};

static struct tess_row linear(struct tess_row row)
{
    row.plain = 1;
    return row;
}

static struct tess_row norm(int in, int out, const char *side, int layer, int which)
{
    struct tess_row row =
        tess_row(TESS_OP_NORM, in, out, 0, "%s.transformer.%d.norm_%d", side, layer, which);
    row.value = 1e-5f;
    return row;
}

static void
add_gain(struct tess_rows *rows, int in, int trunk, const char *side, int layer, int which)
{
    struct tess_row row =
        tess_row(TESS_OP_SCALED_ADD, in, trunk, 0, "%s.transformer.%d.gain_%d", side, layer, which);
    row.with = trunk;
    tess_rows_add(rows, row);
}

/* trunk += gain_1 out(attention(in(norm_1(trunk)))); trunk += gain_2 down(gelu(up(norm_2(trunk)))) */
static void add_layer(
    struct tess_rows *rows, const struct widths *w, const char *side, int i, int trunk, int width)
{
    enum { Y = 6, U, Z }; /* beside the SEANet's slots */
    char name[40];
    snprintf(name, sizeof name, "%s.transformer.%d", side, i);
    struct tess_row attention = tess_row(TESS_OP_ATTENTION, U, Z, 0, "%s.attention", name);
    attention.kernel = w->context;
    attention.stride = w->heads;
    attention.value = (float)w->rotary_period;
    tess_rows_add(rows, norm(trunk, Y, side, i, 1));
    tess_rows_add(rows, linear(tess_row(TESS_OP_CONV, Y, U, 3 * width, "%s.attention.in", name)));
    tess_rows_add(rows, attention);
    tess_rows_add(rows, linear(tess_row(TESS_OP_CONV, Z, Y, width, "%s.attention.out", name)));
    add_gain(rows, Y, trunk, side, i, 1);
    tess_rows_add(rows, norm(trunk, Y, side, i, 2));
    tess_rows_add(rows, linear(tess_row(TESS_OP_CONV, Y, U, w->expansion, "%s.up", name)));
    tess_rows_add(rows, tess_row(TESS_OP_GELU_ERF, U, U, 0, "%s.gelu", name));
    tess_rows_add(rows, linear(tess_row(TESS_OP_CONV, U, Y, width, "%s.down", name)));
    add_gain(rows, Y, trunk, side, i, 2);
}

static void encoder(struct tess_rows *rows, const struct tess_seanet *net, const struct widths *w)
{
    const int trunk = tess_seanet_encoder(net, rows), half = trunk + 1;
    for (int i = 0; i < w->layers; i++)
        add_layer(rows, w, "encoder", i, trunk, net->latent_width);
    struct tess_row down =
        tess_row(TESS_OP_CONV, trunk, half, net->latent_width, "encoder.downsample");
    down.kernel = 2 * w->downsample;
    down.stride = w->downsample;
    down.padding = TESS_PAD_FIRST;
    tess_rows_add(rows, linear(down));
    tess_rows_add(
        rows, linear(tess_row(TESS_OP_CONV, half, trunk, 2 * w->entry_width, "quantizer.input")));
}

static void decoder(struct tess_rows *rows, const struct tess_seanet *net, const struct widths *w)
{
    enum { X, HALF, TRUNK };
    struct tess_row up = tess_row(TESS_OP_UPDEPTH, HALF, TRUNK, 0, "decoder.upsample");
    up.kernel = 2 * w->downsample;
    up.stride = w->downsample;
    tess_rows_add(rows,
                  linear(tess_row(TESS_OP_CONV, X, HALF, net->latent_width, "quantizer.output")));
    tess_rows_add(rows, up);
    for (int i = 0; i < w->layers; i++)
        add_layer(rows, w, "decoder", i, TRUNK, net->latent_width);
    tess_seanet_decoder(net, rows, TRUNK);
}

/* Codebook 0 sees the first half of the latent, the others are residual in the second. */
static int quantizer(struct tess_quantizer_row *rows, int n_codebooks, int width)
{
    int n = tess_tables_rvq(rows + 1, n_codebooks - 1, width, "quantizer.%d");
    if (n < 0) return n;
    for (int k = n_codebooks - 1; k >= 0; k--) {
        struct tess_quantizer_row *row = &rows[k];
        if (k == 0) *row = (struct tess_quantizer_row){.width = width, .keep_to = width};
        snprintf(row->tensor, sizeof row->tensor, "quantizer.%d", k);
        if (k) row->from = width;
        for (int i = 0; i < row->n_subtract; i++)
            row->subtract[i]++;
    }
    return 0;
}

static int
describe(const struct tess_config *config, struct tess_blueprint *b, struct tess_why *why)
{
    struct tess_seanet net;
    struct widths w;
    const struct tess_key keys[] = {
        {"transformer_layers",    0, 32,      &w.layers       },
        {"transformer_heads",     1, 64,      &w.heads        },
        {"transformer_expansion", 1, 16384,   &w.expansion    },
        {"transformer_context",   1, 4096,    &w.context      },
        {"rotary_period",         2, 1000000, &w.rotary_period},
        {"downsample",            1, 16,      &w.downsample   },
        {"entry_width",           1, 4096,    &w.entry_width  },
    };
    int err = tess_seanet_read(config, keys, sizeof keys / sizeof *keys, b, &net, why);
    if (err) return err;
    if (b->n_codebooks < 2 || quantizer(b->quantizer, b->n_codebooks, w.entry_width) < 0)
        return tess_base_fail(why, TESS_E_MODEL, "config: codebooks is %d", b->n_codebooks);
    b->latent_width = 2 * w.entry_width;
    b->pad_last = 1;
    encoder(&b->encoder, &net, &w);
    decoder(&b->decoder, &net, &w);
    return 0;
}

const struct tess_family tess_family_mimi = {.name = "mimi", .describe = describe};
