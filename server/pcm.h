/* A client's samples: how they lie in bytes, and their channels. */
#ifndef SRV_PCM_H
#define SRV_PCM_H

#include "formats/pcm.h"
#include "server/lane.h"

static inline size_t srv_pcm_width(enum srv_format format)
{
    return format == SRV_S16LE ? 2 : 4;
}

/** The client's samples, as formats/pcm.h converts them: the command's arithmetic, so that codes and
 *  sound are the command's. */
struct fmt_pcm srv_pcm_of(const struct srv_lane_config *config);

/** in [n][n_in] to out [n][n_out]: each channel of out is the mean of in's, or its twin where the
 *  numbers are equal. */
void srv_pcm_mix(const float *in, int n_in, float *out, int n_out, size_t n);

#endif
