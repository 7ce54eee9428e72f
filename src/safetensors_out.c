/* Tensors in, a safetensors file out: the header's length, the header as JSON, the bytes. */
#include "src/safetensors_out.h"

#include <string.h>

static const char *const dtype_names[] = {
#define NAME(name, width) [TESS_##name] = #name,
    TESS_DTYPES(NAME)
#undef NAME
};

static int add_tensor(cJSON *header, const struct tess_tensor *tensor, size_t at)
{
    const double offsets[] = {(double)at, (double)(at + tensor->n_bytes)};
    cJSON *item = cJSON_AddObjectToObject(header, tensor->name);
    return item && cJSON_AddStringToObject(item, "dtype", dtype_names[tensor->dtype]) &&
           cJSON_AddItemToObject(item, "shape", cJSON_CreateIntArray(tensor->dims, tensor->rank)) &&
           cJSON_AddItemToObject(item, "data_offsets", cJSON_CreateDoubleArray(offsets, 2));
}

static char *header_text(const struct tess_tensor *tensors, int n_tensors, const cJSON *metadata)
{
    cJSON *header = cJSON_CreateObject();
    int ok = header && cJSON_AddItemToObject(header, "__metadata__", cJSON_Duplicate(metadata, 1));
    size_t at = 0;
    for (int i = 0; i < n_tensors && ok; i++) {
        ok = add_tensor(header, &tensors[i], at);
        at += tensors[i].n_bytes;
    }
    char *text = ok ? cJSON_PrintUnformatted(header) : NULL;
    cJSON_Delete(header);
    return text;
}

int tess_safetensors_write(const struct tess_io *out,
                           const struct tess_tensor *tensors,
                           int n_tensors,
                           const cJSON *metadata)
{
    static const char spaces[8] = "       ";
    char *text = header_text(tensors, n_tensors, metadata);
    if (!text) return TESS_E_NOMEM;
    const size_t n = strlen(text), padding = (8 - n % 8) % 8; /* so that the data is aligned */
    uint8_t length[8];
    tess_put_le64(length, n + padding);
    int err = out->write(out->ctx, length, sizeof length) || out->write(out->ctx, text, n) ||
              out->write(out->ctx, spaces, padding);
    cJSON_free(text);
    for (int i = 0; i < n_tensors && !err; i++)
        err = out->write(out->ctx, tensors[i].data, tensors[i].n_bytes);
    return err ? TESS_E_IO : 0;
}
