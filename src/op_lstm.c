/* One LSTM layer: a stream's steps in their order, its h and c carried on.
 * Source: Hochreiter and Schmidhuber, Neural Computation 9(8), 1997, with forget gates (Gers 2000). */
#include "src/operators.h"

enum { BLOCK = 32 }; /* steps whose input products are taken at once */

static int plan_lstm(struct tess_layer *layer, struct tess_why *why)
{
    int err = tess_plan_apart(layer, why);
    if (err) return err;
    layer->channels = layer->row.channels;
    layer->steps = layer->in_steps;
    layer->lag = layer->in_lag;
    layer->n_state = 2 * (size_t)layer->channels;
    return 0;
}

static int take_matrix(struct tess_layer *layer,
                       struct tess_weights *weights,
                       const char *suffix,
                       int n_in,
                       const float *bias,
                       struct tess_matrix *matrix)
{
    const int dims[] = {4 * layer->channels, n_in};
    float *weight;
    int err = tess_weights_take(weights, layer->row.tensor, suffix, 2, dims, &weight);
    if (err) return err;
    err = tess_matrix_create(matrix, weight, bias, dims[0], n_in, weights->isa, weights->allocator);
    tess_base_free(weights->allocator, weight);
    return err;
}

static int load_lstm(struct tess_layer *layer, struct tess_weights *weights)
{
    const int gates = 4 * layer->channels;
    int err = tess_weights_take(weights, layer->row.tensor, ".bias", 1, &gates, &layer->bias);
    if (!err)
        err = take_matrix(layer, weights, ".weight_ih", layer->in_channels, layer->bias,
                          &layer->matrix);
    if (!err)
        err = take_matrix(layer, weights, ".weight_hh", layer->channels, NULL, &layer->recurrent);
    if (err) return err;
    size_t ours = tess_gemm_scratch(&layer->matrix), theirs = tess_gemm_scratch(&layer->recurrent);
    layer->n_scratch = (ours > theirs ? ours : theirs) + (BLOCK + 1) * (size_t)gates;
    return 0;
}

static void
stream_lstm(const struct tess_layer *layer, const struct tess_batch *batch, int b, float *scratch)
{
    const size_t width = (size_t)layer->channels, gates = 4 * width;
    const struct tess_span in = tess_input(layer, batch, b), out = tess_output(layer, batch, b);
    float *h = batch->states[b] + layer->state, *c = h + width;
    float *from_h = scratch, *from_x = from_h + gates, *rest = from_x + BLOCK * gates;
    for (int t = 0; t < in.n; t++) {
        if (t % BLOCK == 0) {
            struct tess_windows rows = {.x = in.rows + (size_t)t * (size_t)layer->in_channels,
                                        .row_stride = (size_t)layer->in_channels,
                                        .taps = 1,
                                        .width = layer->in_channels,
                                        .n_rows = in.n - t < BLOCK ? in.n - t : BLOCK};
            tess_gemm(&layer->matrix, &rows, from_x, gates, rest);
        }
        struct tess_windows last = {
            .x = h, .row_stride = width, .taps = 1, .width = layer->channels, .n_rows = 1};
        tess_gemm(&layer->recurrent, &last, from_h, gates, rest);
        layer->ops->lstm(from_x + (size_t)(t % BLOCK) * gates, from_h, c, h, layer->channels);
        for (size_t i = 0; i < width; i++)
            out.rows[(size_t)t * width + i] = h[i];
    }
}

const struct tess_operator_kind tess_op_lstm = {
    .name = "LSTM",
    .plan = plan_lstm,
    .load = load_lstm,
    .stream = stream_lstm,
};
