/* Operators that look at one step at a time, and the adding of two branches. */
#include "src/operators.h"

#include <string.h>

/* ---- one value at a time --------------------------------------------------------------------- */

/* ELEMENTWISE(name, NAME, call) defines the operator whose rows are `call`, with x, out and n. */
#define ELEMENTWISE(lower, upper, call)                                                            \
    static void rows_##lower(const struct tess_layer *layer, const struct tess_batch *batch,       \
                             int from, int to, float *scratch)                                     \
    {                                                                                              \
        const float *x = tess_input_row(layer, batch, from);                                       \
        float *out = tess_output_row(layer, batch, from);                                          \
        const int n = (to - from) * layer->channels;                                               \
        (void)scratch;                                                                             \
        layer->ops->call;                                                                          \
    }                                                                                              \
    const struct tess_operator_kind tess_op_##lower = {                                            \
        .name = #upper,                                                                            \
        .plan = tess_plan_same,                                                                    \
        .rows = rows_##lower,                                                                      \
    };

ELEMENTWISE(gelu, GELU, gelu(x, out, n))
ELEMENTWISE(gelu_erf, GELU_ERF, gelu_erf(x, out, n))
ELEMENTWISE(elu, ELU, elu(x, out, n))
ELEMENTWISE(tanh, TANH, tanh(x, out, n))
ELEMENTWISE(leaky_relu, LEAKY_RELU, leaky_relu(x, layer->row.value, out, n))
ELEMENTWISE(scale, SCALE, scale(x, layer->row.value, out, n))
ELEMENTWISE(clamp, CLAMP, clamp(x, layer->row.value, out, n))

/* ---- one step at a time ---------------------------------------------------------------------- */

/* `weight` is the frequency, `bias` the gain. */
static int load_snake(struct tess_layer *layer, struct tess_weights *weights)
{
    const char *name = layer->row.tensor;
    int err = tess_weights_take(weights, name, ".frequency", 1, &layer->channels, &layer->weight);
    if (err) return err;
    return tess_weights_take(weights, name, ".gain", 1, &layer->channels, &layer->bias);
}

static void rows_snake(const struct tess_layer *layer,
                       const struct tess_batch *batch,
                       int from,
                       int to,
                       float *scratch)
{
    (void)scratch;
    for (int t = from; t < to; t++)
        layer->ops->snake(tess_input_row(layer, batch, t), layer->weight, layer->bias,
                          tess_output_row(layer, batch, t), layer->channels);
}

const struct tess_operator_kind tess_op_snake = {
    .name = "SNAKE",
    .plan = tess_plan_same,
    .load = load_snake,
    .rows = rows_snake,
};

/* ---- adding ---------------------------------------------------------------------------------- */

/* The other operand may be ahead of the input, where a branch held steps back: its surplus waits in
 * the state, behind the counter of its rows. */
static int plan_add(struct tess_layer *layer, struct tess_why *why)
{
    const struct tess_row *row = &layer->row;
    int err = tess_plan_same(layer, why);
    if (err) return err;
    if (layer->other_lag > layer->in_lag ||
        (layer->other_lag < layer->in_lag && row->with == row->out))
        return tess_base_fail(why, TESS_E_MODEL,
                              "row '%s' adds to a slot that lags behind, or over one that is ahead",
                              row->tensor);
    layer->history = layer->in_lag - layer->other_lag ? layer->in_lag : 0;
    if (layer->history)
        layer->n_state = TESS_COUNTER + (size_t)layer->history * (size_t)layer->channels;
    return 0;
}

static int load_scaled_add(struct tess_layer *layer, struct tess_weights *weights)
{
    return tess_weights_take(weights, layer->row.tensor, "", 1, &layer->channels, &layer->weight);
}

static struct tess_span
other_operand(const struct tess_layer *layer, const struct tess_batch *batch, int b)
{
    return tess_span_at(batch, layer->other, layer->row.with, layer->channels, b);
}

/* The other operand's row that belongs to row t of stream b. */
static const float *
other_row(const struct tess_layer *layer, const struct tess_batch *batch, int b, int t)
{
    const size_t width = (size_t)layer->channels;
    const float *state = batch->states[b] + layer->state;
    const int held = layer->n_state ? (int)tess_counter(state) : 0;
    if (t < held) return state + TESS_COUNTER + (size_t)t * width;
    return other_operand(layer, batch, b).rows + (size_t)(t - held) * width;
}

static void add_part(const struct tess_layer *layer,
                     const struct tess_batch *batch,
                     int b,
                     int from,
                     int to,
                     float *scratch)
{
    (void)scratch;
    for (int t = from; t < to; t++) {
        int row = tess_output(layer, batch, b).first + t;
        const float *other = other_row(layer, batch, b, t), *in = tess_input_row(layer, batch, row);
        float *out = tess_output_row(layer, batch, row);
        if (layer->weight)
            layer->ops->scaled_add(other, layer->weight, in, out, layer->channels);
        else
            layer->ops->add(other, in, out, layer->channels);
    }
}

static void
stream_add(const struct tess_layer *layer, const struct tess_batch *batch, int b, float *scratch)
{
    (void)scratch;
    if (!layer->n_state) return;
    const size_t width = (size_t)layer->channels;
    float *state = batch->states[b] + layer->state, *waiting = state + TESS_COUNTER;
    const struct tess_span other = other_operand(layer, batch, b);
    const int held = (int)tess_counter(state), used = tess_output(layer, batch, b).n;
    const int kept = held > used ? held - used : 0, fresh = held + other.n - used - kept;
    memmove(waiting, waiting + (size_t)(held - kept) * width,
            (size_t)kept * width * sizeof *waiting);
    memcpy(waiting + (size_t)kept * width, other.rows + (size_t)(other.n - fresh) * width,
           (size_t)fresh * width * sizeof *waiting);
    memset(waiting + (size_t)(kept + fresh) * width, 0,
           (size_t)(layer->history - kept - fresh) * width * sizeof *waiting);
    tess_count_on(state, other.n - used);
}

const struct tess_operator_kind tess_op_add = {
    .name = "ADD",
    .adds = 1,
    .plan = plan_add,
    .part = add_part,
    .stream = stream_add,
};

const struct tess_operator_kind tess_op_scaled_add = {
    .name = "SCALED_ADD",
    .adds = 1,
    .plan = plan_add,
    .load = load_scaled_add,
    .part = add_part,
    .stream = stream_add,
};
