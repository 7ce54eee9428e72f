/* Answers in, HTTP's bytes out: a head, pieces, in chunks where the length is not known. Pieces queue
 * here until libwebsockets says that the socket takes more. */
#include "server/http_client.h"

#include <cjson/cJSON.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    HEAD_BYTES = 1024,
    QUEUED_MOST = 262144, /* a job is held beyond it, */
    QUEUED_FEW = 65536,   /* and goes on below this */
    RETRY_SECONDS = 1,
};

/* The page's scripts and styles are files of ours, it speaks to us alone, and no page frames it. */
#define PAGE_POLICY                                                                                \
    "Content-Security-Policy: default-src 'self'; object-src 'none'; base-uri 'none'; "            \
    "form-action 'none'; frame-ancestors 'none'\r\nReferrer-Policy: no-referrer\r\n"

/* ---- what statuses are called ---- */

static const struct status {
    int code;
    const char *phrase, *type; /* of the error's JSON */
    enum srv_drop drop;        /* how an error counts */
} statuses[] = {
    {200, "OK",                              NULL,                    SRV_NO_DROP      },
    {204, "No Content",                      NULL,                    SRV_NO_DROP      },
    {304, "Not Modified",                    NULL,                    SRV_NO_DROP      },
    {400, "Bad Request",                     "invalid_request_error", SRV_DROP_PROTOCOL},
    {401, "Unauthorized",                    "authentication_error",  SRV_DROP_AUTH    },
    {403, "Forbidden",                       "permission_error",      SRV_DROP_AUTH    },
    {404, "Not Found",                       "not_found_error",       SRV_DROP_PROTOCOL},
    {405, "Method Not Allowed",              "invalid_request_error", SRV_DROP_PROTOCOL},
    {406, "Not Acceptable",                  "invalid_request_error", SRV_DROP_PROTOCOL},
    {408, "Request Timeout",                 "timeout_error",         SRV_DROP_IDLE    },
    {411, "Length Required",                 "invalid_request_error", SRV_DROP_PROTOCOL},
    {413, "Content Too Large",               "limit_error",           SRV_DROP_LIMIT   },
    {415, "Unsupported Media Type",          "invalid_request_error", SRV_DROP_PROTOCOL},
    {422, "Unprocessable Content",           "invalid_request_error", SRV_DROP_PROTOCOL},
    {426, "Upgrade Required",                "invalid_request_error", SRV_DROP_PROTOCOL},
    {429, "Too Many Requests",               "limit_error",           SRV_DROP_LIMIT   },
    {431, "Request Header Fields Too Large", "limit_error",           SRV_DROP_LIMIT   },
    {503, "Service Unavailable",             "overloaded",            SRV_DROP_LIMIT   },
    {507, "Insufficient Storage",            "server_error",          SRV_NO_DROP      },
    {500, "Internal Server Error",           "server_error",          SRV_NO_DROP      },
};

static const struct status *find_status(int code)
{
    const struct status *s = statuses;
    while (s->code != code && s->code != 500)
        s++;
    return s;
}

/* ---- the queue ---- */

static struct srv_http_piece *add(struct srv_http_client *c, size_t n)
{
    struct srv_http_piece *piece = malloc(sizeof *piece + n);
    if (!piece) {
        srv_http_kill(c);
        return NULL;
    }
    piece->next = NULL;
    piece->n = n;
    if (c->last)
        c->last->next = piece;
    else {
        c->first = piece;
        c->since = (int64_t)uv_hrtime(); /* the client had nothing to read until now */
    }
    c->last = piece;
    c->n_queued += n;
    c->server->http_unsent += n;
    lws_callback_on_writable(c->wsi);
    return piece;
}

static void pop(struct srv_http_client *c)
{
    struct srv_http_piece *piece = c->first;
    c->first = piece->next;
    if (!c->first) c->last = NULL;
    c->n_queued -= piece->n;
    c->server->http_unsent -= piece->n;
    free(piece);
}

void srv_http_drop_answer(struct srv_http_client *c)
{
    while (c->first)
        pop(c);
}

void srv_http_raw(struct srv_http_client *c, const char *text)
{
    struct srv_http_piece *piece = add(c, strlen(text));
    if (piece) memcpy(piece->bytes, text, piece->n);
}

static void balance(struct srv_http_client *c)
{
    bool held = c->n_queued > (c->held ? QUEUED_FEW : QUEUED_MOST);
    if (!c->job || held == c->held) return;
    c->held = held;
    srv_job_hold(c->job, held);
}

/* ---- an answer ---- */

static void print(char *text, size_t *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void print(char *text, size_t *at, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    int n = vsnprintf(text + *at, HEAD_BYTES - *at, format, list);
    va_end(list);
    *at += n > 0 && (size_t)n < HEAD_BYTES - *at ? (size_t)n : 0;
}

static void start(struct srv_http_client *c, int status, const char *type, int64_t n_bytes)
{
    char head[HEAD_BYTES];
    size_t n = 0;
    c->started = true;
    c->chunked = n_bytes < 0 && !c->old;
    c->last_one |= status >= 400 || (n_bytes < 0 && c->old);
    print(head, &n, "HTTP/1.1 %d %s\r\n", status, find_status(status)->phrase);
    if (type) print(head, &n, "Content-Type: %s\r\n", type);
    if (c->chunked)
        print(head, &n, "Transfer-Encoding: chunked\r\n");
    else if (n_bytes >= 0 && status != 204 && status != 304)
        print(head, &n, "Content-Length: %lld\r\n", (long long)n_bytes);
    print(head, &n, "X-Content-Type-Options: nosniff\r\n");
    if (c->file && status < 400)
        print(head, &n, "Cache-Control: no-cache\r\nETag: %s\r\n" PAGE_POLICY, c->file->etag);
    else
        print(head, &n, "Cache-Control: no-store\r\n");
    if (c->origin)
        print(head, &n, "Access-Control-Allow-Origin: %s\r\nVary: Origin\r\n", c->origin);
    if (c->origin && status == 204)
        print(head, &n,
              "Access-Control-Allow-Methods: GET, POST\r\n"
              "Access-Control-Allow-Headers: Authorization, Content-Type\r\n");
    if (status == 401) print(head, &n, "WWW-Authenticate: Bearer\r\n");
    if (status == 405) print(head, &n, "Allow: %s\r\n", c->methods);
    if (status == 426) print(head, &n, "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
    if (status == 429 || status == 503) print(head, &n, "Retry-After: %d\r\n", RETRY_SECONDS);
    if (c->last_one) print(head, &n, "Connection: close\r\n");
    print(head, &n, "\r\n");
    srv_http_raw(c, head);
}

void srv_http_start(struct srv_http_client *c, const char *type, int64_t n_bytes)
{
    start(c, 200, type, n_bytes);
}

void srv_http_put(struct srv_http_client *c, const uint8_t *bytes, size_t n)
{
    char size[24] = "";
    if (n == 0 || c->head_only) return; /* an empty chunk would be the last */
    if (c->chunked) snprintf(size, sizeof size, "%zx\r\n", n);
    size_t before = strlen(size), after = c->chunked ? 2 : 0;
    struct srv_http_piece *piece = add(c, before + n + after);
    if (!piece) return;
    memcpy(piece->bytes, size, before);
    memcpy(piece->bytes + before, bytes, n);
    memcpy(piece->bytes + before + n, "\r\n", after);
    balance(c);
}

void srv_http_finish(struct srv_http_client *c)
{
    if (c->chunked && !c->head_only) srv_http_raw(c, "0\r\n\r\n");
    c->finished = true;
    lws_callback_on_writable(c->wsi);
}

void srv_http_reply(
    struct srv_http_client *c, int status, const char *type, const char *body, size_t n_bytes)
{
    start(c, status, type, (int64_t)n_bytes);
    srv_http_put(c, (const uint8_t *)body, n_bytes);
    srv_http_finish(c);
}

void srv_http_error(struct srv_http_client *c, int status, const char *why)
{
    const struct status *s = find_status(status);
    struct srv_server *server = c->server;
    srv_http_job_drop(c);
    if (c->finished || c->state == SRV_HTTP_LINGER) return; /* it has had its answer */
    if (s->drop != SRV_NO_DROP) server->metrics.dropped[s->drop]++;
    srv_log(&server->log, SRV_WARNING, "http", "%s %d: %s",
            server->log.addresses ? c->address : "client", s->code, why);
    if (c->started) { /* it can only be cut */
        srv_http_kill(c);
        return;
    }
    cJSON *json = cJSON_CreateObject(), *error = cJSON_AddObjectToObject(json, "error");
    char shown[sizeof(struct tess_why)];
    snprintf(shown, sizeof shown, "%s", why);
    srv_log_clean(shown, strlen(shown));
    cJSON_AddNumberToObject(error, "code", s->code);
    cJSON_AddStringToObject(error, "message", shown);
    cJSON_AddStringToObject(error, "type", s->type);
    char *text = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);
    srv_http_reply(c, s->code, "application/json", text ? text : "", text ? strlen(text) : 0);
    cJSON_free(text);
}

/* ---- sending ---- */

static int end_request(struct srv_http_client *c)
{
    bool last = c->last_one;
    c->finished = c->started = c->chunked = c->held = c->head_only = c->old = false;
    c->origin = NULL;
    c->served = true;
    if (last && c->has_body) {
        srv_http_enter(c, SRV_HTTP_LINGER);
        return 0;
    }
    srv_http_enter(c, SRV_HTTP_HEAD);
    return last || lws_http_transaction_completed(c->wsi) ? -1 : 0;
}

int srv_http_send(struct srv_http_client *c)
{
    while (c->first && !lws_send_pipe_choked(c->wsi)) {
        struct srv_http_piece *piece = c->first;
        /* "Headers" are sent as they are; our body is framed already. */
        if (lws_write(c->wsi, piece->bytes, piece->n, LWS_WRITE_HTTP_HEADERS) < 0) return -1;
        c->server->metrics.bytes_out += piece->n;
        c->since = (int64_t)uv_hrtime();
        pop(c);
    }
    balance(c);
    if (c->first) {
        lws_callback_on_writable(c->wsi);
        return 0;
    }
    return c->finished ? end_request(c) : 0;
}
