/* Any bytes as a model file: header, tensors, values, config. Nothing is asserted but what the
 * sanitizers and safetensors.h promise. */
#include "src/config.h"
#include "src/safetensors.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    struct tess_safetensors st;
    struct tess_config config;
    struct tess_why why;
    if (tess_safetensors_open_memory(&st, bytes, n_bytes, NULL, &why)) return 0;
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
    return 0;
}
