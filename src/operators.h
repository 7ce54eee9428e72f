/* A row that has found its weights, and what each operator does with one. */
#ifndef TESS_OPERATORS_H
#define TESS_OPERATORS_H

#include "dsp/stft.h"
#include "src/gemm.h"
#include "src/ops.h"
#include "src/rows.h"
#include "src/weights.h"

/* Immutable after loading. "Steps" are time steps a frame at this point of the network. */
struct tess_layer {
    struct tess_row row;
    int source;           /* whose output the input is: 0 the network's input, i + 1 layer i's */
    int other, other_lag; /* the same of the slot `with` */
    int target;           /* i + 1 for layer i */
    int in_channels, in_steps, in_lag;
    int channels, steps;   /* of the output */
    int lag;               /* output steps that may be held back until later input or the end */
    int whole;             /* needs all steps of a clip at once */
    int history;           /* past input rows kept in the stream */
    size_t state, n_state; /* this layer's part of a stream's floats */
    size_t n_scratch;      /* floats of a thread */
    const struct tess_ops *ops;
    struct tess_matrix matrix;
    struct tess_matrix recurrent; /* LSTM */
    struct tess_matrix unrolled;  /* CONV to one channel: TESS_PANEL steps at once */
    float *weight, *bias;
    struct tess_stft *stft;
};

/* Several streams' steps, one stream after the other in every slot. How many there are at each
 * point of the network differs from stream to stream: stream b's rows of layer i's output are
 * start[i + 1][b] to start[i + 1][b + 1], those of the network's input start[0][b] onwards. */
struct tess_batch {
    int n_streams;
    int *const *start;         /* [layers + 1][n_streams + 1] */
    float *const *states;      /* [n_streams], all layers' state */
    const unsigned char *last; /* [n_streams] 1: no input follows */
    const int *option;         /* [n_streams] the value of the family's option */
    float *slots[TESS_MAX_SLOTS];
};

/* Part of one stream's output rows, from..to counted from the stream's first in this batch. */
typedef void tess_part(const struct tess_layer *layer,
                       const struct tess_batch *batch,
                       int b,
                       int from,
                       int to,
                       float *scratch);

struct tess_operator_kind {
    const char *name;
    int outer; /* part of the analysis or synthesis, not of the network: for the profile */
    int adds;  /* reads the slot `with` too, which has the input's shape */
    /** Fills in channels, steps, lag, history, n_state and n_scratch. Errors: MODEL, with the
     *  reason. */
    int (*plan)(struct tess_layer *layer, struct tess_why *why);
    /** Takes the tensors; NULL if there are none. */
    int (*load)(struct tess_layer *layer, struct tess_weights *weights);
    /** Output steps that n more input steps give a stream, whose state is as yet untouched; NULL if
     *  as many as come in. */
    int64_t (*count)(const struct tess_layer *layer, const float *state, int64_t n, int last);
    /** Output rows from..to of the whole batch; rows may run on different threads. Or NULL. */
    void (*rows)(const struct tess_layer *layer,
                 const struct tess_batch *batch,
                 int from,
                 int to,
                 float *scratch);
    /** The same, handed over stream by stream: what `rows` would be with tess_each_stream. Or NULL. */
    tess_part *part;
    /** After all rows: what goes on from one push to the next of stream b, or the whole work of an
     *  operator that runs along time. Or NULL. */
    void (*stream)(const struct tess_layer *layer,
                   const struct tess_batch *batch,
                   int b,
                   float *scratch);
};

extern const struct tess_operator_kind *const tess_operators[TESS_N_OPERATORS];

/** Frees what load made. */
void tess_layer_release(struct tess_layer *layer, const struct tess_allocator *allocator);

/* ---- for the operators' files ---------------------------------------------------------------- */

/* One stream's rows at one point of the network. */
struct tess_span {
    float *rows; /* the first one */
    int first, n;
};

static inline struct tess_span
tess_span_at(const struct tess_batch *batch, int point, int slot, int channels, int b)
{
    int first = batch->start[point][b];
    return (struct tess_span){batch->slots[slot] + (size_t)first * (size_t)channels, first,
                              batch->start[point][b + 1] - first};
}

static inline struct tess_span
tess_input(const struct tess_layer *layer, const struct tess_batch *batch, int b)
{
    return tess_span_at(batch, layer->source, layer->row.in, layer->in_channels, b);
}

static inline struct tess_span
tess_output(const struct tess_layer *layer, const struct tess_batch *batch, int b)
{
    return tess_span_at(batch, layer->target, layer->row.out, layer->channels, b);
}

/* Row t of the whole batch, in the layer's input and output. */
static inline const float *
tess_input_row(const struct tess_layer *layer, const struct tess_batch *batch, int t)
{
    return batch->slots[layer->row.in] + (size_t)t * (size_t)layer->in_channels;
}

static inline float *
tess_output_row(const struct tess_layer *layer, const struct tess_batch *batch, int t)
{
    return batch->slots[layer->row.out] + (size_t)t * (size_t)layer->channels;
}

/* Hands output rows from..to of the batch to `part`, stream by stream. */
void tess_each_stream(const struct tess_layer *layer,
                      const struct tess_batch *batch,
                      int from,
                      int to,
                      float *scratch,
                      tess_part *part);

/* A state that counts begins with how many input rows have passed before this batch. */
enum { TESS_COUNTER = 16 }; /* floats: a cache line */
int64_t tess_counter(const float *state);
void tess_count_on(float *state, int64_t n);

/* Plans for an output of the input's shape, and for one that cannot lie in the input's slot. */
int tess_plan_same(struct tess_layer *layer, struct tess_why *why);
int tess_plan_apart(const struct tess_layer *layer, struct tess_why *why);

/* Takes NAME.weight and NAME.bias, [channels] each. */
int tess_load_vectors(struct tess_layer *layer, struct tess_weights *weights);

/* Each file's rows of the table. */
extern const struct tess_operator_kind tess_op_stft, tess_op_log_phase, tess_op_polar,
    tess_op_istft;
extern const struct tess_operator_kind tess_op_conv, tess_op_depthwise;
extern const struct tess_operator_kind tess_op_upconv, tess_op_updepth;
extern const struct tess_operator_kind tess_op_norm, tess_op_chosen_norm, tess_op_group_norm;
extern const struct tess_operator_kind tess_op_gelu, tess_op_gelu_erf, tess_op_elu;
extern const struct tess_operator_kind tess_op_leaky_relu, tess_op_tanh, tess_op_scale;
extern const struct tess_operator_kind tess_op_clamp, tess_op_snake;
extern const struct tess_operator_kind tess_op_add, tess_op_scaled_add;
extern const struct tess_operator_kind tess_op_lstm, tess_op_attention;
extern const struct tess_operator_kind tess_op_wavelet, tess_op_unwavelet, tess_op_pad,
    tess_op_trim;

#endif
