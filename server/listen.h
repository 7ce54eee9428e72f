/* Where clients come in: sockets of our own, or those the service manager hands over. */
#ifndef SRV_LISTEN_H
#define SRV_LISTEN_H

#include "server/server.h"

/** Opens the listeners of the native protocol and of HTTP. Returns 0, or 1 with the reason told. */
int srv_listen_open(struct srv_server *server);

/** Takes the connection that waits at a listener into `socket`, which is to be closed also where that
 *  fails. Returns 0 or libuv's error. */
int srv_listen_accept(uv_stream_t *listener, union srv_socket *socket);

/** Accepts what had to wait for memory. Called a few times a second. */
void srv_listen_tick(struct srv_server *server);

/** Closes them, but for HTTP's while /health is to say that we drain. What waits in a handed-over
 *  socket is for the next server, so all of those close. */
void srv_listen_drain(struct srv_server *server);

/** Closes all that are open. */
void srv_listen_close(struct srv_server *server);

#endif
