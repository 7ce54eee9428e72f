/* Rows in, a table out. */
#include "src/rows.h"

#include <stdio.h>

struct tess_row
tess_row(enum tess_operator op, int in, int out, int channels, const char *tensor, ...)
{
    struct tess_row row = {.op = op,
                           .in = in,
                           .out = out,
                           .channels = channels,
                           .kernel = 1,
                           .stride = 1,
                           .dilation = 1};
    va_list args;
    va_start(args, tensor);
    vsnprintf(row.tensor, sizeof row.tensor, tensor, args);
    va_end(args);
    return row;
}

struct tess_row tess_row_centred(struct tess_row row, int kernel, int dilation)
{
    row.kernel = kernel;
    row.dilation = dilation;
    row.right = (kernel - 1) * dilation / 2;
    return row;
}

void tess_rows_add(struct tess_rows *rows, struct tess_row row)
{
    if (rows->n < TESS_MAX_ROWS) rows->row[rows->n] = row;
    rows->n++;
}
