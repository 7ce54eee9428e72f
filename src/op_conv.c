/* Convolutions: rows of windows in, rows out. A stream keeps the last input rows that later windows
 * reach back to, the counter of its rows before them; what lies outside the recording is padding. A
 * step comes out as soon as its window is complete, the last ones when the stream ends. */
#include "src/operators.h"

#include <string.h>

enum { GATHERED_ROWS = 48 }; /* output rows whose windows are brought together at a time */

static int reach(const struct tess_row *row)
{
    return (row->kernel - 1) * row->dilation + 1;
}

/* Steps of the window before the hop it belongs to. */
static int left(const struct tess_row *row)
{
    return reach(row) - row->stride - row->right;
}

static int check_window(const struct tess_layer *layer, struct tess_why *why)
{
    const struct tess_row *row = &layer->row;
    if (left(row) >= 0 && layer->in_steps % row->stride == 0) return 0;
    return tess_base_fail(why, TESS_E_MODEL, "row '%s' cannot stream with its stride of %d",
                          row->tensor, row->stride);
}

/* ---- where a window's rows are --------------------------------------------------------------- */

/* One stream's input: what it keeps, what has come, and how it is continued on both sides. */
struct source {
    const struct tess_layer *layer;
    const float *kept, *fresh;
    int64_t before, total; /* rows before this batch; rows with it */
};

static struct source
source_of(const struct tess_layer *layer, const struct tess_batch *batch, int b)
{
    struct tess_span in = tess_input(layer, batch, b);
    const float *state = batch->states[b] + layer->state;
    int64_t before = tess_counter(state);
    return (struct source){layer, state + TESS_COUNTER, in.rows, before, before + in.n};
}

/* Row i of the recording, or NULL where padding makes it zero. After the end only if it is over. */
static const float *row_at(const struct source *s, int64_t i)
{
    if (s->layer->row.padding == TESS_PAD_REFLECT) {
        const struct tess_row *row = &s->layer->row;
        int64_t edge = s->total - 1, after = row->right;
        if (row->fill) after += (row->stride - s->total % row->stride) % row->stride;
        int64_t most = left(row) > after ? left(row) : after;
        if (edge < most) edge = most; /* too short: continued by zeros first */
        if (i < 0) i = -i;
        if (i > edge) i = 2 * edge - i;
    }
    if (i < 0 && s->layer->row.padding == TESS_PAD_FIRST) i = 0;
    if (i < 0 || i >= s->total) return NULL;
    const size_t width = (size_t)s->layer->in_channels;
    return i < s->before ? s->kept + (size_t)(i - s->before + s->layer->history) * width
                         : s->fresh + (size_t)(i - s->before) * width;
}

/* Copies rows from..to of the continued recording side by side. */
static void gather(const struct source *s, int64_t from, int64_t to, float *out)
{
    const size_t width = (size_t)s->layer->in_channels;
    while (from < to) {
        int64_t n = 1;
        const float *rows = row_at(s, from);
        if (from >= s->before && from < s->total) n = (to < s->total ? to : s->total) - from;
        if (rows)
            memcpy(out, rows, (size_t)n * width * sizeof *out);
        else
            memset(out, 0, width * sizeof *out);
        out += (size_t)n * width;
        from += n;
    }
}

/* Keeps the last `history` rows, and counts. */
static void
stream_keep(const struct tess_layer *layer, const struct tess_batch *batch, int b, float *scratch)
{
    (void)scratch;
    if (!layer->n_state) return;
    struct tess_span in = tess_input(layer, batch, b);
    float *state = batch->states[b] + layer->state, *kept = state + TESS_COUNTER;
    const size_t width = (size_t)layer->in_channels;
    int old = layer->history > in.n ? layer->history - in.n : 0, fresh = layer->history - old;
    memmove(kept, kept + (size_t)(layer->history - old) * width,
            (size_t)old * width * sizeof *kept);
    memcpy(kept + (size_t)old * width, in.rows + (size_t)(in.n - fresh) * width,
           (size_t)fresh * width * sizeof *kept);
    tess_count_on(state, in.n);
}

/* Steps that are complete once n input rows have come. */
static int64_t complete_steps(const struct tess_row *row, int64_t n, int last)
{
    if (last) return (n + (row->fill ? row->stride - 1 : 0)) / row->stride;
    if (row->padding == TESS_PAD_REFLECT && n <= left(row)) return 0; /* mirrored rows to come */
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
    int held = mirrored && left(row) > row->right ? left(row) : row->right;
    layer->steps = layer->in_steps / row->stride;
    layer->lag = (layer->in_lag + held + row->stride - 1) / row->stride;
    layer->history = reach(row) - 1 + (mirrored ? row->right + 1 : 0);
    if (layer->history)
        layer->n_state = TESS_COUNTER + (size_t)layer->history * (size_t)layer->in_channels;
}

/* ---- convolution and linear layer ------------------------------------------------------------ */

static int plan_conv(struct tess_layer *layer, struct tess_why *why)
{
    int err = tess_plan_apart(layer, why);
    if (!err) err = check_window(layer, why);
    if (err) return err;
    plan_windows(layer);
    layer->channels = layer->row.channels;
    if (layer->history)
        layer->n_scratch = (size_t)(GATHERED_ROWS * layer->row.stride + reach(&layer->row)) *
                           (size_t)layer->in_channels;
    return 0;
}

static int load_conv(struct tess_layer *layer, struct tess_weights *weights)
{
    const int k = layer->row.kernel, in = layer->in_channels, out = layer->channels;
    const int linear[] = {out, in}, convolution[] = {out, k, in};
    float *weight, *bias = NULL;
    int err = tess_weights_take(weights, layer->row.tensor, ".weight", k == 1 ? 2 : 3,
                                k == 1 ? linear : convolution, &weight);
    if (!err && !layer->row.plain)
        err = tess_weights_take(weights, layer->row.tensor, ".bias", 1, &out, &bias);
    if (!err) {
        err = tess_matrix_create(&layer->matrix, weight, bias, out, k * in, weights->isa,
                                 weights->allocator);
        layer->n_scratch += tess_gemm_scratch(&layer->matrix);
    }
    tess_base_free(weights->allocator, weight);
    tess_base_free(weights->allocator, bias);
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
    const struct source source = source_of(layer, batch, b);
    const int64_t done = complete_steps(row, source.before, 0);
    float *out = tess_output(layer, batch, b).rows;
    float *rows = scratch + tess_gemm_scratch(&layer->matrix);
    for (int t = from; t < to; t += GATHERED_ROWS) {
        int n = to - t < GATHERED_ROWS ? to - t : GATHERED_ROWS;
        int64_t first = (done + t) * row->stride - left(row);
        gather(&source, first, first + (n - 1) * row->stride + reach(row), rows);
        struct tess_windows windows = {.x = rows,
                                       .row_stride = (size_t)row->stride * width,
                                       .tap_stride = (size_t)row->dilation * width,
                                       .taps = row->kernel,
                                       .width = layer->in_channels,
                                       .n_rows = n};
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
    struct tess_windows rows = {.x = tess_input_row(layer, batch, from),
                                .row_stride = width,
                                .taps = 1,
                                .width = layer->in_channels,
                                .n_rows = to - from};
    tess_gemm(&layer->matrix, &rows, batch->slots[layer->row.out] + (size_t)from * channels,
              channels, scratch);
}

const struct tess_operator_kind tess_op_conv = {
    .name = "CONV",
    .plan = plan_conv,
    .load = load_conv,
    .count = count_steps,
    .rows = rows_conv,
    .stream = stream_keep,
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
    const struct source source = source_of(layer, batch, b);
    const int64_t first = complete_steps(&layer->row, source.before, 0) - left(&layer->row);
    float *out = tess_output(layer, batch, b).rows;
    memset(scratch, 0, width * sizeof *scratch);
    for (int t = from; t < to; t++) {
        const float *window[TESS_MAX_KERNEL];
        for (int i = 0; i < k; i++) {
            window[i] = row_at(&source, first + t + i);
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
    .stream = stream_keep,
};

/* ---- transposed convolution ------------------------------------------------------------------ */

/* Input step t spreads over outputs t s .. t s + k of the untrimmed result. Seen from there, each
 * run of s outputs is a linear layer over the last ceil(k / s) inputs: one product with s C rows. */
static int taps(const struct tess_row *row)
{
    return (row->kernel + row->stride - 1) / row->stride;
}

static int trimmed_left(const struct tess_row *row)
{
    return row->kernel - row->stride - row->right;
}

static int plan_upconv(struct tess_layer *layer, struct tess_why *why)
{
    const struct tess_row *row = &layer->row;
    int err = tess_plan_apart(layer, why);
    if (err) return err;
    if (trimmed_left(row) < 0)
        return tess_base_fail(why, TESS_E_MODEL,
                              "row '%s': a kernel of %d cannot be trimmed to a stride of %d",
                              row->tensor, row->kernel, row->stride);
    layer->channels = row->channels;
    layer->steps = layer->in_steps * row->stride;
    layer->lag = layer->in_lag * row->stride + trimmed_left(row);
    layer->history = taps(row) - 1;
    layer->n_state = TESS_COUNTER + (size_t)layer->history * (size_t)layer->in_channels;
    layer->n_scratch = (size_t)(GATHERED_ROWS + taps(row)) * (size_t)layer->in_channels +
                       (size_t)GATHERED_ROWS * (size_t)(row->stride * row->channels);
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
    const struct source source = source_of(layer, batch, b);
    /* untrimmed outputs from..to, and the runs they lie in */
    const int64_t begin = complete_outputs(row, source.before, 0) + trimmed_left(row) + from;
    const int64_t end = begin + to - from;
    float *out = tess_output(layer, batch, b).rows + (size_t)from * channels;
    float *rows = scratch + tess_gemm_scratch(&layer->matrix);
    float *runs = rows + (size_t)(GATHERED_ROWS + taps(row)) * width;
    for (int64_t t = begin / row->stride; t * row->stride < end; t += GATHERED_ROWS) {
        int64_t left_over = (end + row->stride - 1) / row->stride - t;
        int n = left_over < GATHERED_ROWS ? (int)left_over : GATHERED_ROWS;
        gather(&source, t - taps(row) + 1, t + n, rows);
        struct tess_windows windows = {.x = rows,
                                       .row_stride = width,
                                       .taps = 1,
                                       .width = taps(row) * layer->in_channels,
                                       .n_rows = n};
        tess_gemm(&layer->matrix, &windows, runs, (size_t)row->stride * channels, scratch);
        int64_t first = t * row->stride, stop = first + (int64_t)n * row->stride;
        int64_t a = first > begin ? first : begin, z = stop < end ? stop : end;
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
    .stream = stream_keep,
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
    layer->n_state = TESS_COUNTER + (size_t)layer->history * (size_t)layer->in_channels;
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
    const struct source source = source_of(layer, batch, b);
    float *out = tess_output(layer, batch, b).rows;
    memset(scratch, 0, width * sizeof *scratch);
    for (int n = from; n < to; n++) {
        const float *window[TESS_MAX_KERNEL];
        for (int i = 0; i < n_taps; i++) {
            window[i] = row_at(&source, source.before + n / stride - n_taps + 1 + i);
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
    .stream = stream_keep,
};
