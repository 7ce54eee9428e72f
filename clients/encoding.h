/* From sound to frames of codes: what `encode` and `batch` share. */
#ifndef CLI_ENCODING_H
#define CLI_ENCODING_H

#include "codes_out.h"
#include "options.h"
#include "sound.h"

/* A model's encoder, for one sound after the other. */
struct cli_encoding {
    const struct cli_options *options; /* borrowed, like the next two */
    const struct tess_model *model;
    const struct tess_model_info *info;
    struct tess_worker *worker;
    struct tess_encoder *encoder;
    int codebooks, option; /* the latter the family's */
    bool by_hop;           /* pushes end where hops do */

    struct cli_sound sound; /* and what belongs to it, from here on */
    uint16_t *codes;        /* [n_codes][codebooks] */
    float *scales;          /* [n_scales], of segments */
    size_t n_codes, n_scales;
    int64_t n_samples, n_frames; /* at the model's rate, so far */
    float *clip; /* [clip_capacity][channels]: of a model that needs all samples at once */
    size_t n_clip, clip_capacity;
};

/** Takes frames as they come, maybe none; returns 0 or an exit code, the reason told. */
typedef int cli_take_frames(void *ctx, const struct cli_frames *frames);

/** Makes an encoder with the option that --option gives. Returns 0 or an exit code, the reason
 *  told. */
int cli_encoding_open(struct cli_encoding *e,
                      const struct cli_options *options,
                      const struct tess_model *model,
                      const struct tess_model_info *info,
                      int codebooks);
void cli_encoding_close(struct cli_encoding *e);

/** Opens a sound, "-" being standard input; the name is borrowed. cli_encoding_stop frees what is
 *  held of it, and the next one may start. Returns as above. */
int cli_encoding_start(struct cli_encoding *e, const char *path);
void cli_encoding_stop(struct cli_encoding *e);

/** Encodes the sound to its end, a block at a time. Returns as above. */
int cli_encoding_run(struct cli_encoding *e, cli_take_frames *take, void *ctx);

/** Samples per channel that the codes stand for, of the source and at the model's rate. A family
 *  that gives no frame for a last part of a hop covers that much less than was read. */
void cli_encoding_covered(const struct cli_encoding *e, int64_t *n_source, int64_t *n_samples);

#endif
