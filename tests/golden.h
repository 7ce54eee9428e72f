/* The published families in tests: what their own implementation computed (tests/families/README.md),
 * and a network of ours stopped between its layers. Failures fail the test. */
#ifndef TESS_TESTS_GOLDEN_H
#define TESS_TESTS_GOLDEN_H

#include "src/model.h"

/* Opens tests/families/NAME/golden_1.safetensors; close it with tess_safetensors_close. */
void golden_open(struct tess_safetensors *golden, const char *name);

/* The tensor PREFIX.NAME, or NULL. */
const struct tess_tensor *
golden_find(const struct tess_safetensors *golden, const char *prefix, const char *name);

/* The values of PREFIX.NAME, which must be there; free them. */
float *golden_values(const struct tess_safetensors *golden, const char *prefix, const char *name);

/* The codes of a case, [*n_frames][*k]; free them. */
uint16_t *
golden_codes(const struct tess_safetensors *golden, const char *of_case, int *n_frames, int *k);

/* rows [n][width] against what is kept of CASE.NAME: all of it, or head, tail and root mean squares. */
void golden_check(const struct tess_safetensors *golden,
                  const char *of_case,
                  const char *name,
                  const float *rows,
                  int n,
                  int width);

/* A whole clip on its way through a network. */
struct walk {
    const struct tess_graph *graph;
    int n_layers; /* that it has passed */
    struct tess_batch batch;
    struct tess_team *team;
    int **start, *lists, option;
    unsigned char last;
    float *state, *scratch;
};

/* in [n][channels] at the network's input. The walk stays where it is in memory; walk_end frees
 * what it holds. */
void walk_begin(
    struct walk *walk, const struct tess_graph *graph, const float *in, int n, int option);
void walk_end(struct walk *walk);

/* Runs on until n_layers are passed. Returns what the last of them gave, [*n][its channels], which
 * lives until the next call. */
const float *walk_to(struct walk *walk, int n_layers, int *n);

/* A whole clip's activations, wherever a row gives one that is kept, against CASE's. Returns how many. */
int golden_walk(const struct tess_safetensors *golden,
                const char *of_case,
                const struct tess_graph *graph,
                const float *in,
                int n_in);

/* How many activations of a case are kept, both networks' and the latent. */
int golden_count(const struct tess_safetensors *golden, const char *of_case);

#endif
