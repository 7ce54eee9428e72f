/* A quantizer is a table: each row says what part of the latent it reads and what has been taken
 * from it already. One loop runs RVQ, GRVQ and MCRVQ:
 *
 *     r = latent[from .. from + width)        channels outside [keep_from, keep_to) read as zero,
 *     r = ((r - z_a) - z_b) - ...             for the rows a, b, ... of `subtract`, in this order,
 *     code = nearest entry of the row's codebook to r;  z = that entry, used whole.
 *
 * A scalar row has the grid of grid.h for a codebook: width 1, V = 2 m + 1, codes -m..m.
 *
 *  RVQ, K layers:      {0, D, keep all, subtract 0..l-1}
 *  GRVQ, G groups:     {g d, d, keep all, subtract the earlier rows of group g}, layer-major
 *  MCRVQ, 3 masks:     rows 0..2 {0, D, keep a third, subtract none}; row 3 {keep all, subtract
 *                      0, 1, 2}; then as RVQ (Language-Codec, arXiv:2402.12208)
 *  scalar, D columns:  {d, 1, keep all, subtract none} (WaLLoC, arXiv:2412.09405)
 *
 * The decoded latent is the sum of the entries, each at its row's place, in the order of the rows. */
#ifndef TESS_QUANTIZER_H
#define TESS_QUANTIZER_H

#include "rvq/codebook.h"
#include "rvq/grid.h"

enum { TESS_MAX_CODEBOOKS = 128 };

struct tess_quantizer_row {
    char tensor[64];        /* name of the entries [V][width] in the model file */
    int scalar;             /* has the grid instead, as then all rows do */
    int from, width;        /* slice of the latent */
    int keep_from, keep_to; /* within the slice; 0 and width: no mask */
    int n_subtract;
    uint8_t subtract[TESS_MAX_CODEBOOKS]; /* earlier rows with the same slice, in order */
};

struct tess_quantizer {
    int n_rows; /* K: row k gives column k */
    int latent_width;
    int n_entries; /* V, the same in every row */
    int code_min;  /* 0; below 0 codes are int16_t in uint16_t */
    struct tess_quantizer_row rows[TESS_MAX_CODEBOOKS];
    struct tess_codebook books[TESS_MAX_CODEBOOKS]; /* of rows that are not scalar */
    struct tess_grid grid;                          /* of all that are */
};

/** Checks the rows (slices inside the latent, masks inside the slice, `subtract` naming earlier
 *  rows of the same slice); each that is not scalar is then to be filled before it is used.
 *  Errors: ARGUMENT (why names the row), NOMEM. Free with destroy. */
int tess_quantizer_create(struct tess_quantizer *q,
                          const struct tess_quantizer_row *rows,
                          int n_rows,
                          int latent_width,
                          int n_entries,
                          const struct tess_allocator *allocator,
                          struct tess_why *why);

/** Copies row k's entries [V][width]; only where they are `searched` can the row encode. Errors: as
 *  create. */
int tess_quantizer_fill(struct tess_quantizer *q,
                        int k,
                        const float *entries,
                        enum tess_isa isa,
                        int searched,
                        const struct tess_allocator *allocator,
                        struct tess_why *why);
void tess_quantizer_destroy(struct tess_quantizer *q, const struct tess_allocator *allocator);

/** Floats of scratch that encoding n frames takes at most. */
size_t tess_quantizer_scratch(const struct tess_quantizer *q, int n_frames);

/** latent [T][D] to the first n_columns codes, codes [T][n_columns]. scratch:
 *  tess_quantizer_scratch floats. A frame's codes depend on that frame alone, to the bit.
 *  Cannot fail, any thread. */
void tess_quantizer_encode(const struct tess_quantizer *q,
                           const float *latent,
                           int n_frames,
                           int n_columns,
                           uint16_t *codes,
                           float *scratch);

/** codes [T][n_columns] to the latent [T][D]; missing columns add nothing. Errors: CODE (a code
 *  is not one of the V; latent is then undefined). Any thread. */
int tess_quantizer_decode(const struct tess_quantizer *q,
                          const uint16_t *codes,
                          int n_frames,
                          int n_columns,
                          float *latent);

#endif
