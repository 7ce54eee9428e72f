/* Convolutions: rows of windows in, rows out. A step comes out as soon as its window is complete, the
 * last ones when the stream ends. */
#include "src/gemm8.h"
#include "src/source.h"

#include <string.h>

/* So much of a linear layer's input stays in the second-level cache while panels of weights go over
 * it one after the other. */
enum { CACHED_FLOATS = 1 << 15 };

static int check_window(const struct tess_layer *layer, struct tess_why *why)
{
    const struct tess_row *row = &layer->row;
    if (tess_source_left(row) >= 0 && layer->in_steps % row->stride == 0) return 0;
    return tess_base_fail(why, TESS_E_MODEL, "row '%s' cannot stream with its stride of %d",
                          row->tensor, row->stride);
}

/* Steps that are complete once n input rows have come. */
static int64_t complete_steps(const struct tess_row *row, int64_t n, int last)
{
    if (last) return (n + (row->fill ? row->stride - 1 : 0)) / row->stride;
    if (row->padding == TESS_PAD_REFLECT && n <= tess_source_left(row))
        return 0; /* mirrored rows to come */
    return n < row->stride + row->right ? 0 : (n - row->right) / row->stride;
}

static int64_t count_steps(const struct tess_layer *layer, const float *state, int64_t n, int last)
{
    if (!layer->n_state) return n;
    int64_t before = tess_counter(state);
    return complete_steps(&layer->row, before + n, last) - complete_steps(&layer->row, before, 0);
}

/* Steps held back: for look-ahead, and at the start for what is to be mirrored. */
static void plan_windows(struct tess_layer *layer)
{
    const struct tess_row *row = &layer->row;
    const int mirrored = row->padding == TESS_PAD_REFLECT;
    int held = mirrored && tess_source_left(row) > row->right ? tess_source_left(row) : row->right;
    layer->steps = layer->in_steps / row->stride;
    layer->lag = (layer->in_lag + held + row->stride - 1) / row->stride;
    layer->history = tess_source_reach(row) - 1 + (mirrored ? row->right + 1 : 0);
    if (layer->history) layer->n_state = tess_source_size(layer);
}

/* ---- convolution and linear layer ------------------------------------------------------------ */

/* One channel would fill one column of a panel. So TESS_PANEL steps are made the columns: one window
 * that holds all of theirs, zeros where a step does not look. They leave every sum as it is. */
static int unrolls(const struct tess_layer *layer)
{
    const struct tess_row *row = &layer->row;
    return layer->channels == 1 && row->kernel > 1 && row->stride == 1 && row->dilation == 1;
}

static int unroll(struct tess_layer *layer,
                  const float *weight,
                  const float *bias,
                  const struct tess_weights *weights)
{
    const size_t n = (size_t)(layer->row.kernel * layer->in_channels);
    const size_t width = (size_t)(TESS_PANEL - 1) * (size_t)layer->in_channels + n;
    float *wide = tess_base_alloc(weights->allocator, TESS_PANEL * (width + 1) * sizeof *wide);
    if (!wide) return TESS_E_NOMEM;
    float *biases = wide + TESS_PANEL * width;
    for (size_t i = 0; i < TESS_PANEL; i++) {
        memcpy(wide + i * (width + (size_t)layer->in_channels), weight, n * sizeof *weight);
        biases[i] = bias ? bias[0] : 0.0f;
    }
    int err = tess_matrix_create(&layer->unrolled, wide, biases, TESS_PANEL, (int)width,
                                 weights->isa, weights->allocator);
    tess_base_free(weights->allocator, wide);
    return err;
}

/* Steps whose windows are brought together at a time. */
static int gathered(const struct tess_layer *layer)
{
    return unrolls(layer) ? TESS_GATHERED_ROWS * TESS_PANEL : TESS_GATHERED_ROWS;
}

static size_t product_scratch(const struct tess_layer *layer)
{
    return tess_gemm_scratch(unrolls(layer) ? &layer->unrolled : &layer->matrix);
}

static int plan_conv(struct tess_layer *layer, struct tess_why *why)
{
    int err = tess_plan_apart(layer, why);
    if (!err) err = check_window(layer, why);
    if (err) return err;
    plan_windows(layer);
    layer->channels = layer->row.channels;
    if (layer->history)
        layer->n_scratch =
            (size_t)(gathered(layer) * layer->row.stride + tess_source_reach(&layer->row)) *
            (size_t)layer->in_channels;
    return 0;
}

static int take_bias(struct tess_layer *layer, struct tess_weights *weights, float **bias)
{
    *bias = NULL;
    if (layer->row.plain) return 0;
    return tess_weights_take(weights, layer->row.tensor, ".bias", 1, &layer->channels, bias);
}

static int
load_float(struct tess_layer *layer, const int *dims, int rank, struct tess_weights *weights)
{
    const int k = layer->row.kernel * layer->in_channels;
    float *weight, *bias = NULL;
    int err = tess_weights_take(weights, layer->row.tensor, ".weight", rank, dims, &weight);
    if (!err) err = take_bias(layer, weights, &bias);
    if (!err)
        err = tess_matrix_create(&layer->matrix, weight, bias, layer->channels, k, weights->isa,
                                 weights->allocator);
    if (!err && unrolls(layer)) err = unroll(layer, weight, bias, weights);
    tess_base_free(weights->allocator, weight);
    tess_base_free(weights->allocator, bias);
    return err;
}

/* Where the file holds the weights in 8 bits. */
static int
load_int8(struct tess_layer *layer, const int *dims, int rank, struct tess_weights *weights)
{
    const int k = layer->row.kernel * layer->in_channels, out = layer->channels;
    float *scale = NULL, *bias = NULL;
    int8_t *weight;
    int err = tess_weights_take_int8(weights, layer->row.tensor, ".weight", rank, dims, &weight);
    if (!err) err = tess_weights_take(weights, layer->row.tensor, ".scale", 1, &out, &scale);
    if (!err) err = take_bias(layer, weights, &bias);
    if (!err)
        err = tess_matrix_create_int8(&layer->matrix, weight, scale, bias, out, k, weights->isa,
                                      weights->allocator);
    tess_base_free(weights->allocator, weight);
    tess_base_free(weights->allocator, scale);
    tess_base_free(weights->allocator, bias);
    return err;
}

static int load_conv(struct tess_layer *layer, struct tess_weights *weights)
{
    const int k = layer->row.kernel, in = layer->in_channels, out = layer->channels;
    const int dims[] = {out, k == 1 ? in : k, in}, rank = k == 1 ? 2 : 3;
    const int int8 =
        !unrolls(layer) && tess_weights_are_int8(weights, layer->row.tensor, ".weight");
    const int err = (int8 ? load_int8 : load_float)(layer, dims, rank, weights);
    layer->n_scratch += product_scratch(layer);
    return err;
}

static void conv_part(const struct tess_layer *layer,
                      const struct tess_batch *batch,
                      int b,
                      int from,
                      int to,
                      float *scratch)
{
    const struct tess_row *row = &layer->row;
    const size_t width = (size_t)layer->in_channels, channels = (size_t)layer->channels;
    const struct tess_source source = tess_source_of(layer, batch, b);
    const int64_t done = complete_steps(row, source.before, 0);
    float *out = tess_output(layer, batch, b).rows;
    float *room = scratch + product_scratch(layer);
    const int most = gathered(layer);
    for (int t = from, n; t < to; t += n) {
        n = to - t < most ? to - t : most;
        int64_t first = (done + t) * row->stride - tess_source_left(row);
        int64_t stop = first + (n - 1) * row->stride + tess_source_reach(row);
        struct tess_windows windows = {.x = tess_source_rows(&source, first, stop, room),
                                       .row_stride = (size_t)row->stride * width,
                                       .tap_stride = (size_t)row->dilation * width,
                                       .taps = row->kernel,
                                       .width = layer->in_channels,
                                       .n_rows = n};
        if (unrolls(layer) && n >= TESS_PANEL) {
            n -= n % TESS_PANEL;
            windows.row_stride *= TESS_PANEL;
            windows.taps = 1;
            windows.width = layer->unrolled.k;
            windows.n_rows = n / TESS_PANEL;
            tess_gemm(&layer->unrolled, &windows, out + t, TESS_PANEL, scratch);
            continue;
        }
        if (row->dilation == 1) { /* a window is one run */
            windows.taps = 1;
            windows.width *= row->kernel;
        }
        tess_gemm(&layer->matrix, &windows, out + (size_t)t * channels, channels, scratch);
    }
}

static void rows_conv(const struct tess_layer *layer,
                      const struct tess_batch *batch,
                      int from,
                      int to,
                      float *scratch)
{
    if (layer->n_state) {
        tess_each_stream(layer, batch, from, to, scratch, conv_part);
        return;
    }
    const size_t width = (size_t)layer->in_channels, channels = (size_t)layer->channels;
    const int some = (int)(CACHED_FLOATS / width) + TESS_GATHERED_ROWS;
    for (int t = from; t < to; t += some) {
        struct tess_windows rows = {.x = tess_input_row(layer, batch, t),
                                    .row_stride = width,
                                    .taps = 1,
                                    .width = layer->in_channels,
                                    .n_rows = to - t < some ? to - t : some};
        tess_gemm(&layer->matrix, &rows, batch->slots[layer->row.out] + (size_t)t * channels,
                  channels, scratch);
    }
}

const struct tess_operator_kind tess_op_conv = {
    .name = "CONV",
    .plan = plan_conv,
    .load = load_conv,
    .count = count_steps,
    .rows = rows_conv,
    .stream = tess_source_keep,
};

/* ---- depthwise convolution ------------------------------------------------------------------- */

static int plan_depthwise(struct tess_layer *layer, struct tess_why *why)
{
    const struct tess_row *row = &layer->row;
    int err = tess_plan_apart(layer, why);
    if (!err) err = tess_plan_same(layer, why);
    if (!err) err = check_window(layer, why);
    if (err) return err;
    if (row->kernel > TESS_MAX_KERNEL || row->stride > 1 || row->dilation > 1)
        return tess_base_fail(why, TESS_E_MODEL,
                              "row '%s': kernel %d is above %d, or stride or dilation above 1",
                              row->tensor, row->kernel, TESS_MAX_KERNEL);
    plan_windows(layer);
    layer->n_state = tess_source_size(layer);   /* a counter, of a kernel of 1 too */
    layer->n_scratch = (size_t)layer->channels; /* a row of zeros */
    return 0;
}

static int load_depthwise(struct tess_layer *layer, struct tess_weights *weights)
{
    const char *name = layer->row.tensor;
    const int dims[] = {layer->row.kernel, layer->channels};
    int err = tess_weights_take(weights, name, ".weight", 2, dims, &layer->weight);
    if (err) return err;
    return tess_weights_take(weights, name, ".bias", 1, &layer->channels, &layer->bias);
}

static void depthwise_part(const struct tess_layer *layer,
                           const struct tess_batch *batch,
                           int b,
                           int from,
                           int to,
                           float *scratch)
{
    const int k = layer->row.kernel;
    const size_t width = (size_t)layer->channels;
    const struct tess_source source = tess_source_of(layer, batch, b);
    const int64_t first =
        complete_steps(&layer->row, source.before, 0) - tess_source_left(&layer->row);
    float *out = tess_output(layer, batch, b).rows;
    memset(scratch, 0, width * sizeof *scratch);
    for (int t = from; t < to; t++) {
        const float *window[TESS_MAX_KERNEL];
        for (int i = 0; i < k; i++) {
            window[i] = tess_source_row(&source, first + t + i);
            if (!window[i]) window[i] = scratch;
        }
        layer->ops->depthwise(window, k, layer->weight, layer->bias, out + (size_t)t * width,
                              layer->channels);
    }
}

const struct tess_operator_kind tess_op_depthwise = {
    .name = "DEPTHWISE",
    .plan = plan_depthwise,
    .load = load_depthwise,
    .count = count_steps,
    .part = depthwise_part,
    .stream = tess_source_keep,
};
