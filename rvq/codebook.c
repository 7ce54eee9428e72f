/* Entries in, panels for the search out. One block of memory holds all tables; nothing in it
 * changes after create. */
#include "rvq/codebook.h"

#include "rvq/nearest.h"

#include <math.h>
#include <string.h>

static void (*const kernels[TESS_N_ISAS])(const struct tess_codebook *book,
                                          const float *z,
                                          int stride,
                                          int n,
                                          uint16_t *codes,
                                          int code_stride) = TESS_KERNEL_TABLE(tess_nearest);

/* One chain of fused products from channel 0 up, as the search itself. */
static float half_square(const float *entry, int dim)
{
    float sum = 0;
    for (int d = 0; d < dim; d++)
        sum = fmaf(entry[d], entry[d], sum);
    return sum * 0.5f;
}

static void fill_panels(struct tess_codebook *book, size_t n_padded)
{
    const size_t width = (size_t)book->dim;
    for (size_t v = 0; v < n_padded; v++) {
        if (v >= (size_t)book->n_entries) {
            book->half_sq[v] = INFINITY;
            continue;
        }
        const float *entry = book->entries + v * width;
        float *lane = book->panels + v / TESS_PANEL * TESS_PANEL * width + v % TESS_PANEL;
        for (size_t d = 0; d < width; d++)
            lane[d * TESS_PANEL] = entry[d];
        book->half_sq[v] = half_square(entry, book->dim);
    }
}

int tess_codebook_create(struct tess_codebook *book,
                         const float *entries,
                         int n_entries,
                         int dim,
                         enum tess_isa isa,
                         int searched,
                         const struct tess_allocator *allocator)
{
    *book = (struct tess_codebook){.n_entries = n_entries, .dim = dim, .isa = isa};
    if (n_entries < 1 || n_entries > 65536 || dim < 1 || !kernels[isa]) return TESS_E_ARGUMENT;

    const size_t width = (size_t)dim, n_values = (size_t)n_entries * width;
    size_t n_panels = ((size_t)n_entries + TESS_PANEL - 1) / TESS_PANEL;
    size_t n_padded = searched ? n_panels * TESS_PANEL : 0;
    if (width > SIZE_MAX / sizeof(float) / (n_panels * TESS_PANEL) / 2 - 1) return TESS_E_NOMEM;
    size_t n_floats = n_padded * (width + 1) + n_values;
    book->panels = tess_base_alloc(allocator, n_floats * sizeof *book->panels);
    if (!book->panels) return TESS_E_NOMEM;
    book->half_sq = book->panels + n_padded * width;
    book->entries = book->half_sq + n_padded;
    memcpy(book->entries, entries, n_values * sizeof *entries);
    fill_panels(book, n_padded);
    return TESS_OK;
}

void tess_codebook_destroy(struct tess_codebook *book, const struct tess_allocator *allocator)
{
    tess_base_free(allocator, book->panels);
    *book = (struct tess_codebook){0};
}

void tess_codebook_nearest(const struct tess_codebook *book,
                           const float *z,
                           int stride,
                           int n,
                           uint16_t *codes,
                           int code_stride)
{
    kernels[book->isa](book, z, stride, n, codes, code_stride);
}
