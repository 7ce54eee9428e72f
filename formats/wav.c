/* WAV heads as bytes: libsndfile writes one only where it can come back to it, and of one that it reads
 * it does not say how many samples were announced. */
#include "formats/wav.h"

#include <string.h>

enum { WAVE_PCM = 1, WAVE_FLOAT = 3, WAVE_EXTENSIBLE = 0xFFFE };

/* ---- out ---- */

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
    b = put(b, pcm->is_float ? WAVE_FLOAT : WAVE_PCM, 2);
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

/* ---- in ---- */

static uint32_t le16(const uint8_t *b)
{
    return b[0] | (uint32_t)b[1] << 8;
}

static uint32_t le32(const uint8_t *b)
{
    return le16(b) | le16(b + 2) << 16;
}

static bool read_format(const uint8_t *chunk, uint32_t n_bytes, struct fmt_pcm *pcm)
{
    if (n_bytes < 16) return false;
    uint32_t tag = le16(chunk), bits = le16(chunk + 14);
    if (tag == WAVE_EXTENSIBLE && n_bytes >= 26) tag = le16(chunk + 24); /* the sub-format's head */
    uint32_t channels = le16(chunk + 2), rate = le32(chunk + 4);
    if (rate < 1 || rate > INT32_MAX || channels < 1) return false;
    *pcm = (struct fmt_pcm){(int)rate, (int)channels, (int)bits, tag == WAVE_FLOAT};
    bool plain = tag == WAVE_PCM && (bits == 8 || bits == 16 || bits == 24 || bits == 32);
    return (plain || (tag == WAVE_FLOAT && bits == 32)) && le16(chunk + 12) == fmt_pcm_bytes(pcm);
}

/* What writers to pipes announce: nothing, all that 31 or 32 bits hold or whole pages of it, and arecord
 * one byte more than 31 hold. */
static bool is_unknown(uint32_t size)
{
    return size == 0 || (size >= 0x7FFFF000 && size <= 0x80000000) || size >= 0xFFFFF000;
}

int64_t fmt_wav_read_head(struct fmt_wav *wav, const uint8_t *bytes, size_t n)
{
    bool have_format = false;
    if (n < 12) return 12;
    if (memcmp(bytes, "RIFF", 4) != 0 || memcmp(bytes + 8, "WAVE", 4) != 0) return -1;
    for (uint64_t at = 12;;) {
        if (n < at + 8) return (int64_t)at + 8;
        const uint8_t *chunk = bytes + at;
        const uint32_t size = le32(chunk + 4);
        at += 8;
        if (memcmp(chunk, "data", 4) == 0) {
            if (!have_format) return -1;
            wav->n_bytes = is_unknown(size) ? UINT64_MAX : size;
            wav->start = at;
            return 0;
        }
        if (memcmp(chunk, "fmt ", 4) == 0) {
            if (n < at + size) return (int64_t)(at + size);
            if (!read_format(chunk + 8, size, &wav->pcm)) return -1;
            have_format = true;
        }
        at += (uint64_t)size + (size & 1);
    }
}

int64_t fmt_wav_samples(const struct fmt_wav *wav)
{
    return wav->n_bytes == UINT64_MAX ? -1 : (int64_t)(wav->n_bytes / fmt_pcm_bytes(&wav->pcm));
}
