/* A stream's kept and fresh rows in, the rows of windows out. */
#include "src/source.h"

#include <string.h>

size_t tess_source_size(const struct tess_layer *layer)
{
    return TESS_COUNTER + (size_t)layer->history * (size_t)layer->in_channels;
}

struct tess_source
tess_source_of(const struct tess_layer *layer, const struct tess_batch *batch, int b)
{
    struct tess_span in = tess_input(layer, batch, b);
    const float *state = batch->states[b] + layer->state;
    int64_t before = tess_counter(state);
    return (struct tess_source){layer, state + TESS_COUNTER, in.rows, before, before + in.n};
}

const float *tess_source_row(const struct tess_source *s, int64_t i)
{
    const struct tess_row *row = &s->layer->row;
    if (row->padding == TESS_PAD_REFLECT) {
        int64_t edge = s->total - 1, before = tess_source_left(row), after = row->right;
        if (row->fill) after += (row->stride - s->total % row->stride) % row->stride;
        int64_t most = before > after ? before : after;
        if (edge < most) edge = most; /* too short: continued by zeros first */
        if (i < 0) i = -i;
        if (i > edge) i = 2 * edge - i;
    }
    if (i < 0 && row->padding == TESS_PAD_FIRST) i = 0;
    if (i < 0 || i >= s->total) return NULL;
    const size_t width = (size_t)s->layer->in_channels;
    return i < s->before ? s->kept + (size_t)(i - s->before + s->layer->history) * width
                         : s->fresh + (size_t)(i - s->before) * width;
}

const float *tess_source_rows(const struct tess_source *s, int64_t from, int64_t to, float *room)
{
    const size_t width = (size_t)s->layer->in_channels;
    if (from >= s->before && to <= s->total) return s->fresh + (size_t)(from - s->before) * width;
    float *out = room;
    while (from < to) {
        int64_t n = 1;
        const float *rows = tess_source_row(s, from);
        if (from >= s->before && from < s->total) n = (to < s->total ? to : s->total) - from;
        if (rows)
            memcpy(out, rows, (size_t)n * width * sizeof *out);
        else
            memset(out, 0, width * sizeof *out);
        out += (size_t)n * width;
        from += n;
    }
    return room;
}

void tess_source_keep(const struct tess_layer *layer,
                      const struct tess_batch *batch,
                      int b,
                      float *scratch)
{
    (void)scratch;
    if (!layer->n_state) return;
    struct tess_span in = tess_input(layer, batch, b);
    float *state = batch->states[b] + layer->state, *kept = state + TESS_COUNTER;
    const size_t width = (size_t)layer->in_channels;
    int old = layer->history > in.n ? layer->history - in.n : 0, fresh = layer->history - old;
    memmove(kept, kept + (size_t)(layer->history - old) * width,
            (size_t)old * width * sizeof *kept);
    memcpy(kept + (size_t)old * width, in.rows + (size_t)(in.n - fresh) * width,
           (size_t)fresh * width * sizeof *kept);
    tess_count_on(state, in.n);
}
