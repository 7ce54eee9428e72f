/* A connection to tesserad, blocking: docs/protocol.md. One thread. */
#ifndef CLI_REMOTE_H
#define CLI_REMOTE_H

#include "options.h"
#include "src/tessera_wire.h"

#include <cjson/cJSON.h>

enum { CLI_REMOTE_STREAMS = 3 }; /* numbers that streams may have: 1 and 2 */

struct cli_remote {
    const char *name; /* the URI; borrowed */
    int fd;
    cJSON *ready;                        /* what the server said of itself */
    uint64_t credit[CLI_REMOTE_STREAMS]; /* bytes that may be sent now */
    size_t n_in, n_used; /* of `in`: bytes that have come, and of the messages handed out */
    uint8_t in[TESS_WIRE_MAX_MESSAGE];
};

/* The payload lives until the next call. */
struct cli_remote_message {
    uint8_t type;
    uint16_t stream;
    const uint8_t *payload;
    size_t n;
};

/** Connects to --connect's tcp:HOST[:PORT] or unix:PATH and greets, with --api-key-file's key.
 *  Returns 0 or CLI_SERVER or CLI_USAGE, the reason told; to be closed in any case. */
int cli_remote_open(struct cli_remote *remote, const struct cli_options *options);
void cli_remote_close(struct cli_remote *remote);

/** Opens a stream with OPEN's members, which it deletes. Returns as above. */
int cli_remote_start(struct cli_remote *remote, uint16_t stream, cJSON *members);

/** Sends one message; of PCM and CODES no more than the credit allows. Returns as above. */
int cli_remote_send(struct cli_remote *remote,
                    enum tess_wire_type type,
                    uint16_t stream,
                    const void *payload,
                    size_t n);

/** The next message that is for the caller, waiting `patience_ms` at most: PING, CREDIT and READY are
 *  dealt with, ERROR is a failure. Returns 1, 0 if none came, or a negated exit code, the reason
 *  told. */
int cli_remote_next(struct cli_remote *remote, int patience_ms, struct cli_remote_message *message);

#endif
