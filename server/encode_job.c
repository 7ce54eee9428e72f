/* Sound in, codes out: POST /v1/encode. A .tess file leaves as its codes come; .npy and JSON tell their
 * length first (and JSON may have columns first), so their codes are held: 2 MB for an hour of the
 * default model. The bytes are those that `tessera encode` writes. */
#include "formats/codes_json.h"
#include "formats/npy.h"
#include "formats/tess.h"
#include "formats/wav.h"
#include "server/job_kind.h"
#include "server/pcm.h"
#include "server/server.h"
#include "src/tessera_wire.h"

#include <errno.h>
#include <sndfile.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum answer { ANSWER_JSON, ANSWER_NPY, ANSWER_TESS, N_ANSWERS };
static const char *const types[N_ANSWERS] = {
    [ANSWER_JSON] = "application/json",
    [ANSWER_NPY] = "application/x-npy",
    [ANSWER_TESS] = "application/x-tess",
};

struct encode_job {
    struct srv_job job;
    enum answer answer;
    enum fmt_layout layout;
    bool raw;
    SNDFILE *file;              /* NULL: raw */
    float *pcm;                 /* what the file gives of a block */
    int64_t n_source;           /* samples per channel: of the body, -1 = it does not say, */
    int64_t at;                 /* and read so far */
    struct tess_writer *writer; /* ANSWER_TESS */
    uint16_t *codes;            /* [n_frames][codebooks], unless ANSWER_TESS */
    size_t n_frames, capacity;
    struct fmt_codes_json json;
    struct fmt_json_text text;
    size_t n_written; /* frames of .npy; its head went first */
};

/* ---- the request ---- */

static int ask_one(struct srv_job *job, const struct srv_ask *ask, struct tess_why *why)
{
    struct encode_job *e = (struct encode_job *)job;
    struct srv_lane_config *c = &job->config;
    int64_t n;
    bool good = true;
    if (strcmp(ask->name, "model") == 0) return srv_job_find_model(job, ask->value, why);
    if (strcmp(ask->name, "option") == 0) return srv_job_keep_option(job, ask->value, why);
    if (strcmp(ask->name, "codebooks") == 0) {
        good = srv_ask_int(ask, 1, INT32_MAX, &n);
        c->codebooks = (int)n;
    } else if (strcmp(ask->name, "layout") == 0) {
        e->layout = fmt_layout(ask->value);
        good = e->layout != FMT_N_LAYOUTS;
    } else if (strcmp(ask->name, "raw") == 0) {
        e->raw = true;
        c->format = strcmp(ask->value, "s16le") == 0 ? SRV_S16LE : SRV_F32LE;
        good = c->format == SRV_S16LE || strcmp(ask->value, "f32le") == 0;
    } else if (strcmp(ask->name, "rate") == 0) {
        good = srv_ask_int(ask, SRV_MIN_RATE, SRV_MAX_RATE, &n);
        c->rate = (int)n;
    } else if (strcmp(ask->name, "channels") == 0) {
        good = srv_ask_int(ask, 1, SRV_MAX_CHANNELS, &n);
        c->channels = (int)n;
    } else
        return fmt_fail(why, 400,
                        "'%s' is not one of model, option, codebooks, layout, raw, rate, channels",
                        ask->name);
    return good ? 0 : fmt_fail(why, 400, "%s=%s is not possible", ask->name, ask->value);
}

static int ask_all(struct srv_job *job, const struct srv_job_request *request, struct tess_why *why)
{
    struct encode_job *e = (struct encode_job *)job;
    struct srv_lane_config *c = &job->config;
    c->model = srv_models_find(&job->server->models, NULL);
    int status = srv_job_read_query(job, request->query, ask_one, why);
    if (status) return status;
    int answer = srv_ask_accept(request->accept, types, N_ANSWERS);
    if (answer < 0) return fmt_fail(why, 406, "Accept: %s, %s or %s", types[0], types[1], types[2]);
    e->answer = (enum answer)answer;
    if (!e->raw && (c->rate || c->channels))
        return fmt_fail(why, 400, "rate and channels are of raw sound (raw=s16le or f32le)");
    const struct tess_model_info *info = &c->model->info;
    if (!c->codebooks) c->codebooks = info->codebooks_default;
    if (!c->rate) c->rate = info->sample_rate;
    if (!c->channels) c->channels = info->channels;
    return srv_job_check_model(job, c->codebooks, why);
}

/* ---- the body ---- */

/* Samples that the head of a WAV announces, of which libsndfile says nothing where they are not there. */
static int64_t announced(int body)
{
    uint8_t head[4096];
    struct fmt_wav wav;
    ssize_t n = pread(body, head, sizeof head, 0);
    return n >= 0 && fmt_wav_read_head(&wav, head, (size_t)n) == 0 ? fmt_wav_samples(&wav) : -1;
}

static int open_body(struct srv_job *job, struct tess_why *why)
{
    struct encode_job *e = (struct encode_job *)job;
    struct srv_lane_config *c = &job->config;
    struct stat st;
    if (fstat(job->body, &st) != 0 || lseek(job->body, 0, SEEK_SET) != 0)
        return fmt_fail(why, 500, "the body cannot be read again");
    if (st.st_size == 0) return fmt_fail(why, 400, "the body is empty");
    if (e->raw) {
        const int64_t unit = (int64_t)srv_lane_unit(c);
        if (st.st_size % unit != 0) return fmt_fail(why, 400, "the body ends inside a sample");
        e->n_source = st.st_size / unit;
    } else {
        SF_INFO info = {0};
        int twin = dup(job->body); /* libsndfile closes what it cannot read, whatever it is told */
        if (twin < 0) return fmt_fail(why, 500, "the body cannot be opened: %s", strerror(errno));
        e->file = sf_open_fd(twin, SFM_READ, &info, SF_TRUE);
        if (!e->file) return fmt_fail(why, 400, "not a sound file: %s", sf_strerror(NULL));
        e->n_source = info.frames >= 0 && info.frames < SF_COUNT_MAX ? info.frames : -1;
        const int64_t n = announced(job->body);
        if (n > e->n_source) e->n_source = n;
        c->format = SRV_F32LE;
        c->rate = info.samplerate;
        c->channels = info.channels;
    }
    return srv_job_check_length(job, e->n_source, c->rate, why);
}

static int64_t read_raw(struct encode_job *e)
{
    struct srv_job *job = &e->job;
    const size_t unit = srv_lane_unit(&job->config);
    size_t fill = 0;
    for (ptrdiff_t got; fill < job->capacity; fill += (size_t)got) {
        got = read(job->body, job->block + fill, job->capacity - fill);
        if (got < 0) return got;
        if (got == 0) break;
    }
    return (int64_t)(fill / unit);
}

static int64_t read_file(struct encode_job *e)
{
    struct srv_job *job = &e->job;
    const struct fmt_pcm pcm = srv_pcm_of(&job->config);
    const size_t unit = fmt_pcm_bytes(&pcm), channels = (size_t)job->config.channels;
    int64_t n = sf_readf_float(e->file, e->pcm, (sf_count_t)(job->capacity / unit));
    if (n <= 0) return sf_error(e->file) ? -1 : 0;
    fmt_pcm_from_float(&pcm, e->pcm, (size_t)n * channels, job->block);
    return n;
}

static int read_body(struct srv_job *job, struct tess_why *why)
{
    struct encode_job *e = (struct encode_job *)job;
    int64_t n = e->file ? read_file(e) : read_raw(e);
    if (n < 0)
        return fmt_fail(why, 400, "the sound cannot be read: %s",
                        e->file ? sf_strerror(e->file) : "reading failed");
    if (n == 0 && e->at < e->n_source)
        return fmt_fail(why, 400, "the sound ends after %lld of %lld samples", (long long)e->at,
                        (long long)e->n_source);
    e->at += n;
    job->n_block = (size_t)n * srv_lane_unit(&job->config);
    return srv_job_check_length(job, e->at, job->config.rate, why);
}

/* ---- the answer ---- */

static int put_bytes(void *ctx, const void *bytes, size_t n)
{
    struct srv_job *job = ctx;
    if (!job->gone) job->answer.bytes(job->ctx, bytes, n);
    return 0;
}

static int begin(struct srv_job *job, struct tess_why *why)
{
    struct encode_job *e = (struct encode_job *)job;
    const struct srv_lane_config *c = &job->config;
    if (e->file) {
        e->pcm = malloc(job->capacity);
        if (!e->pcm) return fmt_fail(why, 500, "out of memory");
    }
    if (e->answer != ANSWER_TESS) return 0;
    struct tess_file_info info = fmt_tess_info(&c->model->info, c->codebooks, c->rate);
    job->answer.head(job->ctx, types[ANSWER_TESS], -1);
    struct tess_io io = {.ctx = job, .write = put_bytes};
    return tess_writer_create(&e->writer, &io, &info, NULL, why) ? 500 : 0;
}

static int make_room(struct encode_job *e, size_t n)
{
    if (e->n_frames + n <= e->capacity) return 0;
    size_t capacity = 2 * (e->n_frames + n);
    void *codes = realloc(e->codes, capacity * (size_t)e->job.config.codebooks * sizeof *e->codes);
    if (!codes) return TESS_E_NOMEM;
    e->codes = codes;
    e->capacity = capacity;
    return 0;
}

/* A .tess file takes the frames at once, so there is room for those of one turn only. */
static int output(struct srv_job *job, const uint8_t *bytes, size_t n_bytes, struct tess_why *why)
{
    struct encode_job *e = (struct encode_job *)job;
    const size_t K = (size_t)job->config.codebooks, n = n_bytes / (2 * K);
    size_t first = e->writer ? 0 : e->n_frames;
    int error = make_room(e, n);
    if (!error) {
        for (size_t i = 0; i < n * K; i++)
            e->codes[first * K + i] = tess_wire_get16(bytes + 2 * i);
        e->n_frames += n;
        if (e->writer) error = tess_writer_put(e->writer, e->codes, n);
    }
    return error ? fmt_fail(why, 500, "%s", tess_strerror(error)) : 0;
}

/* A family that gives no frame for a last part of a hop covers that much less of the source. */
static int finish(struct srv_job *job, struct tess_why *why)
{
    struct encode_job *e = (struct encode_job *)job;
    const struct srv_lane_config *c = &job->config;
    const struct tess_model_info *model = &c->model->info;
    const int64_t covered = (int64_t)e->n_frames * model->hop;
    int64_t n_samples = (e->at * model->sample_rate + c->rate - 1) / c->rate, n_source = e->at;
    if (model->drops_partial && covered < n_samples) {
        n_samples = covered;
        n_source = covered * c->rate / model->sample_rate;
    }
    if (e->answer == ANSWER_TESS) return tess_writer_finish(e->writer, n_source, why) ? 500 : 0;

    e->json = (struct fmt_codes_json){
        .sample_rate = model->sample_rate,
        .n_samples = n_samples,
        .n_frames = (int64_t)e->n_frames,
        .codebooks = c->codebooks,
        .codes = e->codes,
    };
    memcpy(e->json.model, model->name, sizeof e->json.model);
    const bool is_signed = model->code_min < 0;
    const int64_t n_bytes = (int64_t)(2 * e->n_frames) * c->codebooks;
    if (e->answer == ANSWER_JSON && fmt_json_text_start(&e->text, &e->json, e->layout, is_signed))
        return fmt_fail(why, 500, "out of memory");
    job->answer.head(job->ctx, types[e->answer],
                     e->answer == ANSWER_NPY ? FMT_NPY_HEAD + n_bytes : -1);
    if (e->answer == ANSWER_NPY && !job->gone) {
        uint8_t head[FMT_NPY_HEAD];
        fmt_npy_head(head, (int64_t)e->n_frames, c->codebooks, is_signed);
        job->answer.bytes(job->ctx, head, sizeof head);
    }
    return 0;
}

static int write_rest(struct srv_job *job, struct tess_why *why)
{
    struct encode_job *e = (struct encode_job *)job;
    const size_t K = (size_t)job->config.codebooks;
    size_t n = e->n_frames - e->n_written, most = job->capacity / (2 * K);
    (void)why;
    job->n_block = 0;
    if (e->answer == ANSWER_JSON)
        job->n_block = fmt_json_text_next(&e->text, (char *)job->block, job->capacity);
    if (e->answer != ANSWER_NPY) return 0;
    if (n > most) n = most;
    for (size_t i = 0; i < n * K; i++)
        tess_wire_put16(job->block + 2 * i, e->codes[e->n_written * K + i]);
    e->n_written += n;
    job->n_block = 2 * n * K;
    return 0;
}

static void close_all(struct srv_job *job)
{
    struct encode_job *e = (struct encode_job *)job;
    if (e->file) sf_close(e->file);
    tess_writer_destroy(e->writer);
    fmt_json_text_stop(&e->text);
    free(e->pcm);
    free(e->codes);
}

const struct srv_job_kind srv_encode_job = {
    .size = sizeof(struct encode_job),
    .ask = ask_all,
    .open = open_body,
    .begin = begin,
    .read = read_body,
    .output = output,
    .finish = finish,
    .write = write_rest,
    .close = close_all,
};
