/* Samples of some channels in, the same of others out. */
#include "server/pcm.h"

#include <string.h>

struct fmt_pcm srv_pcm_of(const struct srv_lane_config *c)
{
    return (struct fmt_pcm){
        .rate = c->rate,
        .channels = c->channels,
        .bits = 8 * (int)srv_pcm_width(c->format),
        .is_float = c->format == SRV_F32LE,
    };
}

void srv_pcm_mix(const float *in, int n_in, float *out, int n_out, size_t n)
{
    if (n_in == n_out) {
        memmove(out, in, n * (size_t)n_in * sizeof *in);
        return;
    }
    for (size_t t = 0; t < n; t++, in += n_in) {
        double sum = 0;
        for (int i = 0; i < n_in; i++)
            sum += (double)in[i];
        for (int i = 0; i < n_out; i++)
            *out++ = (float)(sum / n_in);
    }
}
