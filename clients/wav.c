/* The head of a WAV that comes through a pipe. libsndfile cannot look at one and leave it as it was, and
 * waits there for whole blocks; files are read through it all the same. */
#include "wav.h"

#include "formats/wav.h"

#include <string.h>

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
    if (tag == FMT_WAVE_EXTENSIBLE && n_bytes >= 26)
        tag = le16(chunk + 24); /* the sub-format's head */
    uint32_t channels = le16(chunk + 2), rate = le32(chunk + 4);
    if (rate < 1 || rate > INT32_MAX || channels < 1) return false;
    *pcm = (struct fmt_pcm){(int)rate, (int)channels, (int)bits, tag == FMT_WAVE_FLOAT};
    bool plain = tag == FMT_WAVE_PCM && (bits == 8 || bits == 16 || bits == 24 || bits == 32);
    return (plain || (tag == FMT_WAVE_FLOAT && bits == 32)) &&
           le16(chunk + 12) == fmt_pcm_bytes(pcm);
}

bool cli_wav_read_head(struct cli_input *in, struct fmt_pcm *pcm, uint64_t *n_bytes)
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
