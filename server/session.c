/* Messages queue here until the transport takes them; time and size decide who is dropped.
 *
 * Always holds: a session is freed by srv_session_destroy alone, which the transport calls from the
 * loop and never from inside a call of ours; so no callback loses its session or stream. */
#include "server/http.h"
#include "server/protocol.h"
#include "server/server.h"

#include <stdlib.h>
#include <string.h>

static int64_t now_ns(void)
{
    return (int64_t)uv_hrtime();
}

static bool older(int64_t since, int64_t ms)
{
    return now_ns() - since > ms * 1000000;
}

static int clients_of(const struct srv_server *server, const char *address)
{
    int n = srv_http_count(server, address);
    for (const struct srv_session *s = server->sessions; s; s = s->next)
        n += strcmp(s->address, address) == 0;
    return n;
}

const char *srv_session_refusal(const struct srv_server *server, const char *address, int *error)
{
    *error = TESS_WIRE_OVERLOADED;
    if (server->n_sessions + srv_http_count(server, NULL) >= server->max_clients)
        return "too many connections (--max-clients)";
    *error = TESS_WIRE_TOO_MANY;
    if (*address && clients_of(server, address) >= server->options.max_per_address)
        return "too many connections of one address (--max-per-address)";
    return NULL;
}

static struct srv_session *refuse(int *error, int code, const char **why, const char *text)
{
    *error = code;
    *why = text;
    return NULL;
}

struct srv_session *srv_session_create(struct srv_server *server,
                                       const struct srv_transport *transport,
                                       void *ctx,
                                       const char *address,
                                       int *error,
                                       const char **why)
{
    if (server->draining)
        return refuse(error, TESS_WIRE_OVERLOADED, why, "draining: connect again");
    const char *refusal = srv_session_refusal(server, address, error);
    if (refusal) return refuse(error, *error, why, refusal);
    struct srv_session *s = calloc(1, sizeof *s);
    if (!s) return refuse(error, TESS_WIRE_INTERNAL, why, "out of memory");
    s->server = server;
    s->transport = transport;
    s->ctx = ctx;
    s->id = ++server->last_id;
    strncpy(s->address, address, sizeof s->address - 1);
    s->since = s->pinged = s->answered = now_ns();
    s->next = server->sessions;
    if (s->next) s->next->previous = s;
    server->sessions = s;
    server->n_sessions++;
    return s;
}

/* ---- streams ---- */

struct srv_channel *srv_session_channel(struct srv_session *s, uint16_t number)
{
    struct srv_channel *c = s->channels;
    while (c && c->number != number)
        c = c->next;
    return c;
}

void srv_session_close_channel(struct srv_channel *channel)
{
    struct srv_session *s = channel->session;
    struct srv_channel **link = &s->channels;
    while (*link != channel)
        link = &(*link)->next;
    *link = channel->next;
    s->n_channels--;
    s->since = now_ns();
    srv_stream_close(channel->stream);
    free(channel);
}

static void close_channels(struct srv_session *s)
{
    s->server->metrics.cut += (uint64_t)s->n_channels;
    while (s->channels)
        srv_session_close_channel(s->channels);
}

/* Bytes of FLUSH, LOST and END that may wait beyond the window, some fifty of them: who keeps to the
 * credit is not paused, for the CREDIT that its stream waits for must be read. */
enum { MARKERS = 4096 };

void srv_session_balance(struct srv_session *s)
{
    bool held = s->unsent > (size_t)s->server->options.max_backlog / 4, full = false;
    if (s->state != SRV_OPEN) return;
    if (held != s->held) {
        s->held = held;
        for (struct srv_channel *c = s->channels, *next; c; c = next) {
            next = c->next;
            srv_stream_hold(c->stream, s->held); /* which may change as streams let go */
        }
    }
    for (const struct srv_channel *c = s->channels; c; c = c->next)
        full |= srv_stream_queued(c->stream) > srv_stream_window(c->stream) + MARKERS;
    if (full == s->paused) return;
    s->paused = full;
    s->transport->pause(s->ctx, full);
}

/* ---- messages out ---- */

void srv_session_send(
    struct srv_session *s, enum tess_wire_type type, uint16_t stream, const void *payload, size_t n)
{
    if (s->broken) return;
    struct srv_message *m = malloc(sizeof *m + TESS_WIRE_HEADER + n);
    if (!m) {
        srv_session_break(s, SRV_DROP_LIMIT, "out of memory");
        return;
    }
    struct tess_wire_header header = {(uint8_t)type, 0, stream, (uint32_t)n};
    *m = (struct srv_message){.queued = now_ns(), .size = TESS_WIRE_HEADER + n};
    tess_wire_put_header(m->bytes, &header);
    if (n > 0) memcpy(m->bytes + TESS_WIRE_HEADER, payload, n);
    if (s->last)
        s->last->next = m;
    else
        s->first = m;
    s->last = m;
    s->unsent += m->size;
    s->server->unsent += m->size;
    if (s->unsent > (size_t)s->server->options.max_backlog)
        srv_session_break(s, SRV_DROP_SLOW, "too many unread bytes (--max-backlog)");
    else
        s->transport->wake(s->ctx);
}

struct srv_message *srv_session_front(struct srv_session *s)
{
    return s->first;
}

void srv_session_sent(struct srv_session *s, int n)
{
    for (; n > 0; n--) {
        struct srv_message *m = s->first;
        s->first = m->next;
        if (!s->first) s->last = NULL;
        s->unsent -= m->size;
        s->server->unsent -= m->size;
        s->server->metrics.bytes_out += m->size;
        free(m);
    }
    if (s->held) srv_session_balance(s);
}

/* ---- ends ---- */

static const char *const drop_names[] = {
#define DROP_NAME(name, text) text,
    SRV_DROPS(DROP_NAME)
#undef DROP_NAME
};

static void note(struct srv_session *s, enum srv_drop drop, const char *why)
{
    const struct srv_log *log = &s->server->log;
    if (drop == SRV_NO_DROP) return;
    s->server->metrics.dropped[drop]++;
    srv_log(log, SRV_WARNING, "drop", "client %u %s: %s: %s", s->id,
            log->addresses ? s->address : "", drop_names[drop], why);
}

void srv_session_fail(struct srv_session *s, enum srv_drop drop, int error, const char *why)
{
    uint8_t payload[256];
    size_t n = strlen(why);
    if (s->state == SRV_CLOSING || s->broken) return;
    note(s, drop, why);
    if (n > sizeof payload - 2) n = sizeof payload - 2;
    tess_wire_put16(payload, (uint16_t)error);
    memcpy(payload + 2, why, n);
    close_channels(s);
    srv_session_send(s, TESS_WIRE_ERROR, 0, payload, n + 2);
    s->state = SRV_CLOSING;
    s->since = now_ns();
    if (!s->broken) s->transport->close(s->ctx);
}

void srv_session_break(struct srv_session *s, enum srv_drop drop, const char *why)
{
    if (s->broken) return;
    s->broken = true;
    note(s, drop, why);
    s->transport->close(s->ctx);
}

void srv_session_destroy(struct srv_session *s)
{
    close_channels(s);
    s->broken = true;
    while (s->first)
        srv_session_sent(s, 1);
    if (s->previous)
        s->previous->next = s->next;
    else
        s->server->sessions = s->next;
    if (s->next) s->next->previous = s->previous;
    s->server->n_sessions--;
    free(s->partial);
    free(s);
}

/* ---- time ---- */

enum { LINGER_MS = 1000 }; /* for a client to read the ERROR that closes its connection */

static void ping(struct srv_session *s)
{
    uint8_t payload[8];
    s->pinged = now_ns();
    tess_wire_put64(payload, (uint64_t)s->pinged);
    srv_session_send(s, TESS_WIRE_PING, 0, payload, sizeof payload);
}

static void tick(struct srv_session *s)
{
    const struct srv_options *o = &s->server->options;
    if (s->paused) s->answered = now_ns();      /* a PONG may lie unread behind its input */
    const bool waits = s->pinged > s->answered; /* for a PONG */
    if (s->first && older(s->first->queued, o->slow_ms)) {
        srv_session_break(s, SRV_DROP_SLOW, "does not read (--slow-timeout)");
    } else if (s->state == SRV_CLOSING) {
        if (!s->first && older(s->since, LINGER_MS)) srv_session_break(s, SRV_NO_DROP, "");
    } else if (s->state == SRV_GREETING) {
        if (older(s->since, o->handshake_ms))
            srv_session_fail(s, SRV_DROP_IDLE, TESS_WIRE_TIMEOUT, "no HELLO (--handshake-timeout)");
    } else if (waits && older(s->answered, o->pong_ms) && older(s->pinged, o->pong_ms / 2)) {
        srv_session_fail(s, SRV_DROP_SLOW, TESS_WIRE_TIMEOUT, "PING unanswered (--pong-timeout)");
    } else if (!s->channels && s->server->draining) {
        srv_session_fail(s, SRV_NO_DROP, TESS_WIRE_OVERLOADED, "draining: connect again");
    } else if (!s->channels && o->idle_ms && older(s->since, o->idle_ms)) {
        srv_session_fail(s, SRV_DROP_IDLE, TESS_WIRE_TIMEOUT, "no stream (--idle-timeout)");
    } else if (!waits && older(s->pinged, o->ping_ms))
        ping(s);
}

static void drop_largest(struct srv_server *server)
{
    struct srv_session *largest = server->sessions;
    for (struct srv_session *s = server->sessions; s; s = s->next)
        if (s->unsent > largest->unsent && !s->broken) largest = s;
    srv_session_break(largest, SRV_DROP_SLOW, "most unread bytes of all (--max-backlogs)");
}

void srv_session_tick(struct srv_server *server)
{
    for (struct srv_session *s = server->sessions, *next; s; s = next) {
        next = s->next;
        tick(s);
    }
    if (server->unsent > (size_t)server->options.max_backlogs) drop_largest(server);
}
