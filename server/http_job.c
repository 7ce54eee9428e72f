/* A request with a body in; the body to a file, the file to a job, the job's answer out. Reading waits
 * while the file is written, so what is in memory is one read and no more. */
#include "server/http_client.h"
#include "server/multipart.h"
#include "server/spool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MOST_TEXT = 1024, MOST_QUERY = 2048, MOST_ARGUMENTS = 128 };

struct srv_upload {
    struct srv_spool *spool;
    struct srv_multipart form;
    bool is_form, whole;
    int error; /* a negative errno */
};

/* ---- the answer ---- */

static void on_head(void *ctx, const char *content_type, int64_t n_bytes)
{
    srv_http_start(ctx, content_type, n_bytes);
}

static void on_bytes(void *ctx, const uint8_t *bytes, size_t n)
{
    srv_http_put(ctx, bytes, n);
}

static void on_ended(void *ctx, int status, const char *why)
{
    struct srv_http_client *c = ctx;
    c->job = NULL;
    if (status == 200)
        srv_http_finish(c);
    else
        srv_http_error(c, status, why);
}

static const struct srv_answer answer = {on_head, on_bytes, on_ended};

/* ---- the head ---- */

/* libwebsockets has decoded the arguments; here they are encoded again, each way the same. NULL: too
 * long. */
static const char *read_query(const struct srv_http_client *c, char *text)
{
    const enum lws_token_indexes name = WSI_TOKEN_HTTP_URI_ARGS;
    char argument[MOST_TEXT];
    size_t n = 0;
    for (int i = 0; i < MOST_ARGUMENTS; i++) {
        if (lws_hdr_fragment_length(c->wsi, name, i) == 0) continue;
        if (lws_hdr_copy_fragment(c->wsi, argument, sizeof argument, name, i) < 0) return NULL;
        if (strcmp(argument, "/") == 0) continue; /* so libwebsockets writes an empty last one */
        if (n > 0) text[n++] = '&';
        for (const char *a = argument; *a; a++) {
            if (n + 4 > MOST_QUERY) return NULL;
            if (strchr("%&+# ", *a) || *a < ' ' || *a == 0x7f)
                n += (size_t)snprintf(text + n, 4, "%%%02X", (unsigned)(unsigned char)*a);
            else
                text[n++] = *a;
        }
    }
    text[n] = 0;
    return text;
}

static int check_length(const struct srv_http_client *c, struct tess_why *why)
{
    const int64_t most = c->server->options.max_body, n = srv_http_length(c);
    if (lws_hdr_total_length(c->wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0 || n < 0) {
        strcpy(why->text, "a body needs one Content-Length, and no Transfer-Encoding");
        return 411;
    }
    if (n <= most) return 0;
    snprintf(why->text, sizeof why->text, "the body is over %lld bytes (--max-body)",
             (long long)most);
    return 413;
}

static void on_written(void *ctx, int error);

static int open_upload(struct srv_http_client *c, const char *content_type, struct tess_why *why)
{
    struct srv_upload *u = calloc(1, sizeof *u);
    if (!u) {
        strcpy(why->text, "out of memory");
        return 500;
    }
    c->upload = u;
    u->is_form = srv_multipart_is(content_type);
    if (u->is_form && !srv_multipart_init(&u->form, content_type)) {
        strcpy(why->text, "a form without a boundary");
        return 400;
    }
    int error = srv_spool_create(&u->spool, c->server->loop, on_written, c);
    if (!error) return 0;
    snprintf(why->text, sizeof why->text, "no file for the body: %s", strerror(-error));
    return 507;
}

static int open_job(struct srv_http_client *c, enum srv_direction direction, struct tess_why *why)
{
    char query[MOST_QUERY], accept[MOST_TEXT], type[MOST_TEXT];
    struct srv_job_request request = {
        .direction = direction,
        .query = read_query(c, query),
        .accept = srv_http_header(c, WSI_TOKEN_HTTP_ACCEPT, accept, sizeof accept),
    };
    if (!request.query || !request.accept ||
        !srv_http_header(c, WSI_TOKEN_HTTP_CONTENT_TYPE, type, sizeof type)) {
        strcpy(why->text, "a field or the query is too long");
        return 431;
    }
    int error = open_upload(c, type, why);
    if (error) return error;
    int status = srv_job_create(&c->job, c->server, &request, &answer, c, why);
    if (status == 200 && srv_http_length(c) == 0) {
        /* To be said at once: libwebsockets does not rest while bytes lie behind an empty body. */
        strcpy(why->text, "the body is empty");
        return 400;
    }
    return status == 200 ? 0 : status;
}

void srv_http_job_open(struct srv_http_client *c, enum srv_direction direction)
{
    struct tess_why why = {"draining: connect again"};
    char expect[32];
    int status = c->server->draining ? 503 : check_length(c, &why);
    if (!status) status = open_job(c, direction, &why);
    if (status) {
        srv_http_error(c, status, why.text);
        return;
    }
    srv_http_enter(c, SRV_HTTP_BODY);
    const char *expected = srv_http_header(c, WSI_TOKEN_HTTP_EXPECT, expect, sizeof expect);
    if (expected && strcasecmp(expected, "100-continue") == 0)
        srv_http_raw(c, "HTTP/1.1 100 Continue\r\n\r\n");
}

/* ---- the body ---- */

static void put(void *ctx, const uint8_t *bytes, size_t n)
{
    struct srv_upload *u = ctx;
    if (!u->error) u->error = srv_spool_put(u->spool, bytes, n);
}

static void disk_failed(struct srv_http_client *c, int error)
{
    char why[128];
    snprintf(why, sizeof why, "no room for the body: %s", strerror(-error));
    srv_http_error(c, 507, why);
}

static void start_job(struct srv_http_client *c)
{
    struct srv_upload *u = c->upload;
    if (u->is_form && !srv_multipart_whole(&u->form)) {
        srv_http_error(c, 400, "no whole form, or none with a part called file");
        return;
    }
    int body = srv_spool_take(u->spool);
    free(u);
    c->upload = NULL;
    srv_http_enter(c, SRV_HTTP_WORK);
    srv_job_start(c->job, body);
}

static void on_written(void *ctx, int error)
{
    struct srv_http_client *c = ctx;
    if (error)
        disk_failed(c, error);
    else if (c->upload->whole)
        start_job(c);
    else {
        srv_http_enter(c, SRV_HTTP_BODY); /* the disk's time is not the client's */
        lws_rx_flow_control(c->wsi, 1);
    }
}

void srv_http_job_body(struct srv_http_client *c, const uint8_t *bytes, size_t n)
{
    struct srv_upload *u = c->upload;
    if (!u) return; /* it has its answer, an error */
    c->since = (int64_t)uv_hrtime();
    c->server->metrics.bytes_in += n;
    if (!u->is_form)
        put(u, bytes, n);
    else if (!srv_multipart_push(&u->form, bytes, n, put, u)) {
        srv_http_error(c, 400, "not a form's body");
        return;
    }
    if (u->error)
        disk_failed(c, u->error);
    else if (srv_spool_busy(u->spool))
        lws_rx_flow_control(c->wsi, 0);
}

void srv_http_job_whole(struct srv_http_client *c)
{
    struct srv_upload *u = c->upload;
    if (!u) return;
    lws_rx_flow_control(c->wsi, 1);
    u->whole = true;
    if (!srv_spool_busy(u->spool)) start_job(c);
}

void srv_http_job_drop(struct srv_http_client *c)
{
    if (c->upload) {
        srv_spool_destroy(c->upload->spool);
        free(c->upload);
        c->upload = NULL;
        lws_rx_flow_control(c->wsi, 1);
    }
    srv_job_cancel(c->job);
    c->job = NULL;
}
