/* A server of one worker with the tiny model, for fuzz targets: no listener, no HTTP, no limit on load. */
#ifndef TESS_TESTS_TINY_SERVER_H
#define TESS_TESTS_TINY_SERVER_H

#include "server/server.h"
#include "server/stream.h"
#include "tests/tiny_model.h"

static inline void check(bool holds)
{
    if (!holds) abort();
}

static inline void tiny_server_start(struct srv_server *server)
{
    struct tiny_model m = tiny_model();
    static struct tiny_file f;
    char path[64], program[] = "fuzz", flag[] = "--model", *words[] = {program, flag, path};
    FILE *file = tmpfile();
    tiny_write(&m, &f);
    check(file && fwrite(f.bytes, 1, f.n, file) == f.n && fflush(file) == 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fileno(file));
    check(srv_options_read(&server->options, 3, words) == 0);
    server->options.max_load = 1000000;
    server->options.ping_ms = 0;
    server->loop = uv_default_loop();
    srv_metrics_init(&server->metrics);
    check(srv_models_open(&server->models, &server->options.models) == 0);
    check(srv_scheduler_create(&server->scheduler, server->loop, &server->models, 1,
                               srv_stream_done, server) == 0);
    fclose(file);
}

#endif
