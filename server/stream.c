/* Input in pieces of any size, turns out; turns back, output to the sink.
 *
 * Always holds: a lane with its queue->running set is the scheduler's, and only then; output is given
 * in order, and a marker is reached only when everything before it has been given. */
#include "server/stream.h"

#include "server/pcm.h"
#include "server/server.h"

#include <stdlib.h>
#include <string.h>

enum {
    ITEM_BYTES = 2048, /* room of a data item at least, so that small messages share one */
    DUE_NS = 40 * 1000 * 1000,
};
static const int64_t BULK_DUE_NS = 3600 * INT64_C(1000000000);
/* A sound card a little faster than its name must not look like one that sends ahead. */
static const double PACE = 0.98;

enum item_kind { ITEM_DATA, ITEM_LOST, ITEM_FLUSH, ITEM_END };

/* FLUSH waits for each lane of its stream. */
struct flush {
    uint32_t id;
    int n_lanes;
};

struct srv_item {
    struct srv_item *next;
    enum item_kind kind;
    int64_t arrived;
    uint32_t n_lost;
    struct flush *flush;
    size_t at, n, capacity; /* bytes at..n are still to be used */
    uint8_t bytes[];
};

/* ---- the queue of items ---- */

static struct srv_item *append(struct srv_queue *q, enum item_kind kind, size_t room)
{
    size_t capacity = kind == ITEM_DATA && room < ITEM_BYTES ? ITEM_BYTES : room;
    struct srv_item *item = calloc(1, sizeof *item + capacity);
    if (!item) return NULL;
    item->kind = kind;
    item->capacity = capacity;
    item->arrived = (int64_t)uv_hrtime();
    if (q->last)
        q->last->next = item;
    else
        q->first = item;
    q->last = item;
    if (kind != ITEM_DATA) q->n_bytes += sizeof *item;
    return item;
}

static void pop(struct srv_queue *q)
{
    struct srv_item *item = q->first;
    q->first = item->next;
    if (!q->first) q->last = NULL;
    if (item->kind != ITEM_DATA) q->n_bytes -= sizeof *item;
    free(item);
}

/* One lane has reached the flush: true when it was the last, which then frees it. */
static bool reached(struct flush *flush)
{
    if (--flush->n_lanes > 0) return false;
    free(flush);
    return true;
}

static void drop_items(struct srv_queue *q)
{
    while (q->first) {
        if (q->first->kind == ITEM_FLUSH) reached(q->first->flush);
        pop(q);
    }
}

/* ---- turns ---- */

static size_t out_unit(const struct srv_lane_config *c)
{
    return c->direction == SRV_ENCODE ? (size_t)c->codebooks * 2
                                      : (size_t)c->channels * srv_pcm_width(c->format);
}

/* Whole frames in the first n samples at the client's rate. */
static uint64_t frames_in(const struct srv_lane_config *c, uint64_t n)
{
    const struct tess_model_info *info = &c->model->info;
    uint64_t rate = (uint64_t)c->rate * (uint64_t)info->hop;
    return n / rate * (uint64_t)info->sample_rate + n % rate * (uint64_t)info->sample_rate / rate;
}

/* The frames that n bytes more will give: for a lane that encodes, those that end in them. */
static uint64_t frames_of(const struct srv_queue *q, size_t n)
{
    const struct srv_lane_config *c = &q->lane->config;
    uint64_t units = n / srv_lane_unit(c);
    if (c->direction == SRV_DECODE) return units;
    return frames_in(c, q->samples + units) - frames_in(c, q->samples);
}

/* Moves the data at the queue's front into the turn, when it makes a frame or something follows. */
static bool take_data(struct srv_queue *q)
{
    struct srv_lane *lane = q->lane;
    size_t n = 0;
    const struct srv_item *item = q->first;
    for (; item && item->kind == ITEM_DATA && n < lane->in_capacity; item = item->next)
        n += item->n - item->at;
    if (n > lane->in_capacity) n = lane->in_capacity;
    uint64_t n_frames = frames_of(q, n);
    if (n == 0 || (n_frames == 0 && !item)) return false;

    lane->turn.n_bytes = n;
    lane->turn.n_frames = (int)n_frames;
    for (size_t at = 0; at < n;) {
        struct srv_item *first = q->first;
        size_t some = first->n - first->at < n - at ? first->n - first->at : n - at;
        memcpy(lane->in + at, first->bytes + first->at, some);
        lane->turn.arrived = first->arrived;
        at += some;
        first->at += some;
        if (first->at == first->n) pop(q);
    }
    q->n_bytes -= n;
    uint64_t units = n / srv_lane_unit(&lane->config);
    *(lane->config.direction == SRV_ENCODE ? &q->samples : &q->frames) += units;
    return true;
}

static bool take_lost(struct srv_queue *q)
{
    struct srv_item *item = q->first;
    uint32_t n = item->n_lost < SRV_TURN_FRAMES ? item->n_lost : SRV_TURN_FRAMES;
    q->lane->turn.lost = q->lane->turn.n_frames = (int)n;
    q->lane->turn.arrived = item->arrived;
    q->frames += n;
    q->lost += n;
    item->n_lost -= n;
    if (item->n_lost == 0) pop(q);
    return true;
}

static bool take_turn(struct srv_queue *q)
{
    q->lane->turn = (struct srv_turn){0};
    q->out_at = 0;
    if (!q->first) return false;
    switch (q->first->kind) {
    case ITEM_DATA: return take_data(q);
    case ITEM_LOST: return take_lost(q);
    case ITEM_END:
        q->lane->turn.end = true;
        q->lane->turn.n_frames = 1;
        q->lane->turn.arrived = q->first->arrived;
        return true;
    case ITEM_FLUSH: break; /* answered before a turn is taken */
    }
    return false;
}

static void start_turn(struct srv_stream *s, struct srv_queue *q)
{
    struct srv_turn *turn = &q->lane->turn;
    const struct srv_lane_config *c = &q->lane->config;
    double period = 1e9 / srv_frame_rate(&c->model->info);
    if (q->pace < turn->arrived) q->pace = turn->arrived;
    turn->deadline = q->pace + (c->bulk ? BULK_DUE_NS : DUE_NS);
    q->pace += (int64_t)(PACE * period * turn->n_frames);
    q->queued = (int64_t)uv_hrtime();
    q->running = true;
    srv_scheduler_put(s->server->scheduler, q->lane);
}

/* ---- output ---- */

/* Gives the sink what it may have. Returns true when all is given. */
static bool deliver(struct srv_stream *s, struct srv_queue *q)
{
    const struct srv_lane_config *c = &q->lane->config;
    size_t unit = out_unit(c), n = q->lane->turn.n_out - q->out_at;
    if (s->limited && n > s->credit) n = (size_t)s->credit / unit * unit;
    if (n > 0) {
        s->credit -= s->limited ? n : 0;
        *(c->direction == SRV_ENCODE ? &q->frames : &q->samples) += n / unit;
        q->out_at += n;
        s->sink->output(s->ctx, c->direction, q->lane->out + q->out_at - n, n);
    }
    return q->out_at == q->lane->turn.n_out;
}

/* What the client has been given; for one lane, what it has given and been given. */
static void tell_flushed(struct srv_stream *s, uint32_t id)
{
    const struct srv_queue *encode = &s->queue[SRV_ENCODE], *decode = &s->queue[SRV_DECODE];
    s->sink->flushed(s->ctx, id, (decode->lane ? decode : encode)->samples,
                     (encode->lane ? encode : decode)->frames);
}

static void answer_flushes(struct srv_stream *s, struct srv_queue *q)
{
    while (q->first && q->first->kind == ITEM_FLUSH) {
        uint32_t id = q->first->flush->id;
        if (reached(q->first->flush)) tell_flushed(s, id);
        pop(q);
    }
}

/* Goes on as far as the lane can. Returns false when that was the stream's last act. */
static bool advance(struct srv_stream *s, struct srv_queue *q)
{
    if (!q->lane || q->running || q->ended || s->held) return true;
    if (!deliver(s, q)) return true;
    q->ended = q->lane->turn.ended;
    if (!q->ended) {
        answer_flushes(s, q);
        if (take_turn(q)) start_turn(s, q);
        return true;
    }
    for (int d = 0; d < SRV_N_DIRECTIONS; d++)
        if (s->queue[d].lane && !s->queue[d].ended) return true;
    s->sink->ended(s->ctx, 0, "");
    return false;
}

static void advance_all(struct srv_stream *s)
{
    for (int d = 0; d < SRV_N_DIRECTIONS; d++)
        if (!advance(s, &s->queue[d])) return;
}

/* ---- turns that are done ---- */

static void measure(struct srv_server *server, struct srv_queue *q)
{
    const struct srv_lane *lane = q->lane;
    struct srv_metrics *m = &server->metrics;
    int64_t now = (int64_t)uv_hrtime();
    double latency = (double)(now - lane->turn.arrived) * 1e-9;
    bool late = now > lane->turn.deadline;
    m->frames[lane->config.direction] += lane->config.direction == SRV_ENCODE
                                             ? lane->turn.n_out / out_unit(&lane->config)
                                             : (uint64_t)(lane->turn.end ? 0 : lane->turn.n_frames);
    m->deadline_misses += late;
    srv_histogram_add(&m->queue_seconds, (double)(lane->turn.started - q->queued) * 1e-9);
    q->n_turns++;
    q->late += late;
    q->latency_sum += latency;
    if (latency > q->latency_max) q->latency_max = latency;
}

static void release_lane(struct srv_stream *s, struct srv_queue *q)
{
    srv_scheduler_leave(s->server->scheduler, &q->lane->config);
    srv_lane_destroy(q->lane);
    q->lane = NULL;
}

static void free_dead(struct srv_stream *s)
{
    if (!s->queue[SRV_ENCODE].lane && !s->queue[SRV_DECODE].lane) free(s);
}

static void turn_done(struct srv_stream *s, struct srv_queue *q)
{
    const struct srv_turn *turn = &q->lane->turn;
    q->running = false;
    if (s->dead) {
        release_lane(s, q);
        free_dead(s);
        return;
    }
    measure(s->server, q);
    if (turn->error == TESS_E_NONFINITE || turn->error == TESS_E_CODE)
        s->sink->ended(s->ctx, TESS_WIRE_BAD_REQUEST, tess_strerror(turn->error));
    else if (turn->error)
        s->sink->ended(s->ctx, TESS_WIRE_INTERNAL, tess_strerror(turn->error));
    else {
        if (turn->n_bytes > 0) s->sink->consumed(s->ctx, turn->n_bytes);
        advance(s, q);
    }
}

void srv_stream_done(void *ctx, struct srv_lane *lanes)
{
    struct srv_server *server = ctx;
    while (lanes) {
        struct srv_lane *lane = lanes;
        lanes = lane->next;
        if (lane->step_seconds > 0) {
            srv_histogram_add(&server->metrics.step_seconds, lane->step_seconds);
            srv_histogram_add(&server->metrics.batch_streams, lane->step_lanes);
            srv_scheduler_measured(server->scheduler, lane);
        }
        struct srv_stream *s = lane->owner;
        turn_done(s, &s->queue[lane->config.direction]);
    }
}

/* ---- the sink's owner's calls ---- */

static int open_lane(struct srv_stream *s, const struct srv_lane_config *config)
{
    if (!config) return 0;
    struct srv_queue *q = &s->queue[config->direction];
    int error = srv_lane_create(&q->lane, config);
    if (error) return error;
    q->lane->owner = s;
    error = srv_scheduler_join(s->server->scheduler, config);
    if (error) {
        srv_lane_destroy(q->lane);
        q->lane = NULL;
    }
    return error;
}

int srv_stream_open(struct srv_stream **stream,
                    struct srv_server *server,
                    const struct srv_lane_config *encode,
                    const struct srv_lane_config *decode,
                    const struct srv_sink *sink,
                    void *ctx)
{
    *stream = NULL;
    struct srv_stream *s = calloc(1, sizeof *s);
    if (!s) return TESS_E_NOMEM;
    s->server = server;
    s->sink = sink;
    s->ctx = ctx;
    server->n_streams++;
    int error = open_lane(s, encode);
    if (!error) error = open_lane(s, decode);
    if (error)
        srv_stream_close(s);
    else
        *stream = s;
    return error;
}

void srv_stream_close(struct srv_stream *s)
{
    s->dead = true;
    s->server->n_streams--;
    for (int d = 0; d < SRV_N_DIRECTIONS; d++) {
        struct srv_queue *q = &s->queue[d];
        drop_items(q);
        if (q->lane && (!q->running || srv_scheduler_cancel(s->server->scheduler, q->lane)))
            release_lane(s, q);
    }
    free_dead(s);
}

int srv_stream_put(struct srv_stream *s,
                   enum srv_direction direction,
                   const uint8_t *bytes,
                   size_t n)
{
    struct srv_queue *q = &s->queue[direction];
    struct srv_item *last = q->last;
    if (n == 0) return 0;
    if (!last || last->kind != ITEM_DATA || last->capacity - last->n < n)
        last = append(q, ITEM_DATA, n);
    if (!last) return TESS_E_NOMEM;
    memcpy(last->bytes + last->n, bytes, n);
    last->n += n;
    last->arrived = (int64_t)uv_hrtime();
    q->n_bytes += n;
    advance(s, q);
    return 0;
}

int srv_stream_lost(struct srv_stream *s, uint32_t n_frames)
{
    struct srv_queue *q = &s->queue[SRV_DECODE];
    if (n_frames == 0) return 0;
    struct srv_item *item = append(q, ITEM_LOST, 0);
    if (!item) return TESS_E_NOMEM;
    item->n_lost = n_frames;
    advance(s, q);
    return 0;
}

int srv_stream_flush(struct srv_stream *s, uint32_t id)
{
    struct flush *flush = calloc(1, sizeof *flush);
    if (!flush) return TESS_E_NOMEM;
    flush->id = id;
    for (int d = 0; d < SRV_N_DIRECTIONS; d++) {
        struct srv_queue *q = &s->queue[d];
        struct srv_item *item = q->lane ? append(q, ITEM_FLUSH, 0) : NULL;
        if (!item && q->lane) {
            if (flush->n_lanes == 0) free(flush);
            return TESS_E_NOMEM;
        }
        if (!item) continue;
        item->flush = flush;
        flush->n_lanes++;
    }
    advance_all(s);
    return 0;
}

int srv_stream_end(struct srv_stream *s)
{
    s->ending = true;
    for (int d = 0; d < SRV_N_DIRECTIONS; d++)
        if (s->queue[d].lane && !append(&s->queue[d], ITEM_END, 0)) return TESS_E_NOMEM;
    advance_all(s);
    return 0;
}

size_t srv_stream_queued(const struct srv_stream *s)
{
    return s->queue[SRV_ENCODE].n_bytes + s->queue[SRV_DECODE].n_bytes;
}

size_t srv_stream_window(const struct srv_stream *s)
{
    double seconds = (double)s->server->options.input_ms / 1000, n = 0;
    for (int d = 0; d < SRV_N_DIRECTIONS; d++) {
        if (!s->queue[d].lane) continue;
        const struct srv_lane_config *c = &s->queue[d].lane->config;
        double rate = d == SRV_ENCODE ? c->rate : srv_frame_rate(&c->model->info);
        n += seconds * rate * (double)srv_lane_unit(c);
    }
    return (size_t)n;
}

void srv_stream_grant(struct srv_stream *s, uint32_t n)
{
    s->credit += n;
    advance_all(s);
}

void srv_stream_hold(struct srv_stream *s, bool held)
{
    s->held = held;
    if (!held) advance_all(s);
}
