/* Samples to spectra and features, and back. */
#include "src/operators.h"

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
    const size_t width = (size_t)layer->channels;
    for (int t = from; t < to; t++)
        layer->ops->polar(batch->slots[layer->row.in] + (size_t)t * width, layer->channels / 2,
                          layer->row.value, batch->slots[layer->row.out] + (size_t)t * width);
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
        memcpy(out.rows + written, samples + skip, (size_t)(hop - skip) * sizeof *samples);
        written += hop - skip;
    }
    if (written < out.n) { /* the end: the overlap is final */
        tess_istft_flush(layer->stft, overlap, samples);
        int skip = at >= 0 ? 0 : (int)-at;
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
