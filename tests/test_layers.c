/* What the operators of tests/network.c compute, written down once more as plain sums: to the bit where
 * the definition has it, else as near as tests/test_ops.c allows. */
#include "tests/network.h"

#include <math.h>

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
        if (t->net->rows[0].padding == TESS_PAD_FIRST && i < 0) from = 0;
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
    float *w = values_of(t, "c.weight");
    float *bias = row->plain ? floats((size_t)row->channels) : values_of(t, "c.bias");
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
    const int trimmed = row->fill ? 0 : row->kernel - row->stride - row->right; /* on the left */
    if (row->padding == TESS_PAD_NONE) n_out -= trimmed;
    if (row->fill && t->n) n_out += row->kernel - row->stride;
    assert_int_equal(t->n_out, n_out < 0 ? 0 : n_out);
    for (int out = 0; out < t->n_out; out++)
        for (int c = 0; c < n; c++) {
            const int at = out + trimmed; /* untrimmed */
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

/* Sum of the squared Hann windows of frames from..to over sample p. */
static double overlap_at(const struct tess_row *row, int p, int from, int to)
{
    double sum = 0.0;
    for (int t = from; t < to; t++) {
        const int i = p - t * row->stride;
        const double w = 0.5 - 0.5 * cos(2.0 * 3.14159265358979324 * i / row->kernel);
        if (i >= 0 && i < row->kernel) sum += w * w;
    }
    return sum;
}

/* All that the transform gives, flushed, but for the samples to be dropped; what it is divided by is
 * rounded once. */
static void is_plain_istft(struct truth *t)
{
    const struct tess_row *row = &t->net->rows[0];
    const struct tess_allocator memory = tess_base_allocator(NULL);
    if (row->op != TESS_OP_ISTFT) return;
    const struct tess_stft *stft = t->graph->layers[0].stft;
    float *all = floats((size_t)(t->n * row->stride + row->kernel));
    float *overlap = floats(tess_stft_state(stft));
    void *scratch = tess_base_alloc(&memory, tess_stft_scratch(stft));
    assert_non_null(scratch);
    tess_istft_push(stft, overlap, t->in, t->n, all, scratch);
    tess_istft_flush(stft, overlap, all + t->n * row->stride);
    assert_int_equal(t->n_out, t->n * row->stride);
    for (int i = 0; i < t->n_out; i++) {
        const int p = row->right + i;
        double want = (double)all[p];
        if (row->fill)
            want *=
                overlap_at(row, p, -row->kernel, t->n + row->kernel) / overlap_at(row, p, 0, t->n);
        assert_true(fabs((double)t->out[i] - want) <= (row->fill ? 0x1p-23 * fabs(want) : 0.0));
    }
    free(all);
    free(overlap);
    tess_base_free(&memory, scratch);
}

/* Each input step spread out, oldest first; what hangs over at the end is cut. */
static void is_plain_updepth(struct truth *t)
{
    const struct tess_row *row = &t->net->rows[0];
    const int n = t->net->in_channels;
    if (row->op != TESS_OP_UPDEPTH) return;
    float *w = values_of(t, "d.weight");
    assert_int_equal(t->n_out, t->n * row->stride);
    for (int out = 0; out < t->n_out; out++)
        for (int c = 0; c < n; c++) {
            float acc = 0.0f;
            for (int step = 0; step < t->n; step++) {
                const int k = out - step * row->stride;
                if (k >= 0 && k < row->kernel) acc = fmaf(w[k * n + c], t->in[step * n + c], acc);
            }
            assert_true(t->out[out * n + c] == acc);
        }
    free(w);
}

/* Streams that choose differently, in one batch. */
static void is_plain_chosen_norm(struct truth *t)
{
    const int n = t->net->in_channels;
    if (t->net->rows[0].op != TESS_OP_CHOSEN_NORM) return;
    float *scale = values_of(t, "n.scale"), *shift = values_of(t, "n.shift"),
          *want = floats((size_t)n);
    struct part parts[N_OPTIONS];
    for (int b = 0; b < N_OPTIONS; b++)
        parts[b] = (struct part){.in = t->in,
                                 .n = t->n,
                                 .state = t->state,
                                 .out = room_for_output(t),
                                 .option = N_OPTIONS - 1 - b};
    network_run(t->net, t->graph, parts, N_OPTIONS, 2);
    for (int b = 0; b < N_OPTIONS; b++) {
        const int chosen = parts[b].option * n;
        assert_int_equal(parts[b].n_out, t->n);
        for (int step = 0; step < t->n; step++) {
            tess_ops(TESS_SCALAR)
                ->norm(t->in + step * n, scale + chosen, shift + chosen, 1e-6f, want, n);
            assert_memory_equal(parts[b].out + step * n, want, (size_t)n * sizeof *want);
        }
        free(parts[b].out);
    }
    free(scale);
    free(shift);
    free(want);
}

/* Row i of x [heads][dim], turned to step t. */
static void turned(const float *x, int t, int dim, double period, double *out)
{
    for (int j = 0; j < dim / 2; j++) {
        const double angle = t * pow(period, -2.0 * j / dim);
        const double a = (double)x[2 * j], b = (double)x[2 * j + 1];
        out[2 * j] = a * cos(angle) - b * sin(angle);
        out[2 * j + 1] = a * sin(angle) + b * cos(angle);
    }
}

/* One head's output at a step, from queries, keys and values [n][3][heads][dim] of which this head's
 * begin at qkv. */
static void attend(const struct truth *t, const float *qkv, int step, int dim, double *out)
{
    const struct tess_row *row = &t->net->rows[0];
    const int width = t->net->in_channels, third = width / 3;
    const int first = step - row->kernel + 1 > 0 ? step - row->kernel + 1 : 0;
    double q[16], k[16], sum = 0.0;
    turned(qkv + step * width, step, dim, (double)row->value, q);
    memset(out, 0, (size_t)dim * sizeof *out);
    for (int s = first; s <= step; s++) {
        double score = 0.0;
        turned(qkv + s * width + third, s, dim, (double)row->value, k);
        for (int c = 0; c < dim; c++)
            score += q[c] * k[c];
        const double weight = exp(score / sqrt((double)dim));
        sum += weight;
        for (int c = 0; c < dim; c++)
            out[c] += weight * (double)qkv[s * width + 2 * third + c];
    }
    for (int c = 0; c < dim; c++)
        out[c] /= sum;
}

/* What tests/test_ops.c allows for attending, and as much again for scores of keys turned by angles that
 * are rounded: 3e-7 at most, measured. */
static void is_plain_attention(struct truth *t)
{
    const struct tess_row *row = &t->net->rows[0];
    if (row->op != TESS_OP_ATTENTION) return;
    const int n = t->net->in_channels / 3, heads = row->stride, dim = n / heads;
    double want[16];
    assert_int_equal(t->n_out, t->n);
    for (int step = 0; step < t->n; step++)
        for (int h = 0; h < heads; h++) {
            attend(t, t->in + h * dim, step, dim, want);
            for (int c = 0; c < dim; c++)
                assert_true(fabs((double)t->out[step * n + h * dim + c] - want[c]) <= 6e-7);
        }
}

/* A stream that has run for a year of Mimi's steps attends as one that has just filled its ring:
 * positions are relative. What was in the ring before is not there, so the first steps are left out.
 * Both may be as far off as is_plain_attention allows. */
static void test_attention_after_a_year(void **state)
{
    (void)state;
    enum { CONTEXT = 5, WIDTH = 12, STEPS = 20 };
    static const struct network net = {
        "attention", 3 * WIDTH,
        1,           {ROW(ATTENTION, "a", 0, 1, 0, KSD(CONTEXT, 2, 1), .value = 100.0f)},
        {{0}},       0};
    const int64_t year = INT64_C(1) << 30;
    struct loaded *l = malloc(sizeof *l);
    const struct tess_allocator memory = tess_base_allocator(NULL);
    struct tess_why why;
    assert_non_null(l);
    assert_int_equal(network_load(l, &net, &memory, &why), 0);
    float *in = floats(STEPS * 3 * WIDTH), *early = floats(STEPS * WIDTH),
          *late = floats(STEPS * WIDTH);
    float *states[] = {floats(l->graph.n_state), floats(l->graph.n_state)};
    uint64_t seed = 1;
    for (int i = 0; i < STEPS * 3 * WIDTH; i++)
        in[i] = random_float(&seed);
    tess_count_on(states[1], year - year % CONTEXT);
    struct part parts[] = {
        {.in = in, .n = STEPS, .state = states[0], .out = early},
        {.in = in, .n = STEPS, .state = states[1], .out = late }
    };
    network_run(&net, &l->graph, parts, 2, 1);
    for (int i = CONTEXT * WIDTH; i < STEPS * WIDTH; i++)
        assert_true(fabsf(early[i] - late[i]) <= 2 * 6e-7f);
    for (int b = 0; b < 2; b++)
        free(states[b]);
    free(in);
    free(early);
    free(late);
    network_unload(l);
}

static void test_plain_sums(void **state)
{
    (void)state;
    each_network(is_plain_conv);
    each_network(is_plain_depthwise);
    each_network(is_plain_upconv);
    each_network(is_plain_lstm);
    each_network(is_plain_istft);
    each_network(is_plain_updepth);
    each_network(is_plain_chosen_norm);
    each_network(is_plain_attention);
}

/* Sums in double, then a factor, an offset and a fused product of both: each of the three is rounded. */
static void is_plain_group_norm(struct truth *t)
{
    const struct tess_row *row = &t->net->rows[0];
    const int n = t->net->in_channels, group = row->kernel;
    float *scale = values_of(t, "n.weight"), *shift = values_of(t, "n.bias");
    assert_true(t->graph->whole);
    assert_int_equal(t->n_out, t->n);
    for (int first = 0; first < n; first += group) {
        double mean = 0.0, variance = 0.0;
        const int count = t->n * group;
        for (int i = 0; i < count; i++)
            mean += (double)t->in[i / group * n + first + i % group] / count;
        for (int i = 0; i < count; i++)
            variance += pow((double)t->in[i / group * n + first + i % group] - mean, 2.0) / count;
        for (int i = 0; i < count; i++) {
            const int c = first + i % group, at = i / group * n + c;
            const double factor = (double)scale[c] / sqrt(variance + (double)row->value);
            const double scaled = (double)t->in[at] * factor;
            const double offset = (double)shift[c] - mean * factor, want = scaled + offset;
            assert_true(fabs((double)t->out[at] - want) <=
                        0x1p-24 * (fabs(scaled) + fabs(offset) + fabs(want)) + 1e-12);
        }
    }
    free(scale);
    free(shift);
}

static void test_group_norm(void **state)
{
    (void)state;
    static const struct network net = {
        "group norm",
        6,
        1,
        {ROW(GROUP_NORM, "n", 0, 1, 0, KSD(3, 1, 1), .value = 1e-6f)},
        {{"n.weight", 6, 0, 0},             {"n.bias", 6, 0, 0}              },
        0
    };
    static const int frames[] = {0, 1, 2, MAX_FRAMES};
    for (size_t i = 0; i < sizeof frames / sizeof *frames; i++)
        check_network(&net, frames[i], is_plain_group_norm);
}

static float *trimmed_within; /* what UPCONV alone gave */

static void keep_output(struct truth *t)
{
    trimmed_within = room_for_output(t);
    memcpy(trimmed_within, t->out, (size_t)(t->n_out * t->graph->out_channels) * sizeof *t->out);
}

static void is_kept_output(struct truth *t)
{
    assert_true(t->graph->whole);
    assert_int_equal(t->n_out, t->n * 3);
    assert_memory_equal(t->out, trimmed_within,
                        (size_t)(t->n_out * t->graph->out_channels) * sizeof *t->out);
    free(trimmed_within);
}

/* A row that trims, behind a transposed convolution that does not, is one that does. */
static void test_trim(void **state)
{
    (void)state;
    static const struct network within = {
        "trimmed within",
        3,
        1,
        {ROW(UPCONV, "u", 0, 1, 2, KSD(7, 3, 1), .right = 1)},
        {{"u.weight", 7, 2, 3},         {"u.bias", 2, 0, 0}          },
        0
    };
    static const struct network behind = {
        "trimmed behind",
        3,
        1,
        {ROW(UPCONV, "u", 0, 1, 2, KSD(7, 3, 1), .fill = 1),
          ROW(TRIM, "t", 1, 0, 0, KSD(3, 1, 1), .right = 1)},
        {{"u.weight", 7, 2, 3},         {"u.bias", 2, 0, 0}          },
        0
    };
    static const int frames[] = {0, 1, 2, MAX_FRAMES};
    for (size_t i = 0; i < sizeof frames / sizeof *frames; i++) {
        check_network(&within, frames[i], keep_output);
        check_network(&behind, frames[i], is_kept_output);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_sums),
        cmocka_unit_test(test_group_norm),
        cmocka_unit_test(test_trim),
        cmocka_unit_test(test_attention_after_a_year),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
