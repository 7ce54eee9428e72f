/* Rows of every operator, on tiny networks: however the input is pushed, whoever else is in the
 * batch and however many threads run it, the bits are those of one push alone; convolutions, the LSTM
 * and the overlap are the plain sums. */
#include "tests/network.h"

#include <math.h>

enum { MAX_FRAMES = 43, MAX_PARTS = 4, MAX_TEAM = 8 };

static const struct network networks[] = {
    {"linear",
     5,  2,
     {ROW(CONV, "c", 0, 1, 7, KSD(1, 1, 1))},
     {{"c.weight", 7, 5, 0}, {"c.bias", 7, 0, 0}},
     0},
    {"kernel 7",
     5,  1,
     {ROW(CONV, "c", 0, 1, 18, KSD(7, 1, 1))},
     {{"c.weight", 18, 7, 5}, {"c.bias", 18, 0, 0}},
     0},
    {"kernel 4, stride 2",
     3,  4,
     {ROW(CONV, "c", 0, 1, 8, KSD(4, 2, 1))},
     {{"c.weight", 8, 4, 3}, {"c.bias", 8, 0, 0}},
     0},
    {"kernel 3, dilation 3",
     4,  1,
     {ROW(CONV, "c", 0, 1, 4, KSD(3, 1, 3))},
     {{"c.weight", 4, 3, 4}, {"c.bias", 4, 0, 0}},
     0},
    {"kernel 2, stride 2",
     4,  2,
     {ROW(CONV, "c", 0, 1, 4, KSD(2, 2, 1))},
     {{"c.weight", 4, 2, 4}, {"c.bias", 4, 0, 0}},
     0},
    {"look-ahead",
     4,  1,
     {ROW(CONV, "c", 0, 1, 4, KSD(5, 1, 2), .right = 3)},
     {{"c.weight", 4, 5, 4}, {"c.bias", 4, 0, 0}},
     0},
    {"mirrored",
     2,  1,
     {ROW(CONV, "c", 0, 1, 3, KSD(7, 1, 1), REFLECT)},
     {{"c.weight", 3, 7, 2}, {"c.bias", 3, 0, 0}},
     0},
    {"mirrored, look-ahead",
     2,  1,
     {ROW(CONV, "c", 0, 1, 3, KSD(7, 1, 1), .right = 3, REFLECT)},
     {{"c.weight", 3, 7, 2}, {"c.bias", 3, 0, 0}},
     0},
    {"mirrored, filled",
     2,  4,
     {ROW(CONV, "c", 0, 1, 3, KSD(8, 4, 1), .right = 2, .fill = 1, REFLECT)},
     {{"c.weight", 3, 8, 2}, {"c.bias", 3, 0, 0}},
     3},
    {"filled with zeros",
     2,  2,
     {ROW(CONV, "c", 0, 1, 3, KSD(4, 2, 1), .fill = 1)},
     {{"c.weight", 3, 4, 2}, {"c.bias", 3, 0, 0}},
     1},
    {"not filled",
     2,  2,
     {ROW(CONV, "c", 0, 1, 3, KSD(4, 2, 1))},
     {{"c.weight", 3, 4, 2}, {"c.bias", 3, 0, 0}},
     1},
    {"transposed",
     3,  1,
     {ROW(UPCONV, "u", 0, 1, 5, KSD(4, 2, 1))},
     {{"u.weight", 4, 5, 3}, {"u.bias", 5, 0, 0}},
     0},
    {"transposed, trimmed on both sides",
     3,  2,
     {ROW(UPCONV, "u", 0, 1, 2, KSD(7, 3, 1), .right = 1)},
     {{"u.weight", 7, 2, 3}, {"u.bias", 2, 0, 0}},
     0},
    {"transposed, without the end",
     3,  1,
     {ROW(UPCONV, "u", 0, 1, 5, KSD(2, 1, 1), .padding = TESS_PAD_NONE)},
     {{"u.weight", 2, 5, 3}, {"u.bias", 5, 0, 0}},
     0},
    {"depthwise",
     20, 1,
     {ROW(DEPTHWISE, "d", 0, 1, 0, KSD(7, 1, 1))},
     {{"d.weight", 7, 20, 0}, {"d.bias", 20, 0, 0}},
     0},
    {"depthwise, look-ahead",
     20, 1,
     {ROW(DEPTHWISE, "d", 0, 1, 20, KSD(7, 1, 1), .right = 3)},
     {{"d.weight", 7, 20, 0}, {"d.bias", 20, 0, 0}},
     0},
    {"norm",
     20, 3,
     {ROW(NORM, "n", 0, 1, 0, KSD(1, 1, 1), .value = 1e-6f)},
     {{"n.weight", 20, 0, 0}, {"n.bias", 20, 0, 0}},
     0},
    {"norm in place",
     20, 1,
     {ROW(NORM, "n", 0, 0, 20, KSD(1, 1, 1), .value = 1e-6f)},
     {{"n.weight", 20, 0, 0}, {"n.bias", 20, 0, 0}},
     0},
    {"gelu, scaled add in place",
     9,  2,
     {ROW(GELU, "g", 0, 1, 0, KSD(1, 1, 1)), ROW(SCALED_ADD, "a", 1, 0, 9, KSD(1, 1, 1))},
     {{"a", 9, 0, 0}},
     0},
    {"elu, a branch that lags, add",
     4,  1,
     {ROW(ELU, "e", 0, 1, 0, KSD(1, 1, 1)), ROW(CONV, "c", 1, 2, 4, KSD(5, 1, 1), .right = 4),
      ROW(ADD, "a", 2, 3, 4, KSD(1, 1, 1), .with = 1)},
     {{"c.weight", 4, 5, 4}, {"c.bias", 4, 0, 0}},
     0},
    {"lstm",
     3,  1,
     {ROW(LSTM, "l", 0, 1, 5, KSD(1, 1, 1))},
     {{"l.weight_ih", 20, 3, 0}, {"l.weight_hh", 20, 5, 0}, {"l.bias", 20, 0, 0}},
     0},
    {"analysis",
     1,  8,
     {ROW(STFT, "s", 0, 1, 14, KSD(12, 4, 1), .value = 0.1f),
      ROW(LOG_PHASE, "p", 1, 2, 13, KSD(3, 1, 1))},
     {{0}},
     0},
    {"synthesis",
     14, 2,
     {ROW(POLAR, "p", 0, 1, 14, KSD(1, 1, 1), .value = 6.0f),
      ROW(ISTFT, "s", 1, 0, 1, KSD(12, 4, 1), .value = 2.0f, .right = 8)},
     {{0}},
     0},
    {"overlap, all held back",
     14, 1,
     {ROW(ISTFT, "s", 0, 1, 1, KSD(12, 4, 1), .value = 1.0f, .right = 8)},
     {{0}},
     0},
    {"overlap, some held back",
     14, 1,
     {ROW(ISTFT, "s", 0, 1, 1, KSD(12, 4, 1), .value = 1.0f, .right = 3)},
     {{0}},
     0},
    {"one state after another",
     2,  4,
     {ROW(CONV, "a", 0, 1, 6, KSD(4, 2, 1), .right = 1),
      ROW(DEPTHWISE, "d", 1, 2, 6, KSD(3, 1, 1), .right = 1),
      ROW(CONV, "b", 2, 3, 5, KSD(3, 2, 3))},
     {{"a.weight", 6, 4, 2},
      {"a.bias", 6, 0, 0},
      {"d.weight", 3, 6, 0},
      {"d.bias", 6, 0, 0},
      {"b.weight", 5, 3, 6},
      {"b.bias", 5, 0, 0}},
     0},
};
enum { N_NETWORKS = sizeof networks / sizeof *networks };

static struct tess_allocator memory;

static float *floats(size_t n)
{
    float *p = calloc(n ? n : 1, sizeof *p);
    assert_non_null(p);
    return p;
}

/* ---- runs -------------------------------------------------------------------------------------- */

/* One stream's share of a run: n input steps, its state, room for the output and what it gave. */
struct part {
    const float *in;
    int n, last;
    float *state, *out;
    int n_out;
};

/* The batch's lists and slots, of exactly the size that the graph asks for. */
static void run(const struct network *net,
                const struct tess_graph *g,
                struct part *parts,
                int n_parts,
                int n_threads)
{
    int lists[MAX_CASE_ROWS + 1][MAX_PARTS + 1] = {{0}}, *start[MAX_CASE_ROWS + 1];
    float *states[MAX_PARTS], *scratch[MAX_TEAM] = {0};
    unsigned char last[MAX_PARTS];
    const int options[MAX_PARTS] = {0};
    struct tess_batch batch = {
        .n_streams = n_parts, .start = start, .states = states, .last = last, .option = options};
    struct tess_team *team;
    size_t n_frames = 0;
    for (int i = 0; i <= MAX_CASE_ROWS; i++)
        start[i] = lists[i];
    for (int b = 0; b < n_parts; b++) {
        states[b] = parts[b].state;
        last[b] = (unsigned char)parts[b].last;
        start[0][b + 1] = start[0][b] + parts[b].n;
        n_frames += (size_t)((parts[b].n + net->in_steps - 1) / net->in_steps);
        parts[b].n_out = (int)tess_graph_count(g, states[b], parts[b].n, last[b]);
    }
    for (int i = 0; i < TESS_MAX_SLOTS; i++)
        batch.slots[i] = floats(n_frames * g->slot_frame[i] + (size_t)n_parts * g->slot_lag[i]);
    for (int i = 0; i < n_threads; i++) {
        scratch[i] = tess_base_alloc(&memory, g->n_scratch * sizeof(float));
        assert_non_null(scratch[i]);
    }
    assert_int_equal(tess_team_create(&team, n_threads, &memory), 0);
    for (int b = 0; b < n_parts; b++)
        memcpy(batch.slots[0] + start[0][b] * net->in_channels, parts[b].in,
               (size_t)(parts[b].n * net->in_channels) * sizeof(float));
    tess_graph_lay_out(g, &batch);
    tess_graph_run(g, &batch, team, scratch, NULL);
    for (int b = 0; b < n_parts; b++) {
        const int *out = start[g->n_layers];
        assert_int_equal(out[b + 1] - out[b], parts[b].n_out);
        memcpy(parts[b].out, batch.slots[g->out_slot] + out[b] * g->out_channels,
               (size_t)(parts[b].n_out * g->out_channels) * sizeof(float));
    }
    tess_team_destroy(team);
    for (int i = 0; i < n_threads; i++)
        tess_base_free(&memory, scratch[i]);
    for (int i = 0; i < TESS_MAX_SLOTS; i++)
        free(batch.slots[i]);
}

/* What one push alone of all input gives: output and state. */
struct truth {
    const struct network *net;
    const struct loaded *loaded;
    const struct tess_graph *graph;
    int n, n_out; /* steps */
    float *in, *out, *state;
};

static float *room_for_output(const struct truth *t)
{
    return floats((size_t)((t->n * (t->graph->out_steps + 1) + 1) * t->graph->out_channels));
}

static void check_network(const struct network *net, int n_frames, void (*check)(struct truth *))
{
    struct loaded *l = malloc(sizeof *l);
    struct tess_why why = {""};
    assert_non_null(l);
    if (network_load(l, net, &memory, &why)) fail_msg("%s: %s", net->name, why.text);
    struct truth t = {net, l, &l->graph, n_frames * net->in_steps + net->rest, 0, NULL, NULL, NULL};
    t.in = floats((size_t)(t.n * net->in_channels));
    t.out = room_for_output(&t);
    t.state = floats(l->graph.n_state);
    uint64_t seed = 1;
    for (int i = 0; i < t.n * net->in_channels; i++)
        t.in[i] = random_float(&seed);
    struct part all = {t.in, t.n, 1, t.state, t.out, 0};
    run(net, t.graph, &all, 1, 1);
    t.n_out = all.n_out;
    check(&t);
    free(t.in);
    free(t.out);
    free(t.state);
    network_unload(l);
}

/* Short clips too: there a mirrored one has less than it mirrors. */
static void each_network(void (*check)(struct truth *))
{
    static const int frames[] = {0, 1, 2, 3, 5, MAX_FRAMES};
    for (int i = 0; i < N_NETWORKS; i++)
        for (size_t k = 0; k < sizeof frames / sizeof *frames; k++)
            check_network(&networks[i], frames[k], check);
}

static void is_truth(const struct truth *t, const float *out, int n_out, const float *state)
{
    if (n_out != t->n_out) fail_msg("%s: %d steps of %d", t->net->name, n_out, t->n_out);
    if (memcmp(out, t->out, (size_t)(n_out * t->graph->out_channels) * sizeof *out))
        fail_msg("%s: another output", t->net->name);
    if (memcmp(state, t->state, t->graph->n_state * sizeof *state))
        fail_msg("%s: another state", t->net->name);
}

/* Whole frames, and the end with the last of them or, where there is more or nothing, by itself. */
static void pushes_are_one_push(struct truth *t)
{
    static const int sizes[] = {1, 2, 3, 7};
    for (int i = 0; i < 8; i++) {
        const int size = sizes[i / 2] * t->net->in_steps, end_alone = i % 2 || t->net->rest;
        float *out = room_for_output(t), *state = floats(t->graph->n_state);
        struct part p = {.in = t->in, .state = state, .out = out};
        int left = t->n, n_out = 0;
        while (!p.last) {
            const int whole = left - left % t->net->in_steps;
            p.n = whole == 0 ? left : whole < size ? whole : size;
            p.last = end_alone ? whole == 0 : p.n == left;
            run(t->net, t->graph, &p, 1, 1);
            p.in += p.n * t->net->in_channels;
            p.out += p.n_out * t->graph->out_channels;
            n_out += p.n_out;
            left -= p.n;
        }
        is_truth(t, out, n_out, state);
        free(out);
        free(state);
    }
}

/* Four streams with the same input, at different places of it; a second batch brings them all to
 * the end. */
static void company_changes_nothing(struct truth *t, int n_threads)
{
    const int part_frames[MAX_PARTS] = {23, 1, 7, 12};
    struct part parts[MAX_PARTS];
    int n_out[MAX_PARTS];
    for (int b = 0; b < MAX_PARTS; b++)
        parts[b] = (struct part){t->in,
                                 part_frames[b] * t->net->in_steps,
                                 0,
                                 floats(t->graph->n_state),
                                 room_for_output(t),
                                 0};
    run(t->net, t->graph, parts, MAX_PARTS, n_threads);
    for (int b = 0; b < MAX_PARTS; b++) {
        struct part *p = &parts[b];
        n_out[b] = p->n_out;
        p->out += p->n_out * t->graph->out_channels;
        p->in += p->n * t->net->in_channels;
        p->n = t->n - p->n;
        p->last = 1;
    }
    run(t->net, t->graph, parts, MAX_PARTS, n_threads);
    for (int b = 0; b < MAX_PARTS; b++) {
        float *out = parts[b].out - n_out[b] * t->graph->out_channels;
        is_truth(t, out, n_out[b] + parts[b].n_out, parts[b].state);
        free(out);
        free(parts[b].state);
    }
}

static void company_and_threads_change_nothing(struct truth *t)
{
    static const int threads[] = {1, 2, 3, MAX_TEAM};
    for (size_t i = 0; i < sizeof threads / sizeof *threads; i++)
        company_changes_nothing(t, threads[i]);
}

static void test_pushes(void **state)
{
    (void)state;
    each_network(pushes_are_one_push);
}

static void test_company_and_threads(void **state)
{
    (void)state;
    for (int i = 0; i < N_NETWORKS; i++)
        check_network(&networks[i], MAX_FRAMES, company_and_threads_change_nothing);
}

/* ---- sums, written down once more --------------------------------------------------------------- */

static float *values_of(const struct truth *t, const char *name)
{
    const struct tess_tensor *tensor = tess_safetensors_find(&t->loaded->tensors, name);
    assert_non_null(tensor);
    float *values = floats(tensor->n_elements);
    assert_int_equal(tess_safetensors_widen(tensor, values, NULL), 0);
    return values;
}

/* rows.h on padding: the input as the window sees it, `before` steps earlier and `after` later. */
static float *continued(const struct truth *t, int before, int after)
{
    const int c = t->net->in_channels, most = before > after ? before : after;
    const int n = t->n > most ? t->n : most + 1; /* zeros, if too short to be mirrored */
    float *x = floats((size_t)((before + n + after) * c));
    for (int i = -before; i < n + after; i++) {
        int from = i;
        if (t->net->rows[0].padding == TESS_PAD_REFLECT)
            from = i < 0 ? -i : i >= n ? 2 * (n - 1) - i : i;
        if (from >= 0 && from < t->n)
            memcpy(x + (before + i) * c, t->in + from * c, (size_t)c * sizeof *x);
    }
    return x;
}

static void is_plain_conv(struct truth *t)
{
    const struct tess_row *row = &t->net->rows[0];
    const int n_in = t->net->in_channels;
    if (row->op != TESS_OP_CONV || t->net->rows[1].kernel) return;
    float *w = values_of(t, "c.weight"), *bias = values_of(t, "c.bias");
    const int before = (row->kernel - 1) * row->dilation + 1 - row->stride - row->right;
    const int lack = row->fill ? (row->stride - t->n % row->stride) % row->stride : 0;
    float *x = continued(t, before, row->right + lack);
    assert_int_equal(t->n_out, (t->n + lack) / row->stride);
    for (int step = 0; step < t->n_out; step++)
        for (int c = 0; c < row->channels; c++) {
            float acc = 0.0f;
            for (int k = 0; k < row->kernel; k++)
                for (int i = 0; i < n_in; i++)
                    acc = fmaf(x[(step * row->stride + k * row->dilation) * n_in + i],
                               w[(c * row->kernel + k) * n_in + i], acc);
            if (t->out[step * row->channels + c] != acc + bias[c])
                fail_msg("%s of %d: step %d", t->net->name, t->n, step);
        }
    free(w);
    free(bias);
    free(x);
}

static void is_plain_depthwise(struct truth *t)
{
    const struct tess_row *row = &t->net->rows[0];
    const int n = t->net->in_channels;
    if (row->op != TESS_OP_DEPTHWISE) return;
    float *w = values_of(t, "d.weight"), *bias = values_of(t, "d.bias");
    float *x = continued(t, row->kernel - 1 - row->right, row->right);
    assert_int_equal(t->n_out, t->n);
    for (int step = 0; step < t->n; step++)
        for (int c = 0; c < n; c++) {
            float acc = bias[c];
            for (int k = 0; k < row->kernel; k++)
                acc = fmaf(w[k * n + c], x[(step + k) * n + c], acc);
            assert_true(t->out[step * n + c] == acc);
        }
    free(w);
    free(bias);
    free(x);
}

/* Each input step spread out, oldest first. */
static void is_plain_upconv(struct truth *t)
{
    const struct tess_row *row = &t->net->rows[0];
    const int n_in = t->net->in_channels, n = row->channels;
    if (row->op != TESS_OP_UPCONV) return;
    float *w = values_of(t, "u.weight"), *bias = values_of(t, "u.bias");
    int n_out = t->n * row->stride;
    if (row->padding == TESS_PAD_NONE) n_out -= row->kernel - row->stride - row->right;
    assert_int_equal(t->n_out, n_out < 0 ? 0 : n_out);
    for (int out = 0; out < t->n_out; out++)
        for (int c = 0; c < n; c++) {
            const int at = out + row->kernel - row->stride - row->right; /* untrimmed */
            float acc = 0.0f;
            for (int step = 0; step < t->n; step++) {
                const int k = at - step * row->stride;
                if (k < 0 || k >= row->kernel) continue;
                for (int i = 0; i < n_in; i++)
                    acc = fmaf(t->in[step * n_in + i], w[(k * n + c) * n_in + i], acc);
            }
            assert_true(t->out[out * n + c] == acc + bias[c]);
        }
    free(w);
    free(bias);
}

static float product(const float *x, const float *w, int n)
{
    float acc = 0.0f;
    for (int i = 0; i < n; i++)
        acc = fmaf(x[i], w[i], acc);
    return acc;
}

/* The gates are tests/test_ops.c's business. */
static void is_plain_lstm(struct truth *t)
{
    const int n_in = t->net->in_channels, n = t->net->rows[0].channels;
    if (t->net->rows[0].op != TESS_OP_LSTM) return;
    float *w_in = values_of(t, "l.weight_ih"), *w_back = values_of(t, "l.weight_hh");
    float *bias = values_of(t, "l.bias"), *h = floats((size_t)n), *c = floats((size_t)n);
    float *from_x = floats((size_t)(4 * n)), *from_h = floats((size_t)(4 * n));
    for (int step = 0; step < t->n; step++) {
        for (int i = 0; i < 4 * n; i++) {
            from_x[i] = product(t->in + step * n_in, w_in + i * n_in, n_in) + bias[i];
            from_h[i] = product(h, w_back + i * n, n) + 0.0f;
        }
        tess_ops(TESS_SCALAR)->lstm(from_x, from_h, c, h, n);
        assert_memory_equal(t->out + step * n, h, (size_t)n * sizeof *h);
    }
    free(w_in);
    free(w_back);
    free(bias);
    free(h);
    free(c);
    free(from_x);
    free(from_h);
}

/* All that the transform gives, flushed, but for the samples to be dropped. */
static void is_plain_istft(struct truth *t)
{
    const struct tess_row *row = &t->net->rows[0];
    if (row->op != TESS_OP_ISTFT) return;
    const struct tess_stft *stft = t->graph->layers[0].stft;
    float *all = floats((size_t)(t->n * row->stride + row->kernel));
    float *overlap = floats(tess_stft_state(stft));
    void *scratch = tess_base_alloc(&memory, tess_stft_scratch(stft));
    assert_non_null(scratch);
    tess_istft_push(stft, overlap, t->in, t->n, all, scratch);
    tess_istft_flush(stft, overlap, all + t->n * row->stride);
    assert_int_equal(t->n_out, t->n * row->stride);
    assert_memory_equal(t->out, all + row->right, (size_t)t->n_out * sizeof *all);
    free(all);
    free(overlap);
    tess_base_free(&memory, scratch);
}

static void test_plain_sums(void **state)
{
    (void)state;
    each_network(is_plain_conv);
    each_network(is_plain_depthwise);
    each_network(is_plain_upconv);
    each_network(is_plain_lstm);
    each_network(is_plain_istft);
}

int main(void)
{
    memory = tess_base_allocator(NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pushes),
        cmocka_unit_test(test_company_and_threads),
        cmocka_unit_test(test_plain_sums),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
