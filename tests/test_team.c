/* Tasks on 1, 2 and 16 threads: who is called, who waits for whom, and how a team ends whose
 * threads cannot all be made. Linked with --wrap=pthread_create; the thread sanitizer runs it too. */
#include "src/team.h"
#include "tests/check.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

static int threads_left = -1; /* before pthread_create fails; -1 = never */

int __real_pthread_create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
int __wrap_pthread_create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

int __wrap_pthread_create(pthread_t *thread,
                          const pthread_attr_t *attributes,
                          void *(*start)(void *),
                          void *arg)
{
    if (threads_left == 0) return EAGAIN;
    if (threads_left > 0) threads_left--;
    return __real_pthread_create(thread, attributes, start, arg);
}

static const int counts[] = {1, 2, 16};
enum { N_COUNTS = sizeof counts / sizeof *counts, MANY_ROWS = 1000, STEPS = 20 };

/* Plain, unguarded memory: only the team's meetings order what the threads do with it. */
struct log {
    int n_threads;
    int calls[TESS_MAX_THREADS];
    int steps[TESS_MAX_THREADS];
    int wrong[TESS_MAX_THREADS]; /* what each thread found wrong */
};

static void count_call(void *ctx, struct tess_team *team, int thread, int n_threads)
{
    struct log *log = ctx;
    (void)team;
    log->calls[thread]++;
    if (n_threads != log->n_threads) log->wrong[thread]++;
}

/* In each step a thread writes its own step and, once all have met, reads everybody's. */
static void step_together(void *ctx, struct tess_team *team, int thread, int n_threads)
{
    struct log *log = ctx;
    for (int step = 1; step <= STEPS; step++) {
        log->steps[thread] = step;
        tess_team_meet(team);
        for (int i = 0; i < n_threads; i++)
            if (log->steps[i] != step) log->wrong[thread]++;
        tess_team_meet(team);
    }
}

static struct tess_team *make_team(int n_threads)
{
    struct tess_allocator memory = tess_base_allocator(NULL);
    struct tess_team *team;
    assert_int_equal(tess_team_create(&team, n_threads, &memory), 0);
    assert_non_null(team);
    return team;
}

static void test_every_thread_once_a_run(void **state)
{
    (void)state;
    for (int i = 0; i < N_COUNTS; i++) {
        struct log log = {.n_threads = counts[i]};
        struct tess_team *team = make_team(counts[i]);
        for (int run = 1; run <= 200; run++) {
            tess_team_run(team, MANY_ROWS, count_call, &log);
            for (int t = 0; t < TESS_MAX_THREADS; t++)
                assert_int_equal(log.calls[t], t < counts[i] ? run : 0);
        }
        for (int t = 0; t < counts[i]; t++)
            assert_int_equal(log.wrong[t], 0);
        tess_team_destroy(team);
    }
}

static void test_steps_in_order(void **state)
{
    (void)state;
    for (int i = 0; i < N_COUNTS; i++) {
        struct log log = {0};
        struct tess_team *team = make_team(counts[i]);
        for (int run = 0; run < 10; run++) {
            memset(log.steps, 0, sizeof log.steps);
            tess_team_run(team, MANY_ROWS, step_together, &log);
        }
        for (int t = 0; t < counts[i]; t++) {
            assert_int_equal(log.steps[t], STEPS);
            assert_int_equal(log.wrong[t], 0);
        }
        tess_team_destroy(team);
    }
}

static void test_few_rows_stay_with_the_caller(void **state)
{
    (void)state;
    struct log log = {.n_threads = 1};
    struct tess_team *team = make_team(2);
    tess_team_run(team, 1, count_call, &log);
    tess_team_run(team, 1, step_together, &log); /* meeting nobody returns at once */
    assert_int_equal(log.calls[0], 1);
    assert_int_equal(log.calls[1], 0);
    assert_int_equal(log.wrong[0], 0);
    tess_team_destroy(team);
}

static void test_teams_come_and_go(void **state)
{
    (void)state;
    for (int round = 0; round < 30; round++)
        for (int i = 0; i < N_COUNTS; i++) {
            struct log log = {.n_threads = counts[i]};
            struct tess_team *team = make_team(counts[i]);
            if (round % 2) tess_team_run(team, MANY_ROWS, count_call, &log);
            tess_team_destroy(team);
        }
    tess_team_destroy(NULL);
}

static void test_threads_that_cannot_be_made(void **state)
{
    (void)state;
    struct tess_allocator memory = tess_base_allocator(NULL);
    for (int made = 0; made < 15; made++) {
        struct tess_team *team = NULL;
        threads_left = made;
        assert_int_equal(tess_team_create(&team, 16, &memory), TESS_E_NOMEM);
        assert_null(team);
    }
    threads_left = -1;
}

static void *no_memory(void *ctx, size_t bytes)
{
    (void)ctx;
    (void)bytes;
    return NULL;
}

static void test_out_of_memory(void **state)
{
    (void)state;
    const struct tess_allocator none = {.alloc = no_memory};
    struct tess_team *team;
    assert_int_equal(tess_team_create(&team, 2, &none), TESS_E_NOMEM);
    assert_null(team);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_thread_once_a_run),
        cmocka_unit_test(test_steps_in_order),
        cmocka_unit_test(test_few_rows_stay_with_the_caller),
        cmocka_unit_test(test_teams_come_and_go),
        cmocka_unit_test(test_threads_that_cannot_be_made),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
