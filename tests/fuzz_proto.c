/* A client of any behaviour: its bytes go into the protocol, over a transport that is a list, and
 * every message that comes back must be one that a server may send, none after the ERROR that ends
 * the connection.
 *
 * The first byte says whether HELLO has been said, whether the client reads, whether it goes in the
 * middle, and into what pieces its bytes are cut. Then come records {type, stream, n, payload [n]}: a
 * message with a right header, unless the type is one of those of RECORD. */
#include "server/protocol.h"
#include "tests/tiny_server.h"

enum { SAY_HELLO = 1, READS = 2, HURRIES = 4 };
enum record { RECORD_RAW = 0xFF, RECORD_TICK = 0xFE, RECORD_SETTLE = 0xFD };

static struct srv_server server;
static struct srv_session *session;
static bool closed, ended;

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

/* ---- the transport ---- */

static void on_wake(void *ctx)
{
    (void)ctx;
}

static void on_pause(void *ctx, bool pause)
{
    (void)ctx, (void)pause; /* what a transport has read already comes all the same */
}

static void on_close(void *ctx)
{
    (void)ctx;
    closed = true;
}

static const struct srv_transport transport = {"tcp", on_wake, on_pause, on_close};

static void read_messages(void)
{
    for (struct srv_message *m; (m = srv_session_front(session)); srv_session_sent(session, 1)) {
        struct tess_wire_header h;
        check(tess_wire_get_header(&h, m->bytes, m->size) == TESS_WIRE_HEADER);
        check(TESS_WIRE_HEADER + h.n_bytes == m->size && !ended);
        check(h.type != TESS_WIRE_HELLO && h.type != TESS_WIRE_OPEN && h.type != TESS_WIRE_LOST &&
              h.type != TESS_WIRE_FLUSH && h.type != TESS_WIRE_END);
        ended = h.type == TESS_WIRE_ERROR && h.stream == 0;
    }
}

/* ---- the server ---- */

static void start(void)
{
    tiny_server_start(&server);
    server.options.max_backlog = 32768;
    server.max_clients = 1;
}

static bool computes(void)
{
    for (const struct srv_channel *c = session->channels; c; c = c->next)
        if (c->stream->queue[SRV_ENCODE].running || c->stream->queue[SRV_DECODE].running)
            return true;
    return false;
}

static void settle(bool reads)
{
    while (computes()) {
        uv_run(server.loop, UV_RUN_ONCE);
        if (reads) read_messages();
    }
}

static void receive(const uint8_t *bytes, size_t n, size_t piece)
{
    for (size_t at = 0; at < n && !closed; at += piece)
        srv_protocol_receive(session, bytes + at, n - at < piece ? n - at : piece);
}

/* One record. Returns its size. */
static size_t play(const uint8_t *record, size_t n_bytes, size_t piece, bool reads)
{
    uint8_t message[TESS_WIRE_HEADER + UINT8_MAX];
    size_t n = record[2] < n_bytes - 3 ? record[2] : n_bytes - 3;
    struct tess_wire_header h = {record[0], 0, record[1], (uint32_t)n};
    tess_wire_put_header(message, &h);
    memcpy(message + TESS_WIRE_HEADER, record + 3, n);
    switch (record[0]) {
    case RECORD_RAW: receive(record + 3, n, piece); break;
    case RECORD_TICK: srv_session_tick(&server); break;
    case RECORD_SETTLE: settle(reads); break;
    default: receive(message, TESS_WIRE_HEADER + n, piece);
    }
    uv_run(server.loop, UV_RUN_NOWAIT);
    if (reads) read_messages();
    return 3 + n;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    static const uint8_t hello[] = "\1\0\0\0\16\0\0\0{\"protocol\":1}";
    int error;
    const char *why;
    if (n_bytes < 1) return 0;
    if (!server.loop) start();
    bool reads = bytes[0] & READS;
    size_t piece = bytes[0] >> 3 ? bytes[0] >> 3 : SIZE_MAX / 2;
    closed = ended = false;
    session = srv_session_create(&server, &transport, NULL, "", &error, &why);
    check(session);
    if (bytes[0] & SAY_HELLO) receive(hello, sizeof hello - 1, piece);
    for (size_t at = 1; at + 3 <= n_bytes && !closed;)
        at += play(bytes + at, n_bytes - at, piece, reads);
    if (!(bytes[0] & HURRIES)) settle(true);
    read_messages();
    check(closed || !ended);
    srv_session_destroy(session);
    check(server.n_sessions == 0 && server.n_streams == 0 && server.unsent == 0);
    return 0;
}
