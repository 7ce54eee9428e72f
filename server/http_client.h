/* One connection of HTTP, and what the files of HTTP ask of each other. A connection's way:
 *
 *     HEAD -> http_route.c -> an answer at once                          -> HEAD again, or the end
 *                          -> BODY -> http_job.c -> WORK -> its answer   -> HEAD again, or the end
 *                          -> SESSION (ws.c)
 *
 * An answer that is an error ends the connection; what the client still sends of a body is read for
 * a moment (LINGER), so that it gets the error and not a reset. */
#ifndef SRV_HTTP_CLIENT_H
#define SRV_HTTP_CLIENT_H

#include "server/http.h"
#include "server/job.h"

#include <libwebsockets.h>

enum srv_http_state {
    SRV_HTTP_HEAD,
    SRV_HTTP_BODY,
    SRV_HTTP_WORK,
    SRV_HTTP_LINGER,
    SRV_HTTP_SESSION
};

/* A piece of an answer. */
struct srv_http_piece {
    struct srv_http_piece *next;
    size_t n;
    uint8_t room[LWS_PRE];
    uint8_t bytes[];
};

struct srv_http_client {
    struct srv_server *server;
    struct lws *wsi;
    struct srv_http_client *previous, *next;
    char address[64]; /* "" where it does not count */
    enum srv_http_state state;
    int64_t since;       /* ns: of the state, or the last byte of a body or an answer */
    int refusal;         /* TESS_WIRE error: beyond a limit, to be told so; else 0 */
    const char *refused; /* the same in words */

    /* the request */
    bool head_only, old; /* HEAD; HTTP/1.0 */
    bool has_body;       /* and it has not come whole */
    bool served;         /* this is not the connection's first */
    const char *origin;  /* of --allow-origin; NULL = a page of ours, or no page */
    const char *methods; /* that the path knows */
    /* of the browser page, where the path is one of its */
    const struct srv_web_file *file;
    struct srv_upload *upload;
    struct srv_job *job;

    /* the answer */
    struct srv_http_piece *first, *last;
    size_t n_queued;
    bool started, chunked, held;
    bool finished; /* all of it is queued */
    bool last_one; /* the connection ends with it */

    struct srv_session *session;
    int n_fragments; /* of the message under way */
    bool goodbye;    /* CLOSE is on its way */
};

/* ---- http.c ---- */

/** Ends the connection from outside of libwebsockets' calls: nothing more is sent. */
void srv_http_kill(struct srv_http_client *c);

void srv_http_enter(struct srv_http_client *c, enum srv_http_state state);

/* ---- http_guard.c ---- */

/** May a request with this Host and Origin come in? Returns 0, or a status with the reason in *why;
 *  sets c->origin. */
int srv_http_guard(struct srv_http_client *c, const char **why);

enum srv_http_key { SRV_KEY_NONE, SRV_KEY_WRONG, SRV_KEY_RIGHT };

/** The key of the Authorization header. Where no keys are needed any is right. */
enum srv_http_key srv_http_key(const struct srv_http_client *c);

/** Does the URL hold what looks like a key, or is one? It would land in logs. */
bool srv_http_key_in_url(const struct srv_http_client *c);

/** A header's text, "" where there is none; NULL when it does not fit or has zeros in it. */
const char *
srv_http_header(const struct srv_http_client *c, enum lws_token_indexes name, char *text, size_t n);

/** The length that the client announces of a body; -1 = none that can be believed. */
int64_t srv_http_length(const struct srv_http_client *c);

/* ---- http_reply.c ---- */

/** Queues a whole answer. n_bytes of `body` are copied. */
void srv_http_reply(
    struct srv_http_client *c, int status, const char *type, const char *body, size_t n_bytes);

/** The same of an error, with its JSON; the last answer of the connection. */
void srv_http_error(struct srv_http_client *c, int status, const char *why);

/** An answer in pieces: n_bytes = -1 where it is not known yet. */
void srv_http_start(struct srv_http_client *c, const char *type, int64_t n_bytes);
void srv_http_put(struct srv_http_client *c, const uint8_t *bytes, size_t n);
void srv_http_finish(struct srv_http_client *c);

/** Bytes outside of an answer: "100 Continue". */
void srv_http_raw(struct srv_http_client *c, const char *text);

/** Sends what the socket takes, and ends the request when all is out. From libwebsockets' calls
 *  alone; returns what they are to return. */
int srv_http_send(struct srv_http_client *c);

void srv_http_drop_answer(struct srv_http_client *c);

/* ---- http_route.c ---- */

/** A request's head has come; path [n], unescaped, is a string that may hold an escaped NUL. */
int srv_http_request(struct srv_http_client *c, const char *path, size_t n);

/** A request to become a WebSocket: 0 = a session is made for it. */
int srv_http_upgrade(struct srv_http_client *c);

/* ---- http_pages.c: what GET shows, JSON to be freed; NULL without memory ---- */

char *srv_page_health(const struct srv_server *server);
char *srv_page_version(const struct srv_server *server);
char *srv_page_models(const struct srv_server *server);
char *srv_page_status(const struct srv_server *server);

/* ---- the browser page: clients/web/embed.cmake writes the table ---- */

struct srv_web_file {
    const char *path, *type;
    const char *etag; /* with its quotes */
    const char *bytes;
    size_t n_bytes;
};

extern const struct srv_web_file srv_web_files[]; /* the last one's path is NULL */

/* ---- http_job.c: POST ---- */

void srv_http_job_open(struct srv_http_client *c, enum srv_direction direction);
void srv_http_job_body(struct srv_http_client *c, const uint8_t *bytes, size_t n);
void srv_http_job_whole(struct srv_http_client *c);
void srv_http_job_drop(struct srv_http_client *c);

/* ---- ws.c ---- */

/** A session for c: 0, or an HTTP status with the reason in *why. */
int srv_ws_open(struct srv_http_client *c, bool known, const char **why);
int srv_ws_receive(struct srv_http_client *c, const uint8_t *bytes, size_t n);
int srv_ws_send(struct srv_http_client *c);

#endif
