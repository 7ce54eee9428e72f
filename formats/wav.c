/* WAV heads, written as bytes: libsndfile writes one only where it can come back to it. */
#include "formats/wav.h"

#include <string.h>

static uint8_t *put(uint8_t *b, uint64_t v, int n_bytes)
{
    for (int i = 0; i < n_bytes; i++)
        *b++ = (uint8_t)(v >> (8 * i));
    return b;
}

static uint8_t *put_chunk(uint8_t *b, const char *name, uint32_t n_bytes)
{
    memcpy(b, name, 4);
    return put(b + 4, n_bytes, 4);
}

static uint8_t *put_format(uint8_t *b, const struct fmt_pcm *pcm)
{
    size_t block = fmt_pcm_bytes(pcm);
    b = put_chunk(b, "fmt ", pcm->is_float ? 18 : 16);
    b = put(b, pcm->is_float ? FMT_WAVE_FLOAT : FMT_WAVE_PCM, 2);
    b = put(b, (uint64_t)pcm->channels, 2);
    b = put(b, (uint64_t)pcm->rate, 4);
    b = put(b, (uint64_t)pcm->rate * block, 4);
    b = put(b, block, 2);
    b = put(b, (uint64_t)pcm->bits, 2);
    return pcm->is_float ? put(b, 0, 2) : b; /* no extension */
}

size_t
fmt_wav_head(uint8_t head[FMT_WAV_HEAD], const struct fmt_pcm *pcm, int64_t n_samples, bool wide)
{
    enum { DS64 = 28 };
    uint64_t n_head = (pcm->is_float ? 58u : 44u) + (wide ? 8u + DS64 : 0u);
    uint64_t n_data = (uint64_t)n_samples * fmt_pcm_bytes(pcm);
    bool small = n_samples >= 0 && n_data < UINT32_MAX - n_head;
    bool long_sizes = wide && n_samples >= 0 && !small;

    uint8_t *b = put_chunk(head, long_sizes ? "RF64" : "RIFF",
                           small ? (uint32_t)(n_data + n_head - 8) : UINT32_MAX);
    memcpy(b, "WAVE", 4);
    b += 4;
    if (wide) {
        b = put_chunk(b, long_sizes ? "ds64" : "JUNK", DS64);
        b = put(b, long_sizes ? n_data + n_head - 8 : 0, 8);
        b = put(b, long_sizes ? n_data : 0, 8);
        b = put(b, long_sizes ? (uint64_t)n_samples : 0, 8);
        b = put(b, 0, 4); /* no table */
    }
    b = put_format(b, pcm);
    if (pcm->is_float) /* all but integers tell the samples, too */
        b = put(put_chunk(b, "fact", 4), small ? (uint64_t)n_samples : UINT32_MAX, 4);
    b = put_chunk(b, "data", small ? (uint32_t)n_data : UINT32_MAX);
    return (size_t)(b - head);
}
