/* Rows in, a table out. */
#include "src/rows.h"

void tess_rows_add(struct tess_rows *rows, struct tess_row row)
{
    if (rows->n < TESS_MAX_ROWS) rows->row[rows->n] = row;
    rows->n++;
}
