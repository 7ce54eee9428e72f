/* HTTP/1.1 and WebSocket on one port, spoken by libwebsockets on our loop. Whoever comes is answered
 * here (http_route.c), brings a body to a job (http_job.c), or becomes a session (ws.c). */
#ifndef SRV_HTTP_H
#define SRV_HTTP_H

#include "server/server.h"

/** Makes ready to accept. Returns 0, 1 or 2 (as main.c's codes) with the reason told. */
int srv_http_create(struct srv_server *server);

/** Closes all connections, running the loop until they are. Allowed where create failed. */
void srv_http_destroy(struct srv_server *server);

/** Accepts what waits at the listener; false where there is no memory. */
bool srv_http_accept(struct srv_server *server, uv_stream_t *listener);

/** All connections: timeouts. Called a few times a second. */
void srv_http_tick(struct srv_server *server);

/** Connections of an address (NULL: all), without those that are sessions by now. */
int srv_http_count(const struct srv_server *server, const char *address);

/** Is any request being answered? */
bool srv_http_busy(const struct srv_server *server);

#endif
