/* Samples of several streams in, codes out: hops are cut, run through the encoder's graph as one
 * batch, and quantized. What does not fill a hop waits in its stream. */
#include "src/worker.h"

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
    return (int64_t)(((uint64_t)encoder->stream.n_pending + n_samples) / (uint64_t)encoder->stream.hop);
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

/* Checks a job before anything of it is consumed; *total is the frames it will give. */
static int check_job(const struct tess_worker *w, const struct tess_encode_job *job, int64_t *total)
{
    const struct tess_stream *s = &job->encoder->stream;
    *total = 0;
    int err = tess_stream_check(s, w->model, TESS_ENCODE);
    if (err) return err;
    if (job->n_samples > SIZE_MAX / 2 / sizeof(float) / (size_t)s->channels) return TESS_E_ARGUMENT;
    if (!all_finite(job->pcm, job->n_samples * (size_t)s->channels)) return TESS_E_NONFINITE;
    int64_t frames = tess_encoder_frames(job->encoder, job->n_samples);
    if (job->end && ((uint64_t)s->n_pending + job->n_samples) % (uint64_t)s->hop) frames++;
    if ((uint64_t)frames > job->capacity) return TESS_E_SPACE;
    *total = frames;
    return 0;
}

/* Copies samples [from, from + n) of what is pending followed by the job's, zeros after the end. */
static void copy_samples(const struct tess_encode_job *job, uint64_t from, size_t n, float *out)
{
    struct tess_stream *s = &job->encoder->stream;
    const size_t channels = (size_t)s->channels, pending = (size_t)s->n_pending;
    size_t old = from < pending ? pending - (size_t)from : 0;
    if (old > n) old = n;
    memcpy(out, tess_stream_data(s) + (size_t)from * channels * (old > 0), old * channels * sizeof *out);
    size_t at = (size_t)from + old - pending; /* in the job's samples */
    size_t fresh = at < job->n_samples ? job->n_samples - at : 0;
    if (old == n)
        fresh = 0;
    else if (fresh > n - old)
        fresh = n - old;
    if (fresh) memcpy(out + old * channels, job->pcm + at * channels, fresh * channels * sizeof *out);
    memset(out + (old + fresh) * channels, 0, (n - old - fresh) * channels * sizeof *out);
}

static void gather(struct tess_worker *w, const struct tess_encode_job *jobs)
{
    for (int b = 0; b < w->batch.n_streams; b++) {
        const struct tess_encode_job *job = &jobs[w->jobs[b]];
        const size_t hop = (size_t)job->encoder->stream.hop, channels = (size_t)job->encoder->stream.channels;
        copy_samples(job,
                     (uint64_t)w->done[w->jobs[b]] * hop,
                     (size_t)(w->start[b + 1] - w->start[b]) * hop,
                     w->batch.slots[0] + (size_t)w->start[b] * hop * channels);
    }
}

struct quantize {
    struct tess_worker *worker;
    struct tess_encode_job *jobs;
};

/* This thread's share of the batch's frames, latents to codes. */
static void quantize(void *ctx, struct tess_team *team, int thread, int n_threads)
{
    (void)team;
    const struct quantize *q = ctx;
    struct tess_worker *w = q->worker;
    const struct tess_graph *graph = &w->model->encoder;
    const int n = w->start[w->batch.n_streams];
    const int from = n * thread / n_threads, to = n * (thread + 1) / n_threads;
    for (int b = 0; b < w->batch.n_streams; b++) {
        int begin = from > w->start[b] ? from : w->start[b], stop = to < w->start[b + 1] ? to : w->start[b + 1];
        if (begin >= stop) continue;
        const struct tess_encode_job *job = &q->jobs[w->jobs[b]];
        const int k = job->encoder->stream.codebooks;
        tess_quantizer_encode(&w->model->quantizer,
                              w->batch.slots[graph->out_slot] + begin * graph->out_channels,
                              stop - begin,
                              k,
                              job->codes + (w->done[w->jobs[b]] + begin - w->start[b]) * k,
                              w->scratch[thread]);
    }
}

static void run_batch(struct tess_worker *w, struct tess_encode_job *jobs)
{
    double seconds[2] = {0};
    gather(w, jobs);
    tess_graph_run(&w->model->encoder, &w->batch, w->team, w->scratch, w->profile ? seconds : NULL);
    double before = tess_worker_clock(w);
    tess_team_run(w->team, w->start[w->batch.n_streams], quantize, &(struct quantize){w, jobs});
    w->times.analysis += seconds[0];
    w->times.encoder += seconds[1];
    w->times.quantizer += tess_worker_clock(w) - before;
    for (int b = 0; b < w->batch.n_streams; b++) w->done[w->jobs[b]] += w->start[b + 1] - w->start[b];
}

/* What is left of the samples waits for more. */
static void finish_job(const struct tess_encode_job *job, int64_t frames)
{
    struct tess_stream *s = &job->encoder->stream;
    float *data = tess_stream_data(s);
    const size_t hop = (size_t)s->hop, channels = (size_t)s->channels;
    const uint64_t have = (uint64_t)s->n_pending + job->n_samples, used = (uint64_t)frames * hop;
    const size_t left = used < have ? (size_t)(have - used) : 0;
    const size_t kept = frames ? 0 : (size_t)s->n_pending; /* still in their place */
    if (left > kept)
        memcpy(data + kept * channels,
               job->pcm + (job->n_samples - (left - kept)) * channels,
               (left - kept) * channels * sizeof *data);
    memset(data + left * channels, 0, (hop - left) * channels * sizeof *data);
    s->n_pending = (int32_t)left;
    s->n_frames += (uint64_t)frames;
    s->ended = job->end != 0;
}

int tess_encode(struct tess_worker *worker, struct tess_encode_job *jobs, int n_jobs)
{
    if (n_jobs < 0 || n_jobs > worker->max_streams) return TESS_E_ARGUMENT;
    int err = 0;
    for (int j = 0; j < n_jobs; j++) {
        jobs[j].error = check_job(worker, &jobs[j], &worker->total[j]);
        jobs[j].n_frames = worker->total[j];
        worker->done[j] = 0;
        if (!err) err = jobs[j].error;
    }
    while (tess_worker_next(worker, stream_of, jobs, n_jobs, TESS_ENCODE)) run_batch(worker, jobs);
    for (int j = 0; j < n_jobs; j++)
        if (!jobs[j].error) finish_job(&jobs[j], worker->total[j]);
    return err;
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
    return encode_one(worker,
                      (struct tess_encode_job){.encoder = encoder,
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
    return encode_one(
        worker,
        (struct tess_encode_job){.encoder = encoder, .end = 1, .codes = codes, .capacity = capacity});
}
