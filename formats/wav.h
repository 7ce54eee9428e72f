/* The heads of WAV: those that we write, and plain ones of any writer. */
#ifndef FMT_WAV_H
#define FMT_WAV_H

#include "formats/pcm.h"

enum { FMT_WAV_HEAD = 94 }; /* bytes at most */

/** Writes a head for 16-bit or float samples and returns its bytes. n_samples < 0 is "not known":
 *  sizes of 0xFFFFFFFF, as other tools write them into pipes. `wide` heads have room for 64-bit
 *  sizes, and are RF64 (EBU Tech 3306) where those are needed; all wide heads of a format have the
 *  same length. */
size_t
fmt_wav_head(uint8_t head[FMT_WAV_HEAD], const struct fmt_pcm *pcm, int64_t n_samples, bool wide);

/** What a WAV head of plain PCM or 32-bit float says. */
struct fmt_wav {
    struct fmt_pcm pcm;
    uint64_t start;   /* bytes before the first sample */
    uint64_t n_bytes; /* of sound; UINT64_MAX where the head leaves that open */
};

/** Reads the head that bytes [n] begin with. Returns 0 where it is whole, *wav being filled; else how many
 *  bytes are needed to go on, more than n; -1 where it is none such. */
int64_t fmt_wav_read_head(struct fmt_wav *wav, const uint8_t *bytes, size_t n);

/** Samples per channel that the head announces; -1 where it leaves that open. Cannot fail. */
int64_t fmt_wav_samples(const struct fmt_wav *wav);

#endif
