/* Where clients come in: sockets of our own, or those the service manager hands over. */
#ifndef SRV_LISTEN_H
#define SRV_LISTEN_H

#include "server/server.h"

/** Opens the native protocol's listeners. Returns 0, or 1 with the reason told. */
int srv_listen_open(struct srv_server *server);

/** Closes them: what waits in a handed-over socket is for the next server. */
void srv_listen_close(struct srv_server *server);

/** The next socket (fd) that the service manager hands over for `name` ("native", "http"), or -1.
 *  Without names all are native. Each is given once. */
int srv_listen_inherited(struct srv_server *server, const char *name);

#endif
