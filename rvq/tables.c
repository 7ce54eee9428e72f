/* A quantizer's kind and sizes in, its rows out. */
#include "rvq/tables.h"

#include <stdio.h>

enum { MAX_WIDTH = 65536 }; /* keeps every product of sizes below 2^31 */

static int sizes_fit(int n_groups, int n_layers, int width)
{
    return n_groups >= 1 && n_layers >= 1 && n_layers <= TESS_MAX_CODEBOOKS / n_groups &&
           width >= 1 && width <= MAX_WIDTH;
}

int tess_tables_rvq(struct tess_quantizer_row *rows, int n_layers, int width, const char *tensor)
{
    return tess_tables_mcrvq(rows, 1, n_layers, width, tensor);
}

int tess_tables_grvq(
    struct tess_quantizer_row *rows, int n_groups, int n_layers, int width, const char *tensor)
{
    if (!sizes_fit(n_groups, n_layers, width)) return TESS_E_ARGUMENT;
    for (int l = 0; l < n_layers; l++)
        for (int g = 0; g < n_groups; g++) {
            struct tess_quantizer_row *row = &rows[l * n_groups + g];
            *row = (struct tess_quantizer_row){
                .from = g * width, .width = width, .keep_to = width, .n_subtract = l};
            for (int i = 0; i < l; i++)
                row->subtract[i] = (uint8_t)(i * n_groups + g);
            int length = snprintf(row->tensor, sizeof row->tensor, tensor, g, l);
            if (length < 0 || (size_t)length >= sizeof row->tensor) return TESS_E_ARGUMENT;
        }
    return n_layers * n_groups;
}

int tess_tables_mcrvq(
    struct tess_quantizer_row *rows, int n_masks, int n_layers, int width, const char *tensor)
{
    if (!sizes_fit(1, n_layers, width)) return TESS_E_ARGUMENT;
    if (n_masks < 1 || n_masks > width) return TESS_E_ARGUMENT;
    for (int l = 0; l < n_layers; l++) {
        struct tess_quantizer_row *row = &rows[l];
        int masked = l < n_masks;
        *row = (struct tess_quantizer_row){.width = width, .n_subtract = masked ? 0 : l};
        row->keep_from = masked ? width * l / n_masks : 0;
        row->keep_to = masked ? width * (l + 1) / n_masks : width;
        for (int i = 0; i < row->n_subtract; i++)
            row->subtract[i] = (uint8_t)i;
        int length = snprintf(row->tensor, sizeof row->tensor, tensor, l);
        if (length < 0 || (size_t)length >= sizeof row->tensor) return TESS_E_ARGUMENT;
    }
    return n_layers;
}

int tess_tables_scalar(struct tess_quantizer_row *rows, int width)
{
    if (!sizes_fit(1, width, 1)) return TESS_E_ARGUMENT;
    for (int d = 0; d < width; d++)
        rows[d] = (struct tess_quantizer_row){.scalar = 1, .from = d, .width = 1, .keep_to = 1};
    return width;
}
