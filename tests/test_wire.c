/* src/tessera_wire.h: what is packed comes back, and no cut or foreign header is believed. */
#include "check.h"
#include "src/tessera_wire.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    uint8_t type;
    uint32_t least, most;
} kinds[] = {
#define KIND(name, number, least, most) {number, least, most},
    TESS_WIRE_MESSAGES(KIND)
#undef KIND
};
enum { N_KINDS = sizeof kinds / sizeof kinds[0] };

/* Reads a header from memory that ends right behind n bytes, so that a sanitizer sees a byte more. */
static int get(struct tess_wire_header *h, const uint8_t *bytes, size_t n)
{
    uint8_t *exact = malloc(n ? n : 1);
    assert_non_null(exact);
    memcpy(exact, bytes, n);
    int result = tess_wire_get_header(h, exact, n);
    free(exact);
    return result;
}

static void test_integers(void **state)
{
    (void)state;
    uint8_t b[8];
    tess_wire_put16(b, 0xfedc);
    assert_int_equal(b[0], 0xdc);
    assert_int_equal(tess_wire_get16(b), 0xfedc);
    tess_wire_put32(b, 0xfedcba98u);
    assert_int_equal(b[0], 0x98);
    assert_true(tess_wire_get32(b) == 0xfedcba98u);
    tess_wire_put64(b, 0xfedcba9876543210u);
    assert_int_equal(b[0], 0x10);
    assert_true(tess_wire_get64(b) == 0xfedcba9876543210u);
}

static void test_headers(void **state)
{
    (void)state;
    for (int i = 0; i < N_KINDS; i++) {
        const uint32_t sizes[] = {kinds[i].least, kinds[i].most};
        for (int k = 0; k < 2; k++) {
            struct tess_wire_header h = {kinds[i].type, 0, 0xabcd, sizes[k]}, back = {0};
            uint8_t bytes[TESS_WIRE_HEADER];
            tess_wire_put_header(bytes, &h);
            assert_int_equal(get(&back, bytes, sizeof bytes), TESS_WIRE_HEADER);
            assert_int_equal(back.type, h.type);
            assert_int_equal(back.stream, h.stream);
            assert_true(back.n_bytes == h.n_bytes);
            for (size_t n = 0; n < sizeof bytes; n++)
                assert_int_equal(get(&back, bytes, n), 0);
        }
    }
}

static void test_refused(void **state)
{
    (void)state;
    struct tess_wire_header back;
    uint8_t bytes[TESS_WIRE_HEADER];
    for (int i = 0; i < N_KINDS; i++) {
        struct tess_wire_header h = {kinds[i].type, 0, 1, kinds[i].most + 1};
        tess_wire_put_header(bytes, &h);
        assert_int_equal(get(&back, bytes, sizeof bytes), -TESS_WIRE_TOO_LARGE);
        h.n_bytes = 0xffffffffu;
        tess_wire_put_header(bytes, &h);
        assert_int_equal(get(&back, bytes, sizeof bytes), -TESS_WIRE_TOO_LARGE);
        h.n_bytes = kinds[i].most;
        h.flags = 1;
        tess_wire_put_header(bytes, &h);
        assert_int_equal(get(&back, bytes, sizeof bytes), -TESS_WIRE_BAD_REQUEST);
        if (kinds[i].least == 0) continue;
        h.flags = 0;
        h.n_bytes = kinds[i].least - 1;
        tess_wire_put_header(bytes, &h);
        assert_int_equal(get(&back, bytes, sizeof bytes), -TESS_WIRE_BAD_REQUEST);
    }
}

/* Every type there can be: known, unknown, or for an extension that is skipped by its length. */
static void test_types(void **state)
{
    (void)state;
    for (int type = 0; type < 256; type++) {
        struct tess_wire_header h = {(uint8_t)type, 0, 1, 4}, back;
        uint8_t bytes[TESS_WIRE_HEADER];
        int known = 0;
        for (int i = 0; i < N_KINDS; i++)
            known |= kinds[i].type == type && kinds[i].least <= 4 && kinds[i].most >= 4;
        tess_wire_put_header(bytes, &h);
        int got = get(&back, bytes, sizeof bytes);
        if (known || type >= TESS_WIRE_EXTENSION)
            assert_int_equal(got, TESS_WIRE_HEADER);
        else
            assert_true(got < 0);
    }
}

static void test_flushed(void **state)
{
    (void)state;
    struct tess_wire_flushed f = {7, 1ull << 40, 3}, back = {0};
    uint8_t bytes[TESS_WIRE_FLUSHED_BYTES + 1] = {0};
    tess_wire_put_flushed(bytes, &f);
    for (size_t n = 0; n <= sizeof bytes; n++)
        assert_int_equal(tess_wire_get_flushed(&back, bytes, n), n == TESS_WIRE_FLUSHED_BYTES);
    assert_true(back.id == f.id && back.samples == f.samples && back.frames == f.frames);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers), cmocka_unit_test(test_headers),
        cmocka_unit_test(test_refused),  cmocka_unit_test(test_types),
        cmocka_unit_test(test_flushed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
