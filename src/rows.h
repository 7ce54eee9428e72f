/* The vocabulary in which a family describes its networks: rows of {operator, tensor, from slot, to
 * slot, widths}. A slot is a place for activations [T][C]; a row reads one and writes another (or
 * the same, where its operator allows), so branches are slots that meet again in an adding row. */
#ifndef TESS_ROWS_H
#define TESS_ROWS_H

#include "src/base.h"

/* What each operator does, with the tensors it reads under the row's name. C are the row's channels,
 * k its kernel, s its stride, T steps:
 *
 *  STFT         samples to spectra [2][F]; C = 2 F, k = points, s = hop, value = scale
 *  LOG_PHASE    spectra to log magnitudes and phases; k = bins with phase
 *  CONV         convolution; weight [C][k][C_in], bias [C] unless `plain`; k = 1 is a linear layer,
 *               weight [C][C_in]
 *  UPCONV       transposed convolution, s T steps; weight [k][C][C_in], bias [C]; of the result k - s
 *               steps are trimmed, `right` of them at the end; `fill`: none is
 *  DEPTHWISE    convolution of each channel by itself; weight [k][C], bias [C]
 *  UPDEPTH      transposed convolution of each channel by itself, s T steps; weight [k][C]; k - s
 *               steps are trimmed at the end
 *  NORM         layer norm over channels; weight [C], bias [C]; value = epsilon
 *  CHOSEN_NORM  the same with scale [k][C] and shift [k][C], of which a stream's option chooses one
 *  GROUP_NORM   over groups of k channels and the whole clip; weight [C], bias [C]; value = epsilon
 *  GELU         tanh form
 *  GELU_ERF     x (1 + erf(x / sqrt 2)) / 2
 *  ELU          x > 0 ? x : e^x - 1
 *  LEAKY_RELU   x > 0 ? x : value x
 *  TANH, SCALE  tanh x; value x
 *  CLAMP        x, cut to -value..value
 *  SNAKE        x + gain sin^2(frequency x); frequency [C], gain [C]
 *  ADD          with + in
 *  SCALED_ADD   with + gain in; the row's name is the gain's, [C]
 *  LSTM         one layer; weight_ih [4 C][C_in], weight_hh [4 C][C], bias [4 C], gates i, f, g, o
 *  ATTENTION    causal, over the last k steps; queries, keys and values [3][heads][C / heads] come
 *               in; s = heads, value = period of the rotary positions
 *  POLAR        log magnitudes and phases [2 F] to spectra [2][F]; value = largest logarithm
 *  ISTFT        spectra to samples; k = points, s = hop, value = scale; the first `right` samples of
 *               the first frame's window are dropped, as many come at the end; `fill`: near the ends
 *               samples are divided by the squared windows that really overlap there
 *  WAVELET      channel c to its low band 2 c and its high band 2 c + 1, T / 2 steps; the clip is
 *               a circle
 *  UNWAVELET    and back
 *  PAD          k zero steps before the clip and k after it
 *  TRIM         the clip without its first k steps and its last `right` */
#define TESS_OPERATORS(X)                                                                          \
    X(STFT)                                                                                        \
    X(LOG_PHASE)                                                                                   \
    X(CONV)                                                                                        \
    X(UPCONV)                                                                                      \
    X(DEPTHWISE)                                                                                   \
    X(UPDEPTH)                                                                                     \
    X(NORM)                                                                                        \
    X(CHOSEN_NORM)                                                                                 \
    X(GROUP_NORM)                                                                                  \
    X(GELU)                                                                                        \
    X(GELU_ERF)                                                                                    \
    X(ELU)                                                                                         \
    X(LEAKY_RELU)                                                                                  \
    X(TANH)                                                                                        \
    X(SCALE)                                                                                       \
    X(CLAMP)                                                                                       \
    X(SNAKE)                                                                                       \
    X(ADD)                                                                                         \
    X(SCALED_ADD)                                                                                  \
    X(LSTM)                                                                                        \
    X(ATTENTION)                                                                                   \
    X(POLAR)                                                                                       \
    X(ISTFT)                                                                                       \
    X(WAVELET)                                                                                     \
    X(UNWAVELET)                                                                                   \
    X(PAD)                                                                                         \
    X(TRIM)

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
    TESS_PAD_FIRST,   /* the first step before, zeros after */
    TESS_PAD_NONE,    /* UPCONV: outputs at the end that want later steps too do not come */
};

enum { TESS_MAX_ROWS = 512, TESS_MAX_SLOTS = 10 };

struct tess_row {
    enum tess_operator op;
    char tensor[64];
    int in, out;  /* slots */
    int with;     /* slot of an adding row's other operand; it may lag behind `in` no step */
    int channels; /* C of the output; 0 = as the input */
    int kernel, stride, dilation;
    int right; /* steps after the last hop that a window reaches: look-ahead. The window's other
                  (k - 1) d + 1 - s - right steps lie before the hop */
    int fill;  /* CONV: a last stride that is not full gives a step, padded, instead of none */
    enum tess_padding padding;
    int plain; /* without bias */
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

/** The row with a window of that kernel and dilation in the middle of its hop: the number of steps stays
 *  as it is, for an odd kernel. */
struct tess_row tess_row_centred(struct tess_row row, int kernel, int dilation);

/** Appends a row. A table that is full counts on without keeping the row: n above TESS_MAX_ROWS is
 *  what the plan refuses. */
void tess_rows_add(struct tess_rows *rows, struct tess_row row);

#endif
