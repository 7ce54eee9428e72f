/* The head of WAV at the start of an input. */
#ifndef CLI_WAV_H
#define CLI_WAV_H

#include "formats/wav.h"
#include "input.h"

/** Does `in` start with a WAV head (within CLI_PEEK bytes) of plain PCM or 32-bit float? Then fills
 *  *wav. To be called before anything is read; nothing is taken, and of a pipe no byte read that is not
 *  the head's. */
bool cli_wav_peek(struct cli_input *in, struct fmt_wav *wav);

#endif
