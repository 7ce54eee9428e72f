/* Language-Codec: a SEANet encoder, codebooks of which the first see a third of the latent each, and
 * Vocos's decoder, whose norms a bandwidth id chooses.
 * Sources: arXiv:2402.12208; Vocos, arXiv:2306.00814. */
#include "rvq/tables.h"
#include "src/seanet.h"

#include <stdio.h>

extern const struct tess_family tess_family_languagecodec;

struct widths {
    int width, expansion, blocks, kernel, n_bandwidths, n_fft;
};

enum { X, H, Y, U, H2 }; /* slots: input, trunk, branch, expanded branch, trunk in turn */

static struct tess_row norm(int slot, int n_ids, const char *tensor)
{
    struct tess_row row =
        tess_row(n_ids ? TESS_OP_CHOSEN_NORM : TESS_OP_NORM, slot, slot, 0, "%s", tensor);
    row.kernel = n_ids ? n_ids : 1;
    row.value = 1e-6f;
    return row;
}

/* out = in + gain down(gelu(up(norm(depthwise(in))))) */
static void add_block(struct tess_rows *rows, const struct widths *w, int index, int in, int out)
{
    char name[48];
    struct tess_row depthwise = tess_row(TESS_OP_DEPTHWISE, in, Y, 0, "decoder.%d.dw", index);
    struct tess_row gain = tess_row(TESS_OP_SCALED_ADD, Y, out, 0, "decoder.%d.gain", index);
    gain.with = in;
    snprintf(name, sizeof name, "decoder.%d.norm", index);
    tess_rows_add(rows, tess_row_centred(depthwise, w->kernel, 1));
    tess_rows_add(rows, norm(Y, w->n_bandwidths, name));
    tess_rows_add(rows, tess_row(TESS_OP_CONV, Y, U, w->expansion, "decoder.%d.up", index));
    tess_rows_add(rows, tess_row(TESS_OP_GELU_ERF, U, U, 0, "decoder.%d.gelu", index));
    tess_rows_add(rows, tess_row(TESS_OP_CONV, U, Y, w->width, "decoder.%d.down", index));
    tess_rows_add(rows, gain);
}

static void decoder(struct tess_rows *rows, const struct widths *w, int hop)
{
    int trunk = H;
    struct tess_row in = tess_row(TESS_OP_CONV, X, H, w->width, "decoder.in");
    tess_rows_add(rows, tess_row_centred(in, w->kernel, 1));
    tess_rows_add(rows, norm(H, w->n_bandwidths, "decoder.in_norm"));
    for (int i = 0; i < w->blocks; i++) {
        int next = trunk == H ? H2 : H;
        add_block(rows, w, i, trunk, next);
        trunk = next;
    }
    struct tess_row polar = tess_row(TESS_OP_POLAR, U, Y, 0, "spectrum");
    polar.value = 4.60517019f; /* ln 100 */
    struct tess_row synthesis = tess_row(TESS_OP_ISTFT, Y, X, 1, "synthesis");
    synthesis.kernel = w->n_fft;
    synthesis.stride = hop;
    synthesis.right = (w->n_fft - hop) / 2;
    synthesis.fill = 1;
    synthesis.value = 8.0f * (float)hop / (3.0f * (float)w->n_fft); /* 1 / sum of Hann^2 */
    tess_rows_add(rows, norm(trunk, 0, "decoder.out_norm"));
    tess_rows_add(rows, tess_row(TESS_OP_CONV, trunk, U, w->n_fft + 2, "decoder.head"));
    tess_rows_add(rows, polar);
    tess_rows_add(rows, synthesis);
}

/* The masks' borders: equal parts of the latent, as the table makes them. Returns how many parts. */
static int check_masks(const struct tess_config *config, int width, struct tess_why *why)
{
    int masks[8];
    int n = tess_config_ints(config, "masks", 0, width, masks, 8, why);
    if (n < 0) return n;
    if (n < 2)
        return tess_base_fail(why, TESS_E_MODEL, "config: masks are %d instead of 2 to 8", n);
    for (int i = 0; i < n; i++)
        if (masks[i] != width * i / (n - 1))
            return tess_base_fail(why, TESS_E_MODEL, "config: masks[%d] is %d instead of %d", i,
                                  masks[i], width * i / (n - 1));
    return n - 1;
}

static int
describe(const struct tess_config *config, struct tess_blueprint *b, struct tess_why *why)
{
    struct tess_seanet net;
    struct widths w;
    const struct tess_key keys[] = {
        {"decoder_width",  1, 4096,  &w.width       },
        {"expansion",      1, 16384, &w.expansion   },
        {"blocks",         0, 40,    &w.blocks      },
        {"decoder_kernel", 1, 31,    &w.kernel      },
        {"bandwidths",     1, 64,    &w.n_bandwidths},
        {"n_fft",          4, 8192,  &w.n_fft       },
    };
    int err = tess_seanet_read(config, keys, sizeof keys / sizeof *keys, b, &net, why);
    if (err) return err;
    if (w.n_fft % b->hop || w.n_fft / b->hop < 3)
        return tess_base_fail(why, TESS_E_MODEL, "config: n_fft is %d, no multiple of hop = %d",
                              w.n_fft, b->hop);
    int n_masks = check_masks(config, net.latent_width, why);
    if (n_masks < 0) return n_masks;
    if (tess_tables_mcrvq(b->quantizer, n_masks, b->n_codebooks, net.latent_width, "quantizer.%d") <
        0)
        return tess_base_fail(why, TESS_E_MODEL, "config: too many codebooks");
    b->option_max = w.n_bandwidths - 1;
    snprintf(b->option, sizeof b->option, "bandwidth_id");
    tess_seanet_encoder(&net, &b->encoder);
    decoder(&b->decoder, &w, b->hop);
    return 0;
}

const struct tess_family tess_family_languagecodec = {.name = "languagecodec",
                                                      .describe = describe};
