/* A safetensors file, checked in full before anything of it is used: afterwards every tensor
 * lies inside the file, has the size its shape says, and shares no byte with another.
 * Source: https://github.com/huggingface/safetensors, "Format". Stricter than that text:
 *   file       at most 2 GiB - 1, so that a dimension, a count and an offset fit an int
 *   header     at most 1 MiB, JSON at most 16 levels deep
 *   tensors    at most 4096, names of 1 to 127 printable ASCII characters, each once
 *   shape      1 to 4 dimensions above 0; no scalars, nothing empty
 *   data       covered by the tensors without a gap, an overlap or a rest; any alignment
 *   metadata   at most 64 strings; keys of at most 127, values of at most 65,535 printable ASCII
 *              characters, each key once
 * Names, keys and values may therefore stand in a message as they are. */
#ifndef TESS_SAFETENSORS_H
#define TESS_SAFETENSORS_H

#include "src/base.h"

#define TESS_DTYPES(X)                                                                             \
    X(F16, 2)                                                                                      \
    X(F32, 4)                                                                                      \
    X(BF16, 2)                                                                                     \
    X(I8, 1)                                                                                       \
    X(I32, 4)

enum tess_dtype {
#define TESS_DTYPE_ENUM(name, width) TESS_##name,
    TESS_DTYPES(TESS_DTYPE_ENUM)
#undef TESS_DTYPE_ENUM
};

struct tess_tensor {
    char name[128];
    enum tess_dtype dtype;
    int rank;                  /* 1..4 */
    int dims[4];               /* last index fastest; 1 from `rank` on */
    size_t n_elements;         /* product of dims */
    size_t n_bytes;            /* n_elements * width of dtype */
    const unsigned char *data; /* little-endian, not aligned */
    int used;                  /* 0 after opening; whoever reads the tensor sets it */
};

struct tess_safetensors {
    int n_tensors;
    struct tess_tensor *tensors; /* [n_tensors], in the order of their names */
    unsigned char sha256[32];    /* of the whole file */
    const unsigned char *bytes;  /* [n_bytes], the whole file */
    size_t n_bytes;
    void *mapping;  /* what close unmaps; NULL if the bytes are borrowed */
    char *metadata; /* key, NUL, value, NUL, ..., NUL */
    struct tess_allocator allocator;
};

/** Maps a file read-only and checks it. The allocator is copied; only while the header is read,
 *  JSON and sorting take theirs from malloc. The file must not change until close: where it is
 *  cut short meanwhile, reading a tensor raises SIGBUS, so close as soon as the weights are
 *  copied. On failure *st needs no close.
 *  Errors, one line naming the tensor and the limit but not the path: IO (cannot be read, or not
 *  a regular file), FORMAT (not safetensors), TRUNCATED (cut short), MODEL (its content breaks a
 *  rule above), NOMEM. Any thread. */
int tess_safetensors_open(struct tess_safetensors *st,
                          const char *path,
                          const struct tess_allocator *allocator,
                          struct tess_why *why);

/** As tess_safetensors_open, from data [n_bytes], borrowed until close. Never IO. */
int tess_safetensors_open_memory(struct tess_safetensors *st,
                                 const void *data,
                                 size_t n_bytes,
                                 const struct tess_allocator *allocator,
                                 struct tess_why *why);

/** Frees and unmaps all that open took; the tensors' data are gone. Allowed after a failed open.
 *  Cannot fail. */
void tess_safetensors_close(struct tess_safetensors *st);

/** The metadata value of `key`, which lives until close, or NULL. Any thread. */
const char *tess_safetensors_metadata(const struct tess_safetensors *st, const char *key);

/** The tensor called `name`, which lives until close, or NULL. Any thread; setting its `used`
 *  is the opening thread's. */
struct tess_tensor *tess_safetensors_find(const struct tess_safetensors *st, const char *name);

/** The values of an F16 or F32 tensor, exactly, to out [n_elements]. Errors: MODEL (another
 *  dtype; an element is infinite or NaN: *out is then undefined). Any thread. */
int tess_safetensors_widen(const struct tess_tensor *tensor, float *out, struct tess_why *why);

/** The tensor's bytes are not needed for now: a mapped file's memory shrinks until they are read
 *  again. Cannot fail, any thread. */
void tess_safetensors_forget(const struct tess_safetensors *st, const struct tess_tensor *tensor);

#endif
