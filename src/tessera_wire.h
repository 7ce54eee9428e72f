/* The native protocol's messages as bytes: what tesserad and its clients agree on, on TCP, on Unix
 * sockets and in WebSocket's binary messages. docs/protocol.md is the normative text.
 *
 * A message is eight bytes of header, then the payload; all integers are little-endian:
 *
 *     u8 type, u8 flags (zero), u16 stream (zero: the connection), u32 bytes of payload
 *
 * Reading never looks past the bytes it is given, and a length is checked before it is believed.
 * Compiles as C99 and C++11. */
#ifndef TESSERA_WIRE_H
#define TESSERA_WIRE_H

#include <stddef.h>
#include <stdint.h>

#define TESS_WIRE_PROTOCOL 1
#define TESS_WIRE_PORT     7207
#define TESS_WIRE_SOCKET   "/run/tessera/tessera.sock"

enum {
    TESS_WIRE_HEADER = 8,
    TESS_WIRE_MAX_MESSAGE = 65536, /* bytes of a message, its header included */
    TESS_WIRE_MAX_PAYLOAD = TESS_WIRE_MAX_MESSAGE - TESS_WIRE_HEADER,
    TESS_WIRE_MAX_PING = 125,
    TESS_WIRE_EXTENSION = 0x80, /* types from here on are ignored by who does not know them */
};

/* name, type, fewest and most bytes of payload */
#define TESS_WIRE_MESSAGES(X)                                                                      \
    X(HELLO, 1, 2, TESS_WIRE_MAX_PAYLOAD)  /* to the server: JSON */                               \
    X(READY, 2, 2, TESS_WIRE_MAX_PAYLOAD)  /* to the client: JSON */                               \
    X(OPEN, 3, 2, TESS_WIRE_MAX_PAYLOAD)   /* to the server: JSON */                               \
    X(OPENED, 4, 2, TESS_WIRE_MAX_PAYLOAD) /* to the client: JSON */                               \
    X(PCM, 5, 0, TESS_WIRE_MAX_PAYLOAD)    /* both ways: samples [N][channels] */                  \
    X(CODES, 6, 0, TESS_WIRE_MAX_PAYLOAD)  /* both ways: u16 [T][K] */                             \
    X(LOST, 7, 4, 4)                       /* to the server: u32 frames */                         \
    X(FLUSH, 8, 4, 4)                      /* to the server: u32 id */                             \
    X(FLUSHED, 9, 20, 20)                  /* to the client: u32 id, u64 samples, u64 frames */    \
    X(END, 10, 0, 0)                       /* to the server */                                     \
    X(STATS, 11, 2, TESS_WIRE_MAX_PAYLOAD) /* to the client: JSON */                               \
    X(CREDIT, 12, 4, 4)                    /* both ways: u32 bytes */                              \
    X(PING, 13, 0, TESS_WIRE_MAX_PING)     /* both ways */                                         \
    X(PONG, 14, 0, TESS_WIRE_MAX_PING)     /* both ways: the PING's payload */                     \
    X(ERROR, 15, 2, TESS_WIRE_MAX_PAYLOAD) /* to the client: u16 code, UTF-8 text */

enum tess_wire_type {
#define TESS_WIRE_ENUM(name, number, least, most) TESS_WIRE_##name = number,
    TESS_WIRE_MESSAGES(TESS_WIRE_ENUM)
#undef TESS_WIRE_ENUM
};

/* Codes of ERROR: HTTP's, where a client knows them. */
enum tess_wire_error {
    TESS_WIRE_BAD_REQUEST = 400,  /* malformed, or not allowed now */
    TESS_WIRE_UNAUTHORIZED = 401, /* no key, or a wrong one */
    TESS_WIRE_NOT_FOUND = 404,    /* no such model or stream */
    TESS_WIRE_TIMEOUT = 408,      /* silent, idle or not reading for too long */
    TESS_WIRE_TOO_LARGE = 413,    /* a message past its limit */
    TESS_WIRE_TOO_MANY = 429,     /* a limit of this address or connection */
    TESS_WIRE_INTERNAL = 500,     /* the server's own failure */
    TESS_WIRE_OVERLOADED = 503,   /* full or draining: try again later or elsewhere */
};

struct tess_wire_header {
    uint8_t type, flags;
    uint16_t stream;
    uint32_t n_bytes; /* of the payload */
};

static inline uint16_t tess_wire_get16(const uint8_t *b)
{
    return (uint16_t)(b[0] | b[1] << 8);
}

static inline uint32_t tess_wire_get32(const uint8_t *b)
{
    return (uint32_t)tess_wire_get16(b) | (uint32_t)tess_wire_get16(b + 2) << 16;
}

static inline uint64_t tess_wire_get64(const uint8_t *b)
{
    return (uint64_t)tess_wire_get32(b) | (uint64_t)tess_wire_get32(b + 4) << 32;
}

static inline void tess_wire_put16(uint8_t *b, uint16_t v)
{
    b[0] = (uint8_t)v;
    b[1] = (uint8_t)(v >> 8);
}

static inline void tess_wire_put32(uint8_t *b, uint32_t v)
{
    tess_wire_put16(b, (uint16_t)v);
    tess_wire_put16(b + 2, (uint16_t)(v >> 16));
}

static inline void tess_wire_put64(uint8_t *b, uint64_t v)
{
    tess_wire_put32(b, (uint32_t)v);
    tess_wire_put32(b + 4, (uint32_t)(v >> 32));
}

static inline void tess_wire_put_header(uint8_t bytes[TESS_WIRE_HEADER],
                                        const struct tess_wire_header *h)
{
    bytes[0] = h->type;
    bytes[1] = h->flags;
    tess_wire_put16(bytes + 2, h->stream);
    tess_wire_put32(bytes + 4, h->n_bytes);
}

/** The header at the front of n bytes. Returns TESS_WIRE_HEADER; 0 when n is less than that; or
 *  the TESS_WIRE error code, negative: BAD_REQUEST for an unknown type below TESS_WIRE_EXTENSION,
 *  flags that are not zero or a payload too short for its type, TOO_LARGE for one too long. */
static inline int tess_wire_get_header(struct tess_wire_header *h, const uint8_t *bytes, size_t n)
{
    uint32_t least = 0, most = TESS_WIRE_MAX_PAYLOAD;
    if (n < TESS_WIRE_HEADER) return 0;
    h->type = bytes[0];
    h->flags = bytes[1];
    h->stream = tess_wire_get16(bytes + 2);
    h->n_bytes = tess_wire_get32(bytes + 4);
    switch (h->type) {
#define TESS_WIRE_CASE(name, number, at_least, at_most)                                            \
    case number:                                                                                   \
        least = at_least;                                                                          \
        most = at_most;                                                                            \
        break;
        TESS_WIRE_MESSAGES(TESS_WIRE_CASE)
#undef TESS_WIRE_CASE
    default:
        if (h->type < TESS_WIRE_EXTENSION) return -TESS_WIRE_BAD_REQUEST;
    }
    if (h->n_bytes > most) return -TESS_WIRE_TOO_LARGE;
    if (h->n_bytes < least || h->flags != 0) return -TESS_WIRE_BAD_REQUEST;
    return TESS_WIRE_HEADER;
}

/** Payload of FLUSHED. */
struct tess_wire_flushed {
    uint32_t id;
    uint64_t samples, frames;
};

enum { TESS_WIRE_FLUSHED_BYTES = 20 };

static inline void tess_wire_put_flushed(uint8_t bytes[TESS_WIRE_FLUSHED_BYTES],
                                         const struct tess_wire_flushed *f)
{
    tess_wire_put32(bytes, f->id);
    tess_wire_put64(bytes + 4, f->samples);
    tess_wire_put64(bytes + 12, f->frames);
}

/** Returns 1, or 0 when n is not the payload's size. */
static inline int tess_wire_get_flushed(struct tess_wire_flushed *f, const uint8_t *bytes, size_t n)
{
    if (n != TESS_WIRE_FLUSHED_BYTES) return 0;
    f->id = tess_wire_get32(bytes);
    f->samples = tess_wire_get64(bytes + 4);
    f->frames = tess_wire_get64(bytes + 12);
    return 1;
}

#endif
