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
    int in_channels, in_steps;
    int channels, steps;      /* of the output */
    int history;              /* past input rows kept in the stream */
    size_t state, n_state;    /* this layer's part of a stream's floats */
    size_t n_scratch;         /* floats of a thread */
    const struct tess_ops *ops;
    struct tess_matrix matrix;
    float *weight, *bias;
    struct tess_stft *stft;
};

/* Several streams' frames, one after the other in every slot: stream b's are frames start[b] to
 * start[b + 1]. A slot holds `steps` rows of `channels` floats a frame. */
struct tess_batch {
    int n_streams;
    const int *start;      /* [n_streams + 1] */
    float *const *states;  /* [n_streams], all layers' state */
    float *slots[TESS_MAX_SLOTS];
};

struct tess_operator_kind {
    const char *name;
    int outer; /* part of the analysis or synthesis, not of the network: for the profile */
    int adds;  /* to what the output slot already holds */
    /** Fills in channels, steps, history, n_state and n_scratch. Errors: MODEL, with the reason. */
    int (*plan)(struct tess_layer *layer, struct tess_why *why);
    /** Takes the tensors; NULL if there are none. */
    int (*load)(struct tess_layer *layer, struct tess_weights *weights);
    /** Output rows from..to of the whole batch; rows may run on different threads. Or NULL. */
    void (*rows)(const struct tess_layer *layer,
                 const struct tess_batch *batch,
                 int from,
                 int to,
                 float *scratch);
    /** After all rows: what goes on from one push to the next of stream b, or the whole work of an
     *  operator that runs along time. Or NULL. */
    void (*stream)(const struct tess_layer *layer,
                   const struct tess_batch *batch,
                   int b,
                   float *scratch);
    /** Samples held back at the end of stream b: how many, written to out. Or NULL. */
    int (*tail)(const struct tess_layer *layer, const float *state, float *out);
};

extern const struct tess_operator_kind tess_operators[TESS_N_OPERATORS];

/** Frees what load made. */
void tess_layer_release(struct tess_layer *layer, const struct tess_allocator *allocator);

#endif
