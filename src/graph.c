/* A table of rows in, a plan out; then batches of frames through the plan, layer by layer. Which
 * layers there are is the table's business: nothing here names an operator. */
#include "src/graph.h"

#include <string.h>
#include <time.h>

static const size_t STATE_ALIGN = 16; /* floats: each layer's state starts on its own cache line */

/* What a slot holds while the plan is made. */
struct content {
    int channels, steps, lag; /* channels 0: nothing written yet */
    int writer;               /* 0 the network's input, i + 1 layer i */
};

static int known_slot(int slot)
{
    return slot >= 0 && slot < TESS_MAX_SLOTS;
}

static int check_row(const struct tess_row *row, const struct content slots[], struct tess_why *why)
{
    const int adds = tess_operators[row->op]->adds;
    if (!known_slot(row->in) || !known_slot(row->out) || !known_slot(row->with) ||
        !slots[row->in].channels || (adds && !slots[row->with].channels))
        return tess_base_fail(why, TESS_E_MODEL, "row '%s' reads a slot that is empty",
                              row->tensor);
    if (row->kernel < 1 || row->stride < 1 || row->dilation < 1 || row->right < 0)
        return tess_base_fail(why, TESS_E_MODEL,
                              "row '%s': kernel %d, stride %d, dilation %d: each must be above 0",
                              row->tensor, row->kernel, row->stride, row->dilation);
    const struct content *in = &slots[row->in], *with = &slots[row->with];
    if (adds && (in->channels != with->channels || in->steps != with->steps))
        return tess_base_fail(why, TESS_E_MODEL,
                              "row '%s' adds [%d][%d] to a slot that holds [%d][%d]", row->tensor,
                              in->steps, in->channels, with->steps, with->channels);
    return 0;
}

static int plan_layer(struct tess_layer *layer, struct content slots[], struct tess_why *why)
{
    const struct tess_row *row = &layer->row;
    int err = check_row(row, slots, why);
    if (err) return err;
    layer->source = slots[row->in].writer;
    layer->in_channels = slots[row->in].channels;
    layer->in_steps = slots[row->in].steps;
    layer->in_lag = slots[row->in].lag;
    layer->other = slots[row->with].writer;
    layer->other_lag = slots[row->with].lag;
    err = tess_operators[row->op]->plan(layer, why);
    if (!err)
        slots[row->out] =
            (struct content){layer->channels, layer->steps, layer->lag, layer->target};
    return err;
}

static void keep_larger(size_t *kept, size_t n)
{
    if (*kept < n) *kept = n;
}

static void size_slot(struct tess_graph *graph, int slot, const struct content *content)
{
    if (!graph->runs) return;
    const size_t width = (size_t)content->channels;
    keep_larger(&graph->slot_frame[slot], width * (size_t)content->steps);
    keep_larger(&graph->slot_lag[slot], width * (size_t)content->lag);
}

static int plan(struct tess_graph *graph,
                const struct tess_rows *rows,
                struct content in,
                struct tess_why *why)
{
    struct content slots[TESS_MAX_SLOTS] = {in};
    size_slot(graph, 0, &in);
    for (int i = 0; i < rows->n; i++) {
        struct tess_layer *layer = &graph->layers[graph->n_layers++];
        layer->row = rows->row[i];
        layer->target = i + 1;
        int err = plan_layer(layer, slots, why);
        if (err) return err;
        layer->state = graph->n_state;
        graph->whole |= layer->whole;
        graph->n_state += (layer->n_state + STATE_ALIGN - 1) / STATE_ALIGN * STATE_ALIGN;
        size_slot(graph, layer->row.out, &slots[layer->row.out]);
    }
    const struct tess_layer *end = &graph->layers[rows->n - 1];
    graph->out_slot = end->row.out;
    graph->out_channels = end->channels;
    graph->out_steps = end->steps;
    graph->lag = end->lag;
    return 0;
}

static int load_layers(struct tess_graph *graph, struct tess_weights *weights)
{
    for (int i = 0; i < graph->n_layers; i++) {
        struct tess_layer *layer = &graph->layers[i];
        const struct tess_operator_kind *kind = tess_operators[layer->row.op];
        layer->ops = tess_ops(weights->isa);
        int err = kind->load ? kind->load(layer, weights) : 0;
        if (err) return err;
        if (graph->runs) keep_larger(&graph->n_scratch, layer->n_scratch);
        double products = (double)layer->matrix.n * layer->matrix.k * layer->in_steps;
        if (layer->steps < layer->in_steps) products = products / layer->in_steps * layer->steps;
        products += (double)layer->recurrent.n * layer->recurrent.k * layer->steps;
        graph->flops += 2.0 * products;
        if (!graph->runs) tess_layer_release(layer, &graph->allocator);
    }
    return 0;
}

int tess_graph_create(struct tess_graph *graph,
                      const struct tess_rows *rows,
                      int in_channels,
                      int in_steps,
                      int runs,
                      struct tess_weights *weights)
{
    *graph = (struct tess_graph){.allocator = *weights->allocator, .runs = runs};
    if (rows->n < 1 || rows->n > TESS_MAX_ROWS)
        return tess_base_fail(weights->why, TESS_E_MODEL, "a network of %d rows instead of 1 to %d",
                              rows->n, TESS_MAX_ROWS);
    graph->layers = tess_base_alloc(&graph->allocator, (size_t)rows->n * sizeof *graph->layers);
    if (!graph->layers) return TESS_E_NOMEM;
    int err = plan(graph, rows, (struct content){in_channels, in_steps, 0, 0}, weights->why);
    if (!err) err = load_layers(graph, weights);
    if (err) tess_graph_destroy(graph);
    return err;
}

void tess_graph_destroy(struct tess_graph *graph)
{
    for (int i = 0; i < graph->n_layers; i++)
        tess_layer_release(&graph->layers[i], &graph->allocator);
    tess_base_free(&graph->allocator, graph->layers);
    *graph = (struct tess_graph){0};
}

/* ---- how many rows there will be ------------------------------------------------------------- */

static int64_t count(const struct tess_layer *layer, const float *state, int64_t n, int last)
{
    const struct tess_operator_kind *kind = tess_operators[layer->row.op];
    return kind->count ? kind->count(layer, state + layer->state, n, last) : n;
}

/* Counts follow the main line alone: a branch gives what the row that adds it gives. */
int64_t tess_graph_count(const struct tess_graph *graph, const float *state, int64_t n, int last)
{
    int64_t rows[TESS_MAX_SLOTS] = {n};
    for (int i = 0; i < graph->n_layers; i++) {
        const struct tess_layer *layer = &graph->layers[i];
        rows[layer->row.out] = count(layer, state, rows[layer->row.in], last);
    }
    return rows[graph->out_slot];
}

void tess_graph_lay_out(const struct tess_graph *graph, const struct tess_batch *batch)
{
    for (int i = 0; i < graph->n_layers; i++) {
        const struct tess_layer *layer = &graph->layers[i];
        const int *in = batch->start[layer->source];
        int *out = batch->start[layer->target];
        out[0] = 0;
        for (int b = 0; b < batch->n_streams; b++)
            out[b + 1] =
                out[b] + (int)count(layer, batch->states[b], in[b + 1] - in[b], batch->last[b]);
    }
}

/* ---- running --------------------------------------------------------------------------------- */

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
        const struct tess_operator_kind *kind = tess_operators[layer->row.op];
        if (kind->rows || kind->part) {
            int64_t n = batch->start[layer->target][batch->n_streams];
            int from = (int)(n * thread / n_threads), to = (int)(n * (thread + 1) / n_threads);
            if (from < to && kind->rows) kind->rows(layer, batch, from, to, scratch);
            if (kind->part) tess_each_stream(layer, batch, from, to, scratch, kind->part);
            tess_team_meet(team);
        }
        if (kind->stream) {
            for (int b = thread; b < batch->n_streams; b += n_threads)
                kind->stream(layer, batch, b, scratch);
            tess_team_meet(team);
        }
        if (run->graph->watch && thread == 0)
            run->graph->watch(run->graph->watch_ctx, layer, batch);
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
    const int n_in = batch->start[0][batch->n_streams];
    const int n_out = batch->start[graph->n_layers][batch->n_streams];
    tess_team_run(team, n_in < n_out ? n_in : n_out, run_layers, &run);
}
