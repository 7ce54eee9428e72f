/* Heads of requests in: checked in one order, then the row of the table that answers. */
#include "server/http_client.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { METHOD_GET = 1, METHOD_POST = 2, MOST_TEXT = 512 };

/* ---- the table ---- */

static void show(struct srv_http_client *c, int status, char *json)
{
    if (json)
        srv_http_reply(c, status, "application/json", json, strlen(json));
    else
        srv_http_error(c, 500, "out of memory");
    free(json);
}

/* A load balancer looks at the status, so what is no error to us is one to it. */
static void on_health(struct srv_http_client *c)
{
    show(c, c->server->draining ? 503 : 200, srv_page_health(c->server));
}

static void on_metrics(struct srv_http_client *c)
{
    char *text = srv_metrics_text(c->server);
    if (text)
        srv_http_reply(c, 200, "text/plain; version=0.0.4; charset=utf-8", text, strlen(text));
    else
        srv_http_error(c, 500, "out of memory");
    free(text);
}

static void on_version(struct srv_http_client *c)
{
    show(c, 200, srv_page_version(c->server));
}

static void on_models(struct srv_http_client *c)
{
    show(c, 200, srv_page_models(c->server));
}

static void on_status(struct srv_http_client *c)
{
    show(c, 200, srv_page_status(c->server));
}

static void on_encode(struct srv_http_client *c)
{
    srv_http_job_open(c, SRV_ENCODE);
}

static void on_decode(struct srv_http_client *c)
{
    srv_http_job_open(c, SRV_DECODE);
}

static void on_stream(struct srv_http_client *c)
{
    srv_http_error(c, 426, "a WebSocket, not a page");
}

/* Is `word` one of the names in a list with commas? */
static bool in_list(const char *list, const char *word)
{
    size_t n = strlen(word);
    while (*list) {
        list += strspn(list, ", \t");
        size_t length = strcspn(list, ", \t");
        if (length == n && strncasecmp(list, word, n) == 0) return true;
        list += length;
    }
    return false;
}

static void on_file(struct srv_http_client *c)
{
    char text[MOST_TEXT];
    const char *known = srv_http_header(c, WSI_TOKEN_HTTP_IF_NONE_MATCH, text, sizeof text);
    if (known && in_list(known, c->file->etag))
        srv_http_reply(c, 304, NULL, NULL, 0);
    else
        srv_http_reply(c, 200, c->file->type, c->file->bytes, c->file->n_bytes);
}

#define STREAM_PATH "/v1/stream"

static const struct row {
    const char *path;
    int method;
    bool open; /* to those without a key */
    void (*answer)(struct srv_http_client *c);
} rows[] = {
    {"/health",     METHOD_GET,  true,  on_health },
    {"/v1/health",  METHOD_GET,  true,  on_health },
    {"/metrics",    METHOD_GET,  false, on_metrics},
    {"/version",    METHOD_GET,  false, on_version},
    {"/v1/models",  METHOD_GET,  false, on_models },
    {"/v1/status",  METHOD_GET,  false, on_status },
    {"/v1/encode",  METHOD_POST, false, on_encode },
    {"/tokenize",   METHOD_POST, false, on_encode },
    {"/v1/decode",  METHOD_POST, false, on_decode },
    {"/detokenize", METHOD_POST, false, on_decode },
    {STREAM_PATH,   METHOD_GET,  true,  on_stream }, /* its HELLO may bring the key */
};

/* The browser page's files: all who may come in may see them, so that it can ask for the key. */
static const struct row file_row = {NULL, METHOD_GET, true, on_file};

static const struct srv_web_file *find_file(const char *path)
{
    const struct srv_web_file *file = srv_web_files;
    while (file->path && strcmp(file->path, path) != 0)
        file++;
    return file->path ? file : NULL;
}

static const struct row *find_row(const char *path)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strcmp(rows[i].path, path) == 0) return &rows[i];
    return NULL;
}

/* ---- what all requests have in common ---- */

static bool has(const struct srv_http_client *c, enum lws_token_indexes name)
{
    return lws_hdr_total_length(c->wsi, name) > 0;
}

/* Of all fields that libwebsockets knows by name; of others it keeps what has room, and hangs up. */
static bool head_too_large(const struct srv_http_client *c)
{
    int64_t n = 0;
    for (int name = 0; name < WSI_TOKEN_COUNT; name++)
        n += lws_hdr_total_length(c->wsi, (enum lws_token_indexes)name);
    return n > c->server->options.max_header;
}

/* A path with an encoded line's end in it leaves no version behind: it is none of ours either. */
static bool read_version(struct srv_http_client *c)
{
    char text[16];
    const char *version = srv_http_header(c, WSI_TOKEN_HTTP, text, sizeof text);
    c->old = !version || strcmp(version, "HTTP/1.1") != 0;
    return !c->old || (version && strcmp(version, "HTTP/1.0") == 0);
}

/* Does libwebsockets read a body and tell when it has come whole? Of POST an empty one too. */
static bool awaits_body(const struct srv_http_client *c)
{
    if (!has(c, WSI_TOKEN_POST_URI)) return srv_http_length(c) > 0;
    return has(c, WSI_TOKEN_HTTP_CONTENT_LENGTH) || has(c, WSI_TOKEN_HTTP_TRANSFER_ENCODING);
}

/* Returns 0 or a status. */
static int check(struct srv_http_client *c, const char **why)
{
    c->has_body = awaits_body(c);
    *why = c->refused;
    if (c->refused) return c->refusal == TESS_WIRE_TOO_MANY ? 429 : 503;
    *why = "the request's head is too large (--max-header)";
    if (head_too_large(c)) return 431;
    *why = "HTTP/1.1 is spoken here";
    if (!read_version(c)) return 400;
    int status = srv_http_guard(c, why);
    if (status) return status;
    *why = "a key belongs in the Authorization header, not in the URL";
    return srv_http_key_in_url(c) ? 400 : 0;
}

static int method_of(struct srv_http_client *c)
{
    c->head_only = has(c, WSI_TOKEN_HEAD_URI);
    if (has(c, WSI_TOKEN_GET_URI) || c->head_only) return METHOD_GET;
    return has(c, WSI_TOKEN_POST_URI) ? METHOD_POST : 0;
}

/* Returns 0 when the row may answer. */
static int check_row(struct srv_http_client *c, const struct row *row, const char **why)
{
    int method = method_of(c);
    *why = "no such path";
    if (!row) return 404;
    c->methods = row->method == METHOD_GET ? "GET, HEAD" : "POST";
    *why = "this path knows another method";
    if (method != row->method) return 405;
    *why = "GET has no body";
    bool body = has(c, WSI_TOKEN_HTTP_TRANSFER_ENCODING) ||
                (has(c, WSI_TOKEN_HTTP_CONTENT_LENGTH) && srv_http_length(c) != 0);
    if (method == METHOD_GET && body) return 400;
    *why = "no key (Authorization: Bearer), or not one of this server's";
    return row->open || srv_http_key(c) == SRV_KEY_RIGHT ? 0 : 401;
}

int srv_http_request(struct srv_http_client *c, const char *path, size_t n)
{
    const char *why;
    if (c->state != SRV_HTTP_HEAD) return -1;
    const bool whole = strlen(path) == n;
    c->file = whole ? find_file(path) : NULL;
    const struct row *row = c->file ? &file_row : whole ? find_row(path) : NULL;
    int status = check(c, &why);
    bool preflight = !status && c->origin && has(c, WSI_TOKEN_OPTIONS_URI);
    if (!status && !preflight) status = check_row(c, row, &why);
    if (status)
        srv_http_error(c, status, why);
    else if (preflight)
        srv_http_reply(c, 204, NULL, NULL, 0);
    else
        row->answer(c);
    return srv_http_send(c);
}

/* ---- WebSocket ---- */

/* What RFC 6455, 4.2.1 asks of the client, as far as libwebsockets does not look at it. */
static int check_upgrade(struct srv_http_client *c, const char **why)
{
    char text[MOST_TEXT];
    const char *got = srv_http_header(c, WSI_TOKEN_GET_URI, text, sizeof text);
    *why = "WebSocket is spoken at " STREAM_PATH;
    if (!got || strcmp(got, STREAM_PATH) != 0) return 404;
    got = srv_http_header(c, WSI_TOKEN_VERSION, text, sizeof text);
    *why = "Sec-WebSocket-Version is 13";
    if (!got || strcmp(got, "13") != 0) return 426;
    got = srv_http_header(c, WSI_TOKEN_KEY, text, sizeof text);
    *why = "Sec-WebSocket-Key is 16 bytes in base64";
    if (!got || strlen(got) != 24 || strcmp(got + 22, "==") != 0) return 400;
    got = srv_http_header(c, WSI_TOKEN_CONNECTION, text, sizeof text);
    *why = "Connection: Upgrade is needed";
    if (!got || !in_list(got, "upgrade")) return 400;
    got = srv_http_header(c, WSI_TOKEN_PROTOCOL, text, sizeof text);
    *why = "the subprotocol is tessera, or none";
    return !got || (*got && !in_list(got, "tessera")) ? 400 : 0;
}

int srv_http_upgrade(struct srv_http_client *c)
{
    const char *why;
    if (c->state != SRV_HTTP_HEAD) return -1;
    int status = check(c, &why);
    if (!status) status = check_upgrade(c, &why);
    enum srv_http_key key = srv_http_key(c);
    if (!status && key == SRV_KEY_WRONG) {
        status = 401;
        why = "not one of this server's keys";
    }
    if (!status) status = srv_ws_open(c, key == SRV_KEY_RIGHT, &why);
    if (!status) return 0;
    c->has_body = false; /* nothing is read any more */
    srv_http_error(c, status, why);
    srv_http_send(c);
    return -1;
}
