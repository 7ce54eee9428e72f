/* Tensors by name, each with the one shape that its row asks for, as floats. */
#ifndef TESS_WEIGHTS_H
#define TESS_WEIGHTS_H

#include "src/safetensors.h"

struct tess_weights {
    struct tess_safetensors *file;
    const struct tess_allocator *allocator;
    enum tess_isa isa;
    int int8; /* the file's arithmetic allows layers in 8 bits */
    struct tess_why *why;
    uint64_t n_parameters; /* elements taken so far */
};

/** The tensor `name` followed by `suffix`, marked as used, to *out, memory of the allocator that the
 *  caller frees. rank and dims are what it must have. Errors: MODEL (missing, taken twice,
 *  misshapen, not float, not finite), NOMEM; *out is then NULL. */
int tess_weights_take(struct tess_weights *weights,
                      const char *name,
                      const char *suffix,
                      int rank,
                      const int *dims,
                      float **out);

/** Whether the tensor `name` followed by `suffix` holds 8-bit integers. */
int tess_weights_are_int8(const struct tess_weights *weights, const char *name, const char *suffix);

/** As tess_weights_take, of an I8 tensor. Errors: MODEL also for any other type. */
int tess_weights_take_int8(struct tess_weights *weights,
                           const char *name,
                           const char *suffix,
                           int rank,
                           const int *dims,
                           int8_t **out);

/** 0 if every tensor of the file has been taken, else MODEL naming one that was not. */
int tess_weights_finish(const struct tess_weights *weights);

#endif
