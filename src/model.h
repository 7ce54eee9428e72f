/* An opened model: what the rooms above and below agree on. Immutable, shared by threads. */
#ifndef TESS_MODEL_H
#define TESS_MODEL_H

#include "src/family.h"
#include "src/graph.h"

struct tess_model {
    struct tess_model_info info;
    int latent_width;
    int int8;     /* its family has layers in 8 bits */
    int pad_last; /* a last partial hop is filled with zeros before the encoder sees it */
    struct tess_graph encoder, decoder;
    struct tess_quantizer quantizer;
    struct tess_allocator allocator;
};

/** How many codebooks a stream has that asks for n (0 = the default), or ARGUMENT. */
int tess_model_codebooks(const struct tess_model *model, int n);

#endif
