/* Samples as bytes, and channels. The same arithmetic as the command's, so that tokens are equal. */
#ifndef SRV_PCM_H
#define SRV_PCM_H

#include "server/lane.h"

static inline size_t srv_pcm_width(enum srv_format format)
{
    return format == SRV_S16LE ? 2 : 4;
}

/** n values to and from bytes, little-endian. 16-bit output saturates, float is never clipped. */
void srv_pcm_to_float(enum srv_format format, const uint8_t *bytes, size_t n, float *out);
void srv_pcm_from_float(enum srv_format format, const float *in, size_t n, uint8_t *bytes);

/** in [n][n_in] to out [n][n_out]: each channel of out is the mean of in's, or its twin where the
 *  numbers are equal. */
void srv_pcm_mix(const float *in, int n_in, float *out, int n_out, size_t n);

#endif
