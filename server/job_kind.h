/* What the two kinds of one-shot jobs share, and in what they differ. */
#ifndef SRV_JOB_KIND_H
#define SRV_JOB_KIND_H

#include "formats/why.h"
#include "server/ask.h"
#include "server/job.h"
#include "server/stream.h"

/* A kind's calls, in the order in which a job meets them. They return 0, or an HTTP status with the
 * reason in *why (fmt_fail does). Those of the pool run on one of its threads, which has the job to
 * itself but for the stream and what `output` fills; the others on the loop's. */
typedef int srv_job_step(struct srv_job *job, struct tess_why *why);

struct srv_job_kind {
    size_t size; /* of the kind's own struct, which begins with a struct srv_job */
    int (*ask)(struct srv_job *job, const struct srv_job_request *request, struct tess_why *why);
    srv_job_step *open;  /* pool: the body's head; completes config */
    srv_job_step *begin; /* the stream is about to start */
    srv_job_step *read;  /* pool: the next input to block; n_block = 0 at its end */
    int (*output)(struct srv_job *job, const uint8_t *bytes, size_t n, struct tess_why *why);
    srv_job_step *finish; /* the last output has come */
    srv_job_step *write;  /* pool: what of the answer is left to block; n_block = 0 at its end */
    void (*close)(struct srv_job *job);
};
extern const struct srv_job_kind srv_encode_job, srv_decode_job;

struct srv_job {
    struct srv_server *server;
    const struct srv_job_kind *kind;
    struct srv_answer answer;
    void *ctx;
    enum { SRV_JOB_CREATED, SRV_JOB_WAITS, SRV_JOB_OPENS, SRV_JOB_STREAMS, SRV_JOB_WRITES } phase;
    struct srv_job *next;          /* among those that wait */
    int body;                      /* file, -1 until it has come */
    struct srv_lane_config config; /* model NULL: the body names it */
    char option[64];               /* of the query, until the model is known */
    struct srv_stream *stream;
    bool held, all_read;
    bool gone;  /* the client: no call to the answer any more */
    int status; /* why it ends, with why; 0 while it goes on */
    struct tess_why why;

    uv_work_t work;
    bool working;       /* the pool has the job */
    srv_job_step *step; /* what it does there; NULL = nothing */
    int result;         /* what that returned, with its reason */
    struct tess_why result_why;
    uint8_t *block; /* [capacity], whole units of the stream's input */
    size_t n_block, capacity;
};

/** Reads a query (NULL: none), each name and value by `one`. Returns 0 or a status. */
typedef int srv_job_ask(struct srv_job *job, const struct srv_ask *ask, struct tess_why *why);
int srv_job_read_query(struct srv_job *job,
                       const char *query,
                       srv_job_ask *one,
                       struct tess_why *why);

/** Takes the model called so. Returns 0 or a status. */
int srv_job_find_model(struct srv_job *job, const char *name, struct tess_why *why);

/** Keeps the query's option=NAME=VALUE. Returns 0 or a status. */
int srv_job_keep_option(struct srv_job *job, const char *text, struct tess_why *why);

/** Whether the model does the job's direction as a stream, with so many codebooks and the option. */
int srv_job_check_model(struct srv_job *job, int codebooks, struct tess_why *why);

/** Refuses more sound than --max-audio. */
int srv_job_check_length(const struct srv_job *job,
                         int64_t n_samples,
                         int rate,
                         struct tess_why *why);

#endif
