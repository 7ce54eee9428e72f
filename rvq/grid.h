/* A scalar grid: one number in, a signed code out, through a curve that gives every code about the
 * same share of normally distributed numbers. With m the largest code, s = m / 1.85 and
 * M = m + 0.499,
 *
 *     code = M erf(z / (s sqrt 2)), rounded, -m .. m;     z = s sqrt 2 erfinv(code / M).
 *
 * Both are tables, made with additions, products and divisions of doubles alone: no C library and no
 * CPU changes a code. Source: WaLLoC, arXiv:2412.09405. */
#ifndef TESS_GRID_H
#define TESS_GRID_H

#include "src/base.h"

struct tess_grid {
    int code_max;
    float *values;   /* [2 m + 1], of the codes from -m up */
    double *borders; /* [2 m]: between one code and the next */
};

/** Makes the tables of a grid of 2 m + 1 entries, m from 1 to 1024. Errors: ARGUMENT, NOMEM; *grid
 *  needs no destroy then. Free with destroy. */
int tess_grid_create(struct tess_grid *grid, int n_entries, const struct tess_allocator *allocator);
void tess_grid_destroy(struct tess_grid *grid, const struct tess_allocator *allocator);

/** The code of each z, as int16_t in uint16_t. z [n][stride], codes [n][code_stride]. Cannot fail,
 *  any thread. */
void tess_grid_encode(const struct tess_grid *grid,
                      const float *z,
                      int stride,
                      int n,
                      uint16_t *codes,
                      int code_stride);

#endif
