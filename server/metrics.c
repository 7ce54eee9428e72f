/* Counts in, Prometheus' text out. */
#include "server/http.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const double step_bounds[] = {.0005, .001, .002, .005, .010, .0133, .020, .040, .080};
static const double batch_bounds[] = {1, 2, 4, 8, 16, 32, 64};
static const double queue_bounds[] = {.0005, .001, .002, .005, .010, .020, .040, .080, .320, 1};

#define BOUNDS(b) .bound = b, .n = sizeof b / sizeof b[0]

void srv_metrics_init(struct srv_metrics *m)
{
    *m = (struct srv_metrics){
        .step_seconds = {BOUNDS(step_bounds)},
        .batch_streams = {BOUNDS(batch_bounds)},
        .queue_seconds = {BOUNDS(queue_bounds)},
    };
}

void srv_histogram_add(struct srv_histogram *h, double value)
{
    int i = 0;
    while (i < h->n && value > h->bound[i])
        i++;
    h->bucket[i]++;
    h->count++;
    h->sum += value;
}

/* ---- text ---- */

static void head(FILE *to, const char *name, const char *type, const char *help)
{
    fprintf(to, "# HELP tessera_%s %s\n# TYPE tessera_%s %s\n", name, help, name, type);
}

static void one(FILE *to, const char *name, const char *type, const char *help, double value)
{
    head(to, name, type, help);
    fprintf(to, "tessera_%s %.17g\n", name, value);
}

static void histogram(FILE *to, const char *name, const char *help, const struct srv_histogram *h)
{
    uint64_t below = 0;
    head(to, name, "histogram", help);
    for (int i = 0; i < h->n; i++)
        fprintf(to, "tessera_%s_bucket{le=\"%g\"} %llu\n", name, h->bound[i],
                (unsigned long long)(below += h->bucket[i]));
    fprintf(to, "tessera_%s_bucket{le=\"+Inf\"} %llu\n", name, (unsigned long long)h->count);
    fprintf(to, "tessera_%s_sum %.17g\ntessera_%s_count %llu\n", name, h->sum, name,
            (unsigned long long)h->count);
}

static void connections(FILE *to, const struct srv_server *server)
{
    static const char *const protos[] = {"tcp", "unix", "ws"};
    int n_paused = 0;
    head(to, "connections", "gauge", "Connections that are open.");
    for (size_t p = 0; p < sizeof protos / sizeof protos[0]; p++) {
        int n = 0;
        for (const struct srv_session *s = server->sessions; s; s = s->next)
            n += strcmp(s->transport->proto, protos[p]) == 0;
        fprintf(to, "tessera_connections{proto=\"%s\"} %d\n", protos[p], n);
    }
    fprintf(to, "tessera_connections{proto=\"http\"} %d\n", srv_http_count(server, NULL));
    one(to, "connections_max", "gauge", "Connections that may be open.",
        (double)server->max_clients);
    for (const struct srv_session *s = server->sessions; s; s = s->next)
        n_paused += s->paused;
    one(to, "connections_paused", "gauge", "Connections not read, for their input is far ahead.",
        n_paused);
}

static void build_info(FILE *to, const struct srv_server *server)
{
    head(to, "build_info", "gauge", "1 for each model served.");
    for (int i = 0; i < server->models.n; i++) {
        const struct srv_model *m = &server->models.item[i];
        fprintf(to, "tessera_build_info{version=\"%s\",kernels=\"%s\",model=\"%s\"} 1\n",
                tess_version(), m->info.kernel, m->sha256);
    }
}

static void process(FILE *to)
{
    long pages = 0, fds = 0;
    FILE *statm = fopen("/proc/self/statm", "re");
    if (statm) {
        if (fscanf(statm, "%*s %ld", &pages) != 1) pages = 0;
        fclose(statm);
    }
    DIR *folder = opendir("/proc/self/fd");
    if (folder) {
        while (readdir(folder))
            fds++;
        closedir(folder);
        fds -= 3; /* ".", ".." and the folder itself */
    }
    fprintf(to,
            "# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes %ld\n"
            "# TYPE process_open_fds gauge\nprocess_open_fds %ld\n",
            pages * sysconf(_SC_PAGESIZE), fds);
}

static void write_all(FILE *to, const struct srv_server *server)
{
    const struct srv_metrics *m = &server->metrics;
    static const char *const drops[] = {
#define DROP_NAME(name, text) text,
        SRV_DROPS(DROP_NAME)
#undef DROP_NAME
    };
    static const char *const refusals[] = {
#define REFUSAL_NAME(name, text, ...) text,
        SRV_REFUSALS(REFUSAL_NAME)
#undef REFUSAL_NAME
    };
    connections(to, server);
    one(to, "streams_active", "gauge", "Streams that are open.", server->n_streams);
    one(to, "streams_max", "gauge", "Streams that may be open.",
        (double)server->options.max_streams);
    one(to, "load_ratio", "gauge", "Share of the workers' time that live streams need.",
        srv_scheduler_load(server->scheduler, NULL, false, false));
    one(to, "jobs_active", "gauge", "One-shot jobs that run.", server->jobs.n_running);
    one(to, "jobs_waiting", "gauge", "One-shot jobs that wait for their turn.",
        server->jobs.n_waiting);
    head(to, "jobs_total", "counter", "One-shot jobs that have ended.");
    fprintf(to, "tessera_jobs_total{result=\"done\"} %llu\n",
            (unsigned long long)server->jobs.n_done);
    fprintf(to, "tessera_jobs_total{result=\"failed\"} %llu\n",
            (unsigned long long)server->jobs.n_failed);
    one(to, "frames_encoded_total", "counter", "Frames encoded.", (double)m->frames[SRV_ENCODE]);
    one(to, "frames_decoded_total", "counter", "Frames decoded.", (double)m->frames[SRV_DECODE]);
    histogram(to, "step_duration_seconds", "Time that a batch took.", &m->step_seconds);
    histogram(to, "batch_streams", "Streams in a batch.", &m->batch_streams);
    histogram(to, "queue_seconds", "Time that a ready stream waited for its batch.",
              &m->queue_seconds);
    one(to, "deadline_misses_total", "counter", "Turns that came later than their deadline.",
        (double)m->deadline_misses);
    head(to, "clients_dropped_total", "counter", "Connections ended by this server.");
    for (int d = 0; d < SRV_N_DROPS; d++)
        fprintf(to, "tessera_clients_dropped_total{reason=\"%s\"} %llu\n", drops[d],
                (unsigned long long)m->dropped[d]);
    head(to, "streams_refused_total", "counter", "Streams that were not opened for want of room.");
    for (int r = 0; r < SRV_N_REFUSALS; r++)
        fprintf(to, "tessera_streams_refused_total{reason=\"%s\"} %llu\n", refusals[r],
                (unsigned long long)m->refused[r]);
    one(to, "streams_cut_total", "counter", "Streams whose connection ended before END.",
        (double)m->cut);
    head(to, "bytes_total", "counter", "Bytes of messages.");
    fprintf(to, "tessera_bytes_total{dir=\"in\"} %llu\ntessera_bytes_total{dir=\"out\"} %llu\n",
            (unsigned long long)m->bytes_in, (unsigned long long)m->bytes_out);
    one(to, "output_buffer_bytes", "gauge", "Bytes that wait to be sent.",
        (double)(server->unsent + server->http_unsent));
    build_info(to, server);
    process(to);
}

char *srv_metrics_text(const struct srv_server *server)
{
    char *text = NULL;
    size_t n = 0;
    FILE *to = open_memstream(&text, &n);
    if (!to) return NULL;
    write_all(to, server);
    if (fclose(to) == 0) return text;
    free(text);
    return NULL;
}
