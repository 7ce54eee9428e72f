/* A file in, an answer out: the life of a job and the order of many.
 *
 *     create -> start -> [waits] -> open (pool) -> { read (pool) -> stream -> output } -> write (pool)
 *
 * Always holds: a job ends where its work comes back from the pool and nowhere else, so never inside a
 * call of its stream or its answer. Who wants it to end while nothing is under way sends it through the
 * pool with nothing to do. */
#include "server/job_kind.h"
#include "server/server.h"
#include "src/tessera_wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    JOBS_A_WORKER = SRV_BATCH_FRAMES / SRV_TURN_FRAMES, /* whose turns fill its batch */
    MIN_BLOCK = 65536,
};

int srv_job_read_query(struct srv_job *job,
                       const char *query,
                       srv_job_ask *one,
                       struct tess_why *why)
{
    struct srv_ask ask;
    int more, status = 0;
    if (!query) return 0;
    while (!status && (more = srv_ask_next(&query, &ask)) != 0)
        status = more < 0 ? fmt_fail(why, 400, "a query that is broken or too long")
                          : one(job, &ask, why);
    return status;
}

int srv_job_find_model(struct srv_job *job, const char *name, struct tess_why *why)
{
    job->config.model = srv_models_find(&job->server->models, name);
    if (job->config.model) return 0;
    return fmt_fail(why, 400, "model '%.63s' is none of this server's", name);
}

int srv_job_keep_option(struct srv_job *job, const char *text, struct tess_why *why)
{
    const int n = snprintf(job->option, sizeof job->option, "%s", text);
    return n < (int)sizeof job->option ? 0 : fmt_fail(why, 400, "option is too long");
}

static int read_option(struct srv_job *job, struct tess_why *why)
{
    const struct tess_model_info *info = &job->config.model->info;
    const size_t n = strlen(info->option);
    struct srv_ask value;
    int64_t number;
    if (!job->option[0]) return 0;
    if (n == 0) return fmt_fail(why, 400, "model %s takes no option", job->config.model->name);
    snprintf(value.value, sizeof value.value, "%s",
             strncmp(job->option, info->option, n) == 0 && job->option[n] == '='
                 ? job->option + n + 1
                 : "");
    if (!srv_ask_int(&value, 0, info->option_max, &number))
        return fmt_fail(why, 400, "option of model %s is %s=0 to %s=%d", job->config.model->name,
                        info->option, info->option, info->option_max);
    job->config.option = (int)number;
    return 0;
}

int srv_job_check_model(struct srv_job *job, int codebooks, struct tess_why *why)
{
    const struct srv_model *m = job->config.model;
    const bool encode = job->config.direction == SRV_ENCODE;
    const char *verb = encode ? "encode" : "decode";
    if (!srv_can_stream(&m->info, encode))
        return fmt_fail(why, 400, "model %s needs the whole clip or has scales: `tessera %s -m %s`",
                        m->name, verb, m->info.name);
    if (srv_is_rate(&m->info, codebooks)) return read_option(job, why);
    return fmt_fail(why, 400, "model %s does not %s %d codebooks", m->name, verb, codebooks);
}

int srv_job_check_length(const struct srv_job *job,
                         int64_t n_samples,
                         int rate,
                         struct tess_why *why)
{
    const int64_t most = job->server->options.max_audio;
    if (n_samples / rate < most || (n_samples / rate == most && n_samples % rate == 0)) return 0;
    return fmt_fail(why, 413, "more than %lld s of sound (--max-audio)", (long long)most);
}

/* ---- the pool ---- */

static void came_back(struct srv_job *job);

static void on_work(uv_work_t *work)
{
    struct srv_job *job = work->data;
    job->result = job->step ? job->step(job, &job->result_why) : 0;
}

static void on_back(uv_work_t *work, int cancelled)
{
    struct srv_job *job = work->data;
    (void)cancelled; /* by nobody */
    job->working = false;
    came_back(job);
}

static void dispatch(struct srv_job *job, srv_job_step *step)
{
    job->working = true;
    job->step = step;
    job->work.data = job;
    uv_queue_work(job->server->loop, &job->work, on_work, on_back);
}

/* The job ends as soon as nothing of it is under way; the first reason counts. */
static void stop(struct srv_job *job, int status)
{
    if (!job->status) job->status = status;
    if (job->stream) srv_stream_hold(job->stream, true);
    if (!job->working) dispatch(job, NULL);
}

/* Sends the job for what it needs next, if it needs anything. */
static void go_on(struct srv_job *job)
{
    if (job->working || job->status || job->gone) return;
    if (job->phase == SRV_JOB_WRITES && !job->held) dispatch(job, job->kind->write);
    if (job->phase == SRV_JOB_STREAMS && !job->all_read &&
        srv_stream_queued(job->stream) < srv_stream_window(job->stream) / 2)
        dispatch(job, job->kind->read);
}

/* ---- the stream ---- */

static void on_output(void *ctx, enum srv_direction direction, const uint8_t *bytes, size_t n)
{
    struct srv_job *job = ctx;
    (void)direction;
    if (job->status || job->gone) return;
    struct tess_why why;
    int status = job->kind->output(job, bytes, n, &why);
    if (!status) return;
    job->why = why;
    stop(job, status);
}

static void on_consumed(void *ctx, size_t n_bytes)
{
    (void)n_bytes;
    go_on(ctx);
}

static void on_ended(void *ctx, int error, const char *text)
{
    struct srv_job *job = ctx;
    struct tess_why why;
    srv_stream_close(job->stream);
    job->stream = NULL;
    if (job->status || job->gone) return;
    int status = error ? fmt_fail(&why, error == TESS_WIRE_BAD_REQUEST ? 400 : 500, "%s", text)
                       : job->kind->finish(job, &why);
    job->phase = SRV_JOB_WRITES;
    if (status) {
        job->why = why;
        stop(job, status);
    } else if (!job->kind->write)
        stop(job, 200);
    else
        go_on(job);
}

/* Nobody sends FLUSH into a job's stream. */
static const struct srv_sink sink = {on_output, on_consumed, NULL, on_ended};

/* The body's head has been read: from here on samples and codes flow. */
static int open_stream(struct srv_job *job, struct tess_why *why)
{
    const struct srv_lane_config *c = &job->config;
    const bool encode = c->direction == SRV_ENCODE;
    int error = srv_stream_open(&job->stream, job->server, encode ? c : NULL, encode ? NULL : c,
                                &sink, job);
    if (error == TESS_E_ARGUMENT)
        return fmt_fail(why, 400,
                        "%d Hz, %d channels: here are %d to %d Hz and up to %d channels possible, "
                        "mixed only to one or from one",
                        c->rate, c->channels, SRV_MIN_RATE, SRV_MAX_RATE, SRV_MAX_CHANNELS);
    if (error) return fmt_fail(why, 500, "%s", tess_strerror(error));
    srv_stream_hold(job->stream, job->held);
    size_t half = srv_stream_window(job->stream) / 2;
    job->capacity = half > MIN_BLOCK ? half : MIN_BLOCK;
    job->capacity -= job->capacity % srv_lane_unit(c);
    job->block = malloc(job->capacity);
    if (!job->block) return fmt_fail(why, 500, "out of memory");
    job->phase = SRV_JOB_STREAMS;
    return job->kind->begin(job, why);
}

static int put_block(struct srv_job *job, struct tess_why *why)
{
    int error;
    if (job->n_block > 0) {
        error = srv_stream_put(job->stream, job->config.direction, job->block, job->n_block);
    } else {
        job->all_read = true;
        error = srv_stream_end(job->stream);
    }
    return error ? fmt_fail(why, 500, "%s", tess_strerror(error)) : 0;
}

/* ---- life ---- */

static void start_waiting(struct srv_server *server)
{
    struct srv_jobs *jobs = &server->jobs;
    const int most = JOBS_A_WORKER * srv_scheduler_workers(server->scheduler);
    while (jobs->first && jobs->n_running < most) {
        struct srv_job *job = jobs->first;
        jobs->first = job->next;
        jobs->n_waiting--;
        jobs->n_running++;
        job->phase = SRV_JOB_OPENS;
        dispatch(job, job->kind->open);
    }
}

static void end(struct srv_job *job)
{
    struct srv_server *server = job->server;
    struct srv_jobs *jobs = &server->jobs;
    if (job->stream) srv_stream_close(job->stream);
    job->kind->close(job);
    if (job->body >= 0) close(job->body);
    jobs->n--;
    jobs->n_running -= job->phase > SRV_JOB_WAITS;
    jobs->n_done += job->status == 200 && !job->gone;
    jobs->n_failed += job->status != 200 || job->gone;
    if (!job->gone) job->answer.ended(job->ctx, job->status, job->why.text);
    free(job->block);
    free(job);
    start_waiting(server);
}

/* What the pool has done, and what follows from it. */
static int take_result(struct srv_job *job, struct tess_why *why)
{
    switch (job->phase) {
    case SRV_JOB_OPENS: return open_stream(job, why);
    case SRV_JOB_STREAMS: return put_block(job, why);
    case SRV_JOB_WRITES:
        if (job->n_block == 0) return 200;
        job->answer.bytes(job->ctx, job->block, job->n_block);
        return 0;
    case SRV_JOB_CREATED:
    case SRV_JOB_WAITS: break;
    }
    return 0;
}

static void came_back(struct srv_job *job)
{
    struct tess_why why = job->result_why;
    int status = job->result;
    if (!status && !job->status && !job->gone) status = take_result(job, &why);
    if (status && !job->status) {
        job->status = status;
        job->why = why;
    }
    if (job->working) return; /* a call to the answer has sent it on */
    if (job->status || job->gone)
        end(job);
    else
        go_on(job);
}

int srv_job_create(struct srv_job **job,
                   struct srv_server *server,
                   const struct srv_job_request *request,
                   const struct srv_answer *answer,
                   void *ctx,
                   struct tess_why *why)
{
    *job = NULL;
    if (server->jobs.n >= server->options.max_jobs)
        return fmt_fail(why, 503, "%d one-shot jobs are here (--max-jobs)", server->jobs.n);
    const struct srv_job_kind *kind =
        request->direction == SRV_ENCODE ? &srv_encode_job : &srv_decode_job;
    struct srv_job *j = calloc(1, kind->size);
    if (!j) return fmt_fail(why, 503, "out of memory");
    j->server = server;
    j->kind = kind;
    j->answer = *answer;
    j->ctx = ctx;
    j->body = -1;
    j->config.direction = request->direction;
    j->config.bulk = true;
    int status = kind->ask(j, request, why);
    if (status) {
        free(j);
        return status;
    }
    server->jobs.n++;
    *job = j;
    return 200;
}

void srv_job_start(struct srv_job *job, int body)
{
    struct srv_jobs *jobs = &job->server->jobs;
    struct srv_job **last = &jobs->first;
    job->body = body;
    job->phase = SRV_JOB_WAITS;
    while (*last)
        last = &(*last)->next;
    *last = job;
    jobs->n_waiting++;
    start_waiting(job->server);
}

void srv_job_hold(struct srv_job *job, bool held)
{
    job->held = held;
    if (job->status || job->gone) return;
    if (job->stream) srv_stream_hold(job->stream, held);
    go_on(job);
}

void srv_job_cancel(struct srv_job *job)
{
    if (!job) return;
    struct srv_jobs *jobs = &job->server->jobs;
    for (struct srv_job **at = &jobs->first; *at; at = &(*at)->next) {
        if (*at != job) continue;
        *at = job->next;
        jobs->n_waiting--;
        job->phase = SRV_JOB_CREATED;
        break;
    }
    job->gone = true;
    stop(job, 0);
}
