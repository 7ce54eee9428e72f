/* Messages to and from a daemon over one socket. Whole messages are handed out of `in`; what PING and
 * CREDIT ask for is done on the way. */
#include "remote.h"

#include "formats/json.h"
#include "report.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { PATIENCE_MS = 10000 }; /* for an answer, and for room to send */

static int fail(const struct cli_remote *r, const char *why)
{
    return cli_fail(CLI_SERVER, "%s: %s", r->name, why);
}

/* ---- connecting ---- */

static int connect_unix(struct cli_remote *r, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) return fail(r, "the path is too long");
    strcpy(address.sun_path, path);
    r->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (r->fd < 0 || connect(r->fd, (const struct sockaddr *)&address, sizeof address) < 0)
        return fail(r, strerror(errno));
    return CLI_OK;
}

/* HOST, HOST:PORT, [HOST] or [HOST]:PORT into two strings. */
static void split(const char *text, char host[256], const char **port)
{
    const bool bracketed = *text == '[';
    const char *end = bracketed ? strchr(text, ']') : strrchr(text, ':');
    if (bracketed) text++;
    if (!end) end = text + strlen(text);
    snprintf(host, 256, "%.*s", (int)(end - text), text);
    if (*end == ']') end++;
    if (*end == ':') *port = end + 1;
}

static int connect_tcp(struct cli_remote *r, const char *where)
{
    char host[256], usual[8];
    const char *port = usual;
    snprintf(usual, sizeof usual, "%d", TESS_WIRE_PORT);
    split(where, host, &port);
    char *end;
    const long number = strtol(port, &end, 10);
    if (*end || number < 1 || number > 65535)
        return cli_fail(CLI_USAGE, "--connect %s: a port is a number from 1 to 65535", r->name);
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    int error = getaddrinfo(host, port, &hints, &found);
    if (error) return fail(r, gai_strerror(error));
    for (const struct addrinfo *a = found; a && r->fd < 0; a = a->ai_next) {
        r->fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
        if (r->fd >= 0 && connect(r->fd, a->ai_addr, a->ai_addrlen) == 0) break;
        error = errno;
        if (r->fd >= 0) close(r->fd);
        r->fd = -1;
    }
    freeaddrinfo(found);
    if (r->fd < 0) return fail(r, strerror(error));
    const int at_once = 1;
    setsockopt(r->fd, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once);
    return CLI_OK;
}

/* ---- messages ---- */

static int send_all(struct cli_remote *r, const uint8_t *bytes, size_t n)
{
    while (n > 0) {
        ptrdiff_t put = send(r->fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            struct pollfd room = {.fd = r->fd, .events = POLLOUT};
            if (poll(&room, 1, PATIENCE_MS) == 0) return fail(r, "the server reads nothing more");
            continue;
        }
        if (put < 0) return fail(r, strerror(errno));
        bytes += put;
        n -= (size_t)put;
    }
    return CLI_OK;
}

int cli_remote_send(
    struct cli_remote *r, enum tess_wire_type type, uint16_t stream, const void *payload, size_t n)
{
    uint8_t bytes[TESS_WIRE_HEADER];
    const struct tess_wire_header header = {(uint8_t)type, 0, stream, (uint32_t)n};
    tess_wire_put_header(bytes, &header);
    if (type == TESS_WIRE_PCM || type == TESS_WIRE_CODES) r->credit[stream] -= n;
    int exit_code = send_all(r, bytes, sizeof bytes);
    return exit_code ? exit_code : send_all(r, payload, n);
}

static int
send_json(struct cli_remote *r, enum tess_wire_type type, uint16_t stream, cJSON *members)
{
    char *text = cJSON_PrintUnformatted(members);
    cJSON_Delete(members);
    if (!text) return cli_fail_memory();
    int exit_code = cli_remote_send(r, type, stream, text, strlen(text));
    free(text);
    return exit_code;
}

/* A whole message from the front of `in`: 1, 0 or a negated exit code. */
static int take(struct cli_remote *r, struct cli_remote_message *m)
{
    struct tess_wire_header h;
    const uint8_t *at = r->in + r->n_used;
    const int head = tess_wire_get_header(&h, at, r->n_in - r->n_used);
    if (head < 0) return -fail(r, "this is not the protocol of tesserad");
    if (head == 0 || r->n_in - r->n_used - TESS_WIRE_HEADER < h.n_bytes) return 0;
    *m = (struct cli_remote_message){h.type, h.stream, at + TESS_WIRE_HEADER, h.n_bytes};
    r->n_used += TESS_WIRE_HEADER + h.n_bytes;
    return 1;
}

/* More bytes behind those that are there: 1, 0 after patience_ms, or a negated exit code. */
static int receive(struct cli_remote *r, int patience_ms)
{
    struct pollfd come = {.fd = r->fd, .events = POLLIN};
    memmove(r->in, r->in + r->n_used, r->n_in - r->n_used);
    r->n_in -= r->n_used;
    r->n_used = 0;
    const int ready = poll(&come, 1, patience_ms);
    if (ready <= 0) return ready < 0 && errno == EINTR;
    const ptrdiff_t got = recv(r->fd, r->in + r->n_in, sizeof r->in - r->n_in, 0);
    if (got == 0) return -fail(r, "the server closed the connection");
    if (got < 0 && errno != EINTR) return -fail(r, strerror(errno));
    if (got > 0) r->n_in += (size_t)got;
    return 1;
}

/* Does what a message asks for. Returns 1 if it was none for the caller, 0, or a negated exit code. */
static int serve(struct cli_remote *r, const struct cli_remote_message *m)
{
    switch (m->type) {
    case TESS_WIRE_PING: {
        int exit_code = cli_remote_send(r, TESS_WIRE_PONG, m->stream, m->payload, m->n);
        return exit_code ? -exit_code : 1;
    }
    case TESS_WIRE_CREDIT:
        if (m->stream < CLI_REMOTE_STREAMS) r->credit[m->stream] += tess_wire_get32(m->payload);
        return 1;
    case TESS_WIRE_ERROR:
        return -cli_fail(CLI_SERVER, "%s: %.*s (%d)", r->name, (int)(m->n - 2),
                         (const char *)m->payload + 2, tess_wire_get16(m->payload));
    default: return m->type >= TESS_WIRE_EXTENSION || (m->type == TESS_WIRE_READY && r->ready);
    }
}

int cli_remote_next(struct cli_remote *r, int patience_ms, struct cli_remote_message *m)
{
    for (;;) {
        int status = take(r, m);
        if (status > 0) {
            status = serve(r, m);
            if (status == 0) return 1;
        } else if (status == 0) {
            status = receive(r, patience_ms);
            if (status == 0) return 0;
        }
        if (status < 0) return status;
    }
}

/* The answer of this type, as JSON. */
static int answer(struct cli_remote *r, enum tess_wire_type type, cJSON **json)
{
    struct cli_remote_message m;
    int got = cli_remote_next(r, PATIENCE_MS, &m);
    if (got < 0) return -got;
    if (got == 0) return fail(r, "the server does not answer");
    *json = m.type == type ? fmt_json_parse((const char *)m.payload, m.n) : NULL;
    return *json ? CLI_OK : fail(r, "this is not the protocol of tesserad");
}

/* ---- greeting ---- */

/* The first line of a file of keys that holds one. */
static int read_key(const char *path, char key[130])
{
    FILE *file = fopen(path, "re");
    if (!file) return cli_fail(CLI_FAILED, "%s: %s", path, strerror(errno));
    bool found = false;
    while (!found && fgets(key, 130, file)) {
        key[strcspn(key, "\r\n")] = 0;
        found = *key && *key != '#';
    }
    fclose(file);
    return found ? CLI_OK : cli_fail(CLI_FAILED, "%s: no key in it", path);
}

static int greet(struct cli_remote *r, const char *key_file)
{
    char key[130];
    int exit_code = key_file ? read_key(key_file, key) : CLI_OK;
    if (exit_code) return exit_code;
    cJSON *hello = cJSON_CreateObject();
    cJSON_AddNumberToObject(hello, "protocol", TESS_WIRE_PROTOCOL);
    cJSON_AddStringToObject(hello, "client", "tessera " TESS_VERSION);
    if (key_file) cJSON_AddStringToObject(hello, "key", key);
    exit_code = send_json(r, TESS_WIRE_HELLO, 0, hello);
    return exit_code ? exit_code : answer(r, TESS_WIRE_READY, &r->ready);
}

int cli_remote_open(struct cli_remote *r, const struct cli_options *options)
{
    const char *uri = options->connect;
    *r = (struct cli_remote){.name = uri, .fd = -1};
    int exit_code;
    if (strncmp(uri, "tcp:", 4) == 0)
        exit_code = connect_tcp(r, uri + 4);
    else if (strncmp(uri, "unix:", 5) == 0)
        exit_code = connect_unix(r, uri + 5);
    else
        exit_code = cli_fail(CLI_USAGE, "--connect %s: tcp:HOST[:PORT] or unix:PATH", uri);
    return exit_code ? exit_code : greet(r, options->api_key_file);
}

void cli_remote_close(struct cli_remote *r)
{
    if (r->fd >= 0) close(r->fd);
    cJSON_Delete(r->ready);
    r->fd = -1;
    r->ready = NULL;
}

int cli_remote_start(struct cli_remote *r, uint16_t stream, cJSON *members)
{
    cJSON *opened = NULL;
    int exit_code = send_json(r, TESS_WIRE_OPEN, stream, members);
    if (!exit_code) exit_code = answer(r, TESS_WIRE_OPENED, &opened);
    if (exit_code) return exit_code;
    const cJSON *credit = cJSON_GetObjectItemCaseSensitive(opened, "credit");
    if (cJSON_IsNumber(credit) && credit->valuedouble > 0)
        r->credit[stream] = (uint64_t)credit->valuedouble;
    cJSON_Delete(opened);
    return CLI_OK;
}
