/* The vocabulary in which a family describes its networks: rows of {operator, tensor, from slot, to
 * slot, widths}. A slot is a place for activations [T][C]; a row reads one and writes another (or
 * the same, where its operator allows), so branches are slots that meet again in an adding row. */
#ifndef TESS_ROWS_H
#define TESS_ROWS_H

#include "src/base.h"

/* operator, what it does, tensors it reads under the row's name */
#define TESS_OPERATORS(X)                                                                          \
    X(STFT)      /* samples to spectra [2][F]; C = 2 F, k = n_fft, s = hop, value = scale */       \
    X(LOG_PHASE) /* spectra to log magnitudes and phases; k = bins with phase */                   \
    X(CONV)   /* convolution; weight [C][k][C_in], bias [C]; k = 1 is a linear layer with      \
                     weight [C][C_in]. Without look-ahead it is causal */   \
    X(UPCONV) /* transposed convolution, s times as many steps; weight [k][C][C_in], bias [C]; \
                     k - s outputs are trimmed, `right` of them at the end */   \
    X(DEPTHWISE)  /* convolution of each channel by itself; weight [k][C], bias [C] */             \
    X(NORM)       /* layer norm over channels; weight [C], bias [C]; value = epsilon */            \
    X(GELU)       /* tanh form */                                                                  \
    X(ELU)        /* x > 0 ? x : e^x - 1 */                                                        \
    X(ADD)        /* out = with + in */                                                            \
    X(SCALED_ADD) /* out = with + gain in; the row's name is the gain's, [C] */                    \
    X(LSTM)  /* one layer; weight_ih [4 C][C_in], weight_hh [4 C][C], bias [4 C], gates in    \
                     the order i, f, g, o */    \
    X(POLAR) /* log magnitudes and phases [2 F] to spectra [2][F]; value = largest logarithm */    \
    X(ISTFT) /* spectra to samples; k = n_fft, s = hop, value = scale; the first `right`      \
                     samples of the first frame's window are dropped, as many come at the end */

enum tess_operator {
#define TESS_OPERATOR_ENUM(name) TESS_OP_##name,
    TESS_OPERATORS(TESS_OPERATOR_ENUM) TESS_N_OPERATORS
#undef TESS_OPERATOR_ENUM
};

/* What a window sees before a stream's first and after its last step. */
enum tess_padding {
    TESS_PAD_ZERO,
    TESS_PAD_REFLECT, /* mirrored without the edge. A clip too short for that is first continued by
                         zeros, as many as it lacks, which are cut off again */
};

enum { TESS_MAX_ROWS = 512, TESS_MAX_SLOTS = 8 };

struct tess_row {
    enum tess_operator op;
    char tensor[64];
    int in, out;  /* slots */
    int with;     /* slot of an adding row's other operand; it may lag behind `in` no step */
    int channels; /* C of the output; 0 = as the input */
    int kernel, stride, dilation;
    int right; /* steps after the last hop that a window reaches: look-ahead. The window's other
                  (k - 1) d + 1 - s - right steps lie before the hop */
    int fill;  /* a last stride that is not full gives a step, padded, instead of none */
    enum tess_padding padding;
    float value;
};

/* Slot 0 is the network's input; the last row's `out` is its output. */
struct tess_rows {
    int n;
    struct tess_row row[TESS_MAX_ROWS];
};

/** A row with kernel, stride and dilation 1 and nothing else set; its tensor's name is printed. */
struct tess_row
tess_row(enum tess_operator op, int in, int out, int channels, const char *tensor, ...)
    TESS_PRINTF(5, 6);

/** Appends a row. A table that is full counts on without keeping the row: n above TESS_MAX_ROWS is
 *  what the plan refuses. */
void tess_rows_add(struct tess_rows *rows, struct tess_row row);

#endif
