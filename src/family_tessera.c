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

static struct tess_row norm(int slot, const char *tensor)
{
    struct tess_row row = tess_row(TESS_OP_NORM, slot, slot, 0, "%s", tensor);
    row.value = NORM_EPSILON;
    return row;
}

/* h += gain down(gelu(up(norm(depthwise(h))))) */
static void add_block(struct tess_rows *rows, const struct widths *w, const char *side, int index)
{
    char name[48];
    struct tess_row depthwise = tess_row(TESS_OP_DEPTHWISE, H, Y, 0, "%s.%d.dw", side, index);
    depthwise.kernel = w->kernel;
    struct tess_row gain = tess_row(TESS_OP_SCALED_ADD, Y, H, 0, "%s.%d.gain", side, index);
    gain.with = H;
    snprintf(name, sizeof name, "%s.%d.norm", side, index);
    tess_rows_add(rows, depthwise);
    tess_rows_add(rows, norm(Y, name));
    tess_rows_add(rows, tess_row(TESS_OP_CONV, Y, U, w->expansion, "%s.%d.up", side, index));
    tess_rows_add(rows, tess_row(TESS_OP_GELU, U, U, 0, "%s.%d.gelu", side, index));
    tess_rows_add(rows, tess_row(TESS_OP_CONV, U, Y, w->channels, "%s.%d.down", side, index));
    tess_rows_add(rows, gain);
}

static void encoder(struct tess_rows *rows, const struct widths *w)
{
    struct tess_row analysis = tess_row(TESS_OP_STFT, X, Y, w->n_fft + 2, "analysis");
    analysis.kernel = w->n_fft;
    analysis.stride = w->hop;
    analysis.value = 1.0f / 60.0f;
    struct tess_row features = tess_row(TESS_OP_LOG_PHASE, Y, U, 0, "features");
    features.kernel = w->phase_bins;
    tess_rows_add(rows, analysis);
    tess_rows_add(rows, features);
    tess_rows_add(rows, tess_row(TESS_OP_CONV, U, H, w->channels, "encoder.in"));
    tess_rows_add(rows, norm(H, "encoder.in_norm"));
    for (int i = 0; i < w->encoder_blocks; i++)
        add_block(rows, w, "encoder", i);
    tess_rows_add(rows, norm(H, "encoder.out_norm"));
    tess_rows_add(rows,
                  tess_row(TESS_OP_CONV, H, Y, w->groups * w->group_width, "encoder.to_latent"));
}

static void decoder(struct tess_rows *rows, const struct widths *w)
{
    struct tess_row polar = tess_row(TESS_OP_POLAR, U, Y, 0, "spectrum");
    polar.value = 6.0f;
    struct tess_row synthesis = tess_row(TESS_OP_ISTFT, Y, X, 1, "synthesis");
    synthesis.kernel = w->n_fft;
    synthesis.stride = w->hop;
    synthesis.right = w->n_fft - w->hop;
    synthesis.value = 1.0f / 1.5f;
    tess_rows_add(rows, tess_row(TESS_OP_CONV, X, H, w->channels, "decoder.from_latent"));
    tess_rows_add(rows, norm(H, "decoder.in_norm"));
    for (int i = 0; i < w->decoder_blocks; i++)
        add_block(rows, w, "decoder", i);
    tess_rows_add(rows, norm(H, "decoder.out_norm"));
    tess_rows_add(rows, tess_row(TESS_OP_CONV, H, U, w->n_fft + 2, "decoder.head"));
    tess_rows_add(rows, polar);
    tess_rows_add(rows, synthesis);
}

static int read_widths(const struct tess_config *config,
                       struct widths *w,
                       char arithmetic[16],
                       struct tess_why *why)
{
    const struct tess_key keys[] = {
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
    int err = tess_config_keys(config, keys, sizeof keys / sizeof *keys, why);
    if (!err) err = tess_config_string(config, "arithmetic", arithmetic, 16, why);
    if (err) return err;
    if (w->n_fft % 2 || w->n_fft % w->hop || w->n_fft / w->hop < 3)
        return tess_base_fail(why, TESS_E_MODEL,
                              "config: n_fft is %d, which is not even or not a multiple, three or "
                              "more, of hop = %d",
                              w->n_fft, w->hop);
    if (w->phase_bins > w->n_fft / 2 + 1)
        return tess_base_fail(why, TESS_E_MODEL,
                              "config: phase_bins is %d, more than the %d bins of n_fft",
                              w->phase_bins, w->n_fft / 2 + 1);
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
    b->pad_last = 1;
    b->int8 = 1;
    b->hop = w.hop;
    b->latent_width = w.groups * w.group_width;
    b->n_entries = w.entries;
    int k = tess_tables_grvq(b->quantizer, w.groups, w.layers, w.group_width, "quantizer.%d.%d");
    if (k < 0) return tess_base_fail(why, TESS_E_MODEL, "config: there are more than 128 columns");
    b->n_codebooks = b->codebooks_default = k;
    for (int layer = 1; layer <= w.layers; layer++) /* whole layers are rates */
        b->codebooks_legal |= UINT64_C(1) << (layer * w.groups - 1);
    encoder(&b->encoder, &w);
    decoder(&b->decoder, &w);
    return 0;
}

const struct tess_family tess_family_tessera = {.name = "tessera", .describe = describe};
