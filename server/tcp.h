/* The native protocol's carrier: a TCP or Unix socket of libuv. */
#ifndef SRV_TCP_H
#define SRV_TCP_H

#include "server/server.h"

/** Accepts what waits at the listener. */
void srv_tcp_accept(struct srv_server *server, uv_stream_t *listener);

#endif
