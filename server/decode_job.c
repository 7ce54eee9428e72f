/* Codes in, a WAV out as it is computed: POST /v1/decode. The body is read through once before the first
 * byte of the answer, so that a damaged one is refused and the WAV's length is known. The bytes are those
 * that `tessera decode` writes. */
#include "formats/codes_in.h"
#include "formats/wav.h"
#include "server/job_kind.h"
#include "server/pcm.h"
#include "server/server.h"
#include "src/tessera_wire.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* JSON is parsed as a whole, to a tree of some fifteen times its text: eleven minutes of the default
 * model's codes. */
enum { MAX_JSON = 1 << 20, START = 6 };

static const char *const types[] = {"audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave"};

struct decode_job {
    struct srv_job job;
    bool to_source; /* back to the source's rate and length */
    struct fmt_codes_in codes;
    uint16_t *frames; /* [the block's frames][codebooks] */
    int64_t n_out;    /* bytes of sound that are still to come */
};

/* ---- the request ---- */

static int ask_one(struct srv_job *job, const struct srv_ask *ask, struct tess_why *why)
{
    struct decode_job *d = (struct decode_job *)job;
    struct srv_lane_config *c = &job->config;
    int64_t n;
    bool good;
    if (strcmp(ask->name, "model") == 0) return srv_job_find_model(job, ask->value, why);
    if (strcmp(ask->name, "option") == 0) return srv_job_keep_option(job, ask->value, why);
    if (strcmp(ask->name, "rate") == 0) {
        d->to_source = strcmp(ask->value, "source") == 0;
        good = d->to_source || srv_ask_int(ask, SRV_MIN_RATE, SRV_MAX_RATE, &n);
        c->rate = good && !d->to_source ? (int)n : 0;
    } else if (strcmp(ask->name, "float") == 0) {
        good = !ask->value[0] || srv_ask_int(ask, 0, 1, &n);
        c->format = good && ask->value[0] && n == 0 ? SRV_S16LE : SRV_F32LE;
    } else
        return fmt_fail(why, 400, "'%s' is not one of model, option, rate, float", ask->name);
    return good ? 0 : fmt_fail(why, 400, "%s=%s is not possible", ask->name, ask->value);
}

static int ask_all(struct srv_job *job, const struct srv_job_request *request, struct tess_why *why)
{
    int status = srv_job_read_query(job, request->query, ask_one, why);
    if (!status && srv_ask_accept(request->accept, types, sizeof types / sizeof types[0]) < 0)
        status = fmt_fail(why, 406, "Accept: %s", types[0]);
    return status;
}

/* ---- the body ---- */

static ptrdiff_t io_read(void *ctx, void *bytes, size_t n)
{
    const struct srv_job *job = ctx;
    return read(job->body, bytes, n);
}

static int io_seek(void *ctx, uint64_t offset)
{
    const struct srv_job *job = ctx;
    return lseek(job->body, (off_t)offset, SEEK_SET) < 0 ? -1 : 0;
}

/* From the body's start, also again. */
static int open_codes(struct decode_job *d, struct tess_why *why)
{
    struct srv_job *job = &d->job;
    uint8_t start[START];
    ptrdiff_t n = pread(job->body, start, sizeof start, 0);
    struct tess_io io = {.ctx = job, .read = io_read, .seek = io_seek};
    struct stat st;
    fmt_codes_in_close(&d->codes);
    if (n < 0 || fstat(job->body, &st) != 0 || io_seek(job, 0) != 0)
        return fmt_fail(why, 500, "the body cannot be read again");
    if (n == 0) return fmt_fail(why, 400, "the body is empty");
    if (fmt_codes_in_is_json(start, (size_t)n) && st.st_size > MAX_JSON)
        return fmt_fail(why, 413, "JSON of more than 1 MiB: send .tess or .npy");
    return fmt_codes_in_open(&d->codes, &io, start, (size_t)n, why) ? 400 : 0;
}

/* The model of the query, which must be the one that made the codes; else that one. */
static int choose_model(struct decode_job *d, struct tess_why *why)
{
    struct srv_lane_config *c = &d->job.config;
    const struct srv_models *models = &d->job.server->models;
    for (int i = 0; i < models->n && !c->model; i++)
        if (fmt_codes_in_made_by(&d->codes, &models->item[i].info)) c->model = &models->item[i];
    if (c->model && fmt_codes_in_made_by(&d->codes, &c->model->info)) return 0;
    return fmt_fail(why, 400, "made by model '%.63s', not by one that is asked for and served",
                    d->codes.model);
}

/* Reads all of the body. Returns 0 and *n_frames, or a status. */
static int check_codes(struct decode_job *d, int64_t *n_frames, struct tess_why *why)
{
    enum { BLOCK = 1024 };
    const struct tess_model_info *info = &d->job.config.model->info;
    const size_t K = (size_t)d->codes.codebooks;
    uint16_t *frames = malloc(BLOCK * K * sizeof *frames);
    if (!frames) return fmt_fail(why, 500, "out of memory");
    int64_t n;
    int status = 0;
    while (!status && (n = fmt_codes_in_read(&d->codes, frames, BLOCK, why)) > 0)
        for (size_t i = 0; i < (size_t)n * K && !status; i++) {
            int code = info->code_min < 0 ? (int16_t)frames[i] : frames[i];
            if (code < info->code_min || code - info->code_min >= info->entries)
                status = fmt_fail(why, 400, "frame %lld: code %d is outside its codebook",
                                  (long long)(d->codes.at - n) + (long long)(i / K), code);
        }
    if (!status && n < 0) status = 400;
    *n_frames = d->codes.at;
    free(frames);
    return status;
}

/* Samples that n become, rounded up. */
static int64_t length_of(int64_t n, int rate_in, int rate_out)
{
    return n / rate_in * rate_out + (n % rate_in * rate_out + rate_in - 1) / rate_in;
}

/* How the sound is to be, and how long it is. */
static int choose_sound(struct decode_job *d, int64_t n_frames, struct tess_why *why)
{
    struct srv_lane_config *c = &d->job.config;
    const struct tess_model_info *info = &c->model->info;
    int source_rate;
    int64_t n_source = fmt_codes_in_source(&d->codes, &source_rate);
    c->n_samples = fmt_codes_in_samples(&d->codes, c->model->model);
    c->trimmed = true;
    c->codebooks = d->codes.codebooks;
    c->channels = info->channels;
    if (c->n_samples < 0 || c->n_samples > tess_model_samples(c->model->model, n_frames))
        return fmt_fail(why, 400, "the number of samples is not that of the frames");
    if (d->to_source && !source_rate) return fmt_fail(why, 400, "the codes tell no source rate");
    if (d->to_source) c->rate = source_rate;
    if (!c->rate) c->rate = info->sample_rate;
    d->n_out = d->to_source ? n_source : length_of(c->n_samples, info->sample_rate, c->rate);
    return srv_job_check_length(&d->job, c->n_samples, info->sample_rate, why);
}

static int open_body(struct srv_job *job, struct tess_why *why)
{
    struct decode_job *d = (struct decode_job *)job;
    int64_t n_frames = 0;
    int status = open_codes(d, why);
    if (!status) status = choose_model(d, why);
    if (!status) status = srv_job_check_model(job, d->codes.codebooks, why);
    if (!status) status = check_codes(d, &n_frames, why);
    if (!status) status = choose_sound(d, n_frames, why);
    return status ? status : open_codes(d, why);
}

static int read_body(struct srv_job *job, struct tess_why *why)
{
    struct decode_job *d = (struct decode_job *)job;
    const size_t unit = srv_lane_unit(&job->config);
    int64_t n = fmt_codes_in_read(&d->codes, d->frames, job->capacity / unit, why);
    if (n < 0) return 400;
    job->n_block = (size_t)n * unit;
    for (size_t i = 0; i < job->n_block / 2; i++)
        tess_wire_put16(job->block + 2 * i, d->frames[i]);
    return 0;
}

/* ---- the answer ---- */

static int begin(struct srv_job *job, struct tess_why *why)
{
    struct decode_job *d = (struct decode_job *)job;
    const struct srv_lane_config *c = &job->config;
    const struct fmt_pcm pcm = srv_pcm_of(c);
    uint8_t head[FMT_WAV_HEAD];
    size_t n_head = fmt_wav_head(head, &pcm, d->n_out, false);
    d->n_out *= (int64_t)fmt_pcm_bytes(&pcm);
    d->frames = malloc(job->capacity);
    if (!d->frames) return fmt_fail(why, 500, "out of memory");
    job->answer.head(job->ctx, types[0], (int64_t)n_head + d->n_out);
    if (!job->gone) job->answer.bytes(job->ctx, head, n_head);
    return 0;
}

static int output(struct srv_job *job, const uint8_t *bytes, size_t n, struct tess_why *why)
{
    struct decode_job *d = (struct decode_job *)job;
    (void)why;
    if ((int64_t)n > d->n_out)
        n = (size_t)d->n_out; /* the source ends inside its last sample here */
    d->n_out -= (int64_t)n;
    if (n > 0) job->answer.bytes(job->ctx, bytes, n);
    return 0;
}

static int finish(struct srv_job *job, struct tess_why *why)
{
    const struct decode_job *d = (const struct decode_job *)job;
    return d->n_out == 0
               ? 0
               : fmt_fail(why, 500, "%lld bytes of sound are missing", (long long)d->n_out);
}

static void close_all(struct srv_job *job)
{
    struct decode_job *d = (struct decode_job *)job;
    fmt_codes_in_close(&d->codes);
    free(d->frames);
}

const struct srv_job_kind srv_decode_job = {
    .size = sizeof(struct decode_job),
    .ask = ask_all,
    .open = open_body,
    .begin = begin,
    .read = read_body,
    .output = output,
    .finish = finish,
    .close = close_all,
};
