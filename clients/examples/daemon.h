/* tesserad from C with plain sockets: what socket.c and tts.c share. Every failure ends the program. */
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <tessera/tessera_wire.h>
#include <unistd.h>

struct message {
    struct tess_wire_header head;
    uint8_t payload[TESS_WIRE_MAX_PAYLOAD + 1]; /* room for a 0 after a text */
};

static int daemon_fd;
static uint64_t daemon_credit; /* bytes that may be sent on the stream */

static void fail(const char *why)
{
    fprintf(stderr, "%s\n", why);
    exit(1);
}

static void daemon_send(enum tess_wire_type type, int stream, const void *payload, size_t n)
{
    uint8_t bytes[TESS_WIRE_MAX_MESSAGE];
    const struct tess_wire_header head = {(uint8_t)type, 0, (uint16_t)stream, (uint32_t)n};
    tess_wire_put_header(bytes, &head);
    memcpy(bytes + TESS_WIRE_HEADER, payload, n);
    n += TESS_WIRE_HEADER;
    for (ptrdiff_t put, at = 0; n > 0; n -= (size_t)put, at += put)
        if ((put = write(daemon_fd, bytes + at, n)) <= 0) fail("the daemon is gone");
}

static void read_all(uint8_t *bytes, size_t n)
{
    for (ptrdiff_t got; n > 0; n -= (size_t)got, bytes += got)
        if ((got = read(daemon_fd, bytes, n)) <= 0) fail("the daemon is gone");
}

/* The next message that is for us: PING is answered and CREDIT counted here, ERROR is the end. */
static void daemon_receive(struct message *m)
{
    uint8_t head[TESS_WIRE_HEADER];
    for (;;) {
        read_all(head, sizeof head);
        if (tess_wire_get_header(&m->head, head, sizeof head) < 0) fail("not a tesserad");
        read_all(m->payload, m->head.n_bytes);
        m->payload[m->head.n_bytes] = 0;
        if (m->head.type == TESS_WIRE_ERROR) fail((const char *)m->payload + 2);
        if (m->head.type == TESS_WIRE_PING)
            daemon_send(TESS_WIRE_PONG, m->head.stream, m->payload, m->head.n_bytes);
        else if (m->head.type == TESS_WIRE_CREDIT)
            daemon_credit += tess_wire_get32(m->payload);
        else if (m->head.type < TESS_WIRE_EXTENSION)
            return;
    }
}

/* Greets the daemon on a port of this machine and opens stream 1, as `open` (JSON) asks. */
static void daemon_open(const char *port, const char *open)
{
    static struct message m;
    const char hello[] = "{\"protocol\": 1, \"client\": \"example\"}";
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    signal(SIGPIPE, SIG_IGN); /* a write to who is gone fails instead */
    daemon_fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(daemon_fd, (struct sockaddr *)&address, sizeof address) < 0)
        fail("no tesserad there");
    daemon_send(TESS_WIRE_HELLO, 0, hello, sizeof hello - 1);
    daemon_receive(&m); /* READY: its models and limits */
    daemon_send(TESS_WIRE_OPEN, 1, open, strlen(open));
    daemon_receive(&m); /* OPENED: what the stream really has */
    const char *credit = strstr((const char *)m.payload, "\"credit\":");
    if (credit) daemon_credit = strtoul(credit + 9, NULL, 10);
}

/* The next message; one of the type goes to standard output. Returns whether there is more. */
static int daemon_hear(enum tess_wire_type type)
{
    static struct message m;
    daemon_receive(&m);
    if (m.head.type == type) {
        fwrite(m.payload, 1, m.head.n_bytes, stdout);
        fflush(stdout);
    }
    return m.head.type != TESS_WIRE_STATS;
}

/* Both ways at once, whichever has something: `speak` takes from standard input and sends at most `most`
 * bytes, or the end, and returns whether there is more; what is of `type` is heard. */
static void daemon_converse(int (*speak)(void), size_t most, enum tess_wire_type type)
{
    int speaking = 1, hearing = 1;
    while (hearing) {
        const int may_speak = speaking && daemon_credit >= most;
        struct pollfd ends[] = {
            {.fd = daemon_fd,                     .events = POLLIN},
            {.fd = may_speak ? STDIN_FILENO : -1, .events = POLLIN}
        };
        poll(ends, 2, -1);
        if (ends[1].revents) speaking = speak();
        if (ends[0].revents) hearing = daemon_hear(type);
    }
}
