/* The head of a WAV stream, where there is no going back. */
#ifndef CLI_WAV_H
#define CLI_WAV_H

#include "input.h"
#include "pcm.h"

/** If `in` starts with a WAV head (within CLI_PEEK bytes) of plain PCM or 32-bit float, takes it,
 *  fills *pcm and the bytes of sound that follow (UINT64_MAX where the head leaves that open) and
 *  returns true. Otherwise nothing has been taken. */
bool cli_wav_read_head(struct cli_input *in, struct cli_pcm *pcm, uint64_t *n_bytes);

/** Writes a head for 16-bit or float samples; n_samples < 0 is "not known", for which the sizes
 *  are 0xFFFFFFFF as other tools write them into pipes. Returns its bytes, at most 58. */
size_t cli_wav_head(uint8_t head[58], const struct cli_pcm *pcm, int64_t n_samples);

#endif
