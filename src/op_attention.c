/* Causal self-attention: a stream's steps in their order, its last keys and values carried on.
 * Sources: arXiv:1706.03762, equation 1; rotary positions, arXiv:2104.09864. */
#include "src/operators.h"

#include <math.h>
#include <string.h>

/* State: the counter of steps, then a ring of [context][2][C] keys and values. A key is kept turned
 * to its own position. */
static int plan_attention(struct tess_layer *layer, struct tess_why *why)
{
    const struct tess_row *row = &layer->row;
    int err = tess_plan_apart(layer, why);
    if (err) return err;
    layer->channels = layer->in_channels / 3;
    layer->steps = layer->in_steps;
    layer->lag = layer->in_lag;
    if (layer->in_channels % 3 || layer->channels % (2 * row->stride))
        return tess_base_fail(why, TESS_E_MODEL,
                              "row '%s': %d channels are no queries, keys and values of %d heads",
                              row->tensor, layer->in_channels, row->stride);
    layer->n_state = TESS_COUNTER + (size_t)(2 * row->kernel) * (size_t)layer->channels;
    layer->n_scratch = (size_t)row->kernel + 2 * (size_t)layer->channels;
    return 0;
}

/* `weight` is the turning rate of each pair of a head's channels. */
static int load_attention(struct tess_layer *layer, struct tess_weights *weights)
{
    const int dim = layer->channels / layer->row.stride;
    layer->weight = tess_base_alloc(weights->allocator, (size_t)(dim / 2) * sizeof *layer->weight);
    if (!layer->weight) return TESS_E_NOMEM;
    for (int j = 0; j < dim / 2; j++)
        layer->weight[j] = (float)exp(-2.0 * j / dim * log((double)layer->row.value));
    return 0;
}

/* Of step t, in double and within a turn: after days a float would not tell one step from the next. */
static void angles_at(const struct tess_layer *layer, int64_t t, float *angles, int n)
{
    static const double turn = 6.283185307179586477;
    for (int j = 0; j < n; j++)
        angles[j] = (float)fmod((double)t * (double)layer->weight[j], turn);
}

/* The ring's keys in the order of their places, not of time: a sum over them has an order that
 * depends on the step alone. */
static void stream_attention(const struct tess_layer *layer,
                             const struct tess_batch *batch,
                             int b,
                             float *scratch)
{
    const struct tess_span in = tess_input(layer, batch, b), out = tess_output(layer, batch, b);
    const size_t width = (size_t)layer->channels;
    const int context = layer->row.kernel, heads = layer->row.stride;
    const int dim = layer->channels / heads;
    float *state = batch->states[b] + layer->state, *ring = state + TESS_COUNTER;
    float *query = scratch, *angles = query + width, *weights = angles + width;
    for (size_t i = 0; i < (size_t)in.n; i++) {
        const float *q = in.rows + i * 3 * width;
        const int64_t t = tess_counter(state);
        float *place = ring + (size_t)(t % context) * 2 * width;
        angles_at(layer, t, angles, dim / 2);
        layer->ops->rotate(q, angles, heads, dim, query);
        layer->ops->rotate(q + width, angles, heads, dim, place);
        memcpy(place + width, q + 2 * width, width * sizeof *place);
        layer->ops->attend(query, ring, ring + width, t < context ? (int)t + 1 : context,
                           2 * layer->channels, heads, dim, weights, out.rows + i * width);
        tess_count_on(state, 1);
    }
}

const struct tess_operator_kind tess_op_attention = {
    .name = "ATTENTION",
    .plan = plan_attention,
    .load = load_attention,
    .stream = stream_attention,
};
