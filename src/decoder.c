/* Codes of several streams in, samples out: latents are looked up, run through the decoder's graph as
 * one batch, and what belongs before the recording's start is dropped. */
#include "src/worker.h"

#include <string.h>

size_t tess_decoder_size(const struct tess_model *model)
{
    return tess_stream_size(model, TESS_DECODE);
}

int tess_decoder_init(struct tess_decoder *mem,
                      const struct tess_model *model,
                      const struct tess_stream_options *options)
{
    return tess_stream_init(&mem->stream, model, TESS_DECODE, options);
}

int tess_decoder_create(struct tess_decoder **decoder,
                        const struct tess_model *model,
                        const struct tess_stream_options *options)
{
    *decoder = NULL;
    struct tess_decoder *mem = tess_base_alloc(&model->allocator, tess_decoder_size(model));
    if (!mem) return TESS_E_NOMEM;
    int err = tess_decoder_init(mem, model, options);
    if (err)
        tess_decoder_destroy(mem, model);
    else
        *decoder = mem;
    return err;
}

void tess_decoder_destroy(struct tess_decoder *decoder, const struct tess_model *model)
{
    tess_base_free(&model->allocator, decoder);
}

void tess_decoder_reset(struct tess_decoder *decoder)
{
    tess_stream_reset(&decoder->stream);
}

int64_t tess_decoder_samples(const struct tess_decoder *decoder, size_t n_frames)
{
    int64_t samples = (int64_t)n_frames * decoder->stream.hop - decoder->stream.n_skip;
    return samples > 0 ? samples : 0;
}

static struct tess_stream *stream_of(void *jobs, int j)
{
    return &((struct tess_decode_job *)jobs)[j].decoder->stream;
}

/* Samples that the tail adds at the end: none of what lies before the recording's start. */
static int64_t tail_samples(const struct tess_stream *s, size_t n_frames)
{
    int64_t all = (int64_t)(s->n_frames + n_frames) * s->hop;
    return all < s->tail ? all : s->tail;
}

static int check_codes(const struct tess_model *model, const uint16_t *codes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (codes[i] >= model->info.entries) return TESS_E_CODE;
    return 0;
}

/* Checks a job before anything of it is consumed; *total is the frames it will take. */
static int check_job(const struct tess_worker *w, struct tess_decode_job *job, int64_t *total)
{
    const struct tess_stream *s = &job->decoder->stream;
    *total = job->n_samples = 0;
    int err = tess_stream_check(s, w->model, TESS_DECODE);
    if (err) return err;
    if (job->n_frames > SIZE_MAX / 2 / sizeof(float) / (size_t)s->hop / (size_t)s->channels) return TESS_E_ARGUMENT;
    err = check_codes(w->model, job->codes, job->n_frames * (size_t)s->codebooks);
    if (err) return err;
    int64_t samples = tess_decoder_samples(job->decoder, job->n_frames);
    if (job->end) samples += tail_samples(s, job->n_frames);
    if ((uint64_t)samples > job->capacity) return TESS_E_SPACE;
    *total = (int64_t)job->n_frames;
    return 0;
}

static void look_up(struct tess_worker *w, const struct tess_decode_job *jobs)
{
    for (int b = 0; b < w->batch.n_streams; b++) {
        const struct tess_decode_job *job = &jobs[w->jobs[b]];
        const int k = job->decoder->stream.codebooks;
        tess_quantizer_decode(&w->model->quantizer, /* its codes were checked with the job */
                              job->codes + w->done[w->jobs[b]] * k,
                              w->start[b + 1] - w->start[b],
                              k,
                              w->batch.slots[0] + w->start[b] * w->model->latent_width);
    }
}

/* Appends n samples of the stream to the job's output, but for those before the start. */
static void emit(struct tess_decode_job *job, const float *pcm, int n)
{
    struct tess_stream *s = &job->decoder->stream;
    int skip = s->n_skip < n ? s->n_skip : n;
    const size_t channels = (size_t)s->channels, kept = (size_t)(n - skip);
    if (kept)
        memcpy(job->pcm + (size_t)job->n_samples * channels,
               pcm + (size_t)skip * channels,
               kept * channels * sizeof *pcm);
    s->n_skip -= skip;
    job->n_samples += n - skip;
}

static void run_batch(struct tess_worker *w, struct tess_decode_job *jobs)
{
    const struct tess_graph *graph = &w->model->decoder;
    double seconds[2] = {0}, before = tess_worker_clock(w);
    look_up(w, jobs);
    w->times.lookup += tess_worker_clock(w) - before;
    tess_graph_run(graph, &w->batch, w->team, w->scratch, w->profile ? seconds : NULL);
    w->times.synthesis += seconds[0];
    w->times.decoder += seconds[1];
    for (int b = 0; b < w->batch.n_streams; b++) {
        int n = w->start[b + 1] - w->start[b];
        emit(&jobs[w->jobs[b]],
             w->batch.slots[graph->out_slot] + (size_t)w->start[b] * (size_t)(graph->out_steps * graph->out_channels),
             n * graph->out_steps);
        w->done[w->jobs[b]] += n;
    }
}

static void finish_job(struct tess_worker *w, struct tess_decode_job *job)
{
    struct tess_stream *s = &job->decoder->stream;
    s->n_frames += job->n_frames;
    if (!job->end) return;
    const struct tess_graph *graph = &w->model->decoder;
    float *tail = w->batch.slots[graph->out_slot]; /* the worker made it large enough */
    if (s->n_frames) emit(job, tail, tess_graph_tail(graph, tess_stream_state(s, TESS_DECODE), tail));
    s->ended = 1;
}

int tess_decode(struct tess_worker *worker, struct tess_decode_job *jobs, int n_jobs)
{
    if (n_jobs < 0 || n_jobs > worker->max_streams) return TESS_E_ARGUMENT;
    int err = 0;
    for (int j = 0; j < n_jobs; j++) {
        jobs[j].error = check_job(worker, &jobs[j], &worker->total[j]);
        worker->done[j] = 0;
        if (!err) err = jobs[j].error;
    }
    while (tess_worker_next(worker, stream_of, jobs, n_jobs, TESS_DECODE)) run_batch(worker, jobs);
    for (int j = 0; j < n_jobs; j++)
        if (!jobs[j].error) finish_job(worker, &jobs[j]);
    return err;
}

static int64_t decode_one(struct tess_worker *worker, struct tess_decode_job job)
{
    int err = tess_decode(worker, &job, 1);
    return err ? err : job.n_samples;
}

int64_t tess_decoder_push(struct tess_worker *worker,
                          struct tess_decoder *decoder,
                          const uint16_t *codes,
                          size_t n_frames,
                          float *pcm,
                          size_t capacity)
{
    return decode_one(worker,
                      (struct tess_decode_job){.decoder = decoder,
                                               .codes = codes,
                                               .n_frames = n_frames,
                                               .pcm = pcm,
                                               .capacity = capacity});
}

int64_t tess_decoder_flush(struct tess_worker *worker,
                           struct tess_decoder *decoder,
                           float *pcm,
                           size_t capacity)
{
    return decode_one(
        worker,
        (struct tess_decode_job){.decoder = decoder, .end = 1, .pcm = pcm, .capacity = capacity});
}
