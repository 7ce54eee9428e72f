/* Addresses and handed-over sockets in, listeners out. When descriptors run out libuv closes its
 * spare one, accepts and closes what waits, and opens the spare again; when memory runs out what waits
 * is accepted at a later tick. No connection hangs and nothing spins. */
#include "server/listen.h"

#include "server/http.h"
#include "server/tcp.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 1024, FIRST_INHERITED = 3 };

static const struct protocol {
    const char *name;
    bool (*accept)(struct srv_server *server, uv_stream_t *listener);
} native = {"native protocol", srv_tcp_accept}, http = {"HTTP", srv_http_accept};

static int fail(const struct srv_server *server, const char *where, const char *why)
{
    srv_log(&server->log, SRV_ERROR, "listen", "%s: %s", where, why);
    return 1;
}

static bool is_local(const struct sockaddr *address)
{
    const struct sockaddr_in *in = (const void *)address;
    const struct sockaddr_in6 *in6 = (const void *)address;
    switch (address->sa_family) {
    case AF_UNIX: return true;
    case AF_INET: return ntohl(in->sin_addr.s_addr) >> 24 == 127;
    case AF_INET6: return IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
    default: return false;
    }
}

/* Beyond this machine only with keys, and with TLS or the operator's word that it is not needed. */
static int protect(const struct srv_server *server, const struct sockaddr *address)
{
    const struct srv_options *o = &server->options;
    bool tls = *o->tls_cert && *o->tls_key;
    if (is_local(address) || (*o->api_key_file && (tls || o->insecure))) return 0;
    fail(server, o->host,
         "beyond this machine needs --api-key-file, and --tls-cert with --tls-key or --insecure");
    return 2;
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct srv_listener *l = (void *)listener;
    if (status == 0) l->waits = !l->accept(listener->data, listener);
}

void srv_listen_tick(struct srv_server *server)
{
    for (int i = 0; i < server->n_listeners; i++) {
        struct srv_listener *l = &server->listener[i];
        if (l->waits && !uv_is_closing(&l->socket.handle)) on_connection(&l->socket.stream, 0);
    }
}

int srv_listen_accept(uv_stream_t *listener, union srv_socket *socket)
{
    if (listener->type == UV_TCP)
        uv_tcp_init(listener->loop, &socket->tcp);
    else
        uv_pipe_init(listener->loop, &socket->pipe, 0);
    return uv_accept(listener, &socket->stream);
}

/* The handle of server->listener[n_listeners], bound: counted, so that srv_listen_close closes it. */
static int start(struct srv_server *server, const struct protocol *protocol, const char *where)
{
    struct srv_listener *listener = &server->listener[server->n_listeners++];
    listener->accept = protocol->accept;
    listener->socket.stream.data = server;
    int error = uv_listen(&listener->socket.stream, BACKLOG, on_connection);
    if (error) return fail(server, where, uv_strerror(error));
    srv_log(&server->log, SRV_INFO, "listen", "%s on %s", protocol->name, where);
    return 0;
}

static void name_address(const struct sockaddr *address, char *text, size_t n)
{
    char host[64] = "", port[8] = "";
    getnameinfo(address,
                address->sa_family == AF_INET ? sizeof(struct sockaddr_in)
                                              : sizeof(struct sockaddr_in6),
                host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(text, n, address->sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

/* ---- our own ---- */

static int
open_tcp(struct srv_server *server, const struct protocol *protocol, const struct sockaddr *address)
{
    char where[96];
    uv_tcp_t *tcp = &server->listener[server->n_listeners].socket.tcp;
    uv_tcp_init(server->loop, tcp);
    name_address(address, where, sizeof where);
    int error = uv_tcp_bind(tcp, address, 0);
    struct sockaddr_storage bound;
    int size = sizeof bound;
    if (!error && uv_tcp_getsockname(tcp, (struct sockaddr *)&bound, &size) == 0)
        name_address((struct sockaddr *)&bound, where, sizeof where);
    if (!error) return start(server, protocol, where);
    server->n_listeners++; /* for srv_listen_close */
    return fail(server, where, uv_strerror(error));
}

static void set_port(struct sockaddr *address, int64_t port)
{
    struct sockaddr_in *in = (void *)address;
    struct sockaddr_in6 *in6 = (void *)address;
    *(address->sa_family == AF_INET6 ? &in6->sin6_port : &in->sin_port) = htons((uint16_t)port);
}

static int open_host(struct srv_server *server)
{
    const struct srv_options *o = &server->options;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found;
    int error = getaddrinfo(o->host, NULL, &hints, &found);
    if (error) return fail(server, o->host, gai_strerror(error));
    error = protect(server, found->ai_addr);
    if (!error && (is_local(found->ai_addr) || o->insecure)) {
        set_port(found->ai_addr, o->port);
        error = open_tcp(server, &native, found->ai_addr);
    } else if (!error)
        srv_log(&server->log, SRV_INFO, "listen",
                "no native protocol on %s: it has no TLS (--insecure opens it)", o->host);
    if (!error) {
        server->http_local = is_local(found->ai_addr);
        set_port(found->ai_addr, o->http_port);
        error = open_tcp(server, &http, found->ai_addr);
    }
    freeaddrinfo(found);
    return error;
}

/* A socket file that nobody listens at any more is in the way of a new one. */
static void remove_stale(const struct sockaddr_un *address)
{
    struct stat st;
    if (stat(address->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode)) return;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0) return;
    if (connect(fd, (const struct sockaddr *)address, sizeof *address) != 0 &&
        errno == ECONNREFUSED)
        unlink(address->sun_path);
    close(fd);
}

static int open_unix(struct srv_server *server)
{
    const char *path = server->options.unix_path;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!*path) return 0;
    if (strlen(path) >= sizeof address.sun_path) return fail(server, path, "path too long");
    strcpy(address.sun_path, path);
    const char *slash = strrchr(path, '/');
    char folder[sizeof address.sun_path] = ".";
    if (slash && slash > path) snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path);
    if (access(folder, F_OK) != 0) {
        srv_log(&server->log, SRV_INFO, "listen", "no Unix socket: there is no folder %s", folder);
        return 0;
    }
    remove_stale(&address);
    uv_pipe_t *pipe = &server->listener[server->n_listeners].socket.pipe;
    uv_pipe_init(server->loop, pipe, 0);
    mode_t before = umask(0117);
    int error = uv_pipe_bind(pipe, path);
    umask(before);
    if (!error) return start(server, &native, path);
    server->n_listeners++;
    return fail(server, path, uv_strerror(error));
}

/* ---- handed over ---- */

static void read_inherited(struct srv_server *server)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    const char *names = getenv("LISTEN_FDNAMES");
    if (!pid || !count || strtol(pid, NULL, 10) != (long)getpid()) return;
    long n = strtol(count, NULL, 10);
    for (int i = 0; i < n && i < SRV_MAX_INHERITED; i++) {
        size_t length = names ? strcspn(names, ":") : 0;
        snprintf(server->inherited_name[i], sizeof server->inherited_name[i], "%.*s", (int)length,
                 names ? names : "");
        if (names) names += length + (names[length] == ':');
        server->inherited[server->n_inherited++] = FIRST_INHERITED + i;
    }
}

/* The next one for this protocol, or -1. Those called "http" are HTTP's, all others native. */
static int inherited(struct srv_server *server, const struct protocol *protocol)
{
    for (int i = 0; i < server->n_inherited; i++) {
        int fd = server->inherited[i];
        bool named = strcmp(server->inherited_name[i], "http") == 0;
        if (fd < 0 || named != (protocol == &http)) continue;
        server->inherited[i] = -1;
        return fd;
    }
    return -1;
}

static int open_inherited(struct srv_server *server, const struct protocol *protocol, int fd)
{
    struct sockaddr_storage bound;
    socklen_t size = sizeof bound;
    char where[96];
    snprintf(where, sizeof where, "inherited socket %d", fd);
    if (getsockname(fd, (struct sockaddr *)&bound, &size) != 0)
        return fail(server, where, strerror(errno));
    int error = protect(server, (struct sockaddr *)&bound);
    if (error) return error;
    if (server->n_listeners == SRV_MAX_LISTENERS) return fail(server, where, "too many sockets");
    server->http_local &= protocol != &http || is_local((struct sockaddr *)&bound);
    uv_stream_t *listener = &server->listener[server->n_listeners].socket.stream;
    if (bound.ss_family == AF_UNIX) {
        uv_pipe_init(server->loop, (uv_pipe_t *)listener, 0);
        error = uv_pipe_open((uv_pipe_t *)listener, fd);
    } else {
        uv_tcp_init(server->loop, (uv_tcp_t *)listener);
        error = uv_tcp_open((uv_tcp_t *)listener, fd);
    }
    if (!error) return start(server, protocol, where);
    server->n_listeners++;
    return fail(server, where, uv_strerror(error));
}

int srv_listen_open(struct srv_server *server)
{
    read_inherited(server);
    if (server->n_inherited == 0) {
        int error = open_host(server);
        return error ? error : open_unix(server);
    }
    int error = 0;
    server->http_local = true;
    for (int fd; !error && (fd = inherited(server, &native)) >= 0;)
        error = open_inherited(server, &native, fd);
    for (int fd; !error && (fd = inherited(server, &http)) >= 0;)
        error = open_inherited(server, &http, fd);
    return error;
}

static void close_all(struct srv_server *server, bool http_too)
{
    for (int i = 0; i < server->n_listeners; i++) {
        struct srv_listener *l = &server->listener[i];
        uv_handle_t *handle = &l->socket.handle;
        if ((http_too || l->accept != http.accept) && !uv_is_closing(handle))
            uv_close(handle, NULL);
    }
}

void srv_listen_drain(struct srv_server *server)
{
    close_all(server, server->n_inherited > 0);
}

void srv_listen_close(struct srv_server *server)
{
    close_all(server, true);
}
