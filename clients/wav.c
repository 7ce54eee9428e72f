/* WAV heads. libsndfile cannot look at a pipe and leave it as it was, waits there for whole blocks,
 * and writes a head only where it can come back to it; files are read through it all the same. */
#include "wav.h"

#include <string.h>

enum { WAVE_PCM = 1, WAVE_FLOAT = 3, WAVE_EXTENSIBLE = 0xFFFE };

static uint32_t le16(const uint8_t *b)
{
    return b[0] | (uint32_t)b[1] << 8;
}

static uint32_t le32(const uint8_t *b)
{
    return le16(b) | le16(b + 2) << 16;
}

static bool read_format(const uint8_t *chunk, uint32_t n_bytes, struct cli_pcm *pcm)
{
    if (n_bytes < 16) return false;
    uint32_t tag = le16(chunk), bits = le16(chunk + 14);
    if (tag == WAVE_EXTENSIBLE && n_bytes >= 26) tag = le16(chunk + 24); /* the sub-format's head */
    uint32_t channels = le16(chunk + 2), rate = le32(chunk + 4);
    if (rate < 1 || rate > INT32_MAX || channels < 1) return false;
    *pcm = (struct cli_pcm){(int)rate, (int)channels, (int)bits, tag == WAVE_FLOAT};
    bool plain = tag == WAVE_PCM && (bits == 8 || bits == 16 || bits == 24 || bits == 32);
    return (plain || (tag == WAVE_FLOAT && bits == 32)) && le16(chunk + 12) == cli_pcm_bytes(pcm);
}

bool cli_wav_read_head(struct cli_input *in, struct cli_pcm *pcm, uint64_t *n_bytes)
{
    const uint8_t *head;
    if (cli_input_peek(in, 12, &head) < 12 || memcmp(head, "RIFF", 4) != 0 ||
        memcmp(head + 8, "WAVE", 4) != 0)
        return false;
    bool have_format = false;
    for (uint64_t at = 12; at + 8 <= CLI_PEEK;) {
        if (cli_input_peek(in, (size_t)at + 8, &head) < at + 8) return false;
        uint32_t size = le32(head + at + 4);
        if (memcmp(head + at, "data", 4) == 0) {
            if (!have_format) return false;
            in->at = (size_t)at + 8;
            /* 0 and 0x7FFFF... are other writers' ways to say that they did not know */
            bool open = size == 0 || size >= 0x7FFFF000;
            *n_bytes = open ? UINT64_MAX : size;
            return true;
        }
        if (at + 8 + size > CLI_PEEK) return false;
        if (memcmp(head + at, "fmt ", 4) == 0) {
            if (cli_input_peek(in, (size_t)at + 8 + size, &head) < at + 8 + size) return false;
            if (!read_format(head + at + 8, size, pcm)) return false;
            have_format = true;
        }
        at += 8 + (uint64_t)size + (size & 1);
    }
    return false;
}

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

static uint8_t *put_format(uint8_t *b, const struct cli_pcm *pcm)
{
    size_t block = cli_pcm_bytes(pcm);
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
cli_wav_head(uint8_t head[CLI_WAV_HEAD], const struct cli_pcm *pcm, int64_t n_samples, bool wide)
{
    enum { DS64 = 28 };
    uint64_t n_head = (pcm->is_float ? 58u : 44u) + (wide ? 8u + DS64 : 0u);
    uint64_t n_data = (uint64_t)n_samples * cli_pcm_bytes(pcm);
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
