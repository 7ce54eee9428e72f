/* The head of WAV, read where there is no going back. */
#ifndef CLI_WAV_H
#define CLI_WAV_H

#include "formats/pcm.h"
#include "input.h"

/** If `in` starts with a WAV head (within CLI_PEEK bytes) of plain PCM or 32-bit float, takes it,
 *  fills *pcm and the bytes of sound that follow (UINT64_MAX where the head leaves that open) and
 *  returns true. Otherwise nothing has been taken. */
bool cli_wav_read_head(struct cli_input *in, struct fmt_pcm *pcm, uint64_t *n_bytes);

#endif
