/* What the readers of this room share: whole reads, and saying why not. */
#ifndef FMT_WHY_H
#define FMT_WHY_H

#include "src/tessera.h"

/** Writes one line and returns `error`, so that a check reads `return fmt_fail(why, TESS_E_FORMAT, ...)`. */
int fmt_fail(struct tess_why *why, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** Reads until n bytes are there or the input ends. Returns how many, or IO with the reason. */
int64_t fmt_read_all(const struct tess_io *io, void *bytes, size_t n, struct tess_why *why);

#endif
