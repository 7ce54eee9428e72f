/* One rate and channel count to another, in blocks. */
#ifndef CLI_CONVERT_H
#define CLI_CONVERT_H

#include "src/tessera.h"

struct cli_convert {
    int channels_in, channels_out;
    size_t n_block; /* samples per channel that a push may bring */
    float *mixed;   /* [n_block][channels_out] */
    float *out;     /* [capacity][channels_out] */
    size_t capacity;
    struct tess_resampler *resampler;
};

/** From `channels_in` at rate_in to `channels_out` at rate_out; pushes of n_block samples at most.
 *  Several channels become one by their mean, one becomes several by copies; nothing else is
 *  possible. `name` is of the sound, for messages. Returns 0 or an exit code, the reason told. */
int cli_convert_open(struct cli_convert *c,
                     const char *name,
                     int rate_in,
                     int channels_in,
                     int rate_out,
                     int channels_out,
                     size_t n_block);
void cli_convert_close(struct cli_convert *c);

/** Converts in [n][channels_in]; *out then points at the samples that are final, valid until the
 *  next call, and their count is returned. n = 0 ends the sound: call until 0 comes back. */
int64_t cli_convert_push(struct cli_convert *c, const float *in, size_t n, const float **out);

#endif
