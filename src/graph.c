/* A table of rows in, a plan out; then batches of frames through the plan, layer by layer. Which
 * layers there are is the table's business: nothing here names an operator. */
#include "src/graph.h"

#include <string.h>
#include <time.h>

static const size_t STATE_ALIGN = 16; /* floats: each layer's state starts on its own cache line */

struct shape {
    int channels, steps; /* 0: nothing written yet */
};

static int plan_layer(struct tess_layer *layer, struct shape slots[TESS_MAX_SLOTS], struct tess_why *why)
{
    const struct tess_row *row = &layer->row;
    if (row->in < 0 || row->in >= TESS_MAX_SLOTS || row->out < 0 || row->out >= TESS_MAX_SLOTS ||
        !slots[row->in].channels)
        return tess_base_fail(why, TESS_E_MODEL, "row '%s' reads a slot that is empty", row->tensor);
    if (row->kernel < 1 || row->stride < 1 || row->dilation < 1)
        return tess_base_fail(why,
                              TESS_E_MODEL,
                              "row '%s': kernel %d, stride %d, dilation %d: each must be above 0",
                              row->tensor,
                              row->kernel,
                              row->stride,
                              row->dilation);
    layer->in_channels = slots[row->in].channels;
    layer->in_steps = slots[row->in].steps;
    int err = tess_operators[row->op].plan(layer, why);
    if (err) return err;
    struct shape *out = &slots[row->out];
    if (tess_operators[row->op].adds &&
        (out->channels != layer->channels || out->steps != layer->steps))
        return tess_base_fail(why,
                              TESS_E_MODEL,
                              "row '%s' adds [%d][%d] to a slot that holds [%d][%d]",
                              row->tensor,
                              layer->steps,
                              layer->channels,
                              out->steps,
                              out->channels);
    *out = (struct shape){layer->channels, layer->steps};
    return 0;
}

static int plan(struct tess_graph *graph, const struct tess_rows *rows, struct shape input, struct tess_why *why)
{
    struct shape slots[TESS_MAX_SLOTS] = {input};
    graph->slot_floats[0] = (size_t)input.channels * (size_t)input.steps;
    for (int i = 0; i < rows->n; i++) {
        struct tess_layer *layer = &graph->layers[i];
        layer->row = rows->row[i];
        int err = plan_layer(layer, slots, why);
        if (err) return err;
        layer->state = graph->n_state;
        graph->n_state += (layer->n_state + STATE_ALIGN - 1) / STATE_ALIGN * STATE_ALIGN;
        size_t floats = (size_t)layer->channels * (size_t)layer->steps;
        if (graph->slot_floats[layer->row.out] < floats) graph->slot_floats[layer->row.out] = floats;
        graph->n_layers++;
        if (tess_operators[layer->row.op].tail && i < rows->n - 1)
            return tess_base_fail(why,
                                  TESS_E_MODEL,
                                  "row %d holds samples back and is not the last one",
                                  i);
    }
    const struct tess_layer *last = &graph->layers[rows->n - 1];
    graph->out_slot = last->row.out;
    graph->out_channels = last->channels;
    graph->out_steps = last->steps;
    if (tess_operators[last->row.op].tail) graph->n_tail = last->row.kernel - last->row.stride;
    return 0;
}

int tess_graph_create(struct tess_graph *graph,
                      const struct tess_rows *rows,
                      int in_channels,
                      int in_steps,
                      struct tess_weights *weights)
{
    *graph = (struct tess_graph){.allocator = *weights->allocator};
    if (rows->n < 1 || rows->n > TESS_MAX_ROWS)
        return tess_base_fail(weights->why, TESS_E_MODEL, "a network of %d rows instead of 1 to %d", rows->n, TESS_MAX_ROWS);
    graph->layers = tess_base_alloc(&graph->allocator, (size_t)rows->n * sizeof *graph->layers);
    if (!graph->layers) return TESS_E_NOMEM;
    int err = plan(graph, rows, (struct shape){in_channels, in_steps}, weights->why);
    for (int i = 0; !err && i < graph->n_layers; i++) {
        struct tess_layer *layer = &graph->layers[i];
        layer->ops = tess_ops(weights->isa);
        if (tess_operators[layer->row.op].load) err = tess_operators[layer->row.op].load(layer, weights);
        if (graph->n_scratch < layer->n_scratch) graph->n_scratch = layer->n_scratch;
        graph->flops += 2.0 * layer->matrix.n * layer->matrix.k * layer->steps;
    }
    if (err) tess_graph_destroy(graph);
    return err;
}

void tess_graph_destroy(struct tess_graph *graph)
{
    for (int i = 0; i < graph->n_layers; i++) tess_layer_release(&graph->layers[i], &graph->allocator);
    tess_base_free(&graph->allocator, graph->layers);
    *graph = (struct tess_graph){0};
}

struct run {
    const struct tess_graph *graph;
    const struct tess_batch *batch;
    float *const *scratch;
    double *seconds;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* This thread's share of all layers, in step with the others. */
static void run_layers(void *ctx, struct tess_team *team, int thread, int n_threads)
{
    const struct run *run = ctx;
    const struct tess_batch *batch = run->batch;
    float *scratch = run->scratch[thread];
    const int clocked = run->seconds && thread == 0;
    double before = clocked ? now() : 0.0;
    for (int i = 0; i < run->graph->n_layers; i++) {
        const struct tess_layer *layer = &run->graph->layers[i];
        const struct tess_operator_kind *kind = &tess_operators[layer->row.op];
        if (kind->rows) {
            int n = batch->start[batch->n_streams] * layer->steps;
            int from = (int)((int64_t)n * thread / n_threads), to = (int)((int64_t)n * (thread + 1) / n_threads);
            if (from < to) kind->rows(layer, batch, from, to, scratch);
            tess_team_meet(team);
        }
        if (kind->stream) {
            for (int b = thread; b < batch->n_streams; b += n_threads) kind->stream(layer, batch, b, scratch);
            tess_team_meet(team);
        }
        if (clocked) {
            double after = now();
            run->seconds[kind->outer ? 0 : 1] += after - before;
            before = after;
        }
    }
}

void tess_graph_run(const struct tess_graph *graph,
                    const struct tess_batch *batch,
                    struct tess_team *team,
                    float *const *scratch,
                    double seconds[2])
{
    struct run run = {.graph = graph, .batch = batch, .scratch = scratch, .seconds = seconds};
    tess_team_run(team, batch->start[batch->n_streams], run_layers, &run);
}

int tess_graph_tail(const struct tess_graph *graph, const float *state, float *out)
{
    const struct tess_layer *last = &graph->layers[graph->n_layers - 1];
    return graph->n_tail ? tess_operators[last->row.op].tail(last, state, out) : 0;
}
