/* Rows of a batch through one layer. An operator works on rows [from, to) of the whole batch, or on
 * one stream along time; it writes its output slot and its own part of the streams' states. */
#include "src/operators.h"

#include <string.h>

static const float *input(const struct tess_layer *layer, const struct tess_batch *batch, int row)
{
    return batch->slots[layer->row.in] + (size_t)row * (size_t)layer->in_channels;
}

static float *output(const struct tess_layer *layer, const struct tess_batch *batch, int row)
{
    return batch->slots[layer->row.out] + (size_t)row * (size_t)layer->channels;
}

static int keep_shape(struct tess_layer *layer, struct tess_why *why)
{
    if (layer->row.channels && layer->row.channels != layer->in_channels)
        return tess_base_fail(why,
                              TESS_E_MODEL,
                              "row '%s': %d channels come in where %d are needed",
                              layer->row.tensor,
                              layer->in_channels,
                              layer->row.channels);
    layer->channels = layer->in_channels;
    layer->steps = layer->in_steps;
    return 0;
}

static int needs_another_slot(const struct tess_layer *layer, struct tess_why *why)
{
    if (layer->row.in != layer->row.out) return 0;
    return tess_base_fail(
        why, TESS_E_MODEL, "row '%s' cannot write over its own input", layer->row.tensor);
}

/* Two vectors over the channels. */
static int load_vectors(struct tess_layer *layer, struct tess_weights *weights)
{
    int err = tess_weights_take(weights, layer->row.tensor, ".weight", 1, &layer->channels, &layer->weight);
    if (err) return err;
    return tess_weights_take(weights, layer->row.tensor, ".bias", 1, &layer->channels, &layer->bias);
}

/* ---- history: the input rows before a stream's first row of this batch ------------------------ */

/* The last `history` rows of what the stream has seen, after n_rows more. */
static void carry_history(const struct tess_layer *layer, float *state, const float *in, int n_rows)
{
    size_t width = (size_t)layer->in_channels;
    int keep = layer->history - n_rows;
    if (keep > 0)
        memmove(state, state + (size_t)n_rows * width, (size_t)keep * width * sizeof *state);
    else
        keep = 0;
    int fresh = layer->history - keep;
    memcpy(state + (size_t)keep * width,
           in + (size_t)(n_rows - fresh) * width,
           (size_t)fresh * width * sizeof *state);
}

static void stream_history(const struct tess_layer *layer,
                           const struct tess_batch *batch,
                           int b,
                           float *scratch)
{
    (void)scratch;
    if (!layer->history) return;
    int first = batch->start[b] * layer->in_steps, end = batch->start[b + 1] * layer->in_steps;
    carry_history(layer, batch->states[b] + layer->state, input(layer, batch, first), end - first);
}

/* The streams that output rows [from, to) belong to, one after the other: calls part(...) with the
 * stream and its own row numbers. */
typedef void part_of_stream(const struct tess_layer *layer,
                            const struct tess_batch *batch,
                            int b,
                            int from,
                            int to,
                            float *scratch);

static void each_stream(const struct tess_layer *layer,
                        const struct tess_batch *batch,
                        int from,
                        int to,
                        float *scratch,
                        part_of_stream *part)
{
    for (int b = 0; b < batch->n_streams; b++) {
        int first = batch->start[b] * layer->steps, end = batch->start[b + 1] * layer->steps;
        int begin = from > first ? from : first, stop = to < end ? to : end;
        if (begin < stop) part(layer, batch, b, begin - first, stop - first, scratch);
    }
}

/* ---- convolution and linear layer ------------------------------------------------------------ */

enum { CONV_ROWS = 48 }; /* output rows whose windows are gathered at a time */

static int plan_conv(struct tess_layer *layer, struct tess_why *why)
{
    const struct tess_row *row = &layer->row;
    int err = needs_another_slot(layer, why);
    if (err) return err;
    int reach = (row->kernel - 1) * row->dilation + 1;
    if (row->stride > reach || layer->in_steps % row->stride)
        return tess_base_fail(why, TESS_E_MODEL, "row '%s' cannot stream with its stride of %d", row->tensor, row->stride);
    layer->channels = row->channels;
    layer->steps = layer->in_steps / row->stride;
    layer->history = reach - row->stride;
    layer->n_state = (size_t)layer->history * (size_t)layer->in_channels;
    if (reach > 1)
        layer->n_scratch = (size_t)(CONV_ROWS * row->stride + layer->history) * (size_t)layer->in_channels;
    return 0;
}

static int load_conv(struct tess_layer *layer, struct tess_weights *weights)
{
    const int k = layer->row.kernel, in = layer->in_channels, out = layer->channels;
    const int linear[] = {out, in}, convolution[] = {out, k, in};
    float *weight, *bias = NULL;
    int err = tess_weights_take(
        weights, layer->row.tensor, ".weight", k == 1 ? 2 : 3, k == 1 ? linear : convolution, &weight);
    if (!err) err = tess_weights_take(weights, layer->row.tensor, ".bias", 1, &out, &bias);
    if (!err) {
        err = tess_matrix_create(
            &layer->matrix, weight, bias, out, k * in, weights->isa, weights->allocator);
        layer->n_scratch += tess_gemm_scratch(&layer->matrix);
    }
    tess_base_free(weights->allocator, weight);
    tess_base_free(weights->allocator, bias);
    return err;
}

/* Rows of one stream whose windows may begin before this batch: gathered, then multiplied. */
static void conv_part(const struct tess_layer *layer,
                      const struct tess_batch *batch,
                      int b,
                      int from,
                      int to,
                      float *scratch)
{
    const struct tess_row *row = &layer->row;
    const size_t width = (size_t)layer->in_channels;
    const float *state = batch->states[b] + layer->state;
    const float *in = input(layer, batch, batch->start[b] * layer->in_steps);
    float *out = output(layer, batch, batch->start[b] * layer->steps);
    float *windows = scratch + tess_gemm_scratch(&layer->matrix);
    for (int t = from; t < to; t += CONV_ROWS) {
        int n = to - t < CONV_ROWS ? to - t : CONV_ROWS;
        int first = t * row->stride - layer->history; /* input row; negative ones are history */
        int n_in = n * row->stride + layer->history;
        int old = first < 0 ? -first < n_in ? -first : n_in : 0;
        memcpy(windows,
               state + (size_t)(layer->history - (first < 0 ? -first : 0)) * width,
               (size_t)old * width * sizeof *windows);
        memcpy(windows + (size_t)old * width,
               in + (size_t)(first + old) * width,
               (size_t)(n_in - old) * width * sizeof *windows);
        struct tess_windows rows = {.x = windows,
                                    .row_stride = (size_t)row->stride * width,
                                    .tap_stride = (size_t)row->dilation * width,
                                    .taps = row->kernel,
                                    .width = layer->in_channels,
                                    .n_rows = n};
        tess_gemm(&layer->matrix, &rows, out + (size_t)t * (size_t)layer->channels, (size_t)layer->channels, scratch);
    }
}

static void rows_conv(const struct tess_layer *layer,
                      const struct tess_batch *batch,
                      int from,
                      int to,
                      float *scratch)
{
    if (layer->row.kernel > 1) {
        each_stream(layer, batch, from, to, scratch, conv_part);
        return;
    }
    const size_t width = (size_t)layer->in_channels;
    struct tess_windows rows = {
        .x = input(layer, batch, from), .row_stride = width, .taps = 1, .width = layer->in_channels, .n_rows = to - from};
    tess_gemm(&layer->matrix, &rows, output(layer, batch, from), (size_t)layer->channels, scratch);
}

/* ---- depthwise convolution ------------------------------------------------------------------- */

static int plan_depthwise(struct tess_layer *layer, struct tess_why *why)
{
    int err = needs_another_slot(layer, why);
    if (!err) err = keep_shape(layer, why);
    if (err) return err;
    if (layer->row.kernel > TESS_MAX_KERNEL)
        return tess_base_fail(why, TESS_E_MODEL, "row '%s': kernel %d is above %d", layer->row.tensor, layer->row.kernel, TESS_MAX_KERNEL);
    layer->history = layer->row.kernel - 1;
    layer->n_state = (size_t)layer->history * (size_t)layer->in_channels;
    return 0;
}

static int load_depthwise(struct tess_layer *layer, struct tess_weights *weights)
{
    const int dims[] = {layer->row.kernel, layer->channels};
    int err = tess_weights_take(weights, layer->row.tensor, ".weight", 2, dims, &layer->weight);
    if (err) return err;
    return tess_weights_take(weights, layer->row.tensor, ".bias", 1, &layer->channels, &layer->bias);
}

static void depthwise_part(const struct tess_layer *layer,
                           const struct tess_batch *batch,
                           int b,
                           int from,
                           int to,
                           float *scratch)
{
    (void)scratch;
    const int k = layer->row.kernel, width = layer->channels;
    const float *state = batch->states[b] + layer->state;
    const float *in = input(layer, batch, batch->start[b] * layer->in_steps);
    float *out = output(layer, batch, batch->start[b] * layer->steps);
    for (int t = from; t < to; t++) {
        const float *window[TESS_MAX_KERNEL];
        for (int i = 0; i < k; i++) {
            int at = t - (k - 1) + i;
            window[i] = at < 0 ? state + (layer->history + at) * width : in + (size_t)at * (size_t)width;
        }
        layer->ops->depthwise(window, k, layer->weight, layer->bias, out + (size_t)t * (size_t)width, width);
    }
}

static void rows_depthwise(const struct tess_layer *layer,
                           const struct tess_batch *batch,
                           int from,
                           int to,
                           float *scratch)
{
    each_stream(layer, batch, from, to, scratch, depthwise_part);
}

/* ---- one row at a time ----------------------------------------------------------------------- */

static void rows_norm(const struct tess_layer *layer,
                      const struct tess_batch *batch,
                      int from,
                      int to,
                      float *scratch)
{
    (void)scratch;
    for (int t = from; t < to; t++)
        layer->ops->norm(input(layer, batch, t), layer->weight, layer->bias, layer->row.value, output(layer, batch, t), layer->channels);
}

static void rows_gelu(const struct tess_layer *layer,
                      const struct tess_batch *batch,
                      int from,
                      int to,
                      float *scratch)
{
    (void)scratch;
    layer->ops->gelu(input(layer, batch, from), output(layer, batch, from), (to - from) * layer->channels);
}

static int load_scaled_add(struct tess_layer *layer, struct tess_weights *weights)
{
    return tess_weights_take(weights, layer->row.tensor, "", 1, &layer->channels, &layer->weight);
}

static void rows_scaled_add(const struct tess_layer *layer,
                            const struct tess_batch *batch,
                            int from,
                            int to,
                            float *scratch)
{
    (void)scratch;
    for (int t = from; t < to; t++) {
        float *out = output(layer, batch, t);
        layer->ops->scaled_add(out, layer->weight, input(layer, batch, t), out, layer->channels);
    }
}

static int plan_log_phase(struct tess_layer *layer, struct tess_why *why)
{
    const int n_bins = layer->in_channels / 2, n_phase = layer->row.kernel;
    if (layer->in_channels % 2 || n_phase > n_bins)
        return tess_base_fail(why,
                              TESS_E_MODEL,
                              "row '%s': %d bins with phase of a spectrum of %d channels",
                              layer->row.tensor,
                              n_phase,
                              layer->in_channels);
    layer->channels = n_bins + 2 * n_phase;
    layer->steps = layer->in_steps;
    return needs_another_slot(layer, why);
}

static void rows_log_phase(const struct tess_layer *layer,
                           const struct tess_batch *batch,
                           int from,
                           int to,
                           float *scratch)
{
    (void)scratch;
    for (int t = from; t < to; t++)
        layer->ops->log_phase(input(layer, batch, t), layer->in_channels / 2, layer->row.kernel, output(layer, batch, t));
}

static int plan_polar(struct tess_layer *layer, struct tess_why *why)
{
    if (layer->in_channels % 2)
        return tess_base_fail(why,
                              TESS_E_MODEL,
                              "row '%s': a spectrum of %d channels, an odd number",
                              layer->row.tensor,
                              layer->in_channels);
    int err = needs_another_slot(layer, why);
    return err ? err : keep_shape(layer, why);
}

static void rows_polar(const struct tess_layer *layer,
                       const struct tess_batch *batch,
                       int from,
                       int to,
                       float *scratch)
{
    (void)scratch;
    for (int t = from; t < to; t++)
        layer->ops->polar(input(layer, batch, t), layer->in_channels / 2, output(layer, batch, t));
}

/* ---- spectra --------------------------------------------------------------------------------- */

static int plan_transform(struct tess_layer *layer, int in_channels, int channels, struct tess_why *why)
{
    const struct tess_row *row = &layer->row;
    if (row->kernel % 2 || row->stride > row->kernel)
        return tess_base_fail(why,
                              TESS_E_MODEL,
                              "a transform of %d points every %d samples",
                              row->kernel,
                              row->stride);
    if (layer->in_channels != in_channels)
        return tess_base_fail(why, TESS_E_MODEL, "%d channels come into a transform of %d points, which takes %d", layer->in_channels, layer->row.kernel, in_channels);
    layer->channels = channels;
    layer->n_state = (size_t)(layer->row.kernel - layer->row.stride);
    return needs_another_slot(layer, why);
}

static int plan_stft(struct tess_layer *layer, struct tess_why *why)
{
    if (layer->in_steps % layer->row.stride)
        return tess_base_fail(why,
                              TESS_E_MODEL,
                              "a hop of %d does not divide the %d samples of a frame",
                              layer->row.stride,
                              layer->in_steps);
    layer->steps = layer->in_steps / layer->row.stride;
    return plan_transform(layer, 1, layer->row.kernel + 2, why);
}

static int plan_istft(struct tess_layer *layer, struct tess_why *why)
{
    layer->steps = layer->in_steps * layer->row.stride;
    return plan_transform(layer, layer->row.kernel + 2, 1, why);
}

static int load_transform(struct tess_layer *layer, struct tess_weights *weights)
{
    struct tess_stft_config config = {
        .n_fft = layer->row.kernel, .hop = layer->row.stride, .scale = (double)layer->row.value};
    int err = tess_stft_create(&layer->stft, &config, weights->allocator);
    if (err == TESS_E_ARGUMENT) err = TESS_E_MODEL; /* it is the file that asked for it */
    if (err) return tess_base_fail(weights->why, err, "a transform of %d points: %s", config.n_fft, tess_strerror(err));
    layer->n_scratch = tess_stft_scratch(layer->stft) / sizeof(float);
    return 0;
}

static void stream_stft(const struct tess_layer *layer,
                        const struct tess_batch *batch,
                        int b,
                        float *scratch)
{
    int first = batch->start[b], n = batch->start[b + 1] - first;
    tess_stft_push(layer->stft,
                   batch->states[b] + layer->state,
                   input(layer, batch, first * layer->in_steps),
                   n * layer->steps,
                   output(layer, batch, first * layer->steps),
                   scratch);
}

static void stream_istft(const struct tess_layer *layer,
                         const struct tess_batch *batch,
                         int b,
                         float *scratch)
{
    int first = batch->start[b], n = batch->start[b + 1] - first;
    tess_istft_push(layer->stft,
                    batch->states[b] + layer->state,
                    input(layer, batch, first * layer->in_steps),
                    n * layer->in_steps,
                    output(layer, batch, first * layer->steps),
                    scratch);
}

static int tail_istft(const struct tess_layer *layer, const float *state, float *out)
{
    tess_istft_flush(layer->stft, state + layer->state, out);
    return layer->row.kernel - layer->row.stride;
}

const struct tess_operator_kind tess_operators[TESS_N_OPERATORS] = {
    [TESS_OP_STFT] = {.name = "STFT", .outer = 1, .plan = plan_stft, .load = load_transform, .stream = stream_stft},
    [TESS_OP_LOG_PHASE] = {.name = "LOG_PHASE", .outer = 1, .plan = plan_log_phase, .rows = rows_log_phase},
    [TESS_OP_CONV] = {.name = "CONV", .plan = plan_conv, .load = load_conv, .rows = rows_conv, .stream = stream_history},
    [TESS_OP_DEPTHWISE] = {.name = "DEPTHWISE", .plan = plan_depthwise, .load = load_depthwise, .rows = rows_depthwise, .stream = stream_history},
    [TESS_OP_NORM] = {.name = "NORM", .plan = keep_shape, .load = load_vectors, .rows = rows_norm},
    [TESS_OP_GELU] = {.name = "GELU", .plan = keep_shape, .rows = rows_gelu},
    [TESS_OP_SCALED_ADD] = {.name = "SCALED_ADD", .adds = 1, .plan = keep_shape, .load = load_scaled_add, .rows = rows_scaled_add},
    [TESS_OP_POLAR] = {.name = "POLAR", .outer = 1, .plan = plan_polar, .rows = rows_polar},
    [TESS_OP_ISTFT] = {.name = "ISTFT", .outer = 1, .plan = plan_istft, .load = load_transform, .stream = stream_istft, .tail = tail_istft},
};

void tess_layer_release(struct tess_layer *layer, const struct tess_allocator *allocator)
{
    tess_matrix_destroy(&layer->matrix, allocator);
    tess_base_free(allocator, layer->weight);
    tess_base_free(allocator, layer->bias);
    tess_stft_destroy(layer->stft);
}
