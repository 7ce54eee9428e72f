/* Model in, scratch memory for running it out; and which frames of which jobs run next. */
#include "src/worker.h"

#include <string.h>
#include <time.h>

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* The encoder's and the decoder's slots share memory: a worker runs one at a time. The old are freed
 * first: a clip's may take most of the memory that there is. */
static int alloc_slots(struct tess_worker *w, int64_t n_frames)
{
    const struct tess_graph *e = &w->model->encoder, *d = &w->model->decoder;
    w->slot_frames = 0;
    for (int i = 0; i < TESS_MAX_SLOTS; i++) {
        size_t floats = larger(e->slot_frame[i], d->slot_frame[i]) * (size_t)n_frames +
                        larger(e->slot_lag[i], d->slot_lag[i]) * (size_t)w->max_streams;
        tess_base_free(&w->allocator, w->batch.slots[i]);
        w->batch.slots[i] = NULL;
        if (!floats) continue;
        w->batch.slots[i] = tess_base_alloc(&w->allocator, floats * sizeof(float));
        if (!w->batch.slots[i]) return TESS_E_NOMEM;
    }
    w->slot_frames = n_frames;
    return 0;
}

/* Where there is no memory for more, what was there for other jobs is there again. */
int tess_worker_reserve(struct tess_worker *w, int64_t n_frames)
{
    const int64_t before = w->slot_frames;
    if (n_frames <= before) return 0;
    int err = alloc_slots(w, n_frames);
    if (err && before) alloc_slots(w, before);
    return err;
}

int tess_worker_reserve_clip(struct tess_worker *w,
                             const struct tess_stream *stream,
                             int end,
                             int64_t n_samples,
                             int64_t n_frames)
{
    if (!end || stream->n_in || stream->n_pending) return TESS_E_UNSUPPORTED;
    if (n_samples > w->model->info.max_samples) return TESS_E_ARGUMENT;
    return tess_worker_reserve(w, n_frames);
}

static int alloc_scratch(struct tess_worker *w, int n_threads)
{
    size_t floats = larger(w->model->encoder.n_scratch, w->model->decoder.n_scratch);
    floats = larger(floats, tess_quantizer_scratch(&w->model->quantizer, TESS_BATCH_FRAMES));
    for (int i = 0; i < n_threads; i++) {
        w->scratch[i] = tess_base_alloc(&w->allocator, floats * sizeof(float));
        if (!w->scratch[i]) return TESS_E_NOMEM;
    }
    return 0;
}

static int alloc_lists(struct tess_worker *w)
{
    const size_t n = (size_t)w->max_streams;
    const size_t n_points =
        larger((size_t)w->model->encoder.n_layers, (size_t)w->model->decoder.n_layers) + 1;
    w->start =
        tess_base_alloc(&w->allocator, n_points * (sizeof *w->start + (n + 1) * sizeof **w->start));
    w->states = tess_base_alloc(&w->allocator, n * sizeof *w->states);
    w->last = tess_base_alloc(&w->allocator, n * sizeof *w->last);
    w->option = tess_base_alloc(&w->allocator, n * sizeof *w->option);
    w->jobs = tess_base_alloc(&w->allocator, n * sizeof *w->jobs);
    w->progress = tess_base_alloc(&w->allocator, n * sizeof *w->progress);
    if (w->model->info.segment)
        w->clip_state = tess_base_alloc(
            &w->allocator,
            larger(w->model->encoder.n_state, w->model->decoder.n_state) * sizeof(float));
    if (!w->start || !w->states || !w->last || !w->option || !w->jobs || !w->progress ||
        (w->model->info.segment && !w->clip_state))
        return TESS_E_NOMEM;
    int *lists = (int *)(void *)(w->start + n_points);
    for (size_t i = 0; i < n_points; i++)
        w->start[i] = lists + i * (n + 1);
    w->batch.start = w->start;
    w->batch.states = w->states;
    w->batch.last = w->last;
    w->batch.option = w->option;
    return 0;
}

int tess_worker_create(struct tess_worker **out,
                       const struct tess_model *model,
                       const struct tess_worker_options *options)
{
    *out = NULL;
    struct tess_worker_options o = {.size = sizeof o};
    if (options && options->size != sizeof o) return TESS_E_ARGUMENT;
    if (options) o = *options;
    if (!o.threads) o.threads = 1;
    if (!o.max_streams) o.max_streams = 1;
    if (o.threads < 1 || o.threads > TESS_MAX_THREADS || o.max_streams < 1 || o.max_streams > 1024)
        return TESS_E_ARGUMENT;
    struct tess_worker *w = tess_base_alloc(&model->allocator, sizeof *w);
    if (!w) return TESS_E_NOMEM;
    w->model = model;
    w->allocator = model->allocator;
    w->max_streams = o.max_streams;
    w->batch_frames = TESS_BATCH_SAMPLES / model->info.hop;
    if (w->batch_frames < 1) w->batch_frames = 1;
    if (w->batch_frames > TESS_BATCH_FRAMES) w->batch_frames = TESS_BATCH_FRAMES;
    w->profile = o.profile;
    int err = tess_worker_reserve(w, w->batch_frames);
    if (!err) err = alloc_scratch(w, o.threads);
    if (!err) err = alloc_lists(w);
    if (!err) err = tess_team_create(&w->team, o.threads, &w->allocator);
    if (err)
        tess_worker_destroy(w);
    else
        *out = w;
    return err;
}

void tess_worker_destroy(struct tess_worker *w)
{
    if (!w) return;
    struct tess_allocator allocator = w->allocator;
    tess_team_destroy(w->team);
    for (int i = 0; i < TESS_MAX_SLOTS; i++)
        tess_base_free(&allocator, w->batch.slots[i]);
    for (int i = 0; i < TESS_MAX_THREADS; i++)
        tess_base_free(&allocator, w->scratch[i]);
    tess_base_free(&allocator, w->start);
    tess_base_free(&allocator, w->states);
    tess_base_free(&allocator, w->last);
    tess_base_free(&allocator, w->option);
    tess_base_free(&allocator, w->clip_state);
    tess_base_free(&allocator, w->jobs);
    tess_base_free(&allocator, w->progress);
    tess_base_free(&allocator, w);
}

void tess_worker_get_profile(const struct tess_worker *worker, struct tess_profile *profile)
{
    *profile = worker->times;
}

double tess_worker_clock(const struct tess_worker *worker)
{
    if (!worker->profile) return 0.0;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int tess_worker_next(struct tess_worker *w,
                     const struct tess_graph *graph,
                     int rows_a_frame,
                     struct tess_stream *(*stream_of)(void *jobs, int j),
                     void *jobs,
                     int n_jobs)
{
    int n = 0, frames = 0;
    w->start[0][0] = 0;
    const int64_t most = graph->whole ? w->slot_frames : w->batch_frames;
    for (int j = 0; j < n_jobs && frames < most && !(graph->whole && n); j++) {
        struct tess_progress *p = &w->progress[j];
        int64_t rows = p->total - p->done, room = (most - frames) * rows_a_frame;
        if (rows == 0 && !p->ends) continue;
        if (rows > room) rows = room;
        p->done += rows;
        w->jobs[n] = j;
        w->states[n] = tess_stream_state(stream_of(jobs, j));
        w->option[n] = stream_of(jobs, j)->option;
        w->last[n] = p->ends && p->done == p->total;
        if (w->last[n]) p->ends = 0;
        w->start[0][n + 1] = w->start[0][n] + (int)rows;
        frames += (int)((rows + rows_a_frame - 1) / rows_a_frame);
        n++;
    }
    w->batch.n_streams = n;
    tess_graph_lay_out(graph, &w->batch);
    return n;
}

void tess_worker_take_clip(struct tess_worker *w,
                           const struct tess_graph *graph,
                           const struct tess_stream *stream,
                           int j,
                           int n_rows)
{
    memset(w->clip_state, 0, graph->n_state * sizeof *w->clip_state);
    w->jobs[0] = j;
    w->states[0] = w->clip_state;
    w->option[0] = stream->option;
    w->last[0] = 1;
    w->start[0][0] = 0;
    w->start[0][1] = n_rows;
    w->batch.n_streams = 1;
    tess_graph_lay_out(graph, &w->batch);
}
