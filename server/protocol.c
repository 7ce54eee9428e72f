/* Bytes in, messages checked against the table below, a handler called. A message that breaks the
 * rules ends its stream (ERROR with the stream's number) or, where the bytes themselves cannot be
 * trusted any more, its connection (ERROR on stream 0); nobody else's. */
#include "server/protocol.h"

#include "server/json.h"
#include "server/pcm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- to the client ---- */

static void send_error(struct srv_session *s, uint16_t stream, int error, const char *why)
{
    uint8_t payload[2 + sizeof(struct tess_why)];
    size_t n = strnlen(why, sizeof payload - 2);
    tess_wire_put16(payload, (uint16_t)error);
    memcpy(payload + 2, why, n);
    srv_log_clean((char *)payload + 2, n);
    srv_session_send(s, TESS_WIRE_ERROR, stream, payload, n + 2);
}

/* Sends and frees a JSON payload. */
static void send_json(struct srv_session *s, enum tess_wire_type type, uint16_t stream, char *json)
{
    if (!json) {
        srv_session_break(s, SRV_DROP_LIMIT, "out of memory");
        return;
    }
    srv_session_send(s, type, stream, json, strlen(json));
    cJSON_free(json);
}

void srv_protocol_ready(struct srv_session *s)
{
    send_json(s, TESS_WIRE_READY, 0, srv_json_ready(s->server));
}

static void sink_output(void *ctx, enum srv_direction direction, const uint8_t *bytes, size_t n)
{
    struct srv_channel *c = ctx;
    const struct srv_lane_config *config = &c->stream->queue[direction].lane->config;
    bool encode = direction == SRV_ENCODE;
    size_t unit = encode ? (size_t)config->codebooks * 2
                         : (size_t)config->channels * srv_pcm_width(config->format);
    size_t most = (size_t)c->session->server->options.max_message - TESS_WIRE_HEADER;
    most -= most % unit;
    for (size_t at = 0, some; at < n; at += some) {
        some = n - at < most ? n - at : most;
        srv_session_send(c->session, encode ? TESS_WIRE_CODES : TESS_WIRE_PCM, c->number,
                         bytes + at, some);
    }
    srv_session_balance(c->session);
}

/* Credit goes out in quarters of the window, not with every frame. */
static void sink_consumed(void *ctx, size_t n_bytes)
{
    struct srv_channel *c = ctx;
    uint8_t payload[4];
    c->consumed += n_bytes;
    srv_session_balance(c->session);
    if (c->consumed < srv_stream_window(c->stream) / 4) return;
    tess_wire_put32(payload, (uint32_t)c->consumed);
    c->consumed = 0;
    srv_session_send(c->session, TESS_WIRE_CREDIT, c->number, payload, sizeof payload);
}

static void sink_flushed(void *ctx, uint32_t id, uint64_t samples, uint64_t frames)
{
    struct srv_channel *c = ctx;
    uint8_t payload[TESS_WIRE_FLUSHED_BYTES];
    struct tess_wire_flushed flushed = {id, samples, frames};
    tess_wire_put_flushed(payload, &flushed);
    srv_session_send(c->session, TESS_WIRE_FLUSHED, c->number, payload, sizeof payload);
}

static void sink_ended(void *ctx, int error, const char *why)
{
    struct srv_channel *c = ctx;
    struct srv_session *s = c->session;
    if (error)
        send_error(s, c->number, error, why);
    else
        send_json(s, TESS_WIRE_STATS, c->number, srv_json_stats(c->stream));
    srv_session_close_channel(c);
    srv_session_balance(s);
}

static const struct srv_sink sink = {sink_output, sink_consumed, sink_flushed, sink_ended};

static void fail_channel(struct srv_channel *c, int error, const char *why)
{
    sink_ended(c, error, why);
}

static void check_memory(struct srv_channel *c, int error)
{
    if (error) fail_channel(c, TESS_WIRE_INTERNAL, tess_strerror(error));
}

/* ---- from the client: the connection ---- */

typedef void handler(struct srv_session *s, uint16_t number, const uint8_t *payload, size_t n);

static void on_hello(struct srv_session *s, uint16_t number, const uint8_t *payload, size_t n)
{
    (void)number;
    cJSON *json = srv_json_parse(payload, n);
    const char *key = NULL, *client = NULL;
    int64_t protocol = 0;
    if (!json || !srv_json_text(json, "key", NULL, &key) ||
        !srv_json_text(json, "client", "", &client) ||
        !srv_json_int(json, "protocol", 0, 1, UINT16_MAX, &protocol))
        srv_session_fail(s, SRV_DROP_PROTOCOL, TESS_WIRE_BAD_REQUEST,
                         "HELLO is {\"protocol\": 1} and perhaps a key and a client, texts");
    else if (protocol != TESS_WIRE_PROTOCOL)
        srv_session_fail(s, SRV_DROP_PROTOCOL, TESS_WIRE_BAD_REQUEST,
                         "this server speaks protocol 1");
    else if (!s->known && !srv_keys_allow(&s->server->keys, key))
        srv_session_fail(s, SRV_DROP_AUTH, TESS_WIRE_UNAUTHORIZED,
                         "no key, or not one of this server's");
    else {
        s->state = SRV_OPEN;
        s->since = s->pinged = s->answered = (int64_t)uv_hrtime();
        srv_log(&s->server->log, SRV_INFO, "client", "client %u by %s: %.39s", s->id,
                s->transport->proto, client);
        srv_protocol_ready(s);
    }
    cJSON_Delete(json);
}

static void on_ping(struct srv_session *s, uint16_t number, const uint8_t *payload, size_t n)
{
    srv_session_send(s, TESS_WIRE_PONG, number, payload, n);
}

static void on_pong(struct srv_session *s, uint16_t number, const uint8_t *payload, size_t n)
{
    (void)number, (void)payload, (void)n;
    s->answered = (int64_t)uv_hrtime();
}

/* Whether one stream more may be, and if not, why. */
static int admit(struct srv_session *s, const struct srv_open *open, struct tess_why *why)
{
    static const struct {
        int error;
        const char *text;
    } refusals[] = {
#define REFUSAL(name, label, error, text) {error, text},
        SRV_REFUSALS(REFUSAL)
#undef REFUSAL
    };
    struct srv_server *server = s->server;
    const struct srv_lane_config *c = &open->config;
    enum srv_refusal refusal;
    if (server->draining)
        refusal = SRV_REFUSE_DRAINING;
    else if (s->n_channels >= server->options.max_client_streams)
        refusal = SRV_REFUSE_CLIENT;
    else if (server->n_streams >= server->options.max_streams)
        refusal = SRV_REFUSE_STREAMS;
    else if (!c->bulk &&
             100 * srv_scheduler_load(server->scheduler, c->model, open->encode, open->decode) >
                 (double)server->options.max_load)
        refusal = SRV_REFUSE_LOAD;
    else
        return 0;
    server->metrics.refused[refusal]++;
    strcpy(why->text, refusals[refusal].text);
    return refusals[refusal].error;
}

static int open_channel(struct srv_session *s,
                        uint16_t number,
                        const struct srv_open *open,
                        struct tess_why *why)
{
    struct srv_channel *c = calloc(1, sizeof *c);
    struct srv_lane_config encode = open->config, decode = open->config;
    encode.direction = SRV_ENCODE;
    decode.direction = SRV_DECODE;
    int error = !c ? TESS_E_NOMEM
                   : srv_stream_open(&c->stream, s->server, open->encode ? &encode : NULL,
                                     open->decode ? &decode : NULL, &sink, c);
    if (error) {
        free(c);
        strcpy(why->text, error == TESS_E_UNSUPPORTED
                              ? "this model cannot stream: it needs whole clips, or has scales"
                              : tess_strerror(error));
        return error == TESS_E_NOMEM ? TESS_WIRE_INTERNAL : TESS_WIRE_BAD_REQUEST;
    }
    c->session = s;
    c->number = number;
    c->stream->limited = open->limited;
    c->stream->credit = open->credit;
    c->next = s->channels;
    s->channels = c;
    s->n_channels++;
    srv_stream_hold(c->stream, s->held);
    send_json(s, TESS_WIRE_OPENED, number, srv_json_opened(open, c->stream));
    return 0;
}

static void on_open(struct srv_session *s, uint16_t number, const uint8_t *payload, size_t n)
{
    struct srv_channel *c = srv_session_channel(s, number);
    struct srv_open open;
    struct tess_why why;
    if (c) {
        fail_channel(c, TESS_WIRE_BAD_REQUEST, "OPEN of a stream that is open");
        return;
    }
    int error = srv_json_open(&s->server->models, payload, n, &open, &why);
    if (!error) error = admit(s, &open, &why);
    if (!error) error = open_channel(s, number, &open, &why);
    if (error) send_error(s, number, error, why.text);
}

/* ---- from the client: a stream ---- */

/* Whole units, of a second at most, into a lane that the stream has. */
static void put(struct srv_channel *c, enum srv_direction d, const uint8_t *payload, size_t n)
{
    const struct srv_queue *q = &c->stream->queue[d];
    if (!q->lane || c->stream->ending) {
        fail_channel(c, TESS_WIRE_BAD_REQUEST,
                     c->stream->ending ? "input after END"
                                       : "input that this direction does not take");
        return;
    }
    const struct srv_lane_config *config = &q->lane->config;
    double second = d == SRV_ENCODE ? config->rate : ceil(srv_frame_rate(&config->model->info));
    size_t unit = srv_lane_unit(config);
    if (n % unit != 0)
        fail_channel(c, TESS_WIRE_BAD_REQUEST, "a part of a sample or frame");
    else if ((double)(n / unit) > second)
        fail_channel(c, TESS_WIRE_TOO_LARGE, "more than a second in one message");
    else
        check_memory(c, srv_stream_put(c->stream, d, payload, n));
}

static void on_pcm(struct srv_session *s, uint16_t number, const uint8_t *payload, size_t n)
{
    struct srv_channel *c = srv_session_channel(s, number);
    if (c) put(c, SRV_ENCODE, payload, n);
}

static void on_codes(struct srv_session *s, uint16_t number, const uint8_t *payload, size_t n)
{
    struct srv_channel *c = srv_session_channel(s, number);
    if (c) put(c, SRV_DECODE, payload, n);
}

static void on_lost(struct srv_session *s, uint16_t number, const uint8_t *payload, size_t n)
{
    struct srv_channel *c = srv_session_channel(s, number);
    if (!c) return;
    (void)n;
    uint32_t n_frames = tess_wire_get32(payload);
    const struct srv_lane *lane = c->stream->queue[SRV_DECODE].lane;
    if (!lane || c->stream->ending)
        fail_channel(c, TESS_WIRE_BAD_REQUEST, "LOST where no codes are taken");
    else if (n_frames > ceil(srv_frame_rate(&lane->config.model->info)))
        fail_channel(c, TESS_WIRE_TOO_LARGE, "more than a second in one message");
    else
        check_memory(c, srv_stream_lost(c->stream, n_frames));
}

static void on_flush(struct srv_session *s, uint16_t number, const uint8_t *payload, size_t n)
{
    struct srv_channel *c = srv_session_channel(s, number);
    (void)n;
    if (!c)
        send_error(s, number, TESS_WIRE_NOT_FOUND, "FLUSH of a stream that is not open");
    else if (c->stream->ending)
        fail_channel(c, TESS_WIRE_BAD_REQUEST, "FLUSH after END");
    else
        check_memory(c, srv_stream_flush(c->stream, tess_wire_get32(payload)));
}

static void on_end(struct srv_session *s, uint16_t number, const uint8_t *payload, size_t n)
{
    struct srv_channel *c = srv_session_channel(s, number);
    (void)payload, (void)n;
    if (!c)
        send_error(s, number, TESS_WIRE_NOT_FOUND, "END of a stream that is not open");
    else if (c->stream->ending)
        fail_channel(c, TESS_WIRE_BAD_REQUEST, "END after END");
    else
        check_memory(c, srv_stream_end(c->stream));
}

static void on_credit(struct srv_session *s, uint16_t number, const uint8_t *payload, size_t n)
{
    struct srv_channel *c = srv_session_channel(s, number);
    (void)n;
    if (c) srv_stream_grant(c->stream, tess_wire_get32(payload));
}

/* ---- the table ---- */

enum number_rule { CONNECTION, STREAM, ANY };

static const struct {
    handler *handle; /* NULL: a message that only the server sends */
    enum number_rule number;
} handlers[] = {
    [TESS_WIRE_HELLO] = {on_hello,  CONNECTION},
    [TESS_WIRE_OPEN] = {on_open,   STREAM    },
    [TESS_WIRE_PCM] = {on_pcm,    STREAM    },
    [TESS_WIRE_CODES] = {on_codes,  STREAM    },
    [TESS_WIRE_LOST] = {on_lost,   STREAM    },
    [TESS_WIRE_FLUSH] = {on_flush,  STREAM    },
    [TESS_WIRE_END] = {on_end,    STREAM    },
    [TESS_WIRE_CREDIT] = {on_credit, STREAM    },
    [TESS_WIRE_PING] = {on_ping,   ANY       },
    [TESS_WIRE_PONG] = {on_pong,   ANY       },
    [TESS_WIRE_ERROR] = {NULL,      ANY       },
};

static void handle(struct srv_session *s, const struct tess_wire_header *h, const uint8_t *payload)
{
    if (h->type >= TESS_WIRE_EXTENSION) return;
    handler *call = handlers[h->type].handle;
    enum number_rule rule = handlers[h->type].number;
    const char *why = NULL;
    if (!call)
        why = "a message that only the server sends";
    else if ((s->state == SRV_GREETING) != (h->type == TESS_WIRE_HELLO))
        why = s->state == SRV_GREETING ? "the first message is HELLO" : "HELLO twice";
    else if (rule != ANY && (h->stream == 0) != (rule == CONNECTION))
        why = rule == CONNECTION ? "HELLO belongs to stream 0" : "stream 0 is the connection";
    if (why)
        srv_session_fail(s, SRV_DROP_PROTOCOL, TESS_WIRE_BAD_REQUEST, why);
    else
        call(s, h->stream, payload, h->n_bytes);
}

/* Reads a header and refuses what it must. Returns the message's size, 0 when n bytes are too few
 * for a header, or -1 when the session has been failed. */
static ptrdiff_t
check(struct srv_session *s, const uint8_t *bytes, size_t n, struct tess_wire_header *h)
{
    int error = tess_wire_get_header(h, bytes, n);
    if (error == 0) return 0;
    ptrdiff_t size = TESS_WIRE_HEADER + (ptrdiff_t)h->n_bytes;
    if (error > 0 && size > s->server->options.max_message) error = -TESS_WIRE_TOO_LARGE;
    if (error > 0) return size;
    bool large = error == -TESS_WIRE_TOO_LARGE;
    srv_session_fail(s, large ? SRV_DROP_LIMIT : SRV_DROP_PROTOCOL, -error,
                     large ? "message longer than its type's most, or --max-message"
                           : "not a message of this protocol");
    return -1;
}

void srv_protocol_message(struct srv_session *s, const uint8_t *bytes, size_t n)
{
    struct tess_wire_header h;
    if (s->state == SRV_CLOSING || s->broken) return;
    s->server->metrics.bytes_in += n;
    ptrdiff_t size = check(s, bytes, n, &h);
    if (size == (ptrdiff_t)n && size > 0)
        handle(s, &h, bytes + TESS_WIRE_HEADER);
    else if (size >= 0)
        srv_session_fail(s, SRV_DROP_PROTOCOL, TESS_WIRE_BAD_REQUEST, "not exactly one message");
    srv_session_balance(s);
}

/* Adds to the partial message until it holds `want` bytes. Returns the bytes taken. */
static size_t fill(struct srv_session *s, const uint8_t *bytes, size_t n, size_t want)
{
    size_t some = want - s->n_partial < n ? want - s->n_partial : n;
    memcpy(s->partial + s->n_partial, bytes, some);
    s->n_partial += some;
    return some;
}

/* Goes on with the message whose first bytes came earlier. Returns the bytes taken. */
static size_t go_on(struct srv_session *s, const uint8_t *bytes, size_t n)
{
    struct tess_wire_header h;
    size_t used = 0;
    if (s->n_partial < TESS_WIRE_HEADER) used = fill(s, bytes, n, TESS_WIRE_HEADER);
    ptrdiff_t size = check(s, s->partial, s->n_partial, &h);
    if (size <= 0) return n;
    used += fill(s, bytes + used, n - used, (size_t)size);
    if (s->n_partial == (size_t)size) {
        s->n_partial = 0;
        handle(s, &h, s->partial + TESS_WIRE_HEADER);
    }
    return used;
}

void srv_protocol_receive(struct srv_session *s, const uint8_t *bytes, size_t n)
{
    struct tess_wire_header h;
    s->server->metrics.bytes_in += n;
    while (n > 0 && s->state != SRV_CLOSING && !s->broken) {
        size_t used = 0;
        ptrdiff_t size = s->n_partial > 0 ? 0 : check(s, bytes, n, &h);
        if (size < 0) break;
        if (s->n_partial > 0)
            used = go_on(s, bytes, n);
        else if (size > 0 && (size_t)size <= n) {
            used = (size_t)size;
            handle(s, &h, bytes + TESS_WIRE_HEADER);
        } else {
            if (!s->partial) s->partial = malloc((size_t)s->server->options.max_message);
            if (!s->partial) {
                srv_session_break(s, SRV_DROP_LIMIT, "out of memory");
                return;
            }
            used = fill(s, bytes, n, n);
        }
        bytes += used;
        n -= used;
    }
    srv_session_balance(s);
}
