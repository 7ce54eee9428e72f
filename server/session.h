/* A connection, whatever carries it: who it is, its streams, and its messages to be sent. The
 * transport (tcp.c; a WebSocket) brings messages in by srv_protocol_receive or srv_protocol_message
 * and takes messages out by srv_session_front and srv_session_sent when it is woken. */
#ifndef SRV_SESSION_H
#define SRV_SESSION_H

#include "server/stream.h"
#include "src/tessera_wire.h"

struct srv_session;

/* What a session asks of its transport. */
struct srv_transport {
    const char *proto;                    /* "tcp", "unix", "ws": a metric's label */
    void (*wake)(void *ctx);              /* there is something to send */
    void (*pause)(void *ctx, bool pause); /* stop reading: input is far enough ahead */
    void (*close)(void *ctx);             /* close once all is sent or at once if `broken`; then
                                             srv_session_destroy */
};

enum { SRV_MESSAGE_ROOM = 16 }; /* before the bytes, for what frames them in turn */

struct srv_message {
    struct srv_message *next;
    int64_t queued; /* ns */
    size_t size;
    uint8_t room[SRV_MESSAGE_ROOM];
    uint8_t bytes[];
};

/* A stream and its number on this connection. */
struct srv_channel {
    struct srv_session *session;
    struct srv_channel *next;
    struct srv_stream *stream;
    uint16_t number;
    size_t consumed; /* bytes not yet granted again */
};

enum srv_session_state { SRV_GREETING, SRV_OPEN, SRV_CLOSING };

/* Why a client was dropped: tessera_clients_dropped_total's label. */
#define SRV_DROPS(X)                                                                               \
    X(SLOW, "slow") X(IDLE, "idle") X(PROTOCOL, "protocol") X(LIMIT, "limit") X(AUTH, "auth")
enum srv_drop {
#define SRV_DROP_ENUM(name, text) SRV_DROP_##name,
    SRV_DROPS(SRV_DROP_ENUM)
#undef SRV_DROP_ENUM
        SRV_N_DROPS,
    SRV_NO_DROP = -1
};

/* Why a stream was refused: tessera_streams_refused_total's label, the ERROR's code and text. */
#define SRV_REFUSALS(X)                                                                            \
    X(DRAINING, "draining", TESS_WIRE_OVERLOADED, "draining: connect again")                       \
    X(CLIENT, "client", TESS_WIRE_TOO_MANY,                                                        \
      "too many streams on this connection (--max-client-streams)")                                \
    X(STREAMS, "streams", TESS_WIRE_OVERLOADED, "too many streams (--max-streams)")                \
    X(LOAD, "load", TESS_WIRE_OVERLOADED, "one stream more would delay the others (--max-load)")
enum srv_refusal {
#define SRV_REFUSE_ENUM(name, ...) SRV_REFUSE_##name,
    SRV_REFUSALS(SRV_REFUSE_ENUM)
#undef SRV_REFUSE_ENUM
        SRV_N_REFUSALS
};

struct srv_session {
    struct srv_server *server;
    const struct srv_transport *transport;
    void *ctx; /* the transport's */
    struct srv_session *previous, *next;
    uint32_t id;      /* in the log */
    char address[64]; /* "" where it does not count: loopback and Unix sockets */
    enum srv_session_state state;
    struct srv_channel *channels;
    int n_channels;

    struct srv_message *first, *last; /* not sent yet */
    size_t unsent;
    uint8_t *partial; /* [max message] of a message that has not come whole yet */
    size_t n_partial;
    bool paused, held;
    bool broken; /* nothing can be sent any more */
    bool known;  /* the transport has seen a key: HELLO needs none */

    int64_t since;    /* ns: the start, then the last moment with a stream, then the failure */
    int64_t pinged;   /* ns of the last PING */
    int64_t answered; /* ns of the start or the last PONG */
};

/** Why no connection of `address` can come in beyond those that are there, and the TESS_WIRE error:
 *  the server is full or the address has too many. NULL: it can. */
const char *srv_session_refusal(const struct srv_server *server, const char *address, int *error);

/** Admits a connection. Returns NULL without memory, when the server drains, or as
 *  srv_session_refusal says: *error and *why then say it and the transport may tell the client. */
struct srv_session *srv_session_create(struct srv_server *server,
                                       const struct srv_transport *transport,
                                       void *ctx,
                                       const char *address,
                                       int *error,
                                       const char **why);

/** The transport is gone: frees everything. */
void srv_session_destroy(struct srv_session *session);

/** Queues a message: a header for `payload` [n], copied. */
void srv_session_send(struct srv_session *session,
                      enum tess_wire_type type,
                      uint16_t stream,
                      const void *payload,
                      size_t n);

/** Sends ERROR on stream 0 and closes; counts the drop. */
void srv_session_fail(struct srv_session *session, enum srv_drop drop, int error, const char *why);

/** As above for one that does not read: nothing more is sent. */
void srv_session_break(struct srv_session *session, enum srv_drop drop, const char *why);

/** What the transport sends next (NULL: nothing), and that the first n messages are sent. */
struct srv_message *srv_session_front(struct srv_session *session);
void srv_session_sent(struct srv_session *session, int n);

/** The channel of that number, or NULL. */
struct srv_channel *srv_session_channel(struct srv_session *session, uint16_t number);
void srv_session_close_channel(struct srv_channel *channel);

/** Pauses or resumes reading and computing as queues say. */
void srv_session_balance(struct srv_session *session);

/** All sessions: timeouts, PINGs, slow readers, the total backlog. Called a few times a second. */
void srv_session_tick(struct srv_server *server);

#endif
