/* Codes [T][K] as a NumPy array file of 16-bit integers. */
#ifndef CLI_NPY_H
#define CLI_NPY_H

#include "input.h"

#define CLI_NPY_MAGIC "\x93NUMPY"
enum { CLI_NPY_HEAD = 128 }; /* bytes of the heads we write: room for any T */

/** Writes a version 1.0 head of CLI_NPY_HEAD bytes. Cannot fail. */
void cli_npy_head(uint8_t head[CLI_NPY_HEAD], int64_t n_frames, int codebooks, bool is_signed);

/** Takes a head off `in`. Accepts '<u2' and '<i2' of shape (T, K), C order, nothing else.
 *  Returns 0 or an exit code, the reason told. */
int cli_npy_read_head(struct cli_input *in, int64_t *n_frames, int *codebooks);

#endif
