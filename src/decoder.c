/* Codes of several streams in, samples out: latents are looked up, run through the decoder's graph as
 * one batch, and what belongs before the recording's start is dropped. */
#include "src/segments.h"

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
    const struct tess_stream *s = &decoder->stream;
    if (s->segment) return tess_segments_samples(s, n_frames);
    uint64_t in = (s->n_in + n_frames) * (uint64_t)s->hop, held = (uint64_t)s->lag + s->n_out;
    return in > held ? (int64_t)(in - held) : 0;
}

int64_t tess_model_samples(const struct tess_model *model, int64_t n_frames)
{
    const struct tess_model_info *info = &model->info;
    if (info->segment) return tess_segments_all_samples(info, n_frames);
    int64_t n = n_frames * info->hop;
    if (info->decode == TESS_WHOLE_CLIP) n -= info->encode_delay;
    return n > 0 ? n : 0;
}

int64_t tess_decoder_bound(const struct tess_model *model, size_t n_frames)
{
    const struct tess_model_info *info = &model->info;
    if (info->segment) /* a full one may wait */
        return tess_segments_all_samples(info, (int64_t)n_frames + info->segment / info->hop);
    return (int64_t)n_frames * info->hop + info->decode_delay;
}

static struct tess_stream *stream_of(void *jobs, int j)
{
    return &((struct tess_decode_job *)jobs)[j].decoder->stream;
}

static int check_codes(const struct tess_model *model, const uint16_t *codes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((uint16_t)(codes[i] - model->info.code_min) >= model->info.entries) return TESS_E_CODE;
    return 0;
}

int tess_decoder_check(const struct tess_worker *w, const struct tess_decode_job *job)
{
    const struct tess_stream *s = &job->decoder->stream;
    int err = tess_stream_check(s, w->model, TESS_DECODE);
    if (err) return err;
    if (job->n_frames > SIZE_MAX / 2 / sizeof(float) / (size_t)s->hop / (size_t)s->channels)
        return TESS_E_ARGUMENT;
    return check_codes(w->model, job->codes, job->n_frames * (size_t)s->codebooks);
}

/* Checks a job before anything of it is consumed; *progress is what it will run. */
static int
check_job(struct tess_worker *w, const struct tess_decode_job *job, struct tess_progress *progress)
{
    struct tess_stream *s = &job->decoder->stream;
    *progress = (struct tess_progress){0};
    int err = tess_decoder_check(w, job);
    if (err) return err;
    const int64_t frames = (int64_t)job->n_frames;
    int64_t samples =
        tess_graph_count(&w->model->decoder, tess_stream_state(s), frames, job->end != 0);
    err = w->model->decoder.whole ? tess_worker_reserve_clip(w, s, job->end, samples, frames)
                                  : tess_worker_reserve(w, w->batch_frames);
    if (err) return err;
    if ((uint64_t)samples > job->capacity) return TESS_E_SPACE;
    *progress = (struct tess_progress){.total = frames, .ends = job->end != 0};
    return 0;
}

static void look_up(struct tess_worker *w, const struct tess_decode_job *jobs)
{
    const int *start = w->start[0];
    for (int b = 0; b < w->batch.n_streams; b++) {
        const struct tess_decode_job *job = &jobs[w->jobs[b]];
        const int k = job->decoder->stream.codebooks, n = start[b + 1] - start[b];
        if (n == 0) continue;                       /* an end alone may come without codes */
        tess_quantizer_decode(&w->model->quantizer, /* its codes were checked with the job */
                              job->codes + (w->progress[w->jobs[b]].done - n) * k, n, k,
                              w->batch.slots[0] +
                                  (size_t)start[b] * (size_t)w->model->latent_width);
    }
}

void tess_decoder_run(struct tess_worker *w)
{
    double seconds[2] = {0};
    tess_graph_run(&w->model->decoder, &w->batch, w->team, w->scratch, w->profile ? seconds : NULL);
    w->times.synthesis += seconds[0];
    w->times.decoder += seconds[1];
}

static void run_batch(struct tess_worker *w, struct tess_decode_job *jobs)
{
    const struct tess_graph *graph = &w->model->decoder;
    double before = tess_worker_clock(w);
    look_up(w, jobs);
    w->times.lookup += tess_worker_clock(w) - before;
    tess_decoder_run(w);
    const int *start = w->start[graph->n_layers];
    const size_t channels = (size_t)graph->out_channels;
    for (int b = 0; b < w->batch.n_streams; b++) {
        struct tess_decode_job *job = &jobs[w->jobs[b]];
        const size_t n = (size_t)(start[b + 1] - start[b]);
        if (n)
            memcpy(job->pcm + (size_t)job->n_samples * channels,
                   w->batch.slots[graph->out_slot] + (size_t)start[b] * channels,
                   n * channels * sizeof *job->pcm);
        job->n_samples += (int64_t)n;
    }
}

static void finish_job(const struct tess_decode_job *job)
{
    struct tess_stream *s = &job->decoder->stream;
    s->n_in += job->n_frames;
    s->n_out += (uint64_t)job->n_samples;
    s->ended = job->end != 0;
}

static int decode_frames(struct tess_worker *worker, struct tess_decode_job *jobs, int n_jobs)
{
    int err = 0;
    for (int j = 0; j < n_jobs; j++) {
        jobs[j].n_samples = 0;
        jobs[j].error = check_job(worker, &jobs[j], &worker->progress[j]);
        if (!err) err = jobs[j].error;
    }
    for (int j = 0; j < n_jobs && !worker->slot_frames; j++) { /* no room to run any in */
        if (!jobs[j].error) jobs[j].error = TESS_E_NOMEM;
        if (!err) err = jobs[j].error;
        worker->progress[j] = (struct tess_progress){0};
    }
    while (tess_worker_next(worker, &worker->model->decoder, 1, stream_of, jobs, n_jobs))
        run_batch(worker, jobs);
    for (int j = 0; j < n_jobs; j++)
        if (!jobs[j].error) finish_job(&jobs[j]);
    return err;
}

int tess_decode(struct tess_worker *worker, struct tess_decode_job *jobs, int n_jobs)
{
    if (n_jobs < 0 || n_jobs > worker->max_streams) return TESS_E_ARGUMENT;
    return worker->model->info.segment ? tess_segments_decode(worker, jobs, n_jobs)
                                       : decode_frames(worker, jobs, n_jobs);
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
    return decode_one(worker, (struct tess_decode_job){.decoder = decoder,
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
    return decode_one(worker, (struct tess_decode_job){
                                  .decoder = decoder, .end = 1, .pcm = pcm, .capacity = capacity});
}
