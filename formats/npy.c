/* The head of a .npy file: magic, version, length, and a Python dictionary that is matched as text,
 * never evaluated. Source: the NumPy Enhancement Proposal 1. */
#include "formats/npy.h"

#include "formats/why.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void fmt_npy_head(uint8_t head[FMT_NPY_HEAD], int64_t n_frames, int codebooks, bool is_signed)
{
    char text[FMT_NPY_HEAD];
    int n = snprintf(text, sizeof text,
                     "{'descr': '<%c2', 'fortran_order': False, 'shape': (%" PRId64 ", %d), }",
                     is_signed ? 'i' : 'u', n_frames, codebooks);
    memset(head, ' ', FMT_NPY_HEAD);
    memcpy(head, FMT_NPY_MAGIC "\x01\x00", 8);
    head[8] = FMT_NPY_HEAD - 10; /* bytes that follow, 16 bits little-endian */
    head[9] = 0;
    memcpy(head + 10, text, (size_t)n);
    head[FMT_NPY_HEAD - 1] = '\n';
}

/* What follows `'key':` and blanks, or NULL. */
static const char *value_of(const char *dictionary, const char *key)
{
    const char *at = strstr(dictionary, key);
    return at ? at + strlen(key) + strspn(at + strlen(key), " ") : NULL;
}

int fmt_npy_read_head(const struct tess_io *io,
                      int64_t *n_frames,
                      int *codebooks,
                      struct tess_why *why)
{
    uint8_t start[12];
    char text[4096 + 1];
    size_t n_start = 10;
    int64_t got = fmt_read_all(io, start, 10, why);
    if (got < 0) return (int)got;
    if (got < 10 || memcmp(start, FMT_NPY_MAGIC, 6) != 0) goto bad;
    size_t n_text = start[8] | (size_t)start[9] << 8;
    if (start[6] > 1) { /* versions 2 and 3 have a length of 32 bits */
        n_start = 12;
        got = fmt_read_all(io, start + 10, 2, why);
        if (got < 0) return (int)got;
        if (got < 2) goto bad;
        n_text |= (size_t)start[10] << 16 | (size_t)start[11] << 24;
    }
    if (start[6] < 1 || start[6] > 3 || n_text > sizeof text - n_start) goto bad;
    got = fmt_read_all(io, text, n_text, why);
    if (got < 0) return (int)got;
    if ((size_t)got < n_text) goto bad;
    text[n_text] = 0;

    const char *type = value_of(text, "'descr':"), *order = value_of(text, "'fortran_order':");
    const char *shape = value_of(text, "'shape':");
    if (!type || !order || !shape) goto bad;
    int end = 0;
    bool fits = (strncmp(type, "'<u2'", 5) == 0 || strncmp(type, "'<i2'", 5) == 0) &&
                strncmp(order, "False", 5) == 0 &&
                sscanf(shape, "(%15" SCNd64 ", %5d%n", n_frames, codebooks, &end) == 2 &&
                shape[end + (shape[end] == ',')] == ')' && *n_frames >= 0 && *codebooks > 0;
    if (fits) return 0;
    return fmt_fail(why, TESS_E_FORMAT, "codes must be '<u2' or '<i2' of shape (T, K) in C order");
bad:
    return fmt_fail(why, TESS_E_FORMAT, "not a .npy file");
}
