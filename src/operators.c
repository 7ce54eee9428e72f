/* The table of operators, and what several of them share. */
#include "src/operators.h"

#include <string.h>

const struct tess_operator_kind *const tess_operators[TESS_N_OPERATORS] = {
    [TESS_OP_STFT] = &tess_op_stft,
    [TESS_OP_LOG_PHASE] = &tess_op_log_phase,
    [TESS_OP_CONV] = &tess_op_conv,
    [TESS_OP_UPCONV] = &tess_op_upconv,
    [TESS_OP_DEPTHWISE] = &tess_op_depthwise,
    [TESS_OP_NORM] = &tess_op_norm,
    [TESS_OP_GELU] = &tess_op_gelu,
    [TESS_OP_ELU] = &tess_op_elu,
    [TESS_OP_ADD] = &tess_op_add,
    [TESS_OP_SCALED_ADD] = &tess_op_scaled_add,
    [TESS_OP_LSTM] = &tess_op_lstm,
    [TESS_OP_UPDEPTH] = &tess_op_updepth,
    [TESS_OP_CHOSEN_NORM] = &tess_op_chosen_norm,
    [TESS_OP_GROUP_NORM] = &tess_op_group_norm,
    [TESS_OP_GELU_ERF] = &tess_op_gelu_erf,
    [TESS_OP_LEAKY_RELU] = &tess_op_leaky_relu,
    [TESS_OP_TANH] = &tess_op_tanh,
    [TESS_OP_SCALE] = &tess_op_scale,
    [TESS_OP_CLAMP] = &tess_op_clamp,
    [TESS_OP_SNAKE] = &tess_op_snake,
    [TESS_OP_ATTENTION] = &tess_op_attention,
    [TESS_OP_POLAR] = &tess_op_polar,
    [TESS_OP_ISTFT] = &tess_op_istft,
    [TESS_OP_WAVELET] = &tess_op_wavelet,
    [TESS_OP_UNWAVELET] = &tess_op_unwavelet,
    [TESS_OP_PAD] = &tess_op_pad,
    [TESS_OP_TRIM] = &tess_op_trim,
};

void tess_layer_release(struct tess_layer *layer, const struct tess_allocator *allocator)
{
    tess_matrix_destroy(&layer->matrix, allocator);
    tess_matrix_destroy(&layer->recurrent, allocator);
    tess_matrix_destroy(&layer->unrolled, allocator);
    tess_base_free(allocator, layer->weight);
    tess_base_free(allocator, layer->bias);
    tess_stft_destroy(layer->stft);
    layer->weight = layer->bias = NULL;
    layer->stft = NULL;
}

void tess_each_stream(const struct tess_layer *layer,
                      const struct tess_batch *batch,
                      int from,
                      int to,
                      float *scratch,
                      tess_part *part)
{
    const int *start = batch->start[layer->target];
    for (int b = 0; b < batch->n_streams; b++) {
        int begin = from > start[b] ? from : start[b];
        int stop = to < start[b + 1] ? to : start[b + 1];
        if (begin < stop) part(layer, batch, b, begin - start[b], stop - start[b], scratch);
    }
}

int64_t tess_counter(const float *state)
{
    int64_t n;
    memcpy(&n, state, sizeof n);
    return n;
}

void tess_count_on(float *state, int64_t n)
{
    n += tess_counter(state);
    memcpy(state, &n, sizeof n);
}

int tess_plan_same(struct tess_layer *layer, struct tess_why *why)
{
    if (layer->row.channels && layer->row.channels != layer->in_channels)
        return tess_base_fail(why, TESS_E_MODEL,
                              "row '%s': %d channels come in where %d are needed",
                              layer->row.tensor, layer->in_channels, layer->row.channels);
    layer->channels = layer->in_channels;
    layer->steps = layer->in_steps;
    layer->lag = layer->in_lag;
    return 0;
}

int tess_plan_apart(const struct tess_layer *layer, struct tess_why *why)
{
    if (layer->row.in != layer->row.out) return 0;
    return tess_base_fail(why, TESS_E_MODEL, "row '%s' cannot write over its own input",
                          layer->row.tensor);
}

int tess_load_vectors(struct tess_layer *layer, struct tess_weights *weights)
{
    const char *name = layer->row.tensor;
    int err = tess_weights_take(weights, name, ".weight", 1, &layer->channels, &layer->weight);
    if (err) return err;
    return tess_weights_take(weights, name, ".bias", 1, &layer->channels, &layer->bias);
}
