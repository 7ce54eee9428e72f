/* Latents in, codes out, and back: each row of the table searches what earlier rows left of its
 * slice. A row names only earlier rows, so the first columns never depend on how many follow. */
#include "rvq/quantizer.h"

#include <assert.h>
#include <string.h>

/* Returns NULL, or what is wrong with row k. */
static const char *row_fault(const struct tess_quantizer_row *rows, int k, int latent_width)
{
    const struct tess_quantizer_row *row = &rows[k];
    if (row->width < 1 || row->from < 0 || row->from > latent_width - row->width)
        return "the slice is not inside the latent";
    if (row->keep_from < 0 || row->keep_from >= row->keep_to || row->keep_to > row->width)
        return "the mask is not inside the slice";
    if (row->scalar != rows[0].scalar || (row->scalar && row->width != 1))
        return "a scalar row has width 1 and is not among others";
    if (row->n_subtract < 0 || row->n_subtract > k) return "it subtracts more rows than precede it";
    for (int i = 0; i < row->n_subtract; i++) {
        int earlier = row->subtract[i];
        if (earlier >= k) return "it subtracts a row that does not precede it";
        if (rows[earlier].from != row->from || rows[earlier].width != row->width)
            return "it subtracts a row of another slice";
    }
    return NULL;
}

int tess_quantizer_create(struct tess_quantizer *q,
                          const struct tess_quantizer_row *rows,
                          int n_rows,
                          int latent_width,
                          int n_entries,
                          const struct tess_allocator *allocator,
                          struct tess_why *why)
{
    memset(q, 0, sizeof *q);
    if (n_rows < 1 || n_rows > TESS_MAX_CODEBOOKS)
        return tess_base_fail(why, TESS_E_ARGUMENT, "%d codebooks; the range is 1 to %d", n_rows,
                              TESS_MAX_CODEBOOKS);
    for (int k = 0; k < n_rows; k++) {
        const char *fault = row_fault(rows, k, latent_width);
        if (fault)
            return tess_base_fail(why, TESS_E_ARGUMENT, "quantizer row %d ('%.63s'): %s", k,
                                  rows[k].tensor, fault);
    }
    q->n_rows = n_rows;
    q->latent_width = latent_width;
    q->n_entries = n_entries;
    memcpy(q->rows, rows, (size_t)n_rows * sizeof *rows);
    if (!rows->scalar) return TESS_OK;
    int err = tess_grid_create(&q->grid, n_entries, allocator);
    q->code_min = -q->grid.code_max;
    return err ? tess_base_fail(why, err, "a grid of %d entries: %s", n_entries, tess_strerror(err))
               : TESS_OK;
}

int tess_quantizer_fill(struct tess_quantizer *q,
                        int k,
                        const float *entries,
                        enum tess_isa isa,
                        int searched,
                        const struct tess_allocator *allocator,
                        struct tess_why *why)
{
    const struct tess_quantizer_row *row = &q->rows[k];
    int err = tess_codebook_create(&q->books[k], entries, q->n_entries, row->width, isa, searched,
                                   allocator);
    return err ? tess_base_fail(why, err, "quantizer row %d ('%.63s'), %d entries of %d: %s", k,
                                row->tensor, q->n_entries, row->width, tess_strerror(err))
               : TESS_OK;
}

void tess_quantizer_destroy(struct tess_quantizer *q, const struct tess_allocator *allocator)
{
    for (int k = 0; k < q->n_rows; k++)
        tess_codebook_destroy(&q->books[k], allocator);
    tess_grid_destroy(&q->grid, allocator);
    memset(q, 0, sizeof *q);
}

/* Whether the row searches its slice of the latent as it stands. */
static int reads_latent(const struct tess_quantizer_row *row)
{
    return row->n_subtract == 0 && row->keep_from == 0 && row->keep_to == row->width;
}

size_t tess_quantizer_scratch(const struct tess_quantizer *q, int n_frames)
{
    int widest = 0;
    for (int k = 0; k < q->n_rows; k++)
        if (!reads_latent(&q->rows[k]) && q->rows[k].width > widest) widest = q->rows[k].width;
    return (size_t)widest * (size_t)n_frames;
}

/* What a code of row k stands for, [width]. */
static const float *entry_of(const struct tess_quantizer *q, int k, uint16_t code)
{
    const size_t entry = (uint16_t)(code - q->code_min);
    if (q->rows[k].scalar) return q->grid.values + entry;
    return q->books[k].entries + entry * (size_t)q->books[k].dim;
}

/* Whether what row k sees is what row k - 1 saw, less one more entry: a residual goes on. */
static int goes_on(const struct tess_quantizer_row *rows, int k)
{
    if (k == 0) return 0;
    const struct tess_quantizer_row *row = &rows[k], *before = &rows[k - 1];
    const int n = before->n_subtract;
    return row->n_subtract == n + 1 && row->subtract[n] == k - 1 &&
           !memcmp(row->subtract, before->subtract, (size_t)n) && row->from == before->from &&
           row->width == before->width && row->keep_from == before->keep_from &&
           row->keep_to == before->keep_to;
}

/* The slice of one frame as the row sees it, masked, to r [width]. */
static void mask(const struct tess_quantizer_row *row, const float *slice, float *r)
{
    for (int d = 0; d < row->width; d++)
        r[d] = d >= row->keep_from && d < row->keep_to ? slice[d] : 0;
}

/* r [width] less the entries of `subtract` from the first-th on, of one frame's codes [K]. */
static void subtract(const struct tess_quantizer *q,
                     const struct tess_quantizer_row *row,
                     int first,
                     const uint16_t *codes,
                     float *r)
{
    for (int i = first; i < row->n_subtract; i++) {
        int k = row->subtract[i];
        const float *entry = entry_of(q, k, codes[k]);
        for (int d = 0; d < row->width; d++)
            r[d] -= entry[d];
    }
}

void tess_quantizer_encode(const struct tess_quantizer *q,
                           const float *latent,
                           int n_frames,
                           int n_columns,
                           uint16_t *codes,
                           float *scratch)
{
    assert(n_columns <= q->n_rows);
    size_t width = (size_t)q->latent_width, columns = (size_t)n_columns;
    for (int k = 0; k < n_columns; k++) {
        const struct tess_quantizer_row *row = &q->rows[k];
        const float *z = latent + row->from;
        int stride = q->latent_width;
        if (!reads_latent(row)) {
            const int more = goes_on(q->rows, k) && !reads_latent(row - 1);
            for (size_t t = 0; t < (size_t)n_frames; t++) {
                float *r = scratch + t * (size_t)row->width;
                if (!more) mask(row, z + t * width, r);
                subtract(q, row, more ? row->n_subtract - 1 : 0, codes + t * columns, r);
            }
            z = scratch;
            stride = row->width;
        }
        if (row->scalar)
            tess_grid_encode(&q->grid, z, stride, n_frames, codes + k, n_columns);
        else
            tess_codebook_nearest(&q->books[k], z, stride, n_frames, codes + k, n_columns);
    }
}

int tess_quantizer_decode(const struct tess_quantizer *q,
                          const uint16_t *codes,
                          int n_frames,
                          int n_columns,
                          float *latent)
{
    assert(n_columns <= q->n_rows);
    memset(latent, 0, (size_t)n_frames * (size_t)q->latent_width * sizeof *latent);
    for (int t = 0; t < n_frames; t++, codes += n_columns, latent += q->latent_width)
        for (int k = 0; k < n_columns; k++) {
            if ((uint16_t)(codes[k] - q->code_min) >= q->n_entries) return TESS_E_CODE;
            const float *entry = entry_of(q, k, codes[k]);
            float *z = latent + q->rows[k].from;
            for (int d = 0; d < q->rows[k].width; d++)
                z[d] += entry[d];
        }
    return TESS_OK;
}
