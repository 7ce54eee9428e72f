/* Accepted sockets in, libwebsockets' calls out to the files of HTTP. libwebsockets parses heads and
 * frames and speaks TLS; accepting, limits and times are ours, so that they are one with the native
 * protocol's and told in words.
 *
 * Always holds: a client is freed when libwebsockets has let its connection go (WSI_DESTROY), which
 * comes from the loop and never from inside a call of ours. */
#include "server/http_client.h"
#include "server/listen.h"
#include "server/tcp.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

enum {
    MORE_CLIENTS = 32,     /* beyond a limit, to be told of it */
    HEAD_ROOM = 8192,      /* the same for a head beyond --max-header */
    READ_BYTES = 65536,    /* of a body at once */
    FRAME_BYTES = 4096,    /* of a WebSocket message at once, each connection's */
    LINGER_MS = 1000,      /* for a client to read the error that ends its connection */
    NEVER_SECONDS = 86400, /* libwebsockets' own times: ours come first */
};

struct srv_http {
    struct srv_server *server;
    struct lws_context *context;
    struct lws_vhost *vhost;
    struct srv_http_client *clients;
};

static bool older(int64_t since, int64_t ms)
{
    return (int64_t)uv_hrtime() - since > ms * 1000000;
}

/* ---- connections ---- */

int srv_http_count(const struct srv_server *server, const char *address)
{
    int n = 0;
    if (!server->http) return 0;
    for (const struct srv_http_client *c = server->http->clients; c; c = c->next)
        n += c->state != SRV_HTTP_SESSION && !c->refused &&
             (!address || strcmp(c->address, address) == 0);
    return n;
}

static int count_refused(const struct srv_http *http)
{
    int n = 0;
    for (const struct srv_http_client *c = http->clients; c; c = c->next)
        n += c->refused != NULL;
    return n;
}

bool srv_http_busy(const struct srv_server *server)
{
    for (const struct srv_http_client *c = server->http->clients; c; c = c->next)
        if (c->state == SRV_HTTP_BODY || c->state == SRV_HTTP_WORK || c->first) return true;
    return false;
}

void srv_http_enter(struct srv_http_client *c, enum srv_http_state state)
{
    c->state = state;
    c->since = (int64_t)uv_hrtime();
}

void srv_http_kill(struct srv_http_client *c)
{
    lws_set_timeout(c->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
    lws_cancel_service(lws_get_context(c->wsi)); /* wakes it: we may be outside of its calls */
}

static int add_client(struct srv_http *http, struct lws *wsi)
{
    struct srv_http_client *c = calloc(1, sizeof *c);
    if (!c) return -1;
    c->server = http->server;
    c->wsi = wsi;
    srv_tcp_peer(lws_get_socket_fd(wsi), c->address, sizeof c->address);
    c->refused = srv_session_refusal(http->server, c->address, &c->refusal);
    bool told = !c->refused || count_refused(http) < MORE_CLIENTS;
    srv_http_enter(c, SRV_HTTP_HEAD);
    c->next = http->clients;
    if (c->next) c->next->previous = c;
    http->clients = c;
    lws_set_opaque_user_data(wsi, c);
    lws_set_timeout(wsi, NO_PENDING_TIMEOUT, 0);
    return told ? 0 : -1;
}

static void remove_client(struct srv_http *http, struct srv_http_client *c)
{
    if (c->session) srv_session_destroy(c->session);
    srv_http_job_drop(c);
    srv_http_drop_answer(c);
    if (c->previous)
        c->previous->next = c->next;
    else
        http->clients = c->next;
    if (c->next) c->next->previous = c->previous;
    free(c);
}

/* ---- libwebsockets' calls ---- */

static int
on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t n)
{
    struct srv_http *http = lws_context_user(lws_get_context(wsi));
    struct srv_http_client *c = lws_get_opaque_user_data(wsi);
    (void)user;
    if (reason == LWS_CALLBACK_SERVER_NEW_CLIENT_INSTANTIATED) return add_client(http, wsi);
    if (!c) return 0;
    switch (reason) {
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        if (strcasecmp(in, "websocket") == 0) return srv_http_upgrade(c);
        *(char *)in = '-'; /* no protocol of ours or libwebsockets': it goes on as it is */
        return 0;
    case LWS_CALLBACK_HTTP: return srv_http_request(c, in, n);
    case LWS_CALLBACK_HTTP_BODY: srv_http_job_body(c, in, n); return 0;
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
        /* Again where bytes follow a body whose answer is not out: nothing may. */
        if (!c->has_body || c->state == SRV_HTTP_LINGER) return -1;
        c->has_body = false;
        srv_http_job_whole(c);
        return 0;
    case LWS_CALLBACK_HTTP_WRITEABLE: return srv_http_send(c);
    case LWS_CALLBACK_RECEIVE: return srv_ws_receive(c, in, n);
    case LWS_CALLBACK_SERVER_WRITEABLE: return srv_ws_send(c);
    case LWS_CALLBACK_WSI_DESTROY: remove_client(http, c); return 0;
    default: return 0;
    }
}

/* ---- time ---- */

/* Has the client closed its side, and is nothing left to read or to send? libwebsockets may miss that while
 * it waits for a body, and then never rests. */
static bool is_gone(const struct srv_http_client *c)
{
    char byte;
    if (c->state == SRV_HTTP_HEAD || c->state == SRV_HTTP_SESSION || c->first) return false;
    return recv(lws_get_socket_fd(c->wsi), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static void tick(struct srv_http_client *c)
{
    const struct srv_options *o = &c->server->options;
    if (is_gone(c)) {
        srv_http_kill(c);
        return;
    }
    switch (c->state) {
    case SRV_HTTP_HEAD:
        if (!older(c->since, o->header_ms)) return;
        if (c->served || c->first) break;
        srv_http_error(c, 408, "no request came (--header-timeout)");
        c->has_body = true; /* what still comes of a head is to linger like a body */
        srv_http_send(c);
        return;
    case SRV_HTTP_BODY:
        if (!older(c->since, o->body_ms)) return;
        srv_http_error(c, 408, "the body does not come (--body-timeout)");
        return;
    case SRV_HTTP_WORK:
        if (!c->first || !older(c->since, o->slow_ms)) return;
        c->server->metrics.dropped[SRV_DROP_SLOW]++;
        break;
    case SRV_HTTP_LINGER:
        if (c->first ? !older(c->since, o->slow_ms) : !older(c->since, LINGER_MS)) return;
        break;
    case SRV_HTTP_SESSION: return;
    }
    srv_http_kill(c);
}

void srv_http_tick(struct srv_server *server)
{
    for (struct srv_http_client *c = server->http->clients; c; c = c->next)
        tick(c);
}

/* ---- accepting ---- */

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

/* libwebsockets wants a descriptor of its own, libuv keeps the one it accepted: a twin each. */
bool srv_http_accept(struct srv_server *server, uv_stream_t *listener)
{
    int fd = -1;
    union srv_socket *accepted = calloc(1, sizeof *accepted);
    if (!accepted) return false;
    if (srv_listen_accept(listener, accepted) == 0 && uv_fileno(&accepted->handle, &fd) == 0)
        fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    uv_close(&accepted->handle, on_closed);
    if (fd < 0) return true;
    srv_tcp_tune(fd, &server->options);
    lws_adopt_socket_vhost(server->http->vhost, fd);
    return true;
}

/* ---- start and end ---- */

static struct srv_log *the_log; /* libwebsockets' log knows no context */

static void on_log(int level, const char *line)
{
    srv_log(the_log, level & LLL_ERR ? SRV_WARNING : SRV_INFO, "http", "%.*s",
            (int)strcspn(line, "\n"), line);
}

/* As browsers write it. */
static bool is_origin(const char *text)
{
    const char *host = strstr(text, "://");
    return host && host > text && host[3] && !strchr(host + 3, '/');
}

int srv_http_create(struct srv_server *server)
{
    const struct srv_options *o = &server->options;
    static const struct lws_protocols protocols[] = {
        {.name = "tessera",
         .callback = on_event,
         .rx_buffer_size = FRAME_BYTES,
         .tx_packet_size = READ_BYTES},
        {.name = NULL},
    };
    void *loop = server->loop;
    if (!*o->tls_cert != !*o->tls_key) {
        srv_log(&server->log, SRV_ERROR, "start", "--tls-cert and --tls-key go together");
        return 2;
    }
    for (int i = 0; i < o->allow_origins.n; i++)
        if (!is_origin(o->allow_origins.item[i])) {
            srv_log(
                &server->log, SRV_ERROR, "start",
                "--allow-origin %s: SCHEME://HOST or SCHEME://HOST:PORT, with nothing behind it",
                o->allow_origins.item[i]);
            return 2;
        }
    the_log = &server->log;
    lws_set_log_level(LLL_ERR, on_log);

    struct srv_http *http = calloc(1, sizeof *http);
    if (!http) return 1;
    http->server = server;
    server->http = http;
    struct lws_context_creation_info info = {
        .options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS |
                   LWS_SERVER_OPTION_VALIDATE_UTF8 |
                   (*o->tls_cert ? LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT : 0),
        .foreign_loops = &loop,
        .user = http,
        .pcontext = &http->context,
        .port = CONTEXT_PORT_NO_LISTEN_SERVER,
        .protocols = protocols,
        .vhost_name = "tesserad",
        .max_http_header_data = (unsigned short)(o->max_header + HEAD_ROOM),
        .pt_serv_buf_size = READ_BYTES,
        .timeout_secs = NEVER_SECONDS,
        .timeout_secs_ah_idle = NEVER_SECONDS,
        .keepalive_timeout = NEVER_SECONDS,
        .alpn = "http/1.1",
        .ssl_cert_filepath = *o->tls_cert ? o->tls_cert : NULL,
        .ssl_private_key_filepath = *o->tls_key ? o->tls_key : NULL,
        .gid = -1,
        .uid = -1,
    };
    http->context = lws_create_context(&info);
    if (http->context) http->vhost = lws_create_vhost(http->context, &info);
    if (http->vhost) return 0;
    srv_log(&server->log, SRV_ERROR, "start", "HTTP: %s",
            *o->tls_cert ? "the certificate or its key cannot be used"
                         : "libwebsockets cannot be started");
    return 1;
}

static void count_closing(uv_handle_t *handle, void *n)
{
    *(int *)n += uv_is_closing(handle);
}

static bool closing(uv_loop_t *loop)
{
    int n = 0;
    uv_walk(loop, count_closing, &n);
    return n > 0;
}

/* libwebsockets ends in two halves. Between them its handles close, on our loop: the second half
 * unloads the code that they call. */
void srv_http_destroy(struct srv_server *server)
{
    struct srv_http *http = server->http;
    if (!http) return;
    if (http->context) {
        lws_context_destroy(http->context);
        while (closing(server->loop))
            uv_run(server->loop, UV_RUN_NOWAIT);
        lws_context_destroy(http->context);
    }
    free(http);
    server->http = NULL;
}
