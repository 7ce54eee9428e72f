/* Networks of a few rows, each with a file of random tensors for it: every operator that streams, and
 * what one push alone of all input gives. */
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
    int err = tess_graph_create(&l->graph, &rows, net->in_channels, net->in_steps, 1, &weights);
    if (err) tess_safetensors_close(&l->tensors);
    return err;
}

static inline void network_unload(struct loaded *l)
{
    tess_graph_destroy(&l->graph);
    tess_safetensors_close(&l->tensors);
    free(l);
}

/* ---- runs (network.c) -------------------------------------------------------------------------- */

enum { MAX_FRAMES = 43, MAX_PARTS = 4, MAX_TEAM = 8, N_OPTIONS = 3 };

extern const struct network networks[];
extern const int n_networks;

float *floats(size_t n);

/* One stream's share of a run: n input steps, its state, room for the output and what it gave. */
struct part {
    const float *in;
    int n, last;
    float *state, *out;
    int n_out, option;
};

/* Runs the parts as one batch. */
void network_run(const struct network *net,
                 const struct tess_graph *g,
                 struct part *parts,
                 int n_parts,
                 int n_threads);

/* What one push alone of all input gives: output and state. */
struct truth {
    const struct network *net;
    const struct loaded *loaded;
    const struct tess_graph *graph;
    int n, n_out; /* steps */
    float *in, *out, *state;
};

float *room_for_output(const struct truth *truth);

/* Calls check for a network and n_frames of random input. */
void check_network(const struct network *net, int n_frames, void (*check)(struct truth *));

/* The same for all networks and several lengths. */
void each_network(void (*check)(struct truth *));

#endif
