/* A stream on the loop's side: a queue of input a lane, and whom the output goes to. It knows no
 * socket: the native protocol, WebSocket and HTTP each give it a sink.
 *
 *     put, lost, flush, end -> queue of items -> a turn -> scheduler -> out -> sink
 *
 * One turn of a lane is under way at a time. Markers (FLUSH, LOST, END) keep their place among the
 * bytes. Output waits for the client's credit, and a lane that has output waiting takes no turn. */
#ifndef SRV_STREAM_H
#define SRV_STREAM_H

#include "server/lane.h"

struct srv_server;
struct srv_stream;

/* Called on the loop's thread. `bytes` is borrowed for the call. */
struct srv_sink {
    void (*output)(void *ctx, enum srv_direction direction, const uint8_t *bytes, size_t n);
    void (*consumed)(void *ctx, size_t n_bytes); /* input computed: the client may send as much */
    void (*flushed)(void *ctx, uint32_t id, uint64_t samples, uint64_t frames);
    /* The last call: error = 0 after END and all its output, else a TESS_WIRE error code. The
     * stream may be read (its counts) and is to be closed. */
    void (*ended)(void *ctx, int error, const char *why);
};

struct srv_item; /* stream.c */

/* A lane's queue and counts. */
struct srv_queue {
    struct srv_lane *lane; /* NULL: the stream has no such direction */
    struct srv_item *first, *last;
    size_t n_bytes; /* queued, markers counted too */
    bool running;   /* the lane is with the scheduler */
    bool ended;     /* its last output is out */
    size_t out_at;  /* bytes of turn.out that the sink has had */
    int64_t pace;   /* ns: when the next frame is due if the sound comes at its own speed */
    uint64_t samples, frames, lost; /* in or out, as the direction says */
    uint64_t n_turns, late;
    int64_t queued;                  /* ns: when the turn was put */
    double latency_sum, latency_max; /* seconds from the last byte in to the output out */
};

struct srv_stream {
    struct srv_server *server;
    const struct srv_sink *sink;
    void *ctx;
    struct srv_queue queue[SRV_N_DIRECTIONS];
    bool limited;    /* the client grants credit */
    uint64_t credit; /* bytes it still takes */
    bool held;       /* its connection has too much unsent */
    bool ending;     /* END has come: no more input */
    bool dead;       /* closed; freed when its last lane comes back from the scheduler */
};

/** Opens a stream of one lane or both (configs, NULL = no such direction). Errors: as
 *  srv_lane_create. Counted in server->n_streams until it is closed. */
int srv_stream_open(struct srv_stream **stream,
                    struct srv_server *server,
                    const struct srv_lane_config *encode,
                    const struct srv_lane_config *decode,
                    const struct srv_sink *sink,
                    void *ctx);

/** No call to the sink after this; what a worker still holds is freed when it comes back. */
void srv_stream_close(struct srv_stream *stream);

/** Input. put copies whole units (srv_lane_unit). Errors: NOMEM. None after end. */
int srv_stream_put(struct srv_stream *stream,
                   enum srv_direction direction,
                   const uint8_t *bytes,
                   size_t n);
int srv_stream_lost(struct srv_stream *stream, uint32_t n_frames);
int srv_stream_flush(struct srv_stream *stream, uint32_t id);
int srv_stream_end(struct srv_stream *stream);

/** Bytes of input queued, and how many a stream should have at most (--input-ahead). */
size_t srv_stream_queued(const struct srv_stream *stream);
size_t srv_stream_window(const struct srv_stream *stream);

/** The client takes n more bytes. */
void srv_stream_grant(struct srv_stream *stream, uint32_t n);

/** While held, no turn starts. */
void srv_stream_hold(struct srv_stream *stream, bool held);

/** The scheduler's done callback: ctx is the server. */
void srv_stream_done(void *server, struct srv_lane *lanes);

#endif
