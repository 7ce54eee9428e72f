/* Samples to spectra and features, and back. */
#include "src/operators.h"

#include <math.h>
#include <string.h>

static int
plan_transform(struct tess_layer *layer, int in_channels, int channels, struct tess_why *why)
{
    const struct tess_row *row = &layer->row;
    if (row->kernel % 2 || row->stride > row->kernel)
        return tess_base_fail(why, TESS_E_MODEL, "a transform of %d points every %d samples",
                              row->kernel, row->stride);
    if (layer->in_channels != in_channels)
        return tess_base_fail(why, TESS_E_MODEL,
                              "%d channels come into a transform of %d points, which takes %d",
                              layer->in_channels, row->kernel, in_channels);
    layer->channels = channels;
    layer->n_state = (size_t)(row->kernel - row->stride);
    return tess_plan_apart(layer, why);
}

static int load_transform(struct tess_layer *layer, struct tess_weights *weights)
{
    struct tess_stft_config config = {
        .n_fft = layer->row.kernel, .hop = layer->row.stride, .scale = (double)layer->row.value};
    int err = tess_stft_create(&layer->stft, &config, weights->allocator);
    if (err == TESS_E_ARGUMENT) err = TESS_E_MODEL; /* it is the file that asked for it */
    if (err)
        return tess_base_fail(weights->why, err, "a transform of %d points: %s", config.n_fft,
                              tess_strerror(err));
    layer->n_scratch = tess_stft_scratch(layer->stft) / sizeof(float) + (size_t)config.n_fft;
    return 0;
}

/* ---- analysis -------------------------------------------------------------------------------- */

static int plan_stft(struct tess_layer *layer, struct tess_why *why)
{
    if (layer->in_steps % layer->row.stride || layer->in_lag)
        return tess_base_fail(why, TESS_E_MODEL,
                              "a hop of %d does not divide the %d samples of a frame",
                              layer->row.stride, layer->in_steps);
    layer->steps = layer->in_steps / layer->row.stride;
    return plan_transform(layer, 1, layer->row.kernel + 2, why);
}

static int64_t count_stft(const struct tess_layer *layer, const float *state, int64_t n, int last)
{
    (void)state, (void)last;
    return n / layer->row.stride; /* whole hops come in: see plan_stft */
}

static void
stream_stft(const struct tess_layer *layer, const struct tess_batch *batch, int b, float *scratch)
{
    const struct tess_span out = tess_output(layer, batch, b);
    tess_stft_push(layer->stft, batch->states[b] + layer->state, tess_input(layer, batch, b).rows,
                   out.n, out.rows, scratch);
}

const struct tess_operator_kind tess_op_stft = {
    .name = "STFT",
    .outer = 1,
    .plan = plan_stft,
    .load = load_transform,
    .count = count_stft,
    .stream = stream_stft,
};

static int plan_log_phase(struct tess_layer *layer, struct tess_why *why)
{
    const int n_bins = layer->in_channels / 2, n_phase = layer->row.kernel;
    if (layer->in_channels % 2 || n_phase > n_bins)
        return tess_base_fail(why, TESS_E_MODEL,
                              "row '%s': %d bins with phase of a spectrum of %d channels",
                              layer->row.tensor, n_phase, layer->in_channels);
    layer->channels = n_bins + 2 * n_phase;
    layer->steps = layer->in_steps;
    layer->lag = layer->in_lag;
    return tess_plan_apart(layer, why);
}

static void rows_log_phase(const struct tess_layer *layer,
                           const struct tess_batch *batch,
                           int from,
                           int to,
                           float *scratch)
{
    (void)scratch;
    for (int t = from; t < to; t++)
        layer->ops->log_phase(batch->slots[layer->row.in] + (size_t)t * (size_t)layer->in_channels,
                              layer->in_channels / 2, layer->row.kernel,
                              batch->slots[layer->row.out] + (size_t)t * (size_t)layer->channels);
}

const struct tess_operator_kind tess_op_log_phase = {
    .name = "LOG_PHASE",
    .outer = 1,
    .plan = plan_log_phase,
    .rows = rows_log_phase,
};

/* ---- synthesis ------------------------------------------------------------------------------- */

static int plan_polar(struct tess_layer *layer, struct tess_why *why)
{
    if (layer->in_channels % 2)
        return tess_base_fail(why, TESS_E_MODEL,
                              "row '%s': a spectrum of %d channels, an odd number",
                              layer->row.tensor, layer->in_channels);
    int err = tess_plan_apart(layer, why);
    return err ? err : tess_plan_same(layer, why);
}

static void rows_polar(const struct tess_layer *layer,
                       const struct tess_batch *batch,
                       int from,
                       int to,
                       float *scratch)
{
    (void)scratch;
    for (int t = from; t < to; t++)
        layer->ops->polar(tess_input_row(layer, batch, t), layer->channels / 2, layer->row.value,
                          tess_output_row(layer, batch, t));
}

const struct tess_operator_kind tess_op_polar = {
    .name = "POLAR",
    .outer = 1,
    .plan = plan_polar,
    .rows = rows_polar,
};

/* The state: the counter of frames, then the overlap. */
static int plan_istft(struct tess_layer *layer, struct tess_why *why)
{
    const struct tess_row *row = &layer->row;
    int err = plan_transform(layer, row->kernel + 2, 1, why);
    if (err) return err;
    if (row->right < 0 || row->right > row->kernel - row->stride)
        return tess_base_fail(why, TESS_E_MODEL, "a transform of %d points cannot drop %d samples",
                              row->kernel, row->right);
    layer->steps = layer->in_steps * row->stride;
    layer->lag = layer->in_lag * row->stride + row->right;
    layer->n_state += TESS_COUNTER;
    return 0;
}

static int64_t samples_of(const struct tess_row *row, int64_t n_frames, int last)
{
    int64_t samples = n_frames * row->stride - (last ? 0 : row->right);
    return samples < 0 ? 0 : samples;
}

static int64_t count_istft(const struct tess_layer *layer, const float *state, int64_t n, int last)
{
    int64_t before = tess_counter(state);
    return samples_of(&layer->row, before + n, last) - samples_of(&layer->row, before, 0);
}

/* Sum of the squared windows that cover sample p of the untrimmed sound of n_frames. */
static double overlap_at(const struct tess_row *row, int64_t p, int64_t n_frames)
{
    double sum = 0.0;
    int64_t t = p / row->stride;
    for (t = t < n_frames ? t : n_frames - 1; t >= 0 && p - t * row->stride < row->kernel; t--) {
        double w = 0.5 - 0.5 * cos(6.283185307179586 * (double)(p - t * row->stride) / row->kernel);
        sum += w * w;
    }
    return sum;
}

/* Where fewer windows overlap than in the middle, divides by those that do instead. */
static void even_out(const struct tess_row *row, int64_t p, int64_t n_frames, float *samples, int n)
{
    for (int i = 0; i < n; i++, p++) {
        if (p >= row->kernel - row->stride && p < n_frames * row->stride) continue;
        double full = overlap_at(row, p % row->stride + row->kernel, p + row->kernel);
        samples[i] = (float)((double)samples[i] * full / overlap_at(row, p, n_frames));
    }
}

static void
stream_istft(const struct tess_layer *layer, const struct tess_batch *batch, int b, float *scratch)
{
    const struct tess_span in = tess_input(layer, batch, b), out = tess_output(layer, batch, b);
    const int hop = layer->row.stride;
    float *state = batch->states[b] + layer->state, *overlap = state + TESS_COUNTER;
    float *samples = scratch + tess_stft_scratch(layer->stft) / sizeof(float);
    int64_t at =
        tess_counter(state) * hop - layer->row.right; /* of the next sample, in the result */
    int written = 0;
    for (int t = 0; t < in.n; t++, at += hop) {
        tess_istft_push(layer->stft, overlap, in.rows + (size_t)t * (size_t)layer->in_channels, 1,
                        samples, scratch);
        int skip = at >= 0 ? 0 : at + hop <= 0 ? hop : (int)-at;
        if (layer->row.fill)
            even_out(&layer->row, at + layer->row.right, INT64_MAX / layer->row.kernel, samples,
                     hop);
        memcpy(out.rows + written, samples + skip, (size_t)(hop - skip) * sizeof *samples);
        written += hop - skip;
    }
    if (written < out.n) { /* the end: the overlap is final */
        tess_istft_flush(layer->stft, overlap, samples);
        int skip = at >= 0 ? 0 : (int)-at, n = layer->row.kernel - hop;
        if (layer->row.fill)
            even_out(&layer->row, at + layer->row.right, tess_counter(state) + in.n, samples,
                     skip + out.n - written < n ? skip + out.n - written : n);
        memcpy(out.rows + written, samples + skip, (size_t)(out.n - written) * sizeof *samples);
    }
    tess_count_on(state, in.n);
}

const struct tess_operator_kind tess_op_istft = {
    .name = "ISTFT",
    .outer = 1,
    .plan = plan_istft,
    .load = load_transform,
    .count = count_istft,
    .stream = stream_istft,
};
