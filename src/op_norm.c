/* Norms: over the channels of a step, or over the whole clip. */
#include "src/operators.h"

#include <math.h>

static void rows_norm(const struct tess_layer *layer,
                      const struct tess_batch *batch,
                      int from,
                      int to,
                      float *scratch)
{
    (void)scratch;
    for (int t = from; t < to; t++)
        layer->ops->norm(tess_input_row(layer, batch, t), layer->weight, layer->bias,
                         layer->row.value, tess_output_row(layer, batch, t), layer->channels);
}

const struct tess_operator_kind tess_op_norm = {
    .name = "NORM",
    .plan = tess_plan_same,
    .load = tess_load_vectors,
    .rows = rows_norm,
};

/* ---- layer norm with a choice of scales ------------------------------------------------------ */

static int load_chosen_norm(struct tess_layer *layer, struct tess_weights *weights)
{
    const int dims[] = {layer->row.kernel, layer->channels};
    const char *name = layer->row.tensor;
    int err = tess_weights_take(weights, name, ".scale", 2, dims, &layer->weight);
    if (err) return err;
    return tess_weights_take(weights, name, ".shift", 2, dims, &layer->bias);
}

static void chosen_norm_part(const struct tess_layer *layer,
                             const struct tess_batch *batch,
                             int b,
                             int from,
                             int to,
                             float *scratch)
{
    (void)scratch;
    const size_t chosen = (size_t)batch->option[b] * (size_t)layer->channels;
    const int first = tess_output(layer, batch, b).first;
    for (int t = first + from; t < first + to; t++)
        layer->ops->norm(tess_input_row(layer, batch, t), layer->weight + chosen,
                         layer->bias + chosen, layer->row.value, tess_output_row(layer, batch, t),
                         layer->channels);
}

const struct tess_operator_kind tess_op_chosen_norm = {
    .name = "CHOSEN_NORM",
    .plan = tess_plan_same,
    .load = load_chosen_norm,
    .part = chosen_norm_part,
};

/* ---- group norm ------------------------------------------------------------------------------ */

static int plan_group_norm(struct tess_layer *layer, struct tess_why *why)
{
    if (layer->in_channels % layer->row.kernel)
        return tess_base_fail(why, TESS_E_MODEL, "row '%s': %d channels are no groups of %d",
                              layer->row.tensor, layer->in_channels, layer->row.kernel);
    layer->whole = 1;
    layer->n_scratch = 2 * (size_t)layer->in_channels * (1 + sizeof(double) / sizeof(float));
    return tess_plan_same(layer, why);
}

/* Sums of values and squares are of one channel at a time, in double, then of the group's channels:
 * a float's square is exact there, so that taking the mean's off the squares costs nothing. */
static void stream_group_norm(const struct tess_layer *layer,
                              const struct tess_batch *batch,
                              int b,
                              float *scratch)
{
    const struct tess_span in = tess_input(layer, batch, b), out = tess_output(layer, batch, b);
    const int channels = layer->channels, group = layer->row.kernel;
    const double count = (double)in.n * group;
    double *sums = (double *)(void *)scratch, *squares = sums + channels;
    float *factor = (float *)(void *)(squares + channels), *offset = factor + channels;
    for (int c = 0; c < 2 * channels; c++)
        sums[c] = 0.0;
    for (size_t t = 0; t < (size_t)in.n; t++)
        for (int c = 0; c < channels; c++) {
            double x = (double)in.rows[t * (size_t)channels + (size_t)c];
            sums[c] += x;
            squares[c] += x * x;
        }
    for (int first = 0; first < channels; first += group) {
        double sum = 0.0, square = 0.0;
        for (int c = first; c < first + group; c++) {
            sum += sums[c];
            square += squares[c];
        }
        const double mean = sum / count, variance = fmax(square / count - mean * mean, 0.0);
        const double rate = 1.0 / sqrt(variance + (double)layer->row.value);
        for (int c = first; c < first + group; c++) {
            factor[c] = (float)((double)layer->weight[c] * rate);
            offset[c] = (float)((double)layer->bias[c] - (double)layer->weight[c] * rate * mean);
        }
    }
    for (size_t at = 0; at < (size_t)in.n * (size_t)channels; at += (size_t)channels)
        layer->ops->scaled_add(offset, factor, in.rows + at, out.rows + at, channels);
}

const struct tess_operator_kind tess_op_group_norm = {
    .name = "GROUP_NORM",
    .plan = plan_group_norm,
    .load = tess_load_vectors,
    .stream = stream_group_norm,
};
