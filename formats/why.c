/* An error in, a line and the error out; short reads in, whole ones out. */
#include "formats/why.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int fmt_fail(struct tess_why *why, int error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(why->text, sizeof why->text, format, args);
    va_end(args);
    return error;
}

int64_t fmt_read_all(const struct tess_io *io, void *bytes, size_t n, struct tess_why *why)
{
    size_t fill = 0;
    while (fill < n) {
        ptrdiff_t got = io->read(io->ctx, (char *)bytes + fill, n - fill);
        if (got < 0) return fmt_fail(why, TESS_E_IO, "%s", strerror(errno));
        if (got == 0) break;
        fill += (size_t)got;
    }
    return (int64_t)fill;
}
