/* Connections while there is no memory: none is lost, and the listener listens on. Linked with
 * --wrap=calloc. */
#include "server/listen.h"
#include "tests/check.h"

#include <sys/socket.h>
#include <unistd.h>

enum { CLIENTS = 3 };

static bool no_memory;

void *__real_calloc(size_t, size_t);
void *__wrap_calloc(size_t, size_t);

void *__wrap_calloc(size_t n, size_t size)
{
    return no_memory ? NULL : __real_calloc(n, size);
}

static int dial(const struct srv_listener *listener)
{
    struct sockaddr_storage address;
    int n = sizeof address, fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(uv_tcp_getsockname(&listener->socket.tcp, (struct sockaddr *)&address, &n), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, (socklen_t)n), 0);
    return fd;
}

static void test_no_memory(void **state)
{
    (void)state;
    static struct srv_server server;
    static char name[] = "test", port[] = "--port=0", http[] = "--http-port=0", path[] = "--unix=";
    char *words[] = {name, port, http, path, NULL};
    assert_int_equal(srv_options_read(&server.options, 4, words), 0);
    server.loop = uv_default_loop();
    server.max_clients = CLIENTS;
    assert_int_equal(srv_listen_open(&server), 0);

    int fd[CLIENTS];
    struct srv_listener *native = &server.listener[0];
    no_memory = true;
    for (int i = 0; i < CLIENTS; i++)
        fd[i] = dial(native);
    while (!native->waits)
        uv_run(server.loop, UV_RUN_ONCE);
    srv_listen_tick(&server);
    assert_true(native->waits);
    assert_int_equal(server.n_sessions, 0);
    no_memory = false;
    srv_listen_tick(&server);
    assert_false(native->waits);
    while (server.n_sessions < CLIENTS)
        uv_run(server.loop, UV_RUN_ONCE);

    for (int i = 0; i < CLIENTS; i++)
        close(fd[i]);
    srv_listen_close(&server);
    uv_run(server.loop, UV_RUN_DEFAULT);
    assert_int_equal(server.n_sessions, 0);
    srv_options_free(&server.options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
