/* The heads of WAV: read where there is no going back, written everywhere. */
#ifndef CLI_WAV_H
#define CLI_WAV_H

#include "input.h"
#include "pcm.h"

/** If `in` starts with a WAV head (within CLI_PEEK bytes) of plain PCM or 32-bit float, takes it,
 *  fills *pcm and the bytes of sound that follow (UINT64_MAX where the head leaves that open) and
 *  returns true. Otherwise nothing has been taken. */
bool cli_wav_read_head(struct cli_input *in, struct cli_pcm *pcm, uint64_t *n_bytes);

enum { CLI_WAV_HEAD = 94 }; /* bytes at most */

/** Writes a head for 16-bit or float samples and returns its bytes. n_samples < 0 is "not known":
 *  sizes of 0xFFFFFFFF, as other tools write them into pipes. `wide` heads have room for 64-bit
 *  sizes, and are RF64 (EBU Tech 3306) where those are needed; all wide heads of a format have the
 *  same length. */
size_t
cli_wav_head(uint8_t head[CLI_WAV_HEAD], const struct cli_pcm *pcm, int64_t n_samples, bool wide);

#endif
