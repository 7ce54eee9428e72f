/* A checked file in, arrays of floats out. Every tensor is taken exactly once. */
#include "src/weights.h"

#include <stdio.h>
#include <string.h>

static void shape_text(char *text, size_t size, int rank, const int *dims)
{
    size_t at = 0;
    for (int i = 0; i < rank && at < size; i++)
        at += (size_t)snprintf(text + at, size - at, "[%d]", dims[i]);
}

/* The tensor, checked and marked as used. */
static int take(struct tess_weights *weights,
                const char *name,
                const char *suffix,
                int rank,
                const int *dims,
                struct tess_tensor **out)
{
    char full[128], want[64] = "", have[64] = "";
    snprintf(full, sizeof full, "%s%s", name, suffix);
    struct tess_tensor *tensor = *out = tess_safetensors_find(weights->file, full);
    if (!tensor) return tess_base_fail(weights->why, TESS_E_MODEL, "tensor '%s' is missing", full);
    if (tensor->used)
        return tess_base_fail(weights->why, TESS_E_MODEL, "tensor '%s' is wanted twice", full);
    int same = tensor->rank == rank;
    for (int i = 0; same && i < rank; i++)
        same = tensor->dims[i] == dims[i];
    if (!same) {
        shape_text(want, sizeof want, rank, dims);
        shape_text(have, sizeof have, tensor->rank, tensor->dims);
        return tess_base_fail(weights->why, TESS_E_MODEL,
                              "tensor '%s' has the shape %s instead of %s", full, have, want);
    }
    tensor->used = 1;
    weights->n_parameters += tensor->n_elements;
    return 0;
}

int tess_weights_take(struct tess_weights *weights,
                      const char *name,
                      const char *suffix,
                      int rank,
                      const int *dims,
                      float **out)
{
    struct tess_tensor *tensor;
    *out = NULL;
    int err = take(weights, name, suffix, rank, dims, &tensor);
    if (err) return err;
    float *values = tess_base_alloc(weights->allocator, tensor->n_elements * sizeof *values);
    if (!values) return TESS_E_NOMEM;
    err = tess_safetensors_widen(tensor, values, weights->why);
    tess_safetensors_forget(weights->file, tensor);
    if (err) {
        tess_base_free(weights->allocator, values);
        return err;
    }
    *out = values;
    return 0;
}

int tess_weights_are_int8(const struct tess_weights *weights, const char *name, const char *suffix)
{
    char full[128];
    snprintf(full, sizeof full, "%s%s", name, suffix);
    const struct tess_tensor *tensor = tess_safetensors_find(weights->file, full);
    return tensor && tensor->dtype == TESS_I8;
}

int tess_weights_take_int8(struct tess_weights *weights,
                           const char *name,
                           const char *suffix,
                           int rank,
                           const int *dims,
                           int8_t **out)
{
    struct tess_tensor *tensor;
    *out = NULL;
    int err = take(weights, name, suffix, rank, dims, &tensor);
    if (err) return err;
    if (tensor->dtype != TESS_I8 || !weights->int8)
        return tess_base_fail(weights->why, TESS_E_MODEL,
                              "tensor '%s%s' holds 8-bit integers, which the arithmetic has not",
                              name, suffix);
    *out = tess_base_alloc(weights->allocator, tensor->n_bytes);
    if (!*out) return TESS_E_NOMEM;
    memcpy(*out, tensor->data, tensor->n_bytes);
    tess_safetensors_forget(weights->file, tensor);
    return 0;
}

int tess_weights_finish(const struct tess_weights *weights)
{
    for (int i = 0; i < weights->file->n_tensors; i++)
        if (!weights->file->tensors[i].used)
            return tess_base_fail(weights->why, TESS_E_MODEL,
                                  "tensor '%s' is not one of this family's",
                                  weights->file->tensors[i].name);
    return 0;
}
