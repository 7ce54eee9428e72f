/* The element functions against libm, over floats of every exponent: what simd_math.h says of them. */
#include "src/simd_math.h"
#include "tests/check.h"

#include <math.h>
#include <string.h>

static float of_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static double ulp(double value)
{
    float size = fabsf((float)value);
    return (double)nextafterf(size, INFINITY) - (double)size;
}

enum { SKIP = 1009 }; /* a prime: every such float of a range, with every exponent */

static void test_exp(void **state)
{
    (void)state;
    for (int sign = -1; sign <= 1; sign += 2)
        for (uint32_t u = 0; u <= bits_of(sign < 0 ? 87.0f : 88.0f); u += SKIP) {
            float x = (float)sign * of_bits(u);
            double truth = exp((double)x);
            assert_true(fabs((double)vf_exp(x) - truth) <= 1.02 * ulp(truth));
        }
    assert_true(vf_exp(-1e38f) == vf_exp(-87.0f) && vf_exp(1e38f) == vf_exp(88.0f));
    assert_true(vf_exp(0.0f) == 1.0f);
}

static void test_log(void **state)
{
    (void)state;
    for (uint32_t u = bits_of(0x1p-126f); u < bits_of(INFINITY); u += SKIP) {
        double truth = log((double)of_bits(u));
        assert_true(fabs((double)vf_log(of_bits(u)) - truth) <= 0.85 * ulp(truth));
    }
    assert_true(vf_log(1.0f) == 0.0f);
}

static void test_sincos(void **state)
{
    (void)state;
    for (uint32_t u = 0; u <= bits_of(0x1p20f); u += SKIP) {
        float x = u % 2 ? of_bits(u) : -of_bits(u), sine, cosine;
        vf_sincos(x, &sine, &cosine);
        assert_true(fabs((double)sine - sin((double)x)) <= 1.25e-7);
        assert_true(fabs((double)cosine - cos((double)x)) <= 1.25e-7);
    }
}

static void test_tanh(void **state)
{
    (void)state;
    for (uint32_t u = 0; u <= bits_of(40.0f); u += SKIP) {
        float x = u % 2 ? of_bits(u) : -of_bits(u);
        assert_true(fabs((double)vf_tanh(x) - tanh((double)x)) <= 1.8e-7);
        assert_true(fabs((double)vf_sigmoid(x) - 1.0 / (1.0 + exp(-(double)x))) <= 1.8e-7);
    }
}

static void test_erf(void **state)
{
    (void)state;
    for (uint32_t u = 0; u <= bits_of(1e38f); u += SKIP) {
        float x = u % 2 ? of_bits(u) : -of_bits(u);
        assert_true(fabs((double)vf_erf(x) - erf((double)x)) <= 2e-7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exp),  cmocka_unit_test(test_log), cmocka_unit_test(test_sincos),
        cmocka_unit_test(test_tanh), cmocka_unit_test(test_erf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
