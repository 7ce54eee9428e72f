/* What a convolution's windows look at: the rows of a stream's recording, those that the stream kept and
 * those that have just come, continued on both sides as the row pads it.
 *
 * A layer that keeps `history` rows has the state [counter][history][C_in] in each stream. */
#ifndef TESS_SOURCE_H
#define TESS_SOURCE_H

#include "src/operators.h"

enum { TESS_GATHERED_ROWS = 48 }; /* output rows whose windows are brought together at a time */

/* One stream's. */
struct tess_source {
    const struct tess_layer *layer;
    const float *kept, *fresh;
    int64_t before, total; /* rows before this batch; rows with it */
};

/** Floats of state for the layer's `history`. */
size_t tess_source_size(const struct tess_layer *layer);

/** Rows that a window reaches over. */
static inline int tess_source_reach(const struct tess_row *row)
{
    return (row->kernel - 1) * row->dilation + 1;
}

/** Rows of a window before the hop it belongs to. */
static inline int tess_source_left(const struct tess_row *row)
{
    return tess_source_reach(row) - row->stride - row->right;
}

struct tess_source
tess_source_of(const struct tess_layer *layer, const struct tess_batch *batch, int b);

/** Row i of the recording, or NULL where padding makes it zero. After the end only if it is over. */
const float *tess_source_row(const struct tess_source *source, int64_t i);

/** Rows from..to of the continued recording side by side: where they are, or else copied to `room`. */
const float *
tess_source_rows(const struct tess_source *source, int64_t from, int64_t to, float *room);

/** An operator's `stream`: keeps the last `history` rows, and counts. */
void tess_source_keep(const struct tess_layer *layer,
                      const struct tess_batch *batch,
                      int b,
                      float *scratch);

#endif
