/* Codes to bytes and back, for every width of a code, signed and unsigned. */
#include "rvq/bits.h"
#include "tests/check.h"
#include "tests/random.h"

#include <stdlib.h>
#include <string.h>

static void test_width(void **state)
{
    (void)state;
    static const int cases[][2] = {
        {1,     1 },
        {2,     1 },
        {3,     2 },
        {4,     2 },
        {5,     3 },
        {256,   8 },
        {257,   9 },
        {1000,  10},
        {1024,  10},
        {1025,  11},
        {32768, 15},
        {32769, 16},
        {65536, 16}
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tess_bits bits;
        assert_int_equal(tess_bits_init(&bits, cases[i][0], 0), 0);
        assert_int_equal(bits.width, cases[i][1]);
    }
}

static void test_range(void **state)
{
    (void)state;
    struct tess_bits bits;
    assert_int_equal(tess_bits_init(&bits, 0, 0), TESS_E_ARGUMENT);
    assert_int_equal(tess_bits_init(&bits, 65537, 0), TESS_E_ARGUMENT);
    assert_int_equal(tess_bits_init(&bits, 10, 1), TESS_E_ARGUMENT);
    assert_int_equal(tess_bits_init(&bits, 65536, -1), TESS_E_ARGUMENT);
    assert_int_equal(tess_bits_init(&bits, 1, -32769), TESS_E_ARGUMENT);
    assert_int_equal(tess_bits_init(&bits, 65536, -32768), 0);
    assert_int_equal(tess_bits_init(&bits, 32769, -1), 0);
}

/* Bit by bit from the definition in bits.h. */
static int bit_of_code(const struct tess_bits *bits, const uint16_t *codes, size_t j)
{
    size_t width = (size_t)bits->width;
    int stored = bits->code_min < 0 ? (int16_t)codes[j / width] - bits->code_min : codes[j / width];
    return stored >> (j % width) & 1;
}

static void check_round_trip(int entries, int code_min, size_t n, uint64_t *seed)
{
    struct tess_bits bits;
    assert_int_equal(tess_bits_init(&bits, entries, code_min), 0);
    size_t n_bytes = tess_bits_bytes(&bits, n);
    assert_int_equal(n_bytes, (n * (size_t)bits.width + 7) / 8);
    /* exact sizes, so that the address sanitizer sees one byte too many */
    uint16_t *codes = malloc((n + !n) * sizeof *codes), *back = malloc((n + !n) * sizeof *back);
    uint8_t *bytes = malloc(n_bytes + !n_bytes);
    assert_true(codes && back && bytes);
    for (size_t i = 0; i < n; i++)
        codes[i] = (uint16_t)(code_min + random_below(seed, entries));
    memset(bytes, 0xFF, n_bytes);

    assert_int_equal(tess_bits_check(&bits, codes, n), 0);
    tess_bits_pack(&bits, codes, n, bytes);
    for (size_t j = 0; j < n_bytes * 8; j++)
        assert_int_equal(bytes[j / 8] >> (j % 8) & 1,
                         j < n * (size_t)bits.width ? bit_of_code(&bits, codes, j) : 0);
    assert_int_equal(tess_bits_unpack(&bits, bytes, n_bytes, back, n), 0);
    assert_memory_equal(back, codes, n * sizeof *codes);
    for (size_t cut = 0; cut < n_bytes; cut++)
        assert_int_equal(tess_bits_unpack(&bits, bytes, cut, back, n), TESS_E_FORMAT);
    assert_int_equal(tess_bits_unpack(&bits, bytes, n_bytes + 1, back, n), TESS_E_FORMAT);
    free(codes);
    free(back);
    free(bytes);
}

static void test_round_trip(void **state)
{
    (void)state;
    uint64_t seed = 1;
    for (int width = 1; width <= 16; width++)
        for (size_t n = 0; n <= 20; n++) {
            int entries = (1 << (width - 1)) + 1 + random_below(&seed, 1 << (width - 1));
            check_round_trip(entries, 0, n, &seed);
            check_round_trip(entries, -(entries + 1) / 2, n, &seed);
        }
    check_round_trip(65536, -32768, 33, &seed);
    check_round_trip(255, -127, 33, &seed);
    check_round_trip(1, 0, 33, &seed);
}

static void test_codes_out_of_range(void **state)
{
    (void)state;
    struct tess_bits bits;
    assert_int_equal(tess_bits_init(&bits, 1000, 0), 0);
    const uint16_t good[2] = {0, 999}, bad[2] = {0, 1000};
    assert_int_equal(tess_bits_check(&bits, good, 2), 0);
    assert_int_equal(tess_bits_check(&bits, bad, 2), TESS_E_CODE);

    assert_int_equal(tess_bits_init(&bits, 255, -127), 0);
    const uint16_t low = (uint16_t)-127, lower = (uint16_t)-128, high = 127, higher = 128;
    assert_int_equal(tess_bits_check(&bits, &low, 1), 0);
    assert_int_equal(tess_bits_check(&bits, &high, 1), 0);
    assert_int_equal(tess_bits_check(&bits, &lower, 1), TESS_E_CODE);
    assert_int_equal(tess_bits_check(&bits, &higher, 1), TESS_E_CODE);
}

static void test_bad_bytes(void **state)
{
    (void)state;
    struct tess_bits bits;
    uint16_t codes[2];
    assert_int_equal(tess_bits_init(&bits, 5, 0), 0);
    const uint8_t good = 4 | 1 << 3, padded = 4 | 1 << 3 | 1 << 6, outside = 5 | 1 << 3;
    assert_int_equal(tess_bits_unpack(&bits, &good, 1, codes, 2), 0);
    assert_int_equal(codes[0], 4);
    assert_int_equal(codes[1], 1);
    assert_int_equal(tess_bits_unpack(&bits, &padded, 1, codes, 2), TESS_E_FORMAT);
    assert_int_equal(tess_bits_unpack(&bits, &outside, 1, codes, 2), TESS_E_CODE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_width),      cmocka_unit_test(test_range),
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_codes_out_of_range),
        cmocka_unit_test(test_bad_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
