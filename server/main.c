/* tesserad: options in, a running server, and its orderly end. Exit codes: 0 ended as asked, 1 could
 * not start, 2 the options forbid it. */
#include "formats/standard_files.h"
#include "server/http.h"
#include "server/listen.h"
#include "server/notify.h"
#include "server/protocol.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum {
    TICK_MS = 100,
    RESERVED_FILES = 64, /* files, not clients: models, listeners, the loop's own */
};

/* ---- the end ----
 *
 * SIGTERM: no new clients and streams; READY tells those that are there. Running streams go on until
 * their END. After nine tenths of --drain-timeout what is still open is ended as if END had come, so
 * that everything sent so far is answered; after all of it, or a second SIGTERM, we leave. */

static void end_streams(struct srv_server *server)
{
    for (struct srv_session *s = server->sessions; s; s = s->next)
        for (struct srv_channel *c = s->channels, *next; c; c = next) {
            next = c->next;
            if (!c->stream->ending) srv_stream_end(c->stream);
        }
}

static uint64_t last_tenth(const struct srv_server *server)
{
    return (uint64_t)server->options.drain_ms / 10;
}

static void on_drain(uv_timer_t *timer)
{
    struct srv_server *server = timer->data;
    if (server->n_drain++ > 0) {
        uv_stop(server->loop);
        return;
    }
    end_streams(server);
    uv_timer_start(timer, on_drain, last_tenth(server), 0);
}

static void drain(struct srv_server *server)
{
    srv_log(&server->log, SRV_INFO, "drain", "%d streams finish", server->n_streams);
    srv_notify("STOPPING=1");
    server->draining = true;
    srv_listen_drain(server);
    for (struct srv_session *s = server->sessions; s; s = s->next)
        if (s->state == SRV_OPEN) srv_protocol_ready(s);
    uint64_t all = (uint64_t)server->options.drain_ms;
    uv_timer_start(&server->drain, on_drain, all - last_tenth(server), 0);
}

/* Our own handler and not libuv's, whose end gives a signal its default back: until the process has
 * gone, one more must not turn its exit code into a death. */
static uv_async_t signalled;
static volatile sig_atomic_t n_signals;

static void on_signal(int number)
{
    int before = errno;
    (void)number;
    n_signals++;
    uv_async_send(&signalled);
    errno = before;
}

static void on_signalled(uv_async_t *handle)
{
    struct srv_server *server = handle->data;
    if (!server->draining) drain(server);
    if (n_signals > 1) uv_stop(server->loop);
}

static void handle_signals(void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
}

static void on_tick(uv_timer_t *timer)
{
    struct srv_server *server = timer->data;
    srv_listen_tick(server);
    srv_session_tick(server);
    srv_http_tick(server);
    if (server->draining && server->n_sessions == 0 && !srv_http_busy(server))
        uv_stop(server->loop);
}

static void on_watchdog(uv_timer_t *timer)
{
    (void)timer;
    srv_notify("WATCHDOG=1");
}

/* ---- the start ---- */

static void count_clients(struct srv_server *server)
{
    struct rlimit files;
    server->max_clients = server->options.max_clients;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0) return;
    /* As many as may be needed and no more: libwebsockets has a table of all that there may be. */
    rlim_t want = (rlim_t)(server->max_clients + server->options.max_jobs + RESERVED_FILES);
    files.rlim_cur = want < files.rlim_max ? want : files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    int64_t n = files.rlim_cur > INT32_MAX ? INT32_MAX : (int64_t)files.rlim_cur;
    int64_t left = n >= 2 * RESERVED_FILES ? n - RESERVED_FILES : n / 2;
    if (server->max_clients > left) server->max_clients = left;
}

static int n_workers(const struct srv_options *options)
{
    return options->threads > 0 ? (int)options->threads : (int)uv_available_parallelism();
}

static int prepare(struct srv_server *server)
{
    int error = srv_keys_read(&server->keys, server->options.api_key_file);
    if (error) return error;
    if (srv_models_open(&server->models, &server->options.models) != 0) return 1;
    error = srv_scheduler_create(&server->scheduler, server->loop, &server->models,
                                 n_workers(&server->options), srv_stream_done, server);
    if (error) {
        srv_log(&server->log, SRV_ERROR, "start", "workers: %s", tess_strerror(error));
        return 1;
    }
    error = srv_http_create(server);
    return error ? error : srv_listen_open(server);
}

static void start_handles(struct srv_server *server)
{
    uv_timer_t *const timers[] = {&server->tick, &server->drain, &server->watchdog};
    for (int i = 0; i < 3; i++) {
        uv_timer_init(server->loop, timers[i]);
        timers[i]->data = server;
    }
    uv_async_init(server->loop, &signalled, on_signalled);
    signalled.data = server;
    handle_signals(on_signal);
    uv_timer_start(&server->tick, on_tick, TICK_MS, TICK_MS);
    uint64_t watchdog = srv_notify_watchdog() / 2;
    if (watchdog > 0) uv_timer_start(&server->watchdog, on_watchdog, watchdog, watchdog);
}

static void close_handle(uv_handle_t *handle, void *ctx)
{
    (void)ctx;
    if (!uv_is_closing(handle)) uv_close(handle, NULL);
}

/* Sessions first: their streams give the lanes back, then the workers can end. Signals come too late. */
static void finish(struct srv_server *server)
{
    handle_signals(SIG_IGN);
    uv_timer_stop(&server->tick);
    for (struct srv_session *s = server->sessions, *next; s; s = next) {
        next = s->next;
        srv_session_break(s, SRV_NO_DROP, "");
    }
    srv_listen_close(server);
    srv_http_destroy(server);
    while (server->sessions || server->jobs.n > 0)
        uv_run(server->loop, UV_RUN_ONCE);
    srv_scheduler_destroy(server->scheduler);
    uv_walk(server->loop, close_handle, NULL);
    uv_run(server->loop, UV_RUN_DEFAULT);
    srv_models_close(&server->models);
    srv_keys_free(&server->keys);
}

static int serve(struct srv_server *server)
{
    server->log = (struct srv_log){strcmp(server->options.log_format, "json") == 0,
                                   server->options.log_addresses != 0};
    server->loop = uv_default_loop();
    server->started = (int64_t)uv_hrtime();
    srv_metrics_init(&server->metrics);
    count_clients(server);
    start_handles(server);
    int error = prepare(server);
    if (!error) {
        srv_log(&server->log, SRV_INFO, "start",
                "tesserad %s: %d models, %d workers, %lld clients at most", tess_version(),
                server->models.n, n_workers(&server->options), (long long)server->max_clients);
        srv_notify("READY=1");
        uv_run(server->loop, UV_RUN_DEFAULT);
    }
    finish(server);
    uv_loop_close(server->loop);
    srv_log(&server->log, SRV_INFO, "end", "code %d", error);
    return error;
}

int main(int argc, char **argv)
{
    struct srv_server *server = calloc(1, sizeof *server);
    if (!server) return 1;
    fmt_standard_files();
    signal(SIGPIPE, SIG_IGN); /* each is an error of the call that meets it */
    signal(SIGXFSZ, SIG_IGN);
    int code = srv_options_read(&server->options, argc, argv);
    if (!code && server->options.help)
        srv_options_help(stdout);
    else if (!code && server->options.version)
        printf("tesserad %s\n", tess_version());
    else if (!code && server->options.print_config)
        srv_options_print(&server->options, stdout);
    else if (!code)
        code = serve(server);
    srv_options_free(&server->options);
    free(server);
    if ((fflush(stdout) != 0 || ferror(stdout)) && !code) {
        fprintf(stderr, "tesserad: standard output: %s\n", strerror(errno));
        code = 1;
    }
    return code;
}
