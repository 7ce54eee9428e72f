/* The networks, and batches of exactly the size that a graph asks for. */
#include "tests/network.h"

const struct network networks[] = {
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
    {"transposed, not trimmed",
     3,  2,
     {ROW(UPCONV, "u", 0, 1, 2, KSD(7, 3, 1), .fill = 1)},
     {{"u.weight", 7, 2, 3}, {"u.bias", 2, 0, 0}},
     0},
    {"depthwise",
     20, 1,
     {ROW(DEPTHWISE, "d", 0, 1, 0, KSD(7, 1, 1))},
     {{"d.weight", 7, 20, 0}, {"d.bias", 20, 0, 0}},
     0},
    {"depthwise, no past",
     20, 1,
     {ROW(DEPTHWISE, "d", 0, 1, 0, KSD(1, 1, 1))},
     {{"d.weight", 1, 20, 0}, {"d.bias", 20, 0, 0}},
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
    {"linear, plain",
     5,  1,
     {ROW(CONV, "c", 0, 1, 7, KSD(1, 1, 1), .plain = 1)},
     {{"c.weight", 7, 5, 0}},
     0},
    {"first step repeated",
     2,  2,
     {ROW(CONV, "c", 0, 1, 3, KSD(4, 2, 1), .padding = TESS_PAD_FIRST, .plain = 1)},
     {{"c.weight", 3, 4, 2}},
     0},
    {"first step repeated, look-ahead",
     2,  1,
     {ROW(CONV, "c", 0, 1, 3, KSD(7, 1, 1), .right = 2, .padding = TESS_PAD_FIRST)},
     {{"c.weight", 3, 7, 2}, {"c.bias", 3, 0, 0}},
     0},
    {"transposed depthwise",
     20, 1,
     {ROW(UPDEPTH, "d", 0, 1, 0, KSD(4, 2, 1))},
     {{"d.weight", 4, 20, 0}},
     0},
    {"transposed depthwise, odd",
     5,  2,
     {ROW(UPDEPTH, "d", 0, 1, 0, KSD(8, 3, 1))},
     {{"d.weight", 8, 5, 0}},
     0},
    {"chosen norm",
     20, 1,
     {ROW(CHOSEN_NORM, "n", 0, 1, 0, KSD(N_OPTIONS, 1, 1), .value = 1e-6f)},
     {{"n.scale", N_OPTIONS, 20, 0}, {"n.shift", N_OPTIONS, 20, 0}},
     0},
    {"attention, fewer steps than have been",
     36, 1,
     {ROW(ATTENTION, "a", 0, 1, 0, KSD(5, 2, 1), .value = 100.0f)},
     {{0}},
     0},
    {"overlap, evened out",
     14, 1,
     {ROW(ISTFT, "s", 0, 1, 1, KSD(12, 4, 1), .value = 1.0f, .right = 4, .fill = 1)},
     {{0}},
     0},
};
const int n_networks = sizeof networks / sizeof *networks;

float *floats(size_t n)
{
    float *p = calloc(n ? n : 1, sizeof *p);
    assert_non_null(p);
    return p;
}

/* The batch's lists and slots, of exactly the size that the graph asks for. */
void network_run(const struct network *net,
                 const struct tess_graph *g,
                 struct part *parts,
                 int n_parts,
                 int n_threads)
{
    int lists[MAX_CASE_ROWS + 1][MAX_PARTS + 1] = {{0}}, *start[MAX_CASE_ROWS + 1];
    float *states[MAX_PARTS], *scratch[MAX_TEAM] = {0};
    unsigned char last[MAX_PARTS];
    int options[MAX_PARTS];
    struct tess_batch batch = {
        .n_streams = n_parts, .start = start, .states = states, .last = last, .option = options};
    const struct tess_allocator memory = tess_base_allocator(NULL);
    struct tess_team *team;
    size_t n_frames = 0;
    for (int i = 0; i <= MAX_CASE_ROWS; i++)
        start[i] = lists[i];
    for (int b = 0; b < n_parts; b++) {
        states[b] = parts[b].state;
        last[b] = (unsigned char)parts[b].last;
        options[b] = parts[b].option;
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

float *room_for_output(const struct truth *t)
{
    return floats((size_t)((t->n * (t->graph->out_steps + 1) + 1) * t->graph->out_channels));
}

void check_network(const struct network *net, int n_frames, void (*check)(struct truth *))
{
    struct loaded *l = malloc(sizeof *l);
    struct tess_why why = {""};
    assert_non_null(l);
    const struct tess_allocator memory = tess_base_allocator(NULL);
    if (network_load(l, net, &memory, &why)) fail_msg("%s: %s", net->name, why.text);
    struct truth t = {net, l, &l->graph, n_frames * net->in_steps + net->rest, 0, NULL, NULL, NULL};
    t.in = floats((size_t)(t.n * net->in_channels));
    t.out = room_for_output(&t);
    t.state = floats(l->graph.n_state);
    uint64_t seed = 1;
    for (int i = 0; i < t.n * net->in_channels; i++)
        t.in[i] = random_float(&seed);
    struct part all = {.in = t.in, .n = t.n, .last = 1, .state = t.state, .out = t.out};
    network_run(net, t.graph, &all, 1, 1);
    t.n_out = all.n_out;
    check(&t);
    free(t.in);
    free(t.out);
    free(t.state);
    network_unload(l);
}

/* Short clips too: there a mirrored one has less than it mirrors. */
void each_network(void (*check)(struct truth *))
{
    static const int frames[] = {0, 1, 2, 3, 5, MAX_FRAMES};
    for (int i = 0; i < n_networks; i++)
        for (size_t k = 0; k < sizeof frames / sizeof *frames; k++)
            check_network(&networks[i], frames[k], check);
}
