/* Operators that see a clip from end to end: wavelets, for which it is a circle; padding and trimming. */
#include "dsp/wavelet.h"
#include "src/operators.h"

#include <string.h>

/* ---- wavelets -------------------------------------------------------------------------------- */

static int plan_wavelet(struct tess_layer *layer, struct tess_why *why)
{
    if (layer->in_steps % 2 || layer->in_lag)
        return tess_base_fail(why, TESS_E_MODEL, "row '%s': a wavelet cannot halve %d steps",
                              layer->row.tensor, layer->in_steps);
    layer->channels = 2 * layer->in_channels;
    layer->steps = layer->in_steps / 2;
    layer->whole = 1;
    return tess_plan_apart(layer, why);
}

/* Whole frames come in, so the steps are even: see plan_wavelet. */
static int64_t
count_wavelet(const struct tess_layer *layer, const float *state, int64_t n, int last)
{
    (void)layer, (void)state, (void)last;
    return n / 2;
}

static void wavelet_part(const struct tess_layer *layer,
                         const struct tess_batch *batch,
                         int b,
                         int from,
                         int to,
                         float *scratch)
{
    (void)scratch;
    const struct tess_span in = tess_input(layer, batch, b), out = tess_output(layer, batch, b);
    tess_wavelet_split(in.rows, in.n, layer->in_channels, from, to,
                       out.rows + (size_t)from * (size_t)layer->channels);
}

const struct tess_operator_kind tess_op_wavelet = {
    .name = "WAVELET",
    .outer = 1,
    .plan = plan_wavelet,
    .count = count_wavelet,
    .part = wavelet_part,
};

static int plan_unwavelet(struct tess_layer *layer, struct tess_why *why)
{
    if (layer->in_channels % 2)
        return tess_base_fail(why, TESS_E_MODEL, "row '%s': %d channels are no pairs of bands",
                              layer->row.tensor, layer->in_channels);
    layer->channels = layer->in_channels / 2;
    layer->steps = 2 * layer->in_steps;
    layer->lag = 2 * layer->in_lag;
    layer->whole = 1;
    return tess_plan_apart(layer, why);
}

static int64_t
count_unwavelet(const struct tess_layer *layer, const float *state, int64_t n, int last)
{
    (void)layer, (void)state, (void)last;
    return 2 * n;
}

static void unwavelet_part(const struct tess_layer *layer,
                           const struct tess_batch *batch,
                           int b,
                           int from,
                           int to,
                           float *scratch)
{
    (void)scratch;
    const struct tess_span in = tess_input(layer, batch, b), out = tess_output(layer, batch, b);
    tess_wavelet_join(in.rows, in.n, layer->channels, from, to,
                      out.rows + (size_t)from * (size_t)layer->channels);
}

const struct tess_operator_kind tess_op_unwavelet = {
    .name = "UNWAVELET",
    .outer = 1,
    .plan = plan_unwavelet,
    .count = count_unwavelet,
    .part = unwavelet_part,
};

/* ---- padding and trimming -------------------------------------------------------------------- */

/* Output rows from..to are the input rows `later` of them; zeros where there are none. */
static void shift(const struct tess_layer *layer,
                  const struct tess_batch *batch,
                  int b,
                  int from,
                  int to,
                  int later)
{
    const struct tess_span in = tess_input(layer, batch, b), out = tess_output(layer, batch, b);
    const size_t width = (size_t)layer->channels;
    for (int t = from; t < to; t++) {
        const int at = t + later;
        float *row = out.rows + (size_t)t * width;
        if (at >= 0 && at < in.n)
            memcpy(row, in.rows + (size_t)at * width, width * sizeof *row);
        else
            memset(row, 0, width * sizeof *row);
    }
}

/* What is added counts as lag, for which slots have room. */
static int plan_pad(struct tess_layer *layer, struct tess_why *why)
{
    int err = tess_plan_apart(layer, why);
    if (!err) err = tess_plan_same(layer, why);
    layer->lag += 2 * layer->row.kernel;
    layer->whole = 1;
    return err;
}

/* An empty clip stays empty. */
static int64_t count_pad(const struct tess_layer *layer, const float *state, int64_t n, int last)
{
    (void)state, (void)last;
    return n ? n + 2 * layer->row.kernel : 0;
}

static void pad_part(const struct tess_layer *layer,
                     const struct tess_batch *batch,
                     int b,
                     int from,
                     int to,
                     float *scratch)
{
    (void)scratch;
    shift(layer, batch, b, from, to, -layer->row.kernel);
}

const struct tess_operator_kind tess_op_pad = {
    .name = "PAD",
    .plan = plan_pad,
    .count = count_pad,
    .part = pad_part,
};

static int plan_trim(struct tess_layer *layer, struct tess_why *why)
{
    const int trimmed = layer->row.kernel + layer->row.right;
    int err = tess_plan_apart(layer, why);
    if (!err) err = tess_plan_same(layer, why);
    if (err) return err;
    if (layer->lag < trimmed)
        return tess_base_fail(why, TESS_E_MODEL, "row '%s' trims %d steps of %d", layer->row.tensor,
                              trimmed, layer->lag);
    layer->lag -= trimmed;
    layer->whole = 1;
    return 0;
}

static int64_t count_trim(const struct tess_layer *layer, const float *state, int64_t n, int last)
{
    (void)state, (void)last;
    const int64_t left = n - layer->row.kernel - layer->row.right;
    return left > 0 ? left : 0;
}

static void trim_part(const struct tess_layer *layer,
                      const struct tess_batch *batch,
                      int b,
                      int from,
                      int to,
                      float *scratch)
{
    (void)scratch;
    shift(layer, batch, b, from, to, layer->row.kernel);
}

const struct tess_operator_kind tess_op_trim = {
    .name = "TRIM",
    .plan = plan_trim,
    .count = count_trim,
    .part = trim_part,
};
