/* Codes [T][K] as a NumPy array file of 16-bit integers. */
#ifndef FMT_NPY_H
#define FMT_NPY_H

#include "src/tessera.h"

#include <stdbool.h>

#define FMT_NPY_MAGIC "\x93NUMPY"
enum { FMT_NPY_HEAD = 128 }; /* bytes of the heads we write: room for any T */

/** Writes a version 1.0 head of FMT_NPY_HEAD bytes. Cannot fail. */
void fmt_npy_head(uint8_t head[FMT_NPY_HEAD], int64_t n_frames, int codebooks, bool is_signed);

/** Takes a head off `io`. Accepts '<u2' and '<i2' of shape (T, K), C order, nothing else. Returns 0,
 *  FORMAT or IO. */
int fmt_npy_read_head(const struct tess_io *io,
                      int64_t *n_frames,
                      int *codebooks,
                      struct tess_why *why);

#endif
