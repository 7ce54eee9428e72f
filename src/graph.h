/* Rows checked, planned and loaded: the network that a batch of streams runs through. */
#ifndef TESS_GRAPH_H
#define TESS_GRAPH_H

#include "src/operators.h"
#include "src/team.h"

struct tess_graph {
    int n_layers;
    struct tess_layer *layers;
    /* floats that a slot takes for each frame of a batch, and for what each stream may hold back */
    size_t slot_frame[TESS_MAX_SLOTS], slot_lag[TESS_MAX_SLOTS];
    int out_slot, out_channels, out_steps;
    int lag;          /* output steps that may be held back until later input or the end */
    int whole;        /* needs all steps of a clip at once */
    size_t n_state;   /* floats of a stream */
    size_t n_scratch; /* floats of a thread */
    double flops;     /* of the matrix products, a frame */
    /* Called after each layer, its input untouched; NULL but while a model is measured (quantize.c). */
    void (*watch)(void *ctx, const struct tess_layer *layer, const struct tess_batch *batch);
    void *watch_ctx;
    int runs; /* else it is a plan alone: nothing runs through it */
    struct tess_allocator allocator;
};

/** Plans the rows (every shape follows from the input's) and takes their tensors, which are kept only
 *  if it `runs`. in_channels and in_steps describe slot 0. Errors: MODEL, NOMEM; *graph needs no destroy
 *  then. Free with destroy. */
int tess_graph_create(struct tess_graph *graph,
                      const struct tess_rows *rows,
                      int in_channels,
                      int in_steps,
                      int runs,
                      struct tess_weights *weights);
void tess_graph_destroy(struct tess_graph *graph);

/** Output steps that n more input steps give the stream with this state. Cannot fail. */
int64_t tess_graph_count(const struct tess_graph *graph, const float *state, int64_t n, int last);

/** Completes the batch's start[1..n_layers] from start[0]: how many rows there will be at each
 *  point. Cannot fail. */
void tess_graph_lay_out(const struct tess_graph *graph, const struct tess_batch *batch);

/** Runs a batch that is laid out, slot 0 filled by the caller, the result in out_slot. A stream's
 *  input comes in whole frames, but for what is left with its last. scratch
 *  [threads] holds n_scratch floats each. seconds: NULL, or where the time of {outer, inner} layers
 *  is added. Cannot fail, allocates nothing. */
void tess_graph_run(const struct tess_graph *graph,
                    const struct tess_batch *batch,
                    struct tess_team *team,
                    float *const *scratch,
                    double seconds[2]);

#endif
