/* Bytes to samples and back. Each integer format is its value over 2^(bits-1), as libsndfile reads
 * it, so a sound gives the same floats whether it came as a file or through a pipe. */
#include "formats/pcm.h"

#include <math.h>
#include <string.h>

static uint32_t le(const uint8_t *b, int n_bytes)
{
    uint32_t v = 0;
    for (int i = 0; i < n_bytes; i++)
        v |= (uint32_t)b[i] << (8 * i);
    return v;
}

void fmt_pcm_to_float(const struct fmt_pcm *pcm, const uint8_t *bytes, size_t n, float *out)
{
    int width = pcm->bits / 8;
    for (size_t i = 0; i < n; i++, bytes += width) {
        uint32_t v = le(bytes, width);
        if (pcm->is_float) {
            memcpy(&out[i], &v, sizeof v);
            continue;
        }
        if (pcm->bits == 8) v ^= 0x80; /* unsigned around 128 */
        out[i] = (float)(int32_t)(v << (32 - pcm->bits)) * 0x1p-31f;
    }
}

void fmt_pcm_from_float(const struct fmt_pcm *pcm, const float *in, size_t n, uint8_t *bytes)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t v;
        memcpy(&v, &in[i], sizeof v);
        if (!pcm->is_float)
            v = (uint32_t)lrintf(fminf(fmaxf(in[i] * 32768.0f, -32768.0f), 32767.0f));
        for (int k = 0; k < pcm->bits / 8; k++)
            *bytes++ = (uint8_t)(v >> (8 * k));
    }
}
