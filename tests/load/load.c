/* Many live clients of one tesserad, over real sockets, in a process of their own: each stream sends a
 * hop of sound and a frame of codes every hop's time, at its own moment, and waits for the codes of the
 * one and the sound of the other. Prints how long they took.
 *
 *     load PORT|PATH STREAMS SECONDS [IDLE [PID]]
 *
 * IDLE connections more say HELLO and answer PINGs; PID is the server's, for its time and memory.
 * Exit code 1 when a frame was not answered or the server refused a stream. */
#define _DEFAULT_SOURCE
#include "src/tessera_wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
    HOP = 320, /* of the default model, which this is for */
    RATE = 24000,
    CODEBOOKS = 4,
    DUE_MS = 40,
    MAX_EVENTS = 256,
};

struct client {
    int fd;
    bool live, opened, ended;
    int64_t first;       /* ns: when its first hop is complete */
    int n_sent, n_codes; /* frames */
    int64_t n_samples;   /* of decoded sound */
    uint8_t in[2 * TESS_WIRE_MAX_MESSAGE];
    size_t n_in;
};

struct load {
    struct client *client;
    int n_streams, n_idle, n_hops;
    float *latency; /* [n_streams * n_hops] ms, in the order in which they came */
    int64_t *sent;  /* [n_streams][n_hops] ns: when the hop's last sample was written */
    size_t n_latencies;
    int n_late_starts; /* hops that this client itself sent more than 2 ms late */
    int epoll;
};

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int dial(const char *where)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(where))};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    bool is_path = strchr(where, '/') != NULL;
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    snprintf(un.sun_path, sizeof un.sun_path, "%s", where);
    int fd = socket(is_path ? AF_UNIX : AF_INET, SOCK_STREAM, 0), on = 1;
    if (fd < 0 ||
        connect(fd, is_path ? (void *)&un : (void *)&in, is_path ? sizeof un : sizeof in) != 0)
        die(where);
    if (!is_path) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static size_t
pack(uint8_t *out, enum tess_wire_type type, uint16_t stream, const void *data, size_t n)
{
    struct tess_wire_header h = {(uint8_t)type, 0, stream, (uint32_t)n};
    tess_wire_put_header(out, &h);
    if (n > 0) memcpy(out + TESS_WIRE_HEADER, data, n);
    return TESS_WIRE_HEADER + n;
}

/* What is written here is far less than a socket takes: a short write is a server that stopped. */
static void put(const struct client *c, const uint8_t *bytes, size_t n)
{
    if (write(c->fd, bytes, n) != (ssize_t)n) die("write");
}

static void greet(struct load *l, struct client *c, const char *where, bool live)
{
    static const char hello[] = "{\"protocol\":1,\"client\":\"load\"}",
                      open[] = "{\"direction\":\"both\"}";
    uint8_t bytes[256];
    c->fd = dial(where);
    c->live = live;
    size_t n = pack(bytes, TESS_WIRE_HELLO, 0, hello, sizeof hello - 1);
    if (live) n += pack(bytes + n, TESS_WIRE_OPEN, 1, open, sizeof open - 1);
    put(c, bytes, n);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &event) != 0) die("epoll_ctl");
}

static void take_codes(struct load *l, struct client *c, size_t n_bytes)
{
    int stream = (int)(c - l->client);
    int64_t now = now_ns();
    for (size_t t = 0; t < n_bytes / (2 * CODEBOOKS) && c->n_codes < l->n_hops; t++) {
        int64_t sent = l->sent[(size_t)stream * (size_t)l->n_hops + (size_t)c->n_codes++];
        l->latency[l->n_latencies++] = (float)(now - sent) * 1e-6f;
    }
}

static void
handle(struct load *l, struct client *c, const struct tess_wire_header *h, const uint8_t *payload)
{
    uint8_t pong[TESS_WIRE_HEADER + TESS_WIRE_MAX_PING];
    switch (h->type) {
    case TESS_WIRE_OPENED: c->opened = true; break;
    case TESS_WIRE_CODES: take_codes(l, c, h->n_bytes); break;
    case TESS_WIRE_PCM: c->n_samples += h->n_bytes / 2; break;
    case TESS_WIRE_STATS: c->ended = true; break;
    case TESS_WIRE_PING: put(c, pong, pack(pong, TESS_WIRE_PONG, 0, payload, h->n_bytes)); break;
    case TESS_WIRE_ERROR:
        fprintf(stderr, "load: ERROR %d: %.*s\n", tess_wire_get16(payload), (int)h->n_bytes - 2,
                (const char *)payload + 2);
        exit(1);
    default: break;
    }
}

static void receive(struct load *l, struct client *c)
{
    ssize_t got = read(c->fd, c->in + c->n_in, sizeof c->in - c->n_in);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) die("the server closed a connection");
    c->n_in += (size_t)got;
    size_t at = 0;
    for (struct tess_wire_header h; tess_wire_get_header(&h, c->in + at, c->n_in - at) > 0;) {
        if (c->n_in - at < TESS_WIRE_HEADER + h.n_bytes) break;
        handle(l, c, &h, c->in + at + TESS_WIRE_HEADER);
        at += TESS_WIRE_HEADER + h.n_bytes;
    }
    memmove(c->in, c->in + at, c->n_in - at);
    c->n_in -= at;
}

/* Receives until `until` (ns). */
static void wait_until(struct load *l, int64_t until)
{
    struct epoll_event event[MAX_EVENTS];
    for (int64_t left; (left = until - now_ns()) > 0;) {
        struct timespec t = {left / 1000000000, left % 1000000000};
        int n = epoll_pwait2(l->epoll, event, MAX_EVENTS, &t, NULL);
        for (int i = 0; i < n; i++)
            receive(l, event[i].data.ptr);
    }
}

static void send_hop(struct load *l, int stream, int hop, const int16_t *sound)
{
    struct client *c = &l->client[stream];
    uint8_t bytes[2 * TESS_WIRE_HEADER + 2 * HOP + 2 * CODEBOOKS];
    uint16_t frame[CODEBOOKS];
    for (int k = 0; k < CODEBOOKS; k++)
        frame[k] = (uint16_t)((hop * 37 + stream * 11 + k * 101) % 1024);
    size_t n = pack(bytes, TESS_WIRE_PCM, 1, sound + hop * 7 % RATE, 2 * HOP);
    n += pack(bytes + n, TESS_WIRE_CODES, 1, frame, sizeof frame);
    int64_t now = now_ns();
    l->n_late_starts += now - (c->first + hop * (INT64_C(1000000000) * HOP / RATE)) > 2000000;
    l->sent[(size_t)stream * (size_t)l->n_hops + (size_t)hop] = now;
    c->n_sent++;
    put(c, bytes, n);
}

static bool all(const struct load *l, bool (*is)(const struct client *))
{
    for (int i = 0; i < l->n_streams; i++)
        if (!is(&l->client[i])) return false;
    return true;
}

static bool is_open(const struct client *c)
{
    return c->opened;
}

static bool is_ended(const struct client *c)
{
    return c->ended;
}

static void wait_for(struct load *l, bool (*is)(const struct client *), const char *what)
{
    for (int i = 0; i < 1000 && !all(l, is); i++)
        wait_until(l, now_ns() + 10000000);
    if (!all(l, is)) {
        fprintf(stderr, "load: not every stream %s\n", what);
        exit(1);
    }
}

static void run(struct load *l)
{
    static int16_t sound[RATE + HOP];
    unsigned seed = 1;
    for (int i = 0; i < RATE + HOP; i++)
        sound[i] = (int16_t)((int)((seed = seed * 1103515245 + 12345) >> 16 & 0x3fff) - 0x2000);
    const int64_t period = INT64_C(1000000000) * HOP / RATE, start = now_ns() + period;
    for (int i = 0; i < l->n_streams; i++)
        l->client[i].first = start + period * i / l->n_streams;
    for (int hop = 0; hop < l->n_hops; hop++)
        for (int i = 0; i < l->n_streams; i++) {
            wait_until(l, l->client[i].first + hop * period);
            send_hop(l, i, hop, sound);
        }
    uint8_t end[TESS_WIRE_HEADER];
    for (int i = 0; i < l->n_streams; i++)
        put(&l->client[i], end, pack(end, TESS_WIRE_END, 1, NULL, 0));
    wait_for(l, is_ended, "ended");
}

static double cpu_seconds(const char *pid)
{
    char path[64], text[1024] = "";
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%s/stat", pid);
    FILE *f = fopen(path, "r");
    if (!f) return 0;
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = 0;
    const char *rest = strrchr(text, ')');
    if (rest) sscanf(rest, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static void print_memory(const char *pid)
{
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/%s/status", pid);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "VmHWM", 5) == 0 || strncmp(line, "VmRSS", 5) == 0)
            printf("server %s", line);
    if (f) fclose(f);
}

static int compare(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static int report(struct load *l, double seconds, double cpu)
{
    size_t n = l->n_latencies, n_late = 0, want = (size_t)l->n_streams * (size_t)l->n_hops;
    int64_t n_samples = 0;
    qsort(l->latency, n, sizeof *l->latency, compare);
    for (size_t i = 0; i < n; i++)
        n_late += l->latency[i] > DUE_MS;
    for (int i = 0; i < l->n_streams; i++)
        n_samples += l->client[i].n_samples;
    printf("%d two-way streams, %d idle connections, %.1f s\n", l->n_streams, l->n_idle, seconds);
    printf("frames: %zu sent, %zu answered, %zu later than %d ms; %lld samples decoded of %lld\n",
           want, n, n_late, DUE_MS, (long long)n_samples, (long long)want * HOP);
    printf("last sample in to codes out, ms: p50 %.2f, p99 %.2f, p99.9 %.2f, max %.2f\n",
           (double)l->latency[n / 2], (double)l->latency[n * 99 / 100],
           (double)l->latency[n * 999 / 1000], (double)l->latency[n - 1]);
    printf("server: %.2f of a core; hops that this client sent late itself: %d\n", cpu / seconds,
           l->n_late_starts);
    return n == want && n_samples == (int64_t)want * HOP ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: load PORT|PATH STREAMS SECONDS [IDLE [PID]]\n");
        return 2;
    }
    const char *pid = argc > 5 ? argv[5] : "self";
    struct load l = {.n_streams = atoi(argv[2]), .n_idle = argc > 4 ? atoi(argv[4]) : 0};
    l.n_hops = (int)(atof(argv[3]) * RATE / HOP);
    size_t n = (size_t)l.n_streams * (size_t)l.n_hops;
    l.client = calloc((size_t)(l.n_streams + l.n_idle), sizeof *l.client);
    l.latency = calloc(n + 1, sizeof *l.latency);
    l.sent = calloc(n + 1, sizeof *l.sent);
    l.epoll = epoll_create1(0);
    if (!l.client || !l.latency || !l.sent || l.epoll < 0) die("start");
    for (int i = 0; i < l.n_streams + l.n_idle; i++)
        greet(&l, &l.client[i], argv[1], i < l.n_streams);
    wait_for(&l, is_open, "was opened");
    double cpu = cpu_seconds(pid);
    int64_t start = now_ns();
    run(&l);
    int code = report(&l, (double)(now_ns() - start) * 1e-9, cpu_seconds(pid) - cpu);
    print_memory(pid);
    free(l.client);
    free(l.latency);
    free(l.sent);
    return code;
}
