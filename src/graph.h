/* Rows checked, planned and loaded: the network that a batch of streams runs through. */
#ifndef TESS_GRAPH_H
#define TESS_GRAPH_H

#include "src/operators.h"
#include "src/team.h"

struct tess_graph {
    int n_layers;
    struct tess_layer *layers;
    size_t slot_floats[TESS_MAX_SLOTS]; /* a frame */
    int out_slot, out_channels, out_steps;
    size_t n_state;   /* floats of a stream */
    size_t n_scratch; /* floats of a thread */
    int n_tail;       /* steps held back until the end */
    double flops;     /* of the matrix products, a frame */
    struct tess_allocator allocator;
};

/** Plans the rows (every shape follows from the input's) and takes their tensors. in_channels and
 *  in_steps describe slot 0. Errors: MODEL, NOMEM; *graph needs no destroy then.
 *  Free with destroy. */
int tess_graph_create(struct tess_graph *graph,
                      const struct tess_rows *rows,
                      int in_channels,
                      int in_steps,
                      struct tess_weights *weights);
void tess_graph_destroy(struct tess_graph *graph);

/** Runs the batch, slot 0 filled by the caller, the result in out_slot. scratch [threads] holds
 *  n_scratch floats each. seconds: NULL, or where the time of {outer, inner} layers is added.
 *  Cannot fail, allocates nothing. */
void tess_graph_run(const struct tess_graph *graph,
                    const struct tess_batch *batch,
                    struct tess_team *team,
                    float *const *scratch,
                    double seconds[2]);

/** The steps that a stream still holds back, to out [n_tail][out_channels]. Returns how many. */
int tess_graph_tail(const struct tess_graph *graph, const float *state, float *out);

#endif
