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

/* ---- activations ------------------------------------------------------------------------------- */

/* Which of our rows gives which published activation, by the row's tensor; `from` is the first of its
 * channels. Where several rows stand for one name, a family has one of them. */
static const struct tap {
    const char *name, *row;
    int from;
} taps[] = {
  /* SEANet, numbered as published */
    {"enc.0",          "encoder.0",                    0  },
    {"enc.1",          "encoder.1",                    0  },
    {"enc.3",          "encoder.3",                    0  },
    {"enc.12",         "encoder.12",                   0  },
    {"enc.lstm",       "encoder.13",                   0  },
    {"latent",         "encoder.15",                   0  },
    {"dec.0",          "decoder.0",                    0  },
    {"dec.lstm",       "decoder.1",                    0  },
    {"dec.2",          "decoder.2",                    0  },
    {"dec.3",          "decoder.3",                    0  },
    {"dec.4",          "decoder.4",                    0  },
    {"dec.11",         "decoder.11",                   0  },
    {"dec.12",         "decoder.12",                   0  },
 /* Mimi around it */
    {"enc.out",        "encoder.14",                   0  },
    {"enc.tr_layer0",  "encoder.transformer.0.gain_2", 0  },
    {"enc.tr",         "encoder.transformer.7.gain_2", 0  },
    {"latent",         "encoder.downsample",           0  },
    {"q.in_first",     "quantizer.input",              0  },
    {"q.in_rest",      "quantizer.input",              256},
    {"dec.up",         "decoder.upsample",             0  },
    {"dec.tr_layer0",  "decoder.transformer.0.gain_2", 0  },
    {"dec.tr",         "decoder.transformer.7.gain_2", 0  },
 /* HiFi-Codec */
    {"enc.pre",        "encoder.in",                   0  },
    {"enc.up0",        "encoder.0.down",               0  },
    {"enc.norm0",      "encoder.0.branch.0.norm",      0  },
    {"enc.norm11",     "encoder.3.branch.2.norm",      0  },
    {"latent",         "encoder.out",                  0  },
    {"dec.pre",        "decoder.in",                   0  },
    {"dec.res2",       "decoder.0.branch.2.2",         0  },
    {"dec.up3",        "decoder.3.up",                 0  },
 /* Language-Codec's decoder */
    {"dec.embed",      "decoder.in",                   0  },
    {"dec.norm",       "decoder.in_norm",              0  },
    {"dec.block0",     "decoder.0.gain",               0  },
    {"dec.block11",    "decoder.11.gain",              0  },
    {"dec.final_norm", "decoder.out_norm",             0  },
    {"dec.head_out",   "decoder.head",                 0  },
};

/* A norm that has no other name than its layer's is part of the layer. */
static size_t name_length(const char *tensor)
{
    const char *norm = strstr(tensor, ".norm");
    return norm && !norm[5] ? (size_t)(norm - tensor) : strlen(tensor);
}

static int is_of_name(const char *tensor, const char *name)
{
    const size_t n = name_length(name);
    return name_length(tensor) == n && !strncmp(tensor, name, n);
}

static int is_last_of_name(const struct tess_graph *graph, int i)
{
    for (int j = i + 1; j < graph->n_layers; j++)
        if (is_of_name(graph->layers[j].row.tensor, graph->layers[i].row.tensor)) return 0;
    return 1;
}

/* Channels from..from + width of rows [n][channels]; free them. */
static float *slice(const float *rows, int n, int channels, int from, int width)
{
    float *out = zeros((size_t)n * (size_t)width, sizeof *out);
    for (int t = 0; t < n; t++)
        memcpy(out + (size_t)t * (size_t)width, rows + (size_t)t * (size_t)channels + from,
               (size_t)width * sizeof *out);
    return out;
}

/* The taps that layer i gives, rows [n][its channels]. Returns how many of them are golden. */
static int check_taps(const struct tess_safetensors *golden,
                      const char *of_case,
                      const struct tess_layer *layer,
                      const float *rows,
                      int n)
{
    int n_checked = 0;
    for (size_t i = 0; i < sizeof taps / sizeof *taps; i++) {
        char at[64];
        if (!is_of_name(layer->row.tensor, taps[i].row)) continue;
        snprintf(at, sizeof at, "%s.%s", of_case, taps[i].name);
        const struct tess_tensor *head = golden_find(golden, at, "head");
        if (!head) continue;
        float *part = slice(rows, n, layer->channels, taps[i].from, head->dims[1]);
        golden_check(golden, of_case, taps[i].name, part, n, head->dims[1]);
        free(part);
        n_checked++;
    }
    return n_checked;
}

int golden_walk(const struct tess_safetensors *golden,
                const char *of_case,
                const struct tess_graph *graph,
                const float *in,
                int n_in)
{
    int n, n_checked = 0;
    struct walk walk;
    walk_begin(&walk, graph, in, n_in, 0);
    for (int i = 0; i < graph->n_layers; i++) {
        const float *rows = walk_to(&walk, i + 1, &n);
        if (is_last_of_name(graph, i))
            n_checked += check_taps(golden, of_case, &graph->layers[i], rows, n);
    }
    walk_end(&walk);
    return n_checked;
}

int golden_count(const struct tess_safetensors *golden, const char *of_case)
{
    int n = 0;
    for (int i = 0; i < golden->n_tensors; i++) {
        const char *tensor = golden->tensors[i].name, *dot = strrchr(tensor, '.');
        n += !strncmp(tensor, of_case, strlen(of_case)) && dot && !strcmp(dot, ".head") &&
             !strstr(tensor, ".audio_");
    }
    return n;
}
