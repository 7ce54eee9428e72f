/* A one-shot job: a body that lies in a file, what is asked of it, and an answer in pieces. HTTP's
 * side (http*.c) spools the body and sends the answer; a job knows no socket.
 *
 *     body -> thread pool: read and parsed -> struct srv_stream, bulk -> sink -> answer
 *
 * A bounded number runs at once, the others wait their turn; beyond --max-jobs they are refused. All
 * calls on the loop's thread. */
#ifndef SRV_JOB_H
#define SRV_JOB_H

#include "server/server.h"

struct srv_job;

/* Called on the loop's thread. `bytes` is borrowed for the call. */
struct srv_answer {
    /* The first call of an answer that succeeds: n_bytes = -1 where it is not known. */
    void (*head)(void *ctx, const char *content_type, int64_t n_bytes);
    void (*bytes)(void *ctx, const uint8_t *bytes, size_t n);
    /* The last call: status = 200 after the last byte, else an HTTP status with one sentence; where
     * the head is out already the answer can only be cut. The job is gone after it. */
    void (*ended)(void *ctx, int status, const char *why);
};

/* What the request's line and headers say; NULL or "" where they say nothing. */
struct srv_job_request {
    enum srv_direction direction;
    const char *query;  /* undecoded, after the '?' */
    const char *accept; /* Accept */
};

/** Checks what can be checked before a body has come: model, codebooks, layout, formats. Returns 200
 *  and *job, or an HTTP status with the reason in why; 503 when --max-jobs are there. */
int srv_job_create(struct srv_job **job,
                   struct srv_server *server,
                   const struct srv_job_request *request,
                   const struct srv_answer *answer,
                   void *ctx,
                   struct tess_why *why);

/** The body has come whole: `body` is a file open for reading, the job's from now on. */
void srv_job_start(struct srv_job *job, int body);

/** While held, no bytes are computed beyond those under way: the client reads slowly. */
void srv_job_hold(struct srv_job *job, bool held);

/** The client is gone: no call to the answer after this. NULL is allowed. */
void srv_job_cancel(struct srv_job *job);

#endif
