/* The native protocol's messages in, a session's acts out: a table of handlers, one a type. Knows
 * no socket, so WebSocket messages come the same way. */
#ifndef SRV_PROTOCOL_H
#define SRV_PROTOCOL_H

#include "server/session.h"

/** Bytes as a byte stream brings them. Handles every whole message and keeps the rest. */
void srv_protocol_receive(struct srv_session *session, const uint8_t *bytes, size_t n);

/** Exactly one message, as a WebSocket brings it. */
void srv_protocol_message(struct srv_session *session, const uint8_t *bytes, size_t n);

/** READY, at the handshake and again when draining starts. */
void srv_protocol_ready(struct srv_session *session);

#endif
