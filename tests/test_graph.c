/* Rows of every operator, on tiny networks: however the input is pushed, whoever else is in the
 * batch and however many threads run it, the bits are those of one push alone. */
#include "tests/network.h"

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
            network_run(t->net, t->graph, &p, 1, 1);
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
        parts[b] = (struct part){.in = t->in,
                                 .n = part_frames[b] * t->net->in_steps,
                                 .state = floats(t->graph->n_state),
                                 .out = room_for_output(t)};
    network_run(t->net, t->graph, parts, MAX_PARTS, n_threads);
    for (int b = 0; b < MAX_PARTS; b++) {
        struct part *p = &parts[b];
        n_out[b] = p->n_out;
        p->out += p->n_out * t->graph->out_channels;
        p->in += p->n * t->net->in_channels;
        p->n = t->n - p->n;
        p->last = 1;
    }
    network_run(t->net, t->graph, parts, MAX_PARTS, n_threads);
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
    for (int i = 0; i < n_networks; i++)
        check_network(&networks[i], MAX_FRAMES, company_and_threads_change_nothing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pushes),
        cmocka_unit_test(test_company_and_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
