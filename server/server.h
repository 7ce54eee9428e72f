/* tesserad's parts, held together. Everything here belongs to the loop's thread. */
#ifndef SRV_SERVER_H
#define SRV_SERVER_H

#include "server/keys.h"
#include "server/log.h"
#include "server/metrics.h"
#include "server/scheduler.h"

enum { SRV_MAX_LISTENERS = 8, SRV_MAX_INHERITED = 16 };

struct srv_server;
struct srv_http;

union srv_socket {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
};

struct srv_listener {
    union srv_socket socket;
    /* Returns false where there is no memory to accept with. */
    bool (*accept)(struct srv_server *server, uv_stream_t *listener);
    bool
        waits; /* so it was: libuv holds the connection, and looks for no other until it is accepted */
};

struct srv_job;

/* One-shot jobs: job.c. */
struct srv_jobs {
    struct srv_job *first;       /* those that wait, in the order in which they came */
    int n, n_waiting, n_running; /* n: all, also those whose body has not come yet */
    uint64_t n_done, n_failed;
};

struct srv_server {
    uv_loop_t *loop;
    struct srv_options options;
    struct srv_log log;
    struct srv_models models;
    struct srv_keys keys;
    struct srv_metrics metrics;
    struct srv_scheduler *scheduler;

    struct srv_listener listener[SRV_MAX_LISTENERS];
    int n_listeners;
    bool http_local;                  /* HTTP listens on this machine's own addresses alone */
    int inherited[SRV_MAX_INHERITED]; /* fds, -1 once taken */
    char inherited_name[SRV_MAX_INHERITED][16];
    int n_inherited;

    struct srv_http *http; /* NULL: not yet, or no more */
    struct srv_jobs jobs;
    struct srv_session *sessions;
    int n_sessions, n_streams;
    int64_t max_clients; /* --max-clients, or less where files are few */
    size_t unsent;       /* of all sessions */
    size_t http_unsent;  /* of all answers */
    uint32_t last_id;
    int64_t started; /* ns */
    bool draining;
    char read_buffer[65536]; /* what a read brings is used up before the next one */
    uv_timer_t tick, drain, watchdog;
    int n_drain; /* how often the drain timer has fired */
};

#endif
