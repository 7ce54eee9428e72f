/* The heads of WAV that we write, and the tags of what they hold. */
#ifndef FMT_WAV_H
#define FMT_WAV_H

#include "formats/pcm.h"

enum { FMT_WAVE_PCM = 1, FMT_WAVE_FLOAT = 3, FMT_WAVE_EXTENSIBLE = 0xFFFE };

enum { FMT_WAV_HEAD = 94 }; /* bytes at most */

/** Writes a head for 16-bit or float samples and returns its bytes. n_samples < 0 is "not known":
 *  sizes of 0xFFFFFFFF, as other tools write them into pipes. `wide` heads have room for 64-bit
 *  sizes, and are RF64 (EBU Tech 3306) where those are needed; all wide heads of a format have the
 *  same length. */
size_t
fmt_wav_head(uint8_t head[FMT_WAV_HEAD], const struct fmt_pcm *pcm, int64_t n_samples, bool wide);

#endif
