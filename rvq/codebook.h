/* One codebook: entries in the order that a vector unit wants, and the search for the nearest. */
#ifndef TESS_CODEBOOK_H
#define TESS_CODEBOOK_H

#include "src/base.h"

struct tess_codebook {
    int n_entries, dim;
    enum tess_isa isa;
    float *entries; /* [V][D], as given */
    float *panels;  /* [ceil(V / 16)][D][16]: 16 entries side by side, the last panel filled up */
    float *half_sq; /* [V rounded up to 16]: |entry|^2 / 2, infinite where filled up */
};

/** Copies entries [V][D], 1..65536 of them; what the search needs only if the book is `searched`. The
 *  allocator is not NULL. Errors: NOMEM, ARGUMENT. Free with destroy. */
int tess_codebook_create(struct tess_codebook *book,
                         const float *entries,
                         int n_entries,
                         int dim,
                         enum tess_isa isa,
                         int searched,
                         const struct tess_allocator *allocator);
void tess_codebook_destroy(struct tess_codebook *book, const struct tess_allocator *allocator);

/** Index of the entry nearest to each z (squared Euclidean distance) in a book that is searched: the
 *  one with the smallest half_sq[e] - z.e, where the product is acc = half_sq[e]; for d = 0..D-1: acc = fma(-z[d], e[d],
 *  acc). Ties take the lowest index. z [n][stride], codes [n][code_stride].
 *  The same bits on every CPU. Cannot fail, allocates nothing, any thread.
 *  Source: SoundStream, arXiv:2107.03312, algorithm 1. */
void tess_codebook_nearest(const struct tess_codebook *book,
                           const float *z,
                           int stride,
                           int n,
                           uint16_t *codes,
                           int code_stride);

#endif
