/* The wavelet: against its definition as two filters of ten taps on a circle, in double; there and
 * back; and one row at a time. */
#include "dsp/wavelet.h"
#include "tests/check.h"
#include "tests/random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_N = 40, MAX_C = 5, TAPS = 10 };

/* Published tables of the biorthogonal wavelet 4.4, analysis and synthesis. */
static const double DEC_LO[TAPS] = {0,
                                    0.03782845550726404,
                                    -0.023849465019556843,
                                    -0.11062440441843718,
                                    0.37740285561283066,
                                    0.8526986790088938,
                                    0.37740285561283066,
                                    -0.11062440441843718,
                                    -0.023849465019556843,
                                    0.03782845550726404};
static const double DEC_HI[TAPS] = {0,
                                    -0.06453888262869706,
                                    0.0406894176091641,
                                    0.41809227322161724,
                                    -0.7884856164055829,
                                    0.41809227322161724,
                                    0.0406894176091641,
                                    -0.06453888262869706,
                                    0,
                                    0};

/* The other direction's filters: the high pass is the low pass with alternating signs. */
static double rec_lo(int k)
{
    return k % 2 ? DEC_HI[k] : -DEC_HI[k];
}

static double rec_hi(int k)
{
    return k % 2 ? -DEC_LO[k] : DEC_LO[k];
}

static const int lengths[] = {2, 4, 6, 8, 10, 12, MAX_N};
enum { N_LENGTHS = sizeof lengths / sizeof *lengths };

struct signal {
    int n, channels;
    float x[MAX_N * MAX_C], split[MAX_N * MAX_C];
};

static void each_signal(void (*check)(const struct signal *s))
{
    uint64_t seed = 7;
    for (int i = 0; i < N_LENGTHS; i++)
        for (int channels = 1; channels <= MAX_C; channels++) {
            struct signal s = {.n = lengths[i], .channels = channels};
            for (int j = 0; j < s.n * channels; j++)
                s.x[j] = random_float(&seed);
            tess_wavelet_split(s.x, s.n, channels, 0, s.n / 2, s.split);
            check(&s);
        }
}

/* Sums of at most nine products below 1, each off by at most half a unit in the last place of 1. */
static const double TOLERANCE = 20 * 0x1p-24;

static void splits_as_defined(const struct signal *s)
{
    for (int t = 0; t < s->n / 2; t++)
        for (int c = 0; c < s->channels; c++) {
            double low = 0, high = 0;
            for (int k = 0; k < TAPS; k++) {
                int at = (2 * t + 5 - k + 2 * TAPS * s->n) % s->n;
                low += DEC_LO[k] * (double)s->x[at * s->channels + c];
                high += DEC_HI[k] * (double)s->x[at * s->channels + c];
            }
            const float *pair = s->split + 2 * (t * s->channels + c);
            assert_true(fabs((double)pair[0] - low) < TOLERANCE);
            assert_true(fabs((double)pair[1] - high) < TOLERANCE);
        }
}

static void joins_as_defined(const struct signal *s)
{
    double sum[MAX_N * MAX_C] = {0};
    float got[MAX_N * MAX_C];
    for (int t = 0; t < s->n / 2; t++)
        for (int k = 0; k < TAPS; k++)
            for (int c = 0; c < s->channels; c++) {
                int at = (2 * t - 4 + k + 2 * TAPS * s->n) % s->n;
                const float *pair = s->split + 2 * (t * s->channels + c);
                sum[at * s->channels + c] +=
                    rec_lo(k) * (double)pair[0] + rec_hi(k) * (double)pair[1];
            }
    tess_wavelet_join(s->split, s->n / 2, s->channels, 0, s->n, got);
    for (int i = 0; i < s->n * s->channels; i++)
        assert_true(fabs((double)got[i] - sum[i]) < 2 * TOLERANCE); /* bands reach beyond 1 */
}

static void comes_back(const struct signal *s)
{
    float got[MAX_N * MAX_C];
    tess_wavelet_join(s->split, s->n / 2, s->channels, 0, s->n, got);
    for (int i = 0; i < s->n * s->channels; i++)
        assert_true(fabsf(got[i] - s->x[i]) < 3 * (float)TOLERANCE);
}

static void rows_stand_alone(const struct signal *s)
{
    float got[MAX_N * MAX_C], all[MAX_N * MAX_C];
    const size_t width = (size_t)s->channels;
    for (int t = s->n / 2 - 1; t >= 0; t--)
        tess_wavelet_split(s->x, s->n, s->channels, t, t + 1, got + 2 * (size_t)t * width);
    assert_memory_equal(got, s->split, (size_t)s->n * width * sizeof *got);
    tess_wavelet_join(s->split, s->n / 2, s->channels, 0, s->n, all);
    for (int t = s->n - 1; t >= 0; t--)
        tess_wavelet_join(s->split, s->n / 2, s->channels, t, t + 1, got + (size_t)t * width);
    assert_memory_equal(got, all, (size_t)s->n * width * sizeof *got);
}

static void test_split(void **state)
{
    (void)state;
    each_signal(splits_as_defined);
}

static void test_join(void **state)
{
    (void)state;
    each_signal(joins_as_defined);
}

static void test_there_and_back(void **state)
{
    (void)state;
    each_signal(comes_back);
}

static void test_rows(void **state)
{
    (void)state;
    each_signal(rows_stand_alone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_join),
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
