/* A client of any behaviour at the HTTP port: its bytes go through a socket into libwebsockets, and from
 * there into ours: heads, bodies, jobs, WebSocket messages. What comes back must be an answer of HTTP, the
 * connection must end soon after its client's half of it has, and the server must have forgotten it then.
 *
 * The first byte says whether the bytes come after a WebSocket's handshake, in which case they are records
 * {first byte of a frame, n, payload [n]} that are masked as a client's must be, and into what pieces
 * they are cut. */
#include "server/http.h"
#include "server/session.h"
#include "tests/tiny_server.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    UPGRADES = 1,
    TICK_MS = 1,
    PATIENCE_S =
        20, /* many times the longest a connection lingers, and less than the limits of time
                        that would end a loop that runs in circles */
};

static struct srv_server server;
static uv_pipe_t listener;
static struct sockaddr_un address;
static socklen_t n_address;

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

/* ---- the server ---- */

static void on_connection(uv_stream_t *stream, int status)
{
    check(status == 0 && srv_http_accept(&server, stream));
}

static void on_tick(uv_timer_t *timer)
{
    (void)timer;
    srv_session_tick(&server);
    srv_http_tick(&server);
}

/* A socket with a name of the kernel's choice. */
static void start(void)
{
    static uv_timer_t tick;
    tiny_server_start(&server);
    server.max_clients = 8;
    server.options.header_ms = server.options.body_ms = server.options.slow_ms = 60000;
    check(srv_http_create(&server) == 0);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    address.sun_family = AF_UNIX;
    check(bind(fd, (struct sockaddr *)&address, sizeof address.sun_family) == 0);
    n_address = sizeof address;
    check(getsockname(fd, (struct sockaddr *)&address, &n_address) == 0);
    check(uv_pipe_init(server.loop, &listener, 0) == 0 && uv_pipe_open(&listener, fd) == 0);
    check(uv_listen((uv_stream_t *)&listener, 8, on_connection) == 0);
    uv_timer_init(server.loop, &tick);
    uv_timer_start(&tick, on_tick, TICK_MS, TICK_MS);
}

/* ---- the client ---- */

struct client {
    int fd;
    char start[16]; /* of what came back */
    size_t n_got;
    bool closed;
};

static void take_turn(struct client *c, uv_run_mode mode)
{
    uint8_t got[4096];
    uv_run(server.loop, mode);
    for (;;) {
        ssize_t n = recv(c->fd, got, sizeof got, MSG_DONTWAIT);
        if (n <= 0) {
            c->closed = n == 0 || (errno != EAGAIN && errno != EINTR);
            return;
        }
        for (ssize_t i = 0; i < n && c->n_got + (size_t)i < sizeof c->start; i++)
            c->start[c->n_got + (size_t)i] = (char)got[i];
        c->n_got += (size_t)n;
    }
}

/* Who cannot send any more is not asked to. */
static void put(struct client *c, const void *bytes, size_t n, size_t piece)
{
    for (size_t at = 0; at < n && !c->closed;) {
        size_t some = n - at < piece ? n - at : piece;
        ssize_t sent = send(c->fd, (const char *)bytes + at, some, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) return;
        if (sent > 0) at += (size_t)sent;
        take_turn(c, UV_RUN_NOWAIT);
    }
}

/* One frame under the mask 0, of up to 255 bytes. Returns the record's size. */
static size_t put_frame(struct client *c, const uint8_t *record, size_t n_bytes, size_t piece)
{
    uint8_t frame[8 + UINT8_MAX] = {record[0], 0x80};
    size_t n = record[1] < n_bytes - 2 ? record[1] : n_bytes - 2, head = n < 126 ? 2 : 4;
    frame[1] |= (uint8_t)(n < 126 ? n : 126);
    if (n >= 126) frame[3] = (uint8_t)n;
    memcpy(frame + head + 4, record + 2, n);
    put(c, frame, head + 4 + n, piece);
    return 2 + n;
}

static void end(struct client *c)
{
    const uint64_t latest = uv_hrtime() + PATIENCE_S * UINT64_C(1000000000);
    shutdown(c->fd, SHUT_WR);
    while (!c->closed) {
        check(uv_hrtime() < latest);
        take_turn(c, UV_RUN_ONCE);
    }
    close(c->fd);
    while (srv_http_count(&server, NULL) + server.n_sessions + server.jobs.n > 0) {
        check(uv_hrtime() < latest);
        uv_run(server.loop, UV_RUN_ONCE);
    }
    check(server.n_streams == 0 && server.unsent == 0 && server.http_unsent == 0);
    check(c->n_got == 0 || strncmp(c->start, "HTTP/1.", 7) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    static const char upgrade[] =
        "GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    if (n_bytes < 1) return 0;
    if (!server.loop) start();
    struct client c = {.fd = socket(AF_UNIX, SOCK_STREAM, 0)};
    check(connect(c.fd, (struct sockaddr *)&address, n_address) == 0);
    size_t piece = bytes[0] >> 1 ? bytes[0] >> 1 : SIZE_MAX / 2;
    if (bytes[0] & UPGRADES) {
        put(&c, upgrade, sizeof upgrade - 1, SIZE_MAX / 2);
        for (size_t at = 1; at + 2 <= n_bytes && !c.closed;)
            at += put_frame(&c, bytes + at, n_bytes - at, piece);
    } else
        put(&c, bytes + 1, n_bytes - 1, piece);
    end(&c);
    return 0;
}
