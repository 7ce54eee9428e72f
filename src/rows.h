/* The vocabulary in which a family describes its networks: rows of {operator, tensor, from slot, to
 * slot, widths}. A slot is a place for activations [T][C]; a row reads one and writes another (or
 * the same, where its operator allows), so branches are slots that meet again in an adding row. */
#ifndef TESS_ROWS_H
#define TESS_ROWS_H

#include "src/base.h"

/* operator, what it does, tensors it reads under the row's name */
#define TESS_OPERATORS(X)                                                                          \
    X(STFT)       /* samples to spectra [2][F]; C = 2 F, k = n_fft, s = hop, value = scale */      \
    X(LOG_PHASE)  /* spectra to log magnitudes and phases; k = bins with phase */                  \
    X(CONV)       /* causal convolution, zeros before the start; weight [C][k][C_in], bias [C];    \
                     k = 1 is a linear layer with weight [C][C_in] */                              \
    X(DEPTHWISE)  /* causal convolution of each channel by itself; weight [k][C], bias [C] */      \
    X(NORM)       /* layer norm over channels; weight [C], bias [C]; value = epsilon */            \
    X(GELU)       /* tanh form */                                                                  \
    X(SCALED_ADD) /* out += gain in; the row's name is the gain's, [C] */                          \
    X(POLAR)      /* log magnitudes and phases [2 F] to spectra [2][F] */                          \
    X(ISTFT)      /* spectra to samples; k = n_fft, s = hop, value = scale. The last row: it holds \
                     back n_fft - hop samples */

enum tess_operator {
#define TESS_OPERATOR_ENUM(name) TESS_OP_##name,
    TESS_OPERATORS(TESS_OPERATOR_ENUM) TESS_N_OPERATORS
#undef TESS_OPERATOR_ENUM
};

enum { TESS_MAX_ROWS = 512, TESS_MAX_SLOTS = 8 };

struct tess_row {
    enum tess_operator op;
    char tensor[64];
    int in, out;  /* slots */
    int channels; /* C of the output; 0 = as the input */
    int kernel, stride, dilation;
    float value;
};

/* Slot 0 is the network's input; the last row's `out` is its output. */
struct tess_rows {
    int n;
    struct tess_row row[TESS_MAX_ROWS];
};

/** Appends a row. A table that is full counts on without keeping the row: n above TESS_MAX_ROWS is
 *  what the plan refuses. */
void tess_rows_add(struct tess_rows *rows, struct tess_row row);

#endif
