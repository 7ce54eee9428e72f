/* Golden tensors by name, and layers run one after the other. */
#include "tests/golden.h"

#include "tests/check.h"
#include "tests/codec.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void golden_open(struct tess_safetensors *golden, const char *name)
{
    char path[128];
    struct tess_why why = {""};
    snprintf(path, sizeof path, "tests/families/%s/golden_1.safetensors", name);
    if (tess_safetensors_open(golden, path, NULL, &why)) fail_msg("%s: %s", path, why.text);
}

const struct tess_tensor *
golden_find(const struct tess_safetensors *golden, const char *prefix, const char *name)
{
    char full[128];
    snprintf(full, sizeof full, "%s.%s", prefix, name);
    return tess_safetensors_find(golden, full);
}

float *golden_values(const struct tess_safetensors *golden, const char *prefix, const char *name)
{
    const struct tess_tensor *tensor = golden_find(golden, prefix, name);
    if (!tensor) fail_msg("no golden %s.%s", prefix, name);
    float *values = zeros(tensor->n_elements, sizeof *values);
    assert_int_equal(tess_safetensors_widen(tensor, values, NULL), 0);
    return values;
}

uint16_t *
golden_codes(const struct tess_safetensors *golden, const char *of_case, int *n_frames, int *k)
{
    const struct tess_tensor *tensor = golden_find(golden, of_case, "codes");
    assert_non_null(tensor);
    uint16_t *codes = zeros(tensor->n_elements, sizeof *codes);
    for (size_t i = 0; i < tensor->n_elements; i++)
        codes[i] = (uint16_t)tess_le32(tensor->data + 4 * i);
    *n_frames = tensor->dims[0];
    *k = tensor->dims[1];
    return codes;
}

static void compare(const char *of_case,
                    const char *name,
                    const char *part,
                    const float *got,
                    const float *want,
                    size_t n,
                    float limit)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(got[i] - want[i]) <= limit)) /* a NaN is not */
            fail_msg("%s.%s%s[%zu]: %g instead of %g, limit %g", of_case, name, part, i,
                     (double)got[i], (double)want[i], (double)limit);
}

static float *root_mean_squares(const float *rows, int n, int width)
{
    float *out = zeros((size_t)width, sizeof *out);
    for (int c = 0; c < width; c++) {
        double sum = 0.0;
        for (int t = 0; t < n; t++) {
            double x = (double)rows[(size_t)t * (size_t)width + (size_t)c];
            sum += x * x;
        }
        out[c] = (float)sqrt(sum / n);
    }
    return out;
}

void golden_check(const struct tess_safetensors *golden,
                  const char *of_case,
                  const char *name,
                  const float *rows,
                  int n,
                  int width)
{
    char at[96];
    snprintf(at, sizeof at, "%s.%s", of_case, name);
    float *limit = golden_values(golden, at, "limit");
    const struct tess_tensor *whole = golden_find(golden, of_case, name);
    if (whole) {
        float *want = golden_values(golden, of_case, name);
        assert_int_equal(whole->n_elements, n * width);
        compare(of_case, name, "", rows, want, whole->n_elements, *limit);
        free(want);
    } else {
        const struct tess_tensor *head = golden_find(golden, at, "head");
        float *first = golden_values(golden, at, "head"), *last = golden_values(golden, at, "tail");
        const int kept = head->dims[0];
        assert_int_equal(head->n_elements, kept * width);
        assert_true(n >= kept);
        compare(of_case, name, ".head", rows, first, head->n_elements, *limit);
        compare(of_case, name, ".tail", rows + (size_t)(n - kept) * (size_t)width, last,
                head->n_elements, *limit);
        free(first);
        free(last);
    }
    if (golden_find(golden, at, "rms")) {
        float *want = golden_values(golden, at, "rms"), *got = root_mean_squares(rows, n, width);
        compare(of_case, name, ".rms", got, want, (size_t)width, *limit);
        free(want);
        free(got);
    }
    free(limit);
}

/* ---- a network between its layers -------------------------------------------------------------- */

void walk_begin(struct walk *w, const struct tess_graph *graph, const float *in, int n, int option)
{
    *w = (struct walk){.graph = graph, .option = option, .last = 1};
    const size_t n_points = (size_t)graph->n_layers + 1;
    const int steps = graph->layers->in_steps, n_frames = (n + steps - 1) / steps;
    w->start = zeros(n_points, sizeof *w->start);
    w->lists = zeros(n_points, 2 * sizeof *w->lists);
    for (size_t i = 0; i < n_points; i++)
        w->start[i] = w->lists + 2 * i;
    w->start[0][1] = n;
    w->state = zeros(graph->n_state, sizeof *w->state);
    w->scratch = tess_base_alloc(&graph->allocator, graph->n_scratch * sizeof *w->scratch);
    assert_non_null(w->scratch);
    w->batch = (struct tess_batch){.n_streams = 1,
                                   .start = w->start,
                                   .states = &w->state,
                                   .last = &w->last,
                                   .option = &w->option};
    for (int i = 0; i < TESS_MAX_SLOTS; i++)
        w->batch.slots[i] =
            zeros(graph->slot_frame[i] * (size_t)n_frames + graph->slot_lag[i], sizeof(float));
    memcpy(w->batch.slots[0], in, (size_t)n * (size_t)graph->layers->in_channels * sizeof *in);
    assert_int_equal(tess_team_create(&w->team, 1, &graph->allocator), 0);
    tess_graph_lay_out(graph, &w->batch);
}

void walk_end(struct walk *w)
{
    tess_team_destroy(w->team);
    for (int i = 0; i < TESS_MAX_SLOTS; i++)
        free(w->batch.slots[i]);
    tess_base_free(&w->graph->allocator, w->scratch);
    free(w->state);
    free(w->lists);
    free(w->start);
}

/* The layers between are a network too: they name points and slots of the whole one. */
const float *walk_to(struct walk *w, int n_layers, int *n)
{
    struct tess_graph part = *w->graph;
    part.layers += w->n_layers;
    part.n_layers = n_layers - w->n_layers;
    tess_graph_run(&part, &w->batch, w->team, &w->scratch, NULL);
    w->n_layers = n_layers;
    *n = w->start[n_layers][1];
    return w->batch.slots[w->graph->layers[n_layers - 1].row.out];
}
