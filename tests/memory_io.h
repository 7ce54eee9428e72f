/* Coded files in memory: a source that may be a pipe, a sink that may be full. */
#ifndef TESS_TESTS_MEMORY_IO_H
#define TESS_TESTS_MEMORY_IO_H

#include "src/tessera.h"
#include "tests/check.h"
#include "tests/random.h"

#include <stdlib.h>
#include <string.h>

struct memory {
    uint8_t *bytes;
    size_t size, at;
    size_t limit;  /* no byte beyond it can be read or written */
    uint64_t seed; /* not 0: a pipe, which gives and takes a random number of bytes */
};

static inline ptrdiff_t memory_read(void *ctx, void *bytes, size_t n)
{
    struct memory *m = ctx;
    size_t left = m->at < m->size ? m->size - m->at : 0;
    if (n > left) n = left;
    if (m->seed && n > 1) n = 1 + (size_t)random_below(&m->seed, (int)n);
    if (m->at + n > m->limit) return -1;
    if (n == 0) return 0;
    memcpy(bytes, m->bytes + m->at, n);
    m->at += n;
    return (ptrdiff_t)n;
}

static inline int memory_write(void *ctx, const void *bytes, size_t n)
{
    struct memory *m = ctx;
    if (n > m->limit - m->size) return -1;
    uint8_t *grown = realloc(m->bytes, m->size + n);
    if (!grown) return -1;
    m->bytes = grown;
    memcpy(m->bytes + m->size, bytes, n);
    m->size += n;
    return 0;
}

static inline int memory_seek(void *ctx, uint64_t offset)
{
    struct memory *m = ctx;
    m->at = (size_t)offset;
    return 0;
}

static inline struct tess_io sink(struct memory *m)
{
    return (struct tess_io){.ctx = m, .write = memory_write};
}

static inline struct tess_io source(struct memory *m)
{
    return (struct tess_io){.ctx = m, .read = memory_read, .seek = m->seed ? NULL : memory_seek};
}

/* A view of the first n bytes of a file. */
static inline struct memory view(const struct memory *file, size_t n, uint64_t seed)
{
    return (struct memory){.bytes = file->bytes, .size = n, .limit = SIZE_MAX, .seed = seed};
}

/* All frames of a source, `capacity` at a time, and their segments' scales. Returns how many, and the
 * error or 0 in *error. */
static inline size_t read_scaled(struct tess_reader *r,
                                 uint16_t *codes,
                                 size_t columns,
                                 size_t capacity,
                                 float *scales,
                                 size_t *n_scales,
                                 int64_t *error,
                                 struct tess_why *why)
{
    size_t n_frames = 0;
    *n_scales = 0;
    while ((*error = tess_reader_next(r, codes + n_frames * columns, capacity, why)) > 0) {
        size_t n;
        const float *more = tess_reader_scales(r, &n);
        if (n) memcpy(scales + *n_scales, more, n * sizeof *scales);
        assert_true((size_t)*error <= capacity);
        n_frames += (size_t)*error;
        *n_scales += n;
    }
    return n_frames;
}

/* The same of a recording without segments. */
static inline size_t read_codes(struct tess_reader *r,
                                uint16_t *codes,
                                size_t columns,
                                size_t capacity,
                                int64_t *error,
                                struct tess_why *why)
{
    size_t n_scales,
        n_frames = read_scaled(r, codes, columns, capacity, NULL, &n_scales, error, why);
    assert_int_equal(n_scales, 0);
    return n_frames;
}

#endif
