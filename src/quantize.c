/* A model file and some sound in, the same model with its linear layers in 8 bits out. Every layer is
 * measured by itself: while the model runs as it is, each product is made once more in 8 bits from the
 * same input. One scale an output for the weights; the scale of an input row is its own (gemm8.h), so
 * the sound serves to measure and decides nothing but which layers stay as they are. */
#include "src/gemm8.h"
#include "src/json.h"
#include "src/model.h"
#include "src/safetensors_out.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define SUFFIX "-int8" /* of the new model's name */

enum { ROWS = 64, MAX_LAYERS = TESS_MAX_ROWS * 2 };

static const double DEFAULT_MAX_ERROR = 0.1;

/* A linear layer of the model in both arithmetics. */
struct twin {
    const struct tess_layer *layer;
    struct tess_matrix matrix; /* in 8 bits */
    int8_t *weight;            /* [n][k] */
    float *scale;              /* [n] */
    double change, size; /* sums of squares of its outputs: what 8 bits change, and their own */
};

struct quantize {
    const struct tess_quantize_options *options;
    struct tess_why *why;
    struct tess_allocator memory;
    struct tess_safetensors file;
    struct tess_model *model;
    struct twin twin[MAX_LAYERS];
    int n_twins;
    float *y, *scratch; /* of the largest layer: ROWS rows of output, and what its product takes */
};

static int is_linear(const struct tess_layer *layer)
{
    return layer->row.op == TESS_OP_CONV && layer->row.kernel == 1 && !layer->n_state;
}

/* ---- weights ---------------------------------------------------------------------------------- */

static void round_row(const float *w, int k, int8_t *q, float *scale)
{
    float max = 0.0f;
    for (int i = 0; i < k; i++)
        max = fmaxf(max, fabsf(w[i]));
    *scale = max / 127.0f;
    for (int i = 0; i < k; i++)
        q[i] = *scale > 0.0f ? (int8_t)lrintf(fminf(fmaxf(w[i] / *scale, -127.0f), 127.0f)) : 0;
}

static int create_twin(struct quantize *q, const struct tess_layer *layer)
{
    struct twin *twin = &q->twin[q->n_twins++];
    twin->layer = layer;
    struct tess_weights weights = {.file = &q->file, .allocator = &q->memory, .why = q->why};
    const int n = layer->channels, k = layer->in_channels, dims[] = {n, k};
    float *w = NULL, *bias = NULL;
    int err = tess_weights_take(&weights, layer->row.tensor, ".weight", 2, dims, &w);
    if (!err && !layer->row.plain)
        err = tess_weights_take(&weights, layer->row.tensor, ".bias", 1, &n, &bias);
    twin->weight = tess_base_alloc(&q->memory, (size_t)n * (size_t)k);
    twin->scale = tess_base_alloc(&q->memory, (size_t)n * sizeof *twin->scale);
    if (!err && (!twin->weight || !twin->scale)) err = TESS_E_NOMEM;
    for (int i = 0; i < n && !err; i++)
        round_row(w + (size_t)i * (size_t)k, k, twin->weight + (size_t)i * (size_t)k,
                  &twin->scale[i]);
    if (!err)
        err = tess_matrix_create_int8(&twin->matrix, twin->weight, twin->scale, bias, n, k,
                                      layer->matrix.isa, &q->memory);
    tess_base_free(&q->memory, w);
    tess_base_free(&q->memory, bias);
    return err;
}

static int create_twins(struct quantize *q, const struct tess_graph *graph)
{
    int err = 0;
    for (int i = 0; i < graph->n_layers && !err; i++)
        if (is_linear(&graph->layers[i])) err = create_twin(q, &graph->layers[i]);
    return err;
}

static int make_room(struct quantize *q)
{
    size_t n_y = 0, n_scratch = 0;
    for (int i = 0; i < q->n_twins; i++) {
        const size_t y = ROWS * (size_t)q->twin[i].matrix.n;
        const size_t scratch = tess_gemm_scratch(&q->twin[i].matrix);
        n_y = y > n_y ? y : n_y;
        n_scratch = scratch > n_scratch ? scratch : n_scratch;
    }
    q->y = tess_base_alloc(&q->memory, n_y * sizeof *q->y);
    q->scratch = tess_base_alloc(&q->memory, n_scratch * sizeof *q->scratch);
    return q->y && q->scratch ? 0 : TESS_E_NOMEM;
}

/* ---- measuring -------------------------------------------------------------------------------- */

static void compare(struct quantize *q, struct twin *twin, const struct tess_batch *batch)
{
    const struct tess_layer *layer = twin->layer;
    const int n_rows = batch->start[layer->target][batch->n_streams];
    for (int row = 0, n; row < n_rows; row += n) {
        n = n_rows - row < ROWS ? n_rows - row : ROWS;
        struct tess_windows windows = {.x = tess_input_row(layer, batch, row),
                                       .row_stride = (size_t)layer->in_channels,
                                       .taps = 1,
                                       .width = layer->in_channels,
                                       .n_rows = n};
        tess_gemm(&twin->matrix, &windows, q->y, (size_t)layer->channels, q->scratch);
        const float *exact = tess_output_row(layer, batch, row);
        for (size_t i = 0; i < (size_t)n * (size_t)layer->channels; i++) {
            const double size = (double)exact[i], change = (double)q->y[i] - size;
            twin->change += change * change;
            twin->size += size * size;
        }
    }
}

static void watch(void *ctx, const struct tess_layer *layer, const struct tess_batch *batch)
{
    struct quantize *q = ctx;
    for (int i = 0; i < q->n_twins; i++)
        if (q->twin[i].layer == layer) compare(q, &q->twin[i], batch);
}

/* The sound to codes and back, in one push each way. */
static int run_model(struct quantize *q, struct tess_worker *worker)
{
    const struct tess_model_info *info = &q->model->info;
    struct tess_encode_job encode = {
        .pcm = q->options->pcm, .n_samples = q->options->n_samples, .end = 1};
    struct tess_decode_job decode = {.end = 1};
    const int64_t n_frames = tess_encoder_bound(q->model, encode.n_samples);
    const int64_t n_samples = tess_decoder_bound(q->model, (size_t)n_frames);
    encode.capacity = (size_t)n_frames;
    encode.codes = tess_base_alloc(&q->memory, (size_t)n_frames * (size_t)info->codebooks *
                                                   sizeof *encode.codes);
    decode.capacity = (size_t)n_samples;
    decode.pcm = tess_base_alloc(&q->memory,
                                 (size_t)n_samples * (size_t)info->channels * sizeof *decode.pcm);
    int err = encode.codes && decode.pcm ? 0 : TESS_E_NOMEM;
    struct tess_stream_options all = {.size = sizeof all, .codebooks = info->codebooks};
    if (!err) err = tess_encoder_create(&encode.encoder, q->model, &all);
    if (!err) err = tess_decoder_create(&decode.decoder, q->model, &all);
    if (!err) err = tess_encode(worker, &encode, 1);
    decode.codes = encode.codes;
    decode.n_frames = (size_t)encode.n_frames;
    if (!err) err = tess_decode(worker, &decode, 1);
    tess_encoder_destroy(encode.encoder, q->model);
    tess_decoder_destroy(decode.decoder, q->model);
    tess_base_free(&q->memory, encode.codes);
    tess_base_free(&q->memory, decode.pcm);
    return err;
}

static int measure(struct quantize *q)
{
    struct tess_worker *worker = NULL;
    struct tess_graph *graphs[] = {&q->model->encoder, &q->model->decoder};
    for (int i = 0; i < 2; i++) {
        graphs[i]->watch = watch;
        graphs[i]->watch_ctx = q;
    }
    struct tess_worker_options one = {.size = sizeof one, .threads = 1, .max_streams = 1};
    int err = tess_worker_create(&worker, q->model, &one);
    if (!err) err = run_model(q, worker);
    tess_worker_destroy(worker);
    return err;
}

static double error_of(const struct twin *twin)
{
    return twin->size > 0.0 ? sqrt(twin->change / twin->size) : 0.0;
}

static int is_chosen(const struct quantize *q, const struct twin *twin)
{
    const double limit = q->options->max_error > 0.0 ? q->options->max_error : DEFAULT_MAX_ERROR;
    return error_of(twin) <= limit;
}

/* ---- writing ---------------------------------------------------------------------------------- */

static const struct twin *chosen_twin(const struct quantize *q, const char *tensor)
{
    char name[128];
    for (int i = 0; i < q->n_twins; i++) {
        snprintf(name, sizeof name, "%s.weight", q->twin[i].layer->row.tensor);
        if (!strcmp(name, tensor)) return is_chosen(q, &q->twin[i]) ? &q->twin[i] : NULL;
    }
    return NULL;
}

/* The tensors of the new file, [n_tensors + n_twins] at most: data stays where it is. */
static int list_tensors(const struct quantize *q, struct tess_tensor *list)
{
    int n = 0;
    for (int i = 0; i < q->file.n_tensors; i++) {
        struct tess_tensor *tensor = &list[n++];
        *tensor = q->file.tensors[i];
        const struct twin *twin = chosen_twin(q, tensor->name);
        if (!twin) continue;
        tensor->dtype = TESS_I8;
        tensor->n_bytes = tensor->n_elements;
        tensor->data = (const unsigned char *)twin->weight;
        struct tess_tensor *scale = &list[n++];
        *scale = (struct tess_tensor){.dtype = TESS_F32, .rank = 1, .dims = {tensor->dims[0]}};
        snprintf(scale->name, sizeof scale->name, "%s.scale", twin->layer->row.tensor);
        scale->n_elements = (size_t)tensor->dims[0];
        scale->n_bytes = scale->n_elements * sizeof(float);
        scale->data = (const unsigned char *)twin->scale;
    }
    return n;
}

static int write_file(const struct quantize *q, const struct tess_io *out)
{
    const size_t room = (size_t)(q->file.n_tensors + q->n_twins);
    struct tess_tensor *list = tess_base_alloc(&q->memory, room * sizeof *list);
    cJSON *metadata = cJSON_CreateObject(), *config = NULL;
    char name[80], *text = NULL;
    int err = TESS_E_NOMEM;
    if (!list || !metadata) goto done;
    for (const char *key = q->file.metadata; *key; key += strlen(key) + 1) {
        const char *value = key + strlen(key) + 1;
        if (!cJSON_AddStringToObject(metadata, key, value)) goto done;
        key = value;
    }
    const char *was = tess_safetensors_metadata(&q->file, "tessera.config");
    config = tess_json_object("config", was, strlen(was), NULL);
    if (!config ||
        !cJSON_ReplaceItemInObjectCaseSensitive(config, "arithmetic", cJSON_CreateString("int8")))
        goto done;
    text = cJSON_PrintUnformatted(config);
    snprintf(name, sizeof name, "%s" SUFFIX, q->model->info.name);
    if (!text ||
        !cJSON_ReplaceItemInObjectCaseSensitive(metadata, "tessera.config",
                                                cJSON_CreateString(text)) ||
        !cJSON_ReplaceItemInObjectCaseSensitive(metadata, "tessera.name", cJSON_CreateString(name)))
        goto done;
    err = tess_safetensors_write(out, list, list_tensors(q, list), metadata);
done:
    cJSON_free(text);
    cJSON_Delete(config);
    cJSON_Delete(metadata);
    tess_base_free(&q->memory, list);
    return err;
}

/* ---- all of it -------------------------------------------------------------------------------- */

static int check(struct quantize *q)
{
    const struct tess_model_info *info = &q->model->info;
    const struct tess_quantize_options *o = q->options;
    if (!strcmp(info->arithmetic, "int8"))
        return tess_base_fail(q->why, TESS_E_UNSUPPORTED, "%s is in 8 bits already", info->name);
    if (!q->model->int8)
        return tess_base_fail(q->why, TESS_E_UNSUPPORTED, "the family '%s' has no layers in 8 bits",
                              info->family);
    if (strlen(info->name) + strlen(SUFFIX) >= sizeof info->name)
        return tess_base_fail(q->why, TESS_E_MODEL, "no room for " SUFFIX " behind the name '%s'",
                              info->name);
    if (o->n_samples < (size_t)info->hop)
        return tess_base_fail(q->why, TESS_E_ARGUMENT,
                              "%zu samples to measure with are less than the %d of a frame",
                              o->n_samples, info->hop);
    return 0;
}

static int run(struct quantize *q, const char *path, const struct tess_io *out)
{
    int err = tess_model_open(&q->model, path, NULL, q->why);
    if (!err) err = check(q);
    if (!err) err = tess_safetensors_open(&q->file, path, &q->memory, q->why);
    if (!err) err = create_twins(q, &q->model->encoder);
    if (!err) err = create_twins(q, &q->model->decoder);
    if (!err) err = make_room(q);
    if (!err) err = measure(q);
    for (int i = 0; i < q->n_twins && !err && q->options->report; i++) {
        const struct tess_quantized_layer layer = {
            q->twin[i].layer->row.tensor, error_of(&q->twin[i]), is_chosen(q, &q->twin[i])};
        q->options->report(q->options->ctx, &layer);
    }
    return err ? err : write_file(q, out);
}

int tess_quantize(const char *path,
                  const struct tess_io *out,
                  const struct tess_quantize_options *options,
                  struct tess_why *why)
{
    if (!path || !out || !out->write || !options || !options->pcm)
        return tess_base_fail(why, TESS_E_ARGUMENT, "no path, no write, no options or no pcm");
    if (options->size != sizeof *options)
        return tess_base_fail(why, TESS_E_ARGUMENT, "options of another version of the library");
    struct tess_allocator memory = tess_base_allocator(NULL);
    struct quantize *q = tess_base_alloc(&memory, sizeof *q);
    if (!q) return tess_base_fail(why, TESS_E_NOMEM, "out of memory");
    q->options = options;
    q->why = why;
    q->memory = memory;
    int err = run(q, path, out);
    if (err == TESS_E_NOMEM || err == TESS_E_NONFINITE || err == TESS_E_IO)
        tess_base_fail(why, err, "%s", tess_strerror(err));
    for (int i = 0; i < q->n_twins; i++) {
        tess_matrix_destroy(&q->twin[i].matrix, &memory);
        tess_base_free(&memory, q->twin[i].weight);
        tess_base_free(&memory, q->twin[i].scale);
    }
    tess_base_free(&memory, q->y);
    tess_base_free(&memory, q->scratch);
    tess_safetensors_close(&q->file);
    tess_model_close(q->model);
    tess_base_free(&memory, q);
    return err;
}
