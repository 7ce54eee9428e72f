/* The standard quantizers as rows of the table in quantizer.h. */
#ifndef TESS_TABLES_H
#define TESS_TABLES_H

#include "rvq/quantizer.h"

/* Each fills rows [TESS_MAX_CODEBOOKS] and returns how many, or ARGUMENT when they are too many
 * or a name is too long. `tensor` is a printf pattern, a constant of the program. */

/** Residual VQ: `tensor` takes the layer ("vq.%d.entries"). */
int tess_tables_rvq(struct tess_quantizer_row *rows, int n_layers, int width, const char *tensor);

/** Grouped residual VQ, layer-major (column l G + g): the latent is n_groups slices of `width`;
 *  `tensor` takes group and layer ("quantizer.%d.%d").
 *  Source: HiFi-Codec, arXiv:2305.02765. */
int tess_tables_grvq(
    struct tess_quantizer_row *rows, int n_groups, int n_layers, int width, const char *tensor);

/** Masked-channel residual VQ: each of the first n_masks layers sees its share of the channels
 *  (from floor(width i / n_masks) on) and no residual; later layers see the residual of all
 *  layers before. `tensor` takes the layer. Source: Language-Codec, arXiv:2402.12208. */
int tess_tables_mcrvq(
    struct tess_quantizer_row *rows, int n_masks, int n_layers, int width, const char *tensor);

/** Scalar quantization: every one of `width` channels has a column of its own. */
int tess_tables_scalar(struct tess_quantizer_row *rows, int width);

#endif
