/* A recording's samples in, the codes and scales of its segments out, and back. A segment is divided by
 * its scale and encoded from a fresh state; decoded, it is multiplied by it and faded into the one
 * before, with which it overlaps. A stream holds what waits for its segment to fill up, less than one, and
 * the overlap. Source: EnCodec, arXiv:2210.13438, section 3.1.
 *
 * The samples decide where segments end: all `segment` samples long, but for the last two. The last is as
 * long as the stride at most, so it has fewer frames than a full one (tess_segments_check), and the one
 * before may be a frame short, only if the last has but one. That is how frames alone tell segments. */
#include "src/segments.h"

#include <math.h>
#include <string.h>

enum { MAX_AHEAD = 2 }; /* scales that wait for their segments */

int tess_segments_check(const struct tess_blueprint *b, struct tess_why *why)
{
    if (b->segment % b->hop == 0 && b->segment >= 8 * b->hop &&
        b->segment_stride >= b->segment - 2 * b->hop && b->segment_stride <= b->segment - b->hop)
        return 0;
    return tess_base_fail(
        why, TESS_E_MODEL,
        "config: segments of %d samples every %d: whole hops of %d, at least 8, and "
        "1 to 2 hops more than the stride",
        b->segment, b->segment_stride, b->hop);
}

static int frames_of(int samples, int hop)
{
    return (samples + hop - 1) / hop;
}

/* ---- encoding ---------------------------------------------------------------------------------- */

/* Samples of the segment that `left` samples begin with; 0: they wait. */
static int next_samples(int segment, int64_t left, int end)
{
    if (left >= segment) return segment;
    return end ? (int)left : 0;
}

/* From one segment's first sample to what follows. */
static int64_t step(int stride, int n)
{
    return n < stride ? n : stride;
}

/* What n samples from a segment's start on give. */
struct yield {
    int64_t samples; /* that are done with */
    int64_t frames, segments;
};

static struct yield encode_yield(const struct tess_model_info *info, int64_t n_samples, int end)
{
    struct yield y = {0};
    for (int n; (n = next_samples(info->segment, n_samples - y.samples, end)); y.segments++) {
        y.samples += step(info->segment_stride, n);
        y.frames += frames_of(n, info->hop);
    }
    return y;
}

int64_t tess_segments_frames(const struct tess_stream *s, size_t n_samples)
{
    const int64_t left = s->n_pending + (int64_t)n_samples - s->segment;
    return left < 0 ? 0 : (left / s->segment_stride + 1) * (s->segment / s->hop);
}

int64_t tess_segments_most_frames(const struct tess_model_info *info, size_t n_samples)
{
    return encode_yield(info, info->segment - 1 + (int64_t)n_samples, 1).frames;
}

/* Of the channels' mean; not 0, for silence is divided by it too. */
static float root_mean_square(const float *x, int n, int channels)
{
    double sum = 0.0;
    for (int t = 0; t < n; t++) {
        double mean = 0.0;
        for (int c = 0; c < channels; c++)
            mean += (double)x[t * channels + c] / channels;
        sum += mean * mean;
    }
    return (float)(1e-8 + sqrt(sum / n));
}

/* Samples from..from + n of job j's. */
static void
encode_segment(struct tess_worker *w, struct tess_encode_job *jobs, int j, int64_t from, int n)
{
    struct tess_encode_job *job = &jobs[j];
    const struct tess_stream *s = &job->encoder->stream;
    float *x = w->batch.slots[0];
    tess_worker_take_clip(w, &w->model->encoder, s, j, n);
    tess_encoder_copy(job, (size_t)from, (size_t)n, x);
    const float scale = root_mean_square(x, n, s->channels);
    for (int i = 0; i < n * s->channels; i++)
        x[i] /= scale;
    tess_encoder_run(w, jobs);
    if (job->scales) job->scales[job->n_scales++] = scale;
}

static int encode_job(struct tess_worker *w, struct tess_encode_job *jobs, int j)
{
    struct tess_encode_job *job = &jobs[j];
    struct tess_stream *s = &job->encoder->stream;
    int err = tess_encoder_check(w, job);
    if (err) return err;
    const int64_t total = s->n_pending + (int64_t)job->n_samples;
    const struct yield y = encode_yield(&w->model->info, total, job->end);
    if ((uint64_t)y.frames > job->capacity ||
        (job->scales && (uint64_t)y.segments > job->scale_capacity))
        return TESS_E_SPACE;
    err = tess_worker_reserve(w, s->segment / s->hop);
    if (err) return err;
    int64_t done = 0;
    for (int n; (n = next_samples(s->segment, total - done, job->end));
         done += step(s->segment_stride, n))
        encode_segment(w, jobs, j, done, n);
    tess_encoder_copy(job, (size_t)done, (size_t)s->segment, tess_stream_pending(s));
    s->n_pending = (int32_t)(total - done);
    s->n_in += (uint64_t)job->n_frames;
    s->n_out += (uint64_t)job->n_frames;
    s->ended = job->end != 0;
    return 0;
}

int tess_segments_encode(struct tess_worker *worker, struct tess_encode_job *jobs, int n_jobs)
{
    int err = 0;
    for (int j = 0; j < n_jobs; j++) {
        jobs[j].n_frames = jobs[j].n_scales = 0;
        jobs[j].error = encode_job(worker, jobs, j);
        if (!err) err = jobs[j].error;
    }
    return err;
}

/* ---- decoding ---------------------------------------------------------------------------------- */

/* What waits in a decoder: [segment - stride][channels] of the segment before, scaled; scales; then
 * codes [frames][K], a full segment at most. */
static size_t overlap_floats(const struct tess_stream *s)
{
    return (size_t)(s->segment - s->segment_stride) * (size_t)s->channels;
}

static float *waiting_scales(struct tess_stream *s)
{
    return tess_stream_pending(s) + overlap_floats(s);
}

static uint16_t *waiting_codes(struct tess_stream *s)
{
    return (uint16_t *)(void *)(waiting_scales(s) + MAX_AHEAD);
}

int tess_segments_floats(const struct tess_model *model, enum tess_direction direction)
{
    const struct tess_model_info *info = &model->info;
    if (direction == TESS_ENCODE) return info->segment * info->channels;
    return (info->segment - info->segment_stride) * info->channels + MAX_AHEAD +
           (info->segment / info->hop * info->codebooks + 1) / 2;
}

/* Frames of the segment that `left` frames begin with; 0: they wait. What is exactly a full one at the
 * end is the last two. */
static int next_frames(int full, int64_t left, int end)
{
    if (left > full) return full;
    if (!end) return 0;
    return left == full ? full - 1 : (int)left;
}

/* Full segments that are known to be followed by another. */
static int64_t full_segments(int full, int64_t n_frames)
{
    return n_frames > 0 ? (n_frames - 1) / full : 0;
}

int64_t tess_segments_samples(const struct tess_stream *s, size_t n_frames)
{
    return full_segments(s->segment / s->hop, s->n_pending + (int64_t)n_frames) * s->segment_stride;
}

int64_t tess_segments_all_samples(const struct tess_model_info *info, int64_t n_frames)
{
    const int full = info->segment / info->hop;
    if (n_frames == 0) return 0;
    const int64_t last = n_frames % full ? n_frames % full : 1;
    return n_frames / full * info->segment_stride + last * info->hop;
}

/* The latents of frames from..from + n of those that wait and, behind them, the job's. */
static void look_up(struct tess_worker *w, const struct tess_decode_job *job, int64_t from, int n)
{
    struct tess_stream *s = &job->decoder->stream;
    const struct tess_quantizer *q = &w->model->quantizer;
    const int k = s->codebooks;
    float *latent = w->batch.slots[0];
    int old = from < s->n_pending ? s->n_pending - (int)from : 0;
    if (old > n) old = n;
    if (old) tess_quantizer_decode(q, waiting_codes(s) + from * k, old, k, latent);
    if (old < n)
        tess_quantizer_decode(q, job->codes + (from + old - s->n_pending) * k, n - old, k,
                              latent + (size_t)old * (size_t)w->model->latent_width);
}

/* Scale i of those that wait and, behind them, the job's. */
static float scale_at(const struct tess_decode_job *job, int64_t i)
{
    struct tess_stream *s = &job->decoder->stream;
    if (i < s->n_scales) return waiting_scales(s)[i];
    i -= s->n_scales;
    return i < (int64_t)job->n_scales ? job->scales[i] : 1.0f;
}

/* Writes the segment x [n frames of samples], faded into the one before by weights that are triangles as
 * long as the first segment: there they add up to the same everywhere. What the next one overlaps is
 * kept, unless this is the last. Returns samples written. */
static int join(struct tess_stream *s, const float *x, float scale, int n, int is_last, float *out)
{
    const int full = s->segment / s->hop, length = n * s->hop;
    const int first = s->n_in == 0 ? n : s->n_in < (uint64_t)full ? (int)s->n_in : full;
    const int before = s->n_in == 0 ? 0 : s->n_in % (uint64_t)full ? full - 1 : full;
    const int slope =
        first * s->hop - s->segment_stride; /* samples over which the triangles meet */
    const int n_out = is_last ? length : s->segment_stride;
    int n_faded = before ? before * s->hop - s->segment_stride : 0;
    if (n_faded > n_out) n_faded = n_out;
    float *overlap = tess_stream_pending(s);
    const int channels = s->channels;
    for (int i = 0; i < n_faded * channels; i++) {
        const float up = (float)(i / channels + 1) / (float)(slope + 1);
        out[i] = (1.0f - up) * overlap[i] + up * (scale * x[i]);
    }
    for (int i = n_faded * channels; i < n_out * channels; i++)
        out[i] = scale * x[i];
    for (int i = n_out * channels; i < length * channels; i++)
        overlap[i - n_out * channels] = scale * x[i];
    return n_out;
}

/* Frames from..from + n of job j's, the i-th segment of it. */
static void decode_segment(struct tess_worker *w,
                           struct tess_decode_job *job,
                           int j,
                           int64_t from,
                           int n,
                           int64_t i,
                           int is_last)
{
    const struct tess_graph *graph = &w->model->decoder;
    struct tess_stream *s = &job->decoder->stream;
    const double before = tess_worker_clock(w);
    tess_worker_take_clip(w, graph, s, j, n);
    look_up(w, job, from, n);
    w->times.lookup += tess_worker_clock(w) - before;
    tess_decoder_run(w);
    job->n_samples += join(s, w->batch.slots[graph->out_slot], scale_at(job, i), n, is_last,
                           job->pcm + job->n_samples * s->channels);
    s->n_in += (uint64_t)n;
}

/* Checks a job before anything of it is consumed. */
static int check_decode(struct tess_worker *w, const struct tess_decode_job *job)
{
    const struct tess_stream *s = &job->decoder->stream;
    int err = tess_decoder_check(w, job);
    if (err) return err;
    for (size_t i = 0; i < job->n_scales; i++)
        if (!isfinite(job->scales[i])) return TESS_E_NONFINITE;
    const int full = s->segment / s->hop;
    const int64_t total = s->n_pending + (int64_t)job->n_frames;
    const int64_t n_segments = job->end && total ? total / full + 1 : full_segments(full, total);
    const int64_t n_samples = job->end ? tess_segments_all_samples(&w->model->info, total)
                                       : n_segments * s->segment_stride;
    if (job->n_scales > (uint64_t)n_segments + MAX_AHEAD ||
        s->n_scales + (int64_t)job->n_scales > n_segments + (job->end ? 0 : MAX_AHEAD))
        return TESS_E_ARGUMENT;
    if ((uint64_t)n_samples > job->capacity) return TESS_E_SPACE;
    return tess_worker_reserve(w, full);
}

/* Frames from `done` on and scales from `n_used` on wait; behind them are zeros, whatever waited before. */
static void keep_waiting(struct tess_decode_job *job, int64_t done, int64_t n_used)
{
    struct tess_stream *s = &job->decoder->stream;
    const int k = s->codebooks;
    const int64_t total = s->n_pending + (int64_t)job->n_frames;
    const int64_t old = done < s->n_pending ? s->n_pending - done : 0, fresh = total - done - old;
    uint16_t *codes = waiting_codes(s);
    float *scales = waiting_scales(s);
    memmove(codes, codes + done * k, (size_t)(old * k) * sizeof *codes);
    if (fresh)
        memcpy(codes + old * k, job->codes + ((int64_t)job->n_frames - fresh) * k,
               (size_t)(fresh * k) * sizeof *codes);
    memset(codes + (old + fresh) * k, 0,
           (size_t)(s->segment / s->hop * k - (old + fresh) * k) * sizeof *codes);
    int32_t n_scales = 0;
    for (int64_t i = n_used; i < s->n_scales + (int64_t)job->n_scales; i++)
        scales[n_scales++] = scale_at(job, i);
    s->n_scales = n_scales;
    for (int i = n_scales; i < MAX_AHEAD; i++)
        scales[i] = 0.0f;
    s->n_pending = (int32_t)(total - done);
}

static int decode_job(struct tess_worker *w, struct tess_decode_job *job, int j)
{
    struct tess_stream *s = &job->decoder->stream;
    int err = check_decode(w, job);
    if (err) return err;
    const int64_t total = s->n_pending + (int64_t)job->n_frames;
    int64_t done = 0, n_segments = 0;
    for (int n; (n = next_frames(s->segment / s->hop, total - done, job->end)); done += n)
        decode_segment(w, job, j, done, n, n_segments++, done + n == total);
    keep_waiting(job, done, n_segments);
    s->n_out += (uint64_t)job->n_samples;
    s->ended = job->end != 0;
    return 0;
}

int tess_segments_decode(struct tess_worker *worker, struct tess_decode_job *jobs, int n_jobs)
{
    int err = 0;
    for (int j = 0; j < n_jobs; j++) {
        jobs[j].n_samples = 0;
        jobs[j].error = decode_job(worker, &jobs[j], j);
        if (!err) err = jobs[j].error;
    }
    return err;
}
