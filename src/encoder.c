/* Samples of several streams in, codes out: hops are cut, run through the encoder's graph as one
 * batch, and quantized. What does not fill a hop waits in its stream. */
#include "src/segments.h"

#include <math.h>
#include <string.h>

size_t tess_encoder_size(const struct tess_model *model)
{
    return tess_stream_size(model, TESS_ENCODE);
}

int tess_encoder_init(struct tess_encoder *mem,
                      const struct tess_model *model,
                      const struct tess_stream_options *options)
{
    return tess_stream_init(&mem->stream, model, TESS_ENCODE, options);
}

int tess_encoder_create(struct tess_encoder **encoder,
                        const struct tess_model *model,
                        const struct tess_stream_options *options)
{
    *encoder = NULL;
    struct tess_encoder *mem = tess_base_alloc(&model->allocator, tess_encoder_size(model));
    if (!mem) return TESS_E_NOMEM;
    int err = tess_encoder_init(mem, model, options);
    if (err)
        tess_encoder_destroy(mem, model);
    else
        *encoder = mem;
    return err;
}

void tess_encoder_destroy(struct tess_encoder *encoder, const struct tess_model *model)
{
    tess_base_free(&model->allocator, encoder);
}

void tess_encoder_reset(struct tess_encoder *encoder)
{
    tess_stream_reset(&encoder->stream);
}

int64_t tess_encoder_frames(const struct tess_encoder *encoder, size_t n_samples)
{
    const struct tess_stream *s = &encoder->stream;
    if (s->segment) return tess_segments_frames(s, n_samples);
    uint64_t in = s->n_in + ((uint64_t)s->n_pending + n_samples) / (uint64_t)s->hop;
    uint64_t held = (uint64_t)s->lag + s->n_out;
    return in > held ? (int64_t)(in - held) : 0;
}

int64_t tess_encoder_bound(const struct tess_model *model, size_t n_samples)
{
    const struct tess_model_info *info = &model->info;
    if (info->segment) return tess_segments_most_frames(info, n_samples);
    int64_t n = (int64_t)n_samples > info->min_samples ? (int64_t)n_samples : info->min_samples;
    return (n + info->encode_delay) / info->hop + 2; /* a hop begun before, one that is not full */
}

static struct tess_stream *stream_of(void *jobs, int j)
{
    return &((struct tess_encode_job *)jobs)[j].encoder->stream;
}

static int all_finite(const float *pcm, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(pcm[i])) return 0;
    return 1;
}

int tess_encoder_check(const struct tess_worker *w, const struct tess_encode_job *job)
{
    const struct tess_stream *s = &job->encoder->stream;
    int err = tess_stream_check(s, w->model, TESS_ENCODE);
    if (err) return err;
    if (job->n_samples > SIZE_MAX / 2 / sizeof(float) / (size_t)s->channels) return TESS_E_ARGUMENT;
    return all_finite(job->pcm, job->n_samples * (size_t)s->channels) ? 0 : TESS_E_NONFINITE;
}

/* Checks a job before anything of it is consumed; *progress is what it will run. */
static int
check_job(struct tess_worker *w, const struct tess_encode_job *job, struct tess_progress *progress)
{
    struct tess_stream *s = &job->encoder->stream;
    *progress = (struct tess_progress){0};
    int err = tess_encoder_check(w, job);
    if (err) return err;
    const int64_t hop = s->hop, samples = s->n_pending + (int64_t)job->n_samples;
    int64_t rows = samples / hop * hop;
    if (job->end && samples > rows) rows = w->model->pad_last ? rows + hop : samples;
    if (rows && rows < w->model->info.min_samples) rows = w->model->info.min_samples;
    err = w->model->encoder.whole
              ? tess_worker_reserve_clip(w, s, job->end, samples, rows / hop + 1)
              : tess_worker_reserve(w, w->batch_frames);
    if (err) return err;
    int64_t frames =
        tess_graph_count(&w->model->encoder, tess_stream_state(s), rows, job->end != 0);
    if ((uint64_t)frames > job->capacity) return TESS_E_SPACE;
    *progress = (struct tess_progress){.total = rows, .ends = job->end != 0};
    return 0;
}

void tess_encoder_copy(const struct tess_encode_job *job, size_t from, size_t n, float *out)
{
    struct tess_stream *s = &job->encoder->stream;
    const size_t channels = (size_t)s->channels, pending = (size_t)s->n_pending;
    size_t old = 0, fresh = 0;
    if (from < pending) old = pending - from < n ? pending - from : n;
    const size_t at = from + old - pending; /* in the job's samples, once old < n */
    if (old < n && at < job->n_samples)
        fresh = job->n_samples - at < n - old ? job->n_samples - at : n - old;
    if (old) memmove(out, tess_stream_pending(s) + from * channels, old * channels * sizeof *out);
    if (fresh)
        memcpy(out + old * channels, job->pcm + at * channels, fresh * channels * sizeof *out);
    memset(out + (old + fresh) * channels, 0, (n - old - fresh) * channels * sizeof *out);
}

static void gather(struct tess_worker *w, const struct tess_encode_job *jobs)
{
    const int *start = w->start[0];
    for (int b = 0; b < w->batch.n_streams; b++) {
        const struct tess_encode_job *job = &jobs[w->jobs[b]];
        const size_t channels = (size_t)job->encoder->stream.channels,
                     n = (size_t)(start[b + 1] - start[b]);
        tess_encoder_copy(job, (size_t)w->progress[w->jobs[b]].done - n, n,
                          w->batch.slots[0] + (size_t)start[b] * channels);
    }
}

struct quantize {
    struct tess_worker *worker;
    struct tess_encode_job *jobs;
};

/* This thread's share of the batch's latents, to codes. */
static void quantize(void *ctx, struct tess_team *team, int thread, int n_threads)
{
    (void)team;
    const struct quantize *q = ctx;
    struct tess_worker *w = q->worker;
    const struct tess_graph *graph = &w->model->encoder;
    const int *start = w->start[graph->n_layers], n = start[w->batch.n_streams];
    const int from = n * thread / n_threads, to = n * (thread + 1) / n_threads;
    for (int b = 0; b < w->batch.n_streams; b++) {
        int begin = from > start[b] ? from : start[b], stop = to < start[b + 1] ? to : start[b + 1];
        if (begin >= stop) continue;
        const struct tess_encode_job *job = &q->jobs[w->jobs[b]];
        const int k = job->encoder->stream.codebooks;
        for (int t = begin, some; t < stop;
             t += some) { /* a whole clip is more than scratch is for */
            some = stop - t < TESS_BATCH_FRAMES ? stop - t : TESS_BATCH_FRAMES;
            tess_quantizer_encode(
                &w->model->quantizer,
                w->batch.slots[graph->out_slot] + (size_t)t * (size_t)graph->out_channels, some, k,
                job->codes + (job->n_frames + t - start[b]) * k, w->scratch[thread]);
        }
    }
}

void tess_encoder_run(struct tess_worker *w, struct tess_encode_job *jobs)
{
    double seconds[2] = {0};
    tess_graph_run(&w->model->encoder, &w->batch, w->team, w->scratch, w->profile ? seconds : NULL);
    double before = tess_worker_clock(w);
    const int *start = w->start[w->model->encoder.n_layers];
    tess_team_run(w->team, start[w->batch.n_streams], quantize, &(struct quantize){w, jobs});
    w->times.analysis += seconds[0];
    w->times.encoder += seconds[1];
    w->times.quantizer += tess_worker_clock(w) - before;
    for (int b = 0; b < w->batch.n_streams; b++)
        jobs[w->jobs[b]].n_frames += start[b + 1] - start[b];
}

/* What is left of the samples waits for more. */
static void finish_job(const struct tess_encode_job *job, const struct tess_progress *progress)
{
    struct tess_stream *s = &job->encoder->stream;
    float *pending = tess_stream_pending(s);
    const size_t hop = (size_t)s->hop;
    const size_t have = (size_t)s->n_pending + job->n_samples, used = (size_t)progress->total;
    tess_encoder_copy(job, used, hop, pending);
    s->n_pending = used < have ? (int32_t)(have - used) : 0;
    s->n_in += (used + hop - 1) / hop;
    s->n_out += (uint64_t)job->n_frames;
    s->ended = job->end != 0;
}

static int encode_hops(struct tess_worker *worker, struct tess_encode_job *jobs, int n_jobs)
{
    int err = 0;
    for (int j = 0; j < n_jobs; j++) {
        jobs[j].n_frames = 0;
        jobs[j].error = check_job(worker, &jobs[j], &worker->progress[j]);
        if (!err) err = jobs[j].error;
    }
    for (int j = 0; j < n_jobs && !worker->slot_frames; j++) { /* no room to run any in */
        if (!jobs[j].error) jobs[j].error = TESS_E_NOMEM;
        if (!err) err = jobs[j].error;
        worker->progress[j] = (struct tess_progress){0};
    }
    while (tess_worker_next(worker, &worker->model->encoder, worker->model->info.hop, stream_of,
                            jobs, n_jobs)) {
        gather(worker, jobs);
        tess_encoder_run(worker, jobs);
    }
    for (int j = 0; j < n_jobs; j++)
        if (!jobs[j].error) finish_job(&jobs[j], &worker->progress[j]);
    return err;
}

int tess_encode(struct tess_worker *worker, struct tess_encode_job *jobs, int n_jobs)
{
    if (n_jobs < 0 || n_jobs > worker->max_streams) return TESS_E_ARGUMENT;
    return worker->model->info.segment ? tess_segments_encode(worker, jobs, n_jobs)
                                       : encode_hops(worker, jobs, n_jobs);
}

static int64_t encode_one(struct tess_worker *worker, struct tess_encode_job job)
{
    int err = tess_encode(worker, &job, 1);
    return err ? err : job.n_frames;
}

int64_t tess_encoder_push(struct tess_worker *worker,
                          struct tess_encoder *encoder,
                          const float *pcm,
                          size_t n_samples,
                          uint16_t *codes,
                          size_t capacity)
{
    return encode_one(worker, (struct tess_encode_job){.encoder = encoder,
                                                       .pcm = pcm,
                                                       .n_samples = n_samples,
                                                       .codes = codes,
                                                       .capacity = capacity});
}

int64_t tess_encoder_flush(struct tess_worker *worker,
                           struct tess_encoder *encoder,
                           uint16_t *codes,
                           size_t capacity)
{
    return encode_one(worker,
                      (struct tess_encode_job){
                          .encoder = encoder, .end = 1, .codes = codes, .capacity = capacity});
}
