/* Writing what safetensors.h reads. */
#ifndef TESS_SAFETENSORS_OUT_H
#define TESS_SAFETENSORS_OUT_H

#include "src/json.h"
#include "src/safetensors.h"

/** Writes a file of these tensors, one after the other, and the metadata, an object of strings. Their
 *  names differ; data is little-endian, as in a file. Errors: IO, NOMEM. */
int tess_safetensors_write(const struct tess_io *out,
                           const struct tess_tensor *tensors,
                           int n_tensors,
                           const cJSON *metadata);

#endif
