/* Bytes of a client's samples in, floats out, and back. */
#include "server/pcm.h"

#include "src/tessera_wire.h"

#include <math.h>
#include <string.h>

void srv_pcm_to_float(enum srv_format format, const uint8_t *bytes, size_t n, float *out)
{
    if (format == SRV_S16LE)
        for (size_t i = 0; i < n; i++)
            out[i] = (float)(int16_t)tess_wire_get16(bytes + 2 * i) * 0x1p-15f;
    else
        for (size_t i = 0; i < n; i++) {
            uint32_t v = tess_wire_get32(bytes + 4 * i);
            memcpy(&out[i], &v, sizeof v);
        }
}

void srv_pcm_from_float(enum srv_format format, const float *in, size_t n, uint8_t *bytes)
{
    if (format == SRV_S16LE)
        for (size_t i = 0; i < n; i++) {
            float v = fminf(fmaxf(in[i] * 32768.0f, -32768.0f), 32767.0f);
            tess_wire_put16(bytes + 2 * i, (uint16_t)lrintf(v));
        }
    else
        for (size_t i = 0; i < n; i++) {
            uint32_t v;
            memcpy(&v, &in[i], sizeof v);
            tess_wire_put32(bytes + 4 * i, v);
        }
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
