/* EnCodec, AcademiCodec's Encodec and SoundStream: a SEANet on either side of residual codebooks of the
 * whole latent, at 48 kHz in segments. Sources: arXiv:2210.13438, arXiv:2107.03312; AcademiCodec's nets
 * are the same classes with other strides. */
#include "rvq/tables.h"
#include "src/seanet.h"

extern const struct tess_family tess_family_encodec, tess_family_academicodec,
    tess_family_soundstream;

enum { MAX_SEGMENT = 1 << 20 }; /* samples */

static int
describe(const struct tess_config *config, struct tess_blueprint *b, struct tess_why *why)
{
    struct tess_seanet net;
    const struct tess_key keys[] = {
        {"segment",        0, MAX_SEGMENT, &b->segment       },
        {"segment_stride", 0, MAX_SEGMENT, &b->segment_stride},
    };
    int err = tess_seanet_read(config, keys, sizeof keys / sizeof *keys, b, &net, why);
    if (err) return err;
    if (tess_tables_rvq(b->quantizer, b->n_codebooks, net.latent_width, "quantizer.%d") < 0)
        return tess_base_fail(why, TESS_E_MODEL, "config: too many codebooks");
    tess_seanet_encoder(&net, &b->encoder);
    tess_seanet_decoder(&net, &b->decoder, 0);
    return 0;
}

const struct tess_family tess_family_encodec = {.name = "encodec", .describe = describe};
const struct tess_family tess_family_academicodec = {.name = "academicodec_encodec",
                                                     .describe = describe};
const struct tess_family tess_family_soundstream = {.name = "soundstream", .describe = describe};
