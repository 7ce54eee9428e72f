/* The scalar grid: every border and value against the C library's error function, every float near a
 * border, and as rows of a quantizer. */
#include "rvq/quantizer.h"
#include "rvq/tables.h"
#include "tests/check.h"
#include "tests/random.h"

#include <math.h>
#include <string.h>

enum { V = 255, D = 108 }; /* WaLLoC's */

static struct tess_allocator memory;

/* z to the companded number before rounding. */
static double compand(int m, double z)
{
    return (m + 0.499) * erf(z / (m / 1.85 * sqrt(2.0)));
}

/* What the tables are off by, in codes: the bisection and the rounding of a value to float. */
static const double TOLERANCE = 1e-9, TOLERANCE_FLOAT = 1e-5;

static void test_tables(void **state)
{
    (void)state;
    static const int largest[] = {1, 2, 7, 127, 1024};
    for (size_t i = 0; i < sizeof largest / sizeof *largest; i++) {
        const int m = largest[i];
        struct tess_grid grid;
        assert_int_equal(tess_grid_create(&grid, 2 * m + 1, &memory), 0);
        assert_int_equal(grid.code_max, m);
        for (int code = -m; code <= m; code++) {
            double value = compand(m, (double)grid.values[m + code]);
            assert_true(fabs(value - code) < TOLERANCE_FLOAT * m);
            if (code == m) break;
            double border = compand(m, grid.borders[m + code]);
            assert_true(fabs(border - (code + 0.5)) < TOLERANCE * m);
        }
        tess_grid_destroy(&grid, &memory);
    }
}

static void test_bad_sizes(void **state)
{
    (void)state;
    static const int bad[] = {-1, 0, 1, 2, 254, 2050, 2051};
    struct tess_grid grid;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(tess_grid_create(&grid, bad[i], &memory), TESS_E_ARGUMENT);
}

static int code_of(const struct tess_grid *grid, float z)
{
    uint16_t code;
    tess_grid_encode(grid, &z, 1, 1, &code, 1);
    return (int16_t)code;
}

static void test_codes(void **state)
{
    (void)state;
    struct tess_grid grid;
    assert_int_equal(tess_grid_create(&grid, V, &memory), 0);
    for (int i = 0; i < V - 1; i++) { /* the floats on either side of a border */
        float below = (float)grid.borders[i];
        if ((double)below > grid.borders[i]) below = nextafterf(below, -INFINITY);
        assert_int_equal(code_of(&grid, below), i - 127);
        assert_int_equal(code_of(&grid, nextafterf(below, INFINITY)), i - 126);
    }
    uint64_t seed = 3;
    for (int i = 0; i < 100000; i++) {
        float z = 250.0f * random_float(&seed);
        assert_int_equal(code_of(&grid, z), (int)nearbyint(compand(127, (double)z)));
    }
    for (int i = 0; i < V; i++) /* a value is its own code */
        assert_int_equal(code_of(&grid, grid.values[i]), i - 127);
    assert_int_equal(code_of(&grid, INFINITY), 127);
    assert_int_equal(code_of(&grid, -INFINITY), -127);
    tess_grid_destroy(&grid, &memory);
}

static void test_rows(void **state)
{
    (void)state;
    enum { T = 3 };
    struct tess_quantizer_row rows[TESS_MAX_CODEBOOKS];
    struct tess_quantizer q;
    float latent[T * D], decoded[T * D];
    uint16_t codes[T * D];
    uint64_t seed = 4;
    assert_int_equal(tess_tables_scalar(rows, D), D);
    assert_int_equal(tess_quantizer_create(&q, rows, D, D, V, &memory, NULL), 0);
    assert_int_equal(q.code_min, -127);
    assert_int_equal(tess_quantizer_scratch(&q, T), 0);
    for (int i = 0; i < T * D; i++)
        latent[i] = 200.0f * random_float(&seed);
    tess_quantizer_encode(&q, latent, T, D, codes, NULL);
    assert_int_equal(tess_quantizer_decode(&q, codes, T, D, decoded), 0);
    for (int i = 0; i < T * D; i++) {
        assert_int_equal((int16_t)codes[i], code_of(&q.grid, latent[i]));
        assert_true(decoded[i] == q.grid.values[127 + (int16_t)codes[i]]);
    }
    static const int bad[] = {128, -128, 255, INT16_MIN};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        codes[D] = (uint16_t)bad[i];
        assert_int_equal(tess_quantizer_decode(&q, codes, T, D, decoded), TESS_E_CODE);
    }
    tess_quantizer_destroy(&q, &memory);
}

static void test_bad_rows(void **state)
{
    (void)state;
    struct tess_quantizer_row rows[TESS_MAX_CODEBOOKS];
    struct tess_quantizer q;
    struct tess_why why;
    assert_int_equal(tess_tables_scalar(rows, 0), TESS_E_ARGUMENT);
    assert_int_equal(tess_tables_scalar(rows, TESS_MAX_CODEBOOKS + 1), TESS_E_ARGUMENT);
    assert_int_equal(tess_tables_scalar(rows, 4), 4);
    assert_int_equal(tess_quantizer_create(&q, rows, 4, 4, 254, &memory, &why), TESS_E_ARGUMENT);
    assert_non_null(strstr(why.text, "254"));
    rows[2].scalar = 0;
    assert_int_equal(tess_quantizer_create(&q, rows, 4, 4, V, &memory, &why), TESS_E_ARGUMENT);
    assert_non_null(strstr(why.text, "row 2"));
    rows[2].scalar = 1;
    rows[2].from = 1;
    rows[2].width = rows[2].keep_to = 2;
    assert_int_equal(tess_quantizer_create(&q, rows, 4, 4, V, &memory, &why), TESS_E_ARGUMENT);
    assert_non_null(strstr(why.text, "row 2"));
}

int main(void)
{
    memory = tess_base_allocator(NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables),   cmocka_unit_test(test_bad_sizes),
        cmocka_unit_test(test_codes),    cmocka_unit_test(test_rows),
        cmocka_unit_test(test_bad_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
