/* A socket's bytes in, to the protocol; the session's messages out, many in one write. After the
 * ERROR that ends a connection the socket is shut down one way and read on for a moment, so that the
 * client gets the ERROR and not a reset. */
#include "server/tcp.h"

#include "server/listen.h"
#include "server/protocol.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    WRITE_MESSAGES = 64,
    SEND_BUFFER = 65536, /* what the kernel hides of a slow reader */
};

struct tcp {
    union srv_socket socket;
    struct srv_session *session; /* NULL: refused */
    uv_write_t write;
    uv_shutdown_t shutdown;
    int n_writing; /* messages in the write under way */
    bool closing;  /* close when all is sent */
};

static void on_closed(uv_handle_t *handle)
{
    struct tcp *t = handle->data;
    if (t->session) srv_session_destroy(t->session);
    free(t);
}

static void close_now(struct tcp *t)
{
    if (!uv_is_closing(&t->socket.handle)) uv_close(&t->socket.handle, on_closed);
}

/* The kernel's own timeout, of a client that takes no bytes, may come before the session's. */
static void fail(struct tcp *t, int status)
{
    if (status == UV_ETIMEDOUT)
        srv_session_break(t->session, SRV_DROP_SLOW, "takes no bytes (--pong-timeout)");
    close_now(t);
}

/* ---- out ---- */

static void write_more(struct tcp *t);

static void on_written(uv_write_t *write, int status)
{
    struct tcp *t = write->data;
    int n = t->n_writing;
    t->n_writing = 0;
    if (status < 0) {
        fail(t, status);
        return;
    }
    srv_session_sent(t->session, n);
    write_more(t);
}

static void on_shut_down(uv_shutdown_t *shutdown, int status)
{
    if (status < 0) close_now(shutdown->data);
}

static void write_more(struct tcp *t)
{
    uv_buf_t buffers[WRITE_MESSAGES];
    int n = 0;
    if (t->n_writing > 0 || uv_is_closing(&t->socket.handle)) return;
    struct srv_message *m = srv_session_front(t->session);
    for (; m && n < WRITE_MESSAGES; m = m->next)
        buffers[n++] = uv_buf_init((char *)m->bytes, (unsigned)m->size);
    if (n > 0) {
        t->n_writing = n;
        if (uv_write(&t->write, &t->socket.stream, buffers, (unsigned)n, on_written) < 0)
            close_now(t);
    } else if (t->closing && !t->shutdown.data) {
        t->shutdown.data = t;
        if (uv_shutdown(&t->shutdown, &t->socket.stream, on_shut_down) < 0) close_now(t);
    }
}

/* ---- in ---- */

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    struct tcp *t = handle->data;
    struct srv_server *server = t->session->server;
    (void)suggested;
    *buffer = uv_buf_init(server->read_buffer, sizeof server->read_buffer);
}

static void on_read(uv_stream_t *stream, ptrdiff_t n, const uv_buf_t *buffer)
{
    struct tcp *t = stream->data;
    if (n < 0)
        fail(t, (int)n);
    else
        srv_protocol_receive(t->session, (const uint8_t *)buffer->base, (size_t)n);
}

/* ---- what the session asks for ---- */

static void on_wake(void *ctx)
{
    write_more(ctx);
}

static void on_pause(void *ctx, bool pause)
{
    struct tcp *t = ctx;
    if (uv_is_closing(&t->socket.handle)) return;
    int error = pause ? uv_read_stop(&t->socket.stream)
                      : uv_read_start(&t->socket.stream, on_room, on_read);
    if (error && error != UV_EALREADY) close_now(t);
}

static void on_close(void *ctx)
{
    struct tcp *t = ctx;
    t->closing = true;
    if (t->session->broken) {
        close_now(t);
        return;
    }
    on_pause(t, false);
    write_more(t);
}

static const struct srv_transport tcp_transport = {"tcp", on_wake, on_pause, on_close};
static const struct srv_transport unix_transport = {"unix", on_wake, on_pause, on_close};

/* ---- accepting ---- */

void srv_tcp_peer(int fd, char *text, size_t n)
{
    struct sockaddr_storage peer;
    socklen_t size = sizeof peer;
    *text = 0;
    if (getpeername(fd, (struct sockaddr *)&peer, &size) != 0) return;
    if (peer.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)&peer;
        if (ntohl(in->sin_addr.s_addr) >> 24 != 127) uv_ip4_name(in, text, n);
    } else if (peer.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)&peer;
        if (!IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr)) uv_ip6_name(in6, text, n);
    }
}

void srv_tcp_tune(int fd, const struct srv_options *options)
{
    int size = SEND_BUFFER, yes = 1;
    unsigned ms = (unsigned)options->pong_ms;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
}

/* A connection beyond a limit gets the ERROR if it can be had without waiting. */
static void refuse(struct srv_server *server, struct tcp *t, int error, const char *why)
{
    uint8_t bytes[256];
    size_t n = strnlen(why, sizeof bytes - TESS_WIRE_HEADER - 2);
    struct tess_wire_header header = {TESS_WIRE_ERROR, 0, 0, (uint32_t)n + 2};
    tess_wire_put_header(bytes, &header);
    tess_wire_put16(bytes + TESS_WIRE_HEADER, (uint16_t)error);
    memcpy(bytes + TESS_WIRE_HEADER + 2, why, n);
    uv_buf_t buffer = uv_buf_init((char *)bytes, TESS_WIRE_HEADER + 2 + (unsigned)n);
    uv_try_write(&t->socket.stream, &buffer, 1);
    server->metrics.dropped[SRV_DROP_LIMIT]++;
    srv_log(&server->log, SRV_WARNING, "refuse", "%s", why);
    close_now(t);
}

bool srv_tcp_accept(struct srv_server *server, uv_stream_t *listener)
{
    struct tcp *t = calloc(1, sizeof *t);
    if (!t) return false;
    int error = srv_listen_accept(listener, &t->socket);
    t->socket.handle.data = t->write.data = t;
    if (error) {
        close_now(t);
        return true;
    }

    int fd = -1;
    const char *why;
    char address[64];
    uv_fileno(&t->socket.handle, &fd);
    srv_tcp_tune(fd, &server->options);
    srv_tcp_peer(fd, address, sizeof address);
    t->session =
        srv_session_create(server, listener->type == UV_TCP ? &tcp_transport : &unix_transport, t,
                           address, &error, &why);
    if (t->session)
        on_pause(t, false);
    else
        refuse(server, t, error, why);
    return true;
}
