/* The resampler: exact lengths, the same bits for every split, and the right sound. */
#include "src/base.h"
#include "tests/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PI 3.14159265358979323846

static const struct {
    int in, out;
    int wait; /* ms that a live stream waits at most, rounded up from what was measured */
} rates[] = {
    {44100,  24000, 18},
    {16000,  24000, 16},
    {48000,  24000, 18},
    {8000,   24000, 31},
    {192000, 24000, 19},
    {24000,  16000, 16},
    {24000,  44100, 18},
    {24000,  24000, 0 }
};
enum { N_RATES = sizeof rates / sizeof *rates };

static uint32_t next_random(uint32_t *state)
{
    return *state = *state * 1664525u + 1013904223u;
}

static float *floats(size_t n)
{
    float *p = calloc(n + 1, sizeof *p);
    assert_non_null(p);
    return p;
}

static float *noise(size_t n)
{
    float *p = floats(n);
    uint32_t seed = 1;
    for (size_t i = 0; i < n; i++)
        p[i] = (float)(int32_t)next_random(&seed) / 2147483648.0f;
    return p;
}

static struct tess_resampler *make(int rate_in, int rate_out, int channels)
{
    struct tess_resampler *r;
    assert_int_equal(tess_resampler_create(&r, rate_in, rate_out, channels, NULL), TESS_OK);
    return r;
}

static size_t expected(size_t n, int rate_in, int rate_out)
{
    return (n * (size_t)rate_out + (size_t)rate_in - 1) / (size_t)rate_in;
}

/* Pushes n samples in pieces of 1..longest (0: all at once) and flushes in pieces as long. Checks
 * each piece's length against its bound. The caller frees *out, zeroed behind the result. */
static size_t
run(struct tess_resampler *r, const float *in, size_t n, int channels, size_t longest, float **out)
{
    const size_t ch = (size_t)channels, room = tess_resampler_bound(r, n) + 1;
    uint32_t seed = (uint32_t)longest;
    size_t n_out = 0;
    int64_t got;
    *out = floats(room * ch);

    for (size_t done = 0, k; done < n; done += k) {
        k = longest ? 1 + (next_random(&seed) >> 8) % longest : n;
        if (k > n - done) k = n - done;
        const size_t bound = tess_resampler_bound(r, k);
        float *piece = floats(bound * ch);
        got = tess_resampler_push(r, in + done * ch, k, piece, bound);
        assert_in_range(got, 0, bound);
        assert_true(n_out + (size_t)got < room);
        memcpy(*out + n_out * ch, piece, (size_t)got * ch * sizeof *piece);
        n_out += (size_t)got;
        free(piece);
    }
    const size_t most = longest ? longest : room;
    float *piece = floats(most * ch);
    while ((got = tess_resampler_flush(r, piece, most)) != 0) {
        assert_in_range(got, 1, most);
        assert_true(n_out + (size_t)got < room);
        memcpy(*out + n_out * ch, piece, (size_t)got * ch * sizeof *piece);
        n_out += (size_t)got;
    }
    free(piece);
    return n_out;
}

static void lengths_are_exact(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, 1, 2, 7, 146, 147, 148, 1000, 5001, 44101};
    float *in = noise(44101), *out;
    for (int i = 0; i < N_RATES; i++)
        for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
            struct tess_resampler *r = make(rates[i].in, rates[i].out, 1);
            const size_t n = run(r, in, lengths[l], 1, 500, &out);
            assert_int_equal(n, expected(lengths[l], rates[i].in, rates[i].out));
            free(out);
            tess_resampler_destroy(r);
        }
    free(in);
}

static void splits_change_no_bit(void **state)
{
    (void)state;
    static const size_t longest[] = {1, 37, 2000, 20000};
    for (int i = 0; i < N_RATES; i++) {
        const size_t n = (size_t)rates[i].in + 1;
        float *in = noise(n), *whole, *split;
        struct tess_resampler *r = make(rates[i].in, rates[i].out, 1);
        const size_t n_whole = run(r, in, n, 1, 0, &whole);
        for (size_t s = 0; s < sizeof longest / sizeof *longest; s++) {
            tess_resampler_reset(r);
            assert_int_equal(run(r, in, n, 1, longest[s], &split), n_whole);
            assert_memory_equal(split, whole, n_whole * sizeof *whole);
            free(split);
        }
        free(in);
        free(whole);
        tess_resampler_destroy(r);
    }
}

static void channels_do_not_mix(void **state)
{
    (void)state;
    enum { N = 5000 };
    float *stereo = noise(2 * N), *mono = floats(N), *both, *one;
    struct tess_resampler *r = make(44100, 24000, 2), *m = make(44100, 24000, 1);
    const size_t n = run(r, stereo, N, 2, 300, &both);
    for (size_t c = 0; c < 2; c++) {
        for (size_t i = 0; i < N; i++)
            mono[i] = stereo[2 * i + c];
        tess_resampler_reset(m);
        assert_int_equal(run(m, mono, N, 1, 0, &one), n);
        for (size_t i = 0; i < n; i++)
            assert_true(both[2 * i + c] == one[i]);
        free(one);
    }
    free(stereo), free(mono), free(both);
    tess_resampler_destroy(r);
    tess_resampler_destroy(m);
}

static void equal_rates_copy(void **state)
{
    (void)state;
    float *in = noise(2000), out[2000];
    struct tess_resampler *r = make(24000, 24000, 2);
    assert_int_equal(tess_resampler_push(r, in, 1000, out, 1000), 1000);
    assert_memory_equal(in, out, sizeof out);
    assert_int_equal(tess_resampler_flush(r, out, 1000), 0);
    free(in);
    tess_resampler_destroy(r);
}

/* One second of a sine at frequency f and half of full scale, resampled. */
static float *resampled_sine(int rate_in, int rate_out, double f)
{
    float *in = floats((size_t)rate_in), *out;
    for (int i = 0; i < rate_in; i++)
        in[i] = (float)(0.5 * sin(2 * PI * f * i / rate_in));
    struct tess_resampler *r = make(rate_in, rate_out, 1);
    assert_int_equal(run(r, in, (size_t)rate_in, 1, 0, &out), rate_out);
    tess_resampler_destroy(r);
    free(in);
    return out;
}

/* Compared at the same instants, so this is the test of alignment too. Away from the ends, where
 * the filter sees the sudden silence, the input's and the output's rounding to float are what is
 * left: 2^-26 on 0.5 is about 150 dB. */
static void a_sine_stays_a_sine(void **state)
{
    (void)state;
    for (int i = 0; i < N_RATES; i++) {
        float *out = resampled_sine(rates[i].in, rates[i].out, 997);
        double signal = 0, error = 0;
        for (int n = rates[i].out / 4; n < rates[i].out * 3 / 4; n++) {
            const double ideal = 0.5 * sin(2 * PI * 997 * n / rates[i].out);
            signal += ideal * ideal;
            error += ((double)out[n] - ideal) * ((double)out[n] - ideal);
        }
        assert_true(10 * log10(signal / error) > 140);
        free(out);
    }
}

/* 15 kHz has no place below 12 kHz. VHQ promises 28 bits, 168 dB; the output's floats around zero
 * are finer than that. */
static void nothing_folds_back(void **state)
{
    (void)state;
    float *out = resampled_sine(44100, 24000, 15000);
    for (int n = 6000; n < 18000; n++)
        assert_true(fabsf(out[n]) < 1e-7f);
    free(out);
}

/* Live streams of 20 s in pushes of 10 ms. Within three seconds the wait has met soxr's slowest
 * block; from then on every push gives its share. */
static void the_flow_becomes_steady(void **state)
{
    (void)state;
    enum { SETTLED = 300, PUSHES = 2000 };
    float *in = floats(192000 / 100), *out = floats(192000 / 100);
    for (int i = 0; i < N_RATES; i++) {
        const int n_in = rates[i].in / 100, share = rates[i].out / 100;
        int64_t n_out = 0;
        struct tess_resampler *r = make(rates[i].in, rates[i].out, 1);
        for (int push = 0; push < PUSHES; push++) {
            const int64_t got = tess_resampler_push(r, in, (size_t)n_in, out, (size_t)share);
            assert_true(got == share || push < SETTLED);
            n_out += got;
        }
        assert_in_range((int64_t)PUSHES * share - n_out, 0, rates[i].wait * rates[i].out / 1000);
        tess_resampler_destroy(r);
    }
    free(in);
    free(out);
}

static void errors_consume_nothing(void **state)
{
    (void)state;
    enum { N = 3000 };
    float *in = noise(N), *whole, out[N];
    struct tess_resampler *r = make(16000, 24000, 1);
    const size_t n = run(r, in, N / 2, 1, 0, &whole);

    assert_int_equal(tess_resampler_push(r, in, 10, out, N), TESS_E_ENDED);
    tess_resampler_reset(r);
    const size_t bound = tess_resampler_bound(r, N / 2);
    assert_int_equal(tess_resampler_push(r, in, N / 2, out, bound - 1), TESS_E_SPACE);
    assert_int_equal(tess_resampler_push(r, NULL, 0, NULL, 0), 0);
    int64_t got = tess_resampler_push(r, in, N / 2, out, bound);
    assert_int_equal(tess_resampler_flush(r, NULL, 0), TESS_E_SPACE);
    got += tess_resampler_flush(r, out + got, bound);
    assert_int_equal(got, n);
    assert_memory_equal(out, whole, n * sizeof *out);
    free(in);
    free(whole);
    tess_resampler_destroy(r);
}

static void refuses_impossible_rates(void **state)
{
    (void)state;
    static const int bad[][3] = {
        {0,      1,    1 },
        {1,      0,    1 },
        {768001, 1,    1 },
        {1,      -1,   1 },
        {1,      1,    0 },
        {1,      1,    65},
        {1,      4097, 1 },
        {768000, 187,  1 }
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct tess_resampler *r;
        assert_int_equal(tess_resampler_create(&r, bad[i][0], bad[i][1], bad[i][2], NULL),
                         TESS_E_ARGUMENT);
        assert_null(r);
    }
    tess_resampler_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lengths_are_exact),        cmocka_unit_test(splits_change_no_bit),
        cmocka_unit_test(channels_do_not_mix),      cmocka_unit_test(equal_rates_copy),
        cmocka_unit_test(a_sine_stays_a_sine),      cmocka_unit_test(nothing_folds_back),
        cmocka_unit_test(the_flow_becomes_steady),  cmocka_unit_test(errors_consume_nothing),
        cmocka_unit_test(refuses_impossible_rates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
