/* The native protocol's carrier: a TCP or Unix socket of libuv. */
#ifndef SRV_TCP_H
#define SRV_TCP_H

#include "server/server.h"

/** Accepts what waits at the listener; false where there is no memory. */
bool srv_tcp_accept(struct srv_server *server, uv_stream_t *listener);

/** Small buffers and no delay, for TCP also how long bytes may stay unacknowledged. */
void srv_tcp_tune(int fd, const struct srv_options *options);

/** The peer's address; "" for this machine's own. */
void srv_tcp_peer(int fd, char *text, size_t n);

#endif
