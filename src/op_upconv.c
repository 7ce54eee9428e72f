/* Transposed convolutions: each row in spreads over several rows out. */
#include "src/source.h"

#include <string.h>

enum { MAX_STEPS = 1 << 20 }; /* a frame: more than any hop */

/* Input step t spreads over outputs t s .. t s + k of the untrimmed result. Seen from there, each
 * run of s outputs is a linear layer over the last ceil(k / s) inputs: one product with s C rows. */
static int taps(const struct tess_row *row)
{
    return (row->kernel + row->stride - 1) / row->stride;
}

/* Steps by which the untrimmed result is longer than s T. */
static int surplus(const struct tess_row *row)
{
    return row->kernel - row->stride;
}

static int trimmed_left(const struct tess_row *row)
{
    return row->fill ? 0 : surplus(row) - row->right;
}

static int plan_upconv(struct tess_layer *layer, struct tess_why *why)
{
    const struct tess_row *row = &layer->row;
    int err = tess_plan_apart(layer, why);
    if (err) return err;
    if (surplus(row) < 0 || trimmed_left(row) < 0)
        return tess_base_fail(why, TESS_E_MODEL,
                              "row '%s': a kernel of %d cannot be trimmed to a stride of %d",
                              row->tensor, row->kernel, row->stride);
    if (layer->in_steps > MAX_STEPS / row->stride)
        return tess_base_fail(why, TESS_E_MODEL, "row '%s': more than %d steps a frame",
                              row->tensor, MAX_STEPS);
    layer->channels = row->channels;
    layer->steps = layer->in_steps * row->stride;
    layer->lag = layer->in_lag * row->stride + (row->fill ? surplus(row) : trimmed_left(row));
    layer->history = taps(row) - 1;
    layer->n_state = tess_source_size(layer);
    layer->n_scratch = (size_t)(TESS_GATHERED_ROWS + taps(row)) * (size_t)layer->in_channels +
                       (size_t)TESS_GATHERED_ROWS * (size_t)(row->stride * row->channels);
    return 0;
}

/* [k][C][C_in] to rows of the product: output phase j, channel c; taps oldest first. */
static void arrange(const struct tess_layer *layer, const float *weight, float *out)
{
    const struct tess_row *row = &layer->row;
    const size_t in = (size_t)layer->in_channels, channels = (size_t)layer->channels;
    for (int j = 0; j < row->stride; j++)
        for (size_t c = 0; c < channels; c++)
            for (int i = taps(row) - 1; i >= 0; i--, out += in)
                if (j + i * row->stride < row->kernel)
                    memcpy(out, weight + ((size_t)(j + i * row->stride) * channels + c) * in,
                           in * sizeof *out);
}

static int load_upconv(struct tess_layer *layer, struct tess_weights *weights)
{
    const struct tess_row *row = &layer->row;
    const int in = layer->in_channels, channels = layer->channels, n = row->stride * channels;
    const int dims[] = {row->kernel, channels, in};
    const int width = taps(row) * in;
    float *weight, *bias = NULL, *arranged = NULL, *biases = NULL;
    int err = tess_weights_take(weights, row->tensor, ".weight", 3, dims, &weight);
    if (!err) err = tess_weights_take(weights, row->tensor, ".bias", 1, &channels, &bias);
    if (err) goto done;
    err = TESS_E_NOMEM;
    arranged = tess_base_alloc(weights->allocator, (size_t)n * (size_t)width * sizeof *arranged);
    biases = tess_base_alloc(weights->allocator, (size_t)n * sizeof *biases);
    if (!arranged || !biases) goto done;
    arrange(layer, weight, arranged);
    for (int i = 0; i < n; i++)
        biases[i] = bias[i % channels];
    err = tess_matrix_create(&layer->matrix, arranged, biases, n, width, weights->isa,
                             weights->allocator);
    layer->n_scratch += tess_gemm_scratch(&layer->matrix);
done:
    tess_base_free(weights->allocator, weight);
    tess_base_free(weights->allocator, bias);
    tess_base_free(weights->allocator, arranged);
    tess_base_free(weights->allocator, biases);
    return err;
}

static int64_t complete_outputs(const struct tess_row *row, int64_t n, int last)
{
    int64_t all = n * row->stride;
    if (last && row->fill) return n ? all + surplus(row) : 0;
    if (last && row->padding != TESS_PAD_NONE) return all;
    return all < trimmed_left(row) ? 0 : all - trimmed_left(row);
}

static int64_t count_upconv(const struct tess_layer *layer, const float *state, int64_t n, int last)
{
    int64_t before = tess_counter(state);
    return complete_outputs(&layer->row, before + n, last) -
           complete_outputs(&layer->row, before, 0);
}

static void upconv_part(const struct tess_layer *layer,
                        const struct tess_batch *batch,
                        int b,
                        int from,
                        int to,
                        float *scratch)
{
    const struct tess_row *row = &layer->row;
    const size_t width = (size_t)layer->in_channels, channels = (size_t)layer->channels;
    const struct tess_source source = tess_source_of(layer, batch, b);
    /* untrimmed outputs from..to, and the runs they lie in */
    const int64_t begin = complete_outputs(row, source.before, 0) + trimmed_left(row) + from;
    const int64_t end = begin + to - from;
    float *out = tess_output(layer, batch, b).rows + (size_t)from * channels;
    float *room = scratch + tess_gemm_scratch(&layer->matrix);
    float *runs = room + (size_t)(TESS_GATHERED_ROWS + taps(row)) * width;
    for (int64_t t = begin / row->stride; t * row->stride < end; t += TESS_GATHERED_ROWS) {
        int64_t left_over = (end + row->stride - 1) / row->stride - t;
        int n = left_over < TESS_GATHERED_ROWS ? (int)left_over : TESS_GATHERED_ROWS;
        struct tess_windows windows = {
            .x = tess_source_rows(&source, t - taps(row) + 1, t + n, room),
            .row_stride = width,
            .taps = 1,
            .width = taps(row) * layer->in_channels,
            .n_rows = n};
        int64_t first = t * row->stride, stop = first + (int64_t)n * row->stride;
        int64_t a = first > begin ? first : begin, z = stop < end ? stop : end;
        const int trimmed = a > first || z < stop;
        tess_gemm(&layer->matrix, &windows,
                  trimmed ? runs : out + (size_t)(first - begin) * channels,
                  (size_t)row->stride * channels, scratch);
        if (trimmed)
            memcpy(out + (size_t)(a - begin) * channels, runs + (size_t)(a - first) * channels,
                   (size_t)(z - a) * channels * sizeof *out);
    }
}

const struct tess_operator_kind tess_op_upconv = {
    .name = "UPCONV",
    .plan = plan_upconv,
    .load = load_upconv,
    .count = count_upconv,
    .part = upconv_part,
    .stream = tess_source_keep,
};

/* ---- transposed depthwise convolution -------------------------------------------------------- */

static int plan_updepth(struct tess_layer *layer, struct tess_why *why)
{
    const struct tess_row *row = &layer->row;
    int err = tess_plan_apart(layer, why);
    if (!err) err = tess_plan_same(layer, why);
    if (err) return err;
    if (row->kernel < row->stride || taps(row) > TESS_MAX_KERNEL)
        return tess_base_fail(why, TESS_E_MODEL, "row '%s': a kernel of %d for a stride of %d",
                              row->tensor, row->kernel, row->stride);
    layer->steps = layer->in_steps * row->stride;
    layer->lag = layer->in_lag * row->stride;
    layer->history = taps(row) - 1;
    layer->n_state = tess_source_size(layer);
    layer->n_scratch = (size_t)layer->channels; /* a row of zeros */
    return 0;
}

/* [k][C] to [phase][tap, oldest first][C]; the bias is zero. */
static int load_updepth(struct tess_layer *layer, struct tess_weights *weights)
{
    const struct tess_row *row = &layer->row;
    const size_t channels = (size_t)layer->channels;
    const int dims[] = {row->kernel, layer->channels};
    float *weight;
    int err = tess_weights_take(weights, row->tensor, ".weight", 2, dims, &weight);
    if (err) return err;
    const size_t n = (size_t)(row->stride * taps(row)) * channels;
    layer->weight = tess_base_alloc(weights->allocator, n * sizeof *layer->weight);
    layer->bias = tess_base_alloc(weights->allocator, channels * sizeof *layer->bias);
    if (layer->weight && layer->bias)
        for (int j = 0, at = 0; j < row->stride; j++)
            for (int i = taps(row) - 1; i >= 0; i--, at++)
                if (j + i * row->stride < row->kernel)
                    memcpy(layer->weight + (size_t)at * channels,
                           weight + (size_t)(j + i * row->stride) * channels,
                           channels * sizeof *weight);
    tess_base_free(weights->allocator, weight);
    return layer->weight && layer->bias ? 0 : TESS_E_NOMEM;
}

static int64_t
count_updepth(const struct tess_layer *layer, const float *state, int64_t n, int last)
{
    (void)state, (void)last;
    return n * layer->row.stride;
}

static void updepth_part(const struct tess_layer *layer,
                         const struct tess_batch *batch,
                         int b,
                         int from,
                         int to,
                         float *scratch)
{
    const int n_taps = taps(&layer->row), stride = layer->row.stride;
    const size_t width = (size_t)layer->channels;
    const struct tess_source source = tess_source_of(layer, batch, b);
    float *out = tess_output(layer, batch, b).rows;
    memset(scratch, 0, width * sizeof *scratch);
    for (int n = from; n < to; n++) {
        const float *window[TESS_MAX_KERNEL];
        for (int i = 0; i < n_taps; i++) {
            window[i] = tess_source_row(&source, source.before + n / stride - n_taps + 1 + i);
            if (!window[i]) window[i] = scratch;
        }
        layer->ops->depthwise(window, n_taps, layer->weight + (size_t)(n % stride * n_taps) * width,
                              layer->bias, out + (size_t)n * width, layer->channels);
    }
}

const struct tess_operator_kind tess_op_updepth = {
    .name = "UPDEPTH",
    .plan = plan_updepth,
    .load = load_updepth,
    .count = count_updepth,
    .part = updepth_part,
    .stream = tess_source_keep,
};
