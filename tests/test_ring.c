/* The ring: what goes in comes out, in order, once; alone and between two threads. */
#include "src/base.h"
#include "tests/check.h"

#include <pthread.h>
#include <sched.h>

static uint32_t next_random(uint32_t *state)
{
    return *state = *state * 1664525u + 1013904223u;
}

/* Sample i of the stream; below 2^24, so that every value is an exact float. */
static float sample(size_t i)
{
    return (float)(i * 2654435761u % 16777213u);
}

static void capacity_is_rounded_up(void **state)
{
    (void)state;
    static const struct {
        size_t asked, got;
    } cases[] = {
        {1,    1   },
        {2,    2   },
        {3,    4   },
        {1000, 1024},
        {1024, 1024}
    };
    const float pcm[2048] = {0};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tess_ring *ring;
        assert_int_equal(tess_ring_create(&ring, cases[i].asked, NULL), TESS_OK);
        assert_int_equal(tess_ring_write(ring, pcm, 2048), cases[i].got);
        assert_int_equal(tess_ring_fill(ring), cases[i].got);
        assert_int_equal(tess_ring_write(ring, pcm, 1), 0);
        tess_ring_destroy(ring);
    }
}

static void refuses_impossible_capacities(void **state)
{
    (void)state;
    struct tess_ring *ring;
    assert_int_equal(tess_ring_create(&ring, 0, NULL), TESS_E_ARGUMENT);
    assert_null(ring);
    assert_int_equal(tess_ring_create(&ring, SIZE_MAX, NULL), TESS_E_ARGUMENT);
    assert_null(ring);
    tess_ring_destroy(NULL);
}

/* Sizes that do not divide the capacity, so that copies break at every place of the end. */
static void keeps_order_across_its_end(void **state)
{
    (void)state;
    struct tess_ring *ring;
    size_t in = 0, out = 0;
    uint32_t seed = 1;
    float pcm[20];

    assert_int_equal(tess_ring_create(&ring, 16, NULL), TESS_OK);
    assert_int_equal(tess_ring_read(ring, pcm, 20), 0);
    while (out < 10000) {
        for (size_t i = 0; i < 20; i++)
            pcm[i] = sample(in + i);
        in += tess_ring_write(ring, pcm, (next_random(&seed) >> 16) % 20);
        assert_int_equal(tess_ring_fill(ring), in - out);

        const size_t n = tess_ring_read(ring, pcm, (next_random(&seed) >> 16) % 20);
        for (size_t i = 0; i < n; i++)
            assert_true(pcm[i] == sample(out + i));
        out += n;
        assert_int_equal(tess_ring_fill(ring), in - out);
    }
    tess_ring_destroy(ring);
}

enum { N_SAMPLES = 5000000, CHUNK = 700 };

static void *write_all(void *arg)
{
    struct tess_ring *ring = arg;
    uint32_t seed = 2;
    float pcm[CHUNK];

    for (size_t done = 0; done < N_SAMPLES;) {
        size_t n = 1 + (next_random(&seed) >> 16) % CHUNK;
        if (n > N_SAMPLES - done) n = N_SAMPLES - done;
        for (size_t i = 0; i < n; i++)
            pcm[i] = sample(done + i);
        const size_t taken = tess_ring_write(ring, pcm, n);
        if (taken == 0) sched_yield();
        done += taken;
    }
    return NULL;
}

static void carries_samples_between_threads(void **state)
{
    (void)state;
    struct tess_ring *ring;
    pthread_t writer;
    uint32_t seed = 3;
    float pcm[CHUNK];
    size_t wrong = 0;

    assert_int_equal(tess_ring_create(&ring, 1000, NULL), TESS_OK);
    assert_int_equal(pthread_create(&writer, NULL, write_all, ring), 0);
    for (size_t done = 0; done < N_SAMPLES;) {
        const size_t waiting = tess_ring_fill(ring);
        const size_t want = 1 + (next_random(&seed) >> 16) % CHUNK;
        const size_t n = tess_ring_read(ring, pcm, want);
        assert_true(n <= want && n >= (waiting < want ? waiting : want));
        if (n == 0) sched_yield();
        for (size_t i = 0; i < n; i++)
            wrong += pcm[i] != sample(done + i);
        done += n;
    }
    assert_int_equal(pthread_join(writer, NULL), 0);
    assert_int_equal(wrong, 0);
    assert_int_equal(tess_ring_read(ring, pcm, CHUNK), 0);
    tess_ring_destroy(ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(capacity_is_rounded_up),
        cmocka_unit_test(refuses_impossible_capacities),
        cmocka_unit_test(keeps_order_across_its_end),
        cmocka_unit_test(carries_samples_between_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
