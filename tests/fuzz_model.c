/* Any bytes as a model file: header, tensors, values, config; and as a model that runs, if it is one.
 * Nothing is asserted but what the sanitizers and the headers promise. */
#include "src/config.h"
#include "src/safetensors.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static void check_parts(const uint8_t *bytes, size_t n_bytes)
{
    struct tess_safetensors st;
    struct tess_config config;
    struct tess_why why;
    if (tess_safetensors_open_memory(&st, bytes, n_bytes, NULL, &why)) return;
    for (int i = 0; i < st.n_tensors; i++) {
        const struct tess_tensor *t = &st.tensors[i];
        if (tess_safetensors_find(&st, t->name) != t) abort();
        float *values = malloc(t->n_elements * sizeof *values);
        if (values) (void)tess_safetensors_widen(t, values, &why);
        free(values);
    }
    if (!tess_config_open(&config, tess_safetensors_metadata(&st, "tessera.config"), &why)) {
        int values[4];
        char text[16];
        (void)tess_config_int(&config, "hop", 1, 4096, values, &why);
        (void)tess_config_ints(&config, "strides", 1, 16, values, 4, &why);
        (void)tess_config_string(&config, "arithmetic", text, sizeof text, &why);
        (void)tess_config_finish(&config, &why);
        tess_config_close(&config);
    }
    tess_safetensors_close(&st);
}

/* A frame of samples through both directions. */
static void run(const struct tess_model *model, int hop)
{
    enum { MAX_HOP = 64 };
    float pcm[MAX_HOP] = {0.5f, -0.25f};
    uint16_t codes[128]; /* as many columns as a model may have */
    struct tess_worker *worker;
    struct tess_encoder *encoder;
    struct tess_decoder *decoder;
    if (hop > MAX_HOP) return;
    const size_t n = (size_t)hop;
    if (tess_worker_create(&worker, model, NULL) || tess_encoder_create(&encoder, model, NULL) ||
        tess_decoder_create(&decoder, model, NULL))
        abort();
    if (tess_encoder_push(worker, encoder, pcm, n, codes, 1) +
            tess_encoder_flush(worker, encoder, codes, 1) !=
        1)
        abort();
    int64_t got = tess_decoder_push(worker, decoder, codes, 1, pcm, n);
    if (got < 0 || got + tess_decoder_flush(worker, decoder, pcm + got, n - (size_t)got) != hop)
        abort();
    tess_encoder_destroy(encoder, model);
    tess_decoder_destroy(decoder, model);
    tess_worker_destroy(worker);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    struct tess_model *model;
    struct tess_model_info info = {.size = sizeof info};
    check_parts(bytes, n_bytes);
    if (tess_model_open_memory(&model, bytes, n_bytes, NULL, NULL)) return 0;
    if (tess_model_get_info(model, &info)) abort();
    if (info.encode == TESS_LIVE) run(model, info.hop);
    tess_model_close(model);
    return 0;
}
