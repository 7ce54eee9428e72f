/* A WebSocket as the carrier of a session: one native message a binary message, both ways. */
#include "server/http_client.h"
#include "server/protocol.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_FRAGMENTS = 16 };

static_assert((int)SRV_MESSAGE_ROOM >= (int)LWS_PRE, "libwebsockets writes its header before ours");

/* ---- what the session asks for ---- */

static void on_wake(void *ctx)
{
    const struct srv_http_client *c = ctx;
    lws_callback_on_writable(c->wsi);
}

static void on_pause(void *ctx, bool pause)
{
    const struct srv_http_client *c = ctx;
    lws_rx_flow_control(c->wsi, !pause);
}

static void on_close(void *ctx)
{
    struct srv_http_client *c = ctx;
    if (c->session->broken) {
        srv_http_kill(c);
        return;
    }
    on_pause(c, false);
    on_wake(c);
}

static const struct srv_transport transport = {"ws", on_wake, on_pause, on_close};

int srv_ws_open(struct srv_http_client *c, bool known, const char **why)
{
    int error;
    srv_http_enter(c, SRV_HTTP_SESSION); /* counted once, as what it becomes */
    c->session = srv_session_create(c->server, &transport, c, c->address, &error, why);
    if (c->session) {
        c->session->known = known;
        return 0;
    }
    srv_http_enter(c, SRV_HTTP_HEAD);
    return error == TESS_WIRE_TOO_MANY ? 429 : error == TESS_WIRE_INTERNAL ? 500 : 503;
}

/* ---- in ---- */

static void fail(struct srv_http_client *c, enum srv_drop drop, int error, const char *why)
{
    srv_session_fail(c->session, drop, error, why);
}

/* A part of a message that does not come in one: gathered in the session's partial. */
static void gather(struct srv_http_client *c, const uint8_t *bytes, size_t n, bool whole)
{
    struct srv_session *s = c->session;
    size_t most = (size_t)s->server->options.max_message;
    if (s->n_partial + n + lws_remaining_packet_payload(c->wsi) > most) {
        fail(c, SRV_DROP_LIMIT, TESS_WIRE_TOO_LARGE, "message too long (--max-message)");
        return;
    }
    if (!s->partial) s->partial = malloc(most);
    if (!s->partial) {
        srv_session_break(s, SRV_DROP_LIMIT, "out of memory");
        return;
    }
    if (n > 0) memcpy(s->partial + s->n_partial, bytes, n);
    s->n_partial += n;
    if (!whole) return;
    n = s->n_partial;
    s->n_partial = 0;
    srv_protocol_message(s, s->partial, n);
}

int srv_ws_receive(struct srv_http_client *c, const uint8_t *bytes, size_t n)
{
    struct srv_session *s = c->session;
    bool whole = lws_is_final_fragment(c->wsi);
    if (s->broken || s->state == SRV_CLOSING) return 0;
    if (lws_is_first_fragment(c->wsi)) c->n_fragments = 0;
    if (lws_remaining_packet_payload(c->wsi) == 0) c->n_fragments++;
    if (!lws_frame_is_binary(c->wsi))
        fail(c, SRV_DROP_PROTOCOL, TESS_WIRE_BAD_REQUEST,
             "text says nothing here: messages are binary");
    else if (c->n_fragments > MOST_FRAGMENTS)
        fail(c, SRV_DROP_LIMIT, TESS_WIRE_TOO_LARGE, "more than 16 fragments in one message");
    else if (whole && s->n_partial == 0)
        srv_protocol_message(s, bytes, n);
    else
        gather(c, bytes, n, whole);
    return 0;
}

/* ---- out ---- */

/* CLOSE, and the time to answer it. What a call of libwebsockets returns would, on a libuv loop, end the
 * connection without: so it is ended like one that was idle for too long. */
static void say_goodbye(struct srv_http_client *c)
{
    if (c->goodbye) return;
    c->goodbye = true;
    lws_close_reason(c->wsi,
                     c->server->draining ? LWS_CLOSE_STATUS_GOINGAWAY
                                         : LWS_CLOSE_STATUS_POLICY_VIOLATION,
                     NULL, 0);
    lws_set_timeout(c->wsi, PENDING_TIMEOUT_HTTP_KEEPALIVE_IDLE, LWS_TO_KILL_ASYNC);
}

int srv_ws_send(struct srv_http_client *c)
{
    struct srv_session *s = c->session;
    struct srv_message *m;
    while ((m = srv_session_front(s)) && !lws_send_pipe_choked(c->wsi)) {
        if (lws_write(c->wsi, m->bytes, m->size, LWS_WRITE_BINARY) < 0) return -1;
        srv_session_sent(s, 1);
    }
    if (m)
        lws_callback_on_writable(c->wsi);
    else if (s->state == SRV_CLOSING && !s->broken)
        say_goodbye(c);
    return 0;
}
