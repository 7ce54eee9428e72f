/* A network of a few rows, with a file of random tensors for it. */
#ifndef TESS_TESTS_NETWORK_H
#define TESS_TESTS_NETWORK_H

#include "src/graph.h"
#include "tests/check.h"
#include "tests/tiny_model.h"

enum { MAX_CASE_ROWS = 4, MAX_CASE_TENSORS = 6 };

struct row_tensor {
    const char *name;
    int d0, d1, d2;
};

struct network {
    const char *name;
    int in_channels, in_steps;
    struct tess_row rows[MAX_CASE_ROWS]; /* up to the first without a kernel */
    struct row_tensor tensors[MAX_CASE_TENSORS];
    int rest; /* input steps after the last whole frame */
};

#define ROW(OP, NAME, IN, OUT, C, ...)                                                             \
    {                                                                                              \
        .op = TESS_OP_##OP, .tensor = NAME, .in = IN, .out = OUT, .channels = C, __VA_ARGS__       \
    }
#define KSD(K, S, D) .kernel = K, .stride = S, .dilation = D
#define REFLECT      .padding = TESS_PAD_REFLECT

struct loaded {
    struct tiny_file file;
    struct tess_safetensors tensors;
    struct tess_graph graph;
};

static inline int network_load(struct loaded *l,
                               const struct network *net,
                               const struct tess_allocator *memory,
                               struct tess_why *why)
{
    struct tiny_model m = {.n_tensors = 0};
    struct tess_rows rows = {.n = 0};
    for (int i = 0; i < MAX_CASE_TENSORS && net->tensors[i].name; i++) {
        const struct row_tensor *t = &net->tensors[i];
        tiny_add(&m, t->name, "F32", t->d0, t->d1, t->d2);
    }
    for (int i = 0; i < MAX_CASE_ROWS && net->rows[i].kernel; i++)
        tess_rows_add(&rows, net->rows[i]);
    tiny_write(&m, &l->file);
    assert_int_equal(tess_safetensors_open_memory(&l->tensors, l->file.bytes, l->file.n, NULL, why),
                     0);
    struct tess_weights weights = {.file = &l->tensors,
                                   .allocator = memory,
                                   .isa = (enum tess_isa)tess_base_isa(NULL),
                                   .why = why};
    int err = tess_graph_create(&l->graph, &rows, net->in_channels, net->in_steps, &weights);
    if (err) tess_safetensors_close(&l->tensors);
    return err;
}

static inline void network_unload(struct loaded *l)
{
    tess_graph_destroy(&l->graph);
    tess_safetensors_close(&l->tensors);
    free(l);
}

#endif
