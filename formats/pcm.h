/* Samples as bytes, little-endian, and as floats of full scale 1.0. */
#ifndef FMT_PCM_H
#define FMT_PCM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fmt_pcm {
    int rate;      /* Hz */
    int channels;  /* interleaved */
    int bits;      /* 8 (unsigned), 16, 24, 32 */
    bool is_float; /* of 32 bits */
};

static inline size_t fmt_pcm_bytes(const struct fmt_pcm *pcm) /* of one sample of all channels */
{
    return (size_t)pcm->channels * (size_t)pcm->bits / 8;
}

/** n values of any of the formats above to floats. Cannot fail. */
void fmt_pcm_to_float(const struct fmt_pcm *pcm, const uint8_t *bytes, size_t n, float *out);

/** n floats to signed 16-bit (rounded to the nearest, saturated: a full-scale 1.0 is 32767) or, if
 *  is_float, unchanged to 32-bit float. Cannot fail. */
void fmt_pcm_from_float(const struct fmt_pcm *pcm, const float *in, size_t n, uint8_t *bytes);

#endif
