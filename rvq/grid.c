/* Numbers in, codes out: a search among the borders between them. */
#include "rvq/grid.h"

enum { LARGEST = 1024 }; /* m: further out the series would not do */

/* The Maclaurin series; for 0 <= x <= 3 its terms stay below 1e3, so 1e-12 is right. */
static double error_function(double x)
{
    double power = x, sum = x; /* (-1)^n x^(2n+1) / n! */
    for (int n = 1; n < 60; n++) {
        power *= -x * x / n;
        sum += power / (2 * n + 1);
    }
    return 1.1283791670955126 * sum; /* 2 / sqrt pi */
}

/* The z >= 0 that the curve takes to u >= 0. */
static double uncompand(int code_max, double u)
{
    const double wanted = u / (code_max + 0.499);
    double low = 0, high = 3;
    for (int i = 0; i < 52; i++) {
        double middle = 0.5 * (low + high);
        if (error_function(middle) < wanted)
            low = middle;
        else
            high = middle;
    }
    return code_max / 1.85 * 1.4142135623730951 * high;
}

int tess_grid_create(struct tess_grid *grid, int n_entries, const struct tess_allocator *allocator)
{
    const int m = n_entries / 2;
    *grid = (struct tess_grid){0};
    if (m < 1 || m > LARGEST || n_entries % 2 == 0) return TESS_E_ARGUMENT;
    *grid = (struct tess_grid){.code_max = m};
    grid->values = tess_base_alloc(allocator, (size_t)(2 * m + 1) * sizeof *grid->values);
    grid->borders = tess_base_alloc(allocator, (size_t)(2 * m) * sizeof *grid->borders);
    if (!grid->values || !grid->borders) {
        tess_grid_destroy(grid, allocator);
        return TESS_E_NOMEM;
    }
    for (int code = 1; code <= m; code++) { /* the curve is odd; code 0 stays 0 */
        const double border = uncompand(m, code - 0.5);
        grid->values[m + code] = (float)uncompand(m, code);
        grid->values[m - code] = -grid->values[m + code];
        grid->borders[m + code - 1] = border;
        grid->borders[m - code] = -border;
    }
    return TESS_OK;
}

void tess_grid_destroy(struct tess_grid *grid, const struct tess_allocator *allocator)
{
    tess_base_free(allocator, grid->values);
    tess_base_free(allocator, grid->borders);
    *grid = (struct tess_grid){0};
}

void tess_grid_encode(const struct tess_grid *grid,
                      const float *z,
                      int stride,
                      int n,
                      uint16_t *codes,
                      int code_stride)
{
    for (int t = 0; t < n; t++, z += stride, codes += code_stride) {
        int below = 0; /* borders known to be below z; no branches: no CPU could guess them */
        for (int n_left = 2 * grid->code_max, half; n_left > 0; n_left -= half) {
            half = (n_left + 1) / 2;
            below += half * ((double)*z > grid->borders[below + half - 1]);
        }
        *codes = (uint16_t)(below - grid->code_max);
    }
}
