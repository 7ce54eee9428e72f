/* A connection's times, over a transport that only listens: time is moved by moving what the session
 * remembers. */
#include "server/server.h"
#include "server/session.h"
#include "tests/check.h"

static struct srv_server server;
static bool closed;

static void on_wake(void *ctx)
{
    (void)ctx;
}

static void on_pause(void *ctx, bool pause)
{
    (void)ctx, (void)pause;
}

static void on_close(void *ctx)
{
    (void)ctx;
    closed = true;
}

static const struct srv_transport transport = {"tcp", on_wake, on_pause, on_close};

static struct srv_session *greeted(void)
{
    static char name[] = "test";
    char *words[] = {name, NULL};
    int error;
    const char *why;
    assert_int_equal(srv_options_read(&server.options, 1, words), 0);
    server.max_clients = 1;
    srv_metrics_init(&server.metrics);
    struct srv_session *s = srv_session_create(&server, &transport, NULL, "", &error, &why);
    assert_non_null(s);
    s->state = SRV_OPEN;
    closed = false;
    return s;
}

static void end(struct srv_session *s)
{
    srv_session_destroy(s);
    srv_options_free(&server.options);
}

static void pass(struct srv_session *s, int64_t ms)
{
    s->pinged -= ms * 1000000;
    s->answered -= ms * 1000000;
    while (srv_session_front(s)) /* the client reads */
        srv_session_sent(s, 1);
    srv_session_tick(&server);
}

static void test_silent(void **state)
{
    (void)state;
    struct srv_session *s = greeted();
    pass(s, server.options.ping_ms - 100);
    assert_null(srv_session_front(s));
    pass(s, 200);
    assert_non_null(srv_session_front(s)); /* the PING */
    pass(s, server.options.pong_ms - server.options.ping_ms - 200);
    assert_false(closed);
    pass(s, 200);
    assert_true(closed);
    end(s);
}

/* Who is asked only after the time for an answer has half of it from then on. */
static void test_rare_ping(void **state)
{
    (void)state;
    struct srv_session *s = greeted();
    server.options.ping_ms = 3 * server.options.pong_ms;
    pass(s, server.options.ping_ms + 100);
    assert_non_null(srv_session_front(s));
    pass(s, server.options.pong_ms / 2 - 100);
    assert_false(closed);
    pass(s, 200);
    assert_true(closed);
    end(s);
}

/* Its PONG may lie behind input that the server is slow to take. */
static void test_not_read(void **state)
{
    (void)state;
    struct srv_session *s = greeted();
    pass(s, server.options.ping_ms + 100);
    s->paused = true;
    for (int i = 0; i < 5; i++)
        pass(s, server.options.pong_ms);
    assert_false(closed);
    s->paused = false;
    pass(s, server.options.pong_ms - 100);
    assert_false(closed);
    end(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_silent),
        cmocka_unit_test(test_rare_ping),
        cmocka_unit_test(test_not_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
