/* RVQ, GRVQ and MCRVQ as tables against loops written from their definitions, bit for bit. */
#include "rvq/quantizer.h"
#include "rvq/tables.h"
#include "tests/check.h"
#include "tests/random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { D = 12, V = 50, T = 21, MAX_K = 8 };

/* Codebooks, latents and what the plain loops make of them. A row's book [V][width] has D columns
 * of room. */
struct fixture {
    float books[MAX_K][V * D];
    float latent[T][D];
    uint16_t codes[T][MAX_K];
    float decoded[T][D];
};

static struct fixture *make_fixture(uint64_t seed)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    for (int k = 0; k < MAX_K; k++) /* later layers are finer, as trained ones are */
        for (int i = 0; i < V * D; i++)
            f->books[k][i] = random_float(&seed) * ldexpf(1, -k / 2);
    for (int t = 0; t < T; t++)
        for (int d = 0; d < D; d++)
            f->latent[t][d] = random_float(&seed);
    return f;
}

static uint16_t nearest(const float *r, const float *book, int width)
{
    int code = 0;
    float best = INFINITY;
    for (int v = 0; v < V; v++) {
        const float *e = book + v * width;
        float score = 0;
        for (int d = 0; d < width; d++)
            score = fmaf(e[d], e[d], score);
        score *= 0.5f;
        for (int d = 0; d < width; d++)
            score = fmaf(-r[d], e[d], score);
        if (score < best) {
            best = score;
            code = v;
        }
    }
    return (uint16_t)code;
}

static void plain_rvq(struct fixture *f, int n_layers)
{
    for (int t = 0; t < T; t++) {
        float r[D];
        memcpy(r, f->latent[t], sizeof r);
        for (int l = 0; l < n_layers; l++) {
            f->codes[t][l] = nearest(r, f->books[l], D);
            const float *e = f->books[l] + f->codes[t][l] * D;
            for (int d = 0; d < D; d++) {
                r[d] -= e[d];
                f->decoded[t][d] += e[d];
            }
        }
    }
}

static void plain_grvq(struct fixture *f, int n_groups, int n_layers)
{
    int width = D / n_groups;
    for (int t = 0; t < T; t++)
        for (int g = 0; g < n_groups; g++) {
            float r[D];
            memcpy(r, f->latent[t] + g * width, (size_t)width * sizeof *r);
            for (int l = 0; l < n_layers; l++) {
                int k = l * n_groups + g;
                f->codes[t][k] = nearest(r, f->books[k], width);
                const float *e = f->books[k] + f->codes[t][k] * width;
                for (int d = 0; d < width; d++) {
                    r[d] -= e[d];
                    f->decoded[t][g * width + d] += e[d];
                }
            }
        }
}

/* Three masked layers of a third each (0..3, 4..7, 8..11), then ((A - z0) - z1) - z2 and on. */
static void plain_mcrvq(struct fixture *f, int n_layers)
{
    for (int t = 0; t < T; t++) {
        float r[D], masked[D];
        memcpy(r, f->latent[t], sizeof r);
        for (int l = 0; l < n_layers; l++) {
            for (int d = 0; d < D; d++)
                masked[d] = d / 4 == l ? f->latent[t][d] : 0;
            f->codes[t][l] = nearest(l < 3 ? masked : r, f->books[l], D);
            const float *e = f->books[l] + f->codes[t][l] * D;
            for (int d = 0; d < D; d++) {
                r[d] -= e[d];
                f->decoded[t][d] += e[d];
            }
        }
    }
}

static int create(struct tess_quantizer *q,
                  const struct tess_quantizer_row *rows,
                  int n_rows,
                  const float *const *books,
                  enum tess_isa isa,
                  const struct tess_allocator *memory,
                  struct tess_why *why)
{
    int err = tess_quantizer_create(q, rows, n_rows, D, V, memory, why);
    for (int k = 0; k < n_rows && !err; k++)
        err = tess_quantizer_fill(q, k, books[k], isa, 1, memory, why);
    return err;
}

/* All columns, each smaller number of columns, and each frame alone. */
static void
check_isa(const struct fixture *f, const struct tess_quantizer_row *rows, int k, enum tess_isa isa)
{
    struct tess_allocator memory = tess_base_allocator(NULL);
    struct tess_quantizer q;
    struct tess_why why;
    const float *books[MAX_K];
    for (int i = 0; i < k; i++)
        books[i] = f->books[i];
    assert_int_equal(create(&q, rows, k, books, isa, &memory, &why), 0);
    float *scratch = malloc(tess_quantizer_scratch(&q, T) * sizeof *scratch + 1);
    assert_non_null(scratch);
    for (int n = 1; n <= k; n++) {
        uint16_t codes[T * MAX_K], alone[MAX_K];
        tess_quantizer_encode(&q, f->latent[0], T, n, codes, scratch);
        for (int t = 0; t < T; t++) {
            assert_memory_equal(codes + t * n, f->codes[t], (size_t)n * sizeof *codes);
            tess_quantizer_encode(&q, f->latent[t], 1, n, alone, scratch);
            assert_memory_equal(alone, f->codes[t], (size_t)n * sizeof *codes);
        }
    }
    uint16_t codes[T * MAX_K];
    float decoded[T][D];
    tess_quantizer_encode(&q, f->latent[0], T, k, codes, scratch);
    assert_int_equal(tess_quantizer_decode(&q, codes, T, k, decoded[0]), 0);
    assert_memory_equal(decoded, f->decoded, sizeof decoded);
    free(scratch);
    tess_quantizer_destroy(&q, &memory);
}

static void check(struct fixture *f, const struct tess_quantizer_row *rows, int k)
{
    for (int i = 0; tess_kernel_name(i); i++)
        check_isa(f, rows, k, (enum tess_isa)tess_base_isa(tess_kernel_name(i)));
    free(f);
}

static void test_rvq(void **state)
{
    (void)state;
    struct tess_quantizer_row rows[TESS_MAX_CODEBOOKS];
    struct fixture *f = make_fixture(1);
    assert_int_equal(tess_tables_rvq(rows, 6, D, "vq.%d.entries"), 6);
    assert_string_equal(rows[5].tensor, "vq.5.entries");
    plain_rvq(f, 6);
    check(f, rows, 6);
}

static void test_grvq(void **state)
{
    (void)state;
    struct tess_quantizer_row rows[TESS_MAX_CODEBOOKS];
    struct fixture *f = make_fixture(2);
    assert_int_equal(tess_tables_grvq(rows, 2, 3, D / 2, "quantizer.%d.%d"), 6);
    assert_string_equal(rows[0].tensor, "quantizer.0.0"); /* layer-major: column l G + g */
    assert_string_equal(rows[1].tensor, "quantizer.1.0");
    assert_string_equal(rows[4].tensor, "quantizer.0.2");
    plain_grvq(f, 2, 3);
    check(f, rows, 6);
}

static void test_mcrvq(void **state)
{
    (void)state;
    struct tess_quantizer_row rows[TESS_MAX_CODEBOOKS];
    struct fixture *f = make_fixture(3);
    assert_int_equal(tess_tables_mcrvq(rows, 3, 8, D, "vq.%d"), 8);
    plain_mcrvq(f, 8);
    check(f, rows, 8);
}

/* Language-Codec's masks of 128 channels: 0..41, 42..84, 85..127. */
static void test_mcrvq_masks(void **state)
{
    (void)state;
    struct tess_quantizer_row rows[TESS_MAX_CODEBOOKS];
    assert_int_equal(tess_tables_mcrvq(rows, 3, 4, 128, "%d"), 4);
    static const int keep[4][2] = {
        {0,  42 },
        {42, 85 },
        {85, 128},
        {0,  128}
    };
    for (int l = 0; l < 4; l++) {
        assert_int_equal(rows[l].keep_from, keep[l][0]);
        assert_int_equal(rows[l].keep_to, keep[l][1]);
        assert_int_equal(rows[l].n_subtract, l < 3 ? 0 : 3);
    }
}

/* Fewer columns decode as if the others were not there. */
static void test_decode_of_a_prefix(void **state)
{
    (void)state;
    struct tess_allocator memory = tess_base_allocator(NULL);
    struct tess_quantizer_row rows[TESS_MAX_CODEBOOKS];
    struct tess_quantizer q;
    struct fixture *f = make_fixture(4);
    const float *books[] = {f->books[0], f->books[1], f->books[2], f->books[3]};
    int k = tess_tables_grvq(rows, 2, 2, D / 2, "%d.%d");
    assert_int_equal(create(&q, rows, k, books, TESS_SCALAR, &memory, NULL), 0);
    const uint16_t codes[3] = {7, 49, 11};
    float z[D];
    assert_int_equal(tess_quantizer_decode(&q, codes, 1, 3, z), 0);
    for (int d = 0; d < D / 2; d++) {
        float sum = 0;
        sum += f->books[0][7 * D / 2 + d];
        sum += f->books[2][11 * D / 2 + d];
        assert_true(z[d] == sum);
        assert_true(z[D / 2 + d] == f->books[1][49 * D / 2 + d]);
    }
    const uint16_t outside[3] = {7, V, 11};
    assert_int_equal(tess_quantizer_decode(&q, outside, 1, 3, z), TESS_E_CODE);
    tess_quantizer_destroy(&q, &memory);
    free(f);
}

static int create_with(const struct tess_quantizer_row *rows, int n_rows, struct tess_why *why)
{
    static const float book[V * D];
    const float *books[TESS_MAX_CODEBOOKS];
    for (int k = 0; k < TESS_MAX_CODEBOOKS; k++)
        books[k] = book;
    struct tess_allocator memory = tess_base_allocator(NULL);
    struct tess_quantizer q;
    int err = create(&q, rows, n_rows, books, TESS_SCALAR, &memory, why);
    tess_quantizer_destroy(&q, &memory);
    return err;
}

static void test_bad_rows(void **state)
{
    (void)state;
    const struct tess_quantizer_row good[2] = {
        {.tensor = "a", .width = 6,      .keep_to = 6   },
        { .tensor = "b", .width = 6, .keep_to = 6, .n_subtract = 1, .subtract = {0}},
    };
    struct tess_why why;
    assert_int_equal(create_with(good, 2, &why), 0);
    assert_int_equal(create_with(good, 0, &why), TESS_E_ARGUMENT);
    assert_int_equal(create_with(good, TESS_MAX_CODEBOOKS + 1, &why), TESS_E_ARGUMENT);
#define BAD(change, word)                                                                          \
    do {                                                                                           \
        struct tess_quantizer_row rows[2] = {good[0], good[1]};                                    \
        rows[1].change;                                                                            \
        assert_int_equal(create_with(rows, 2, &why), TESS_E_ARGUMENT);                             \
        assert_non_null(strstr(why.text, "row 1 ('b')"));                                          \
        assert_non_null(strstr(why.text, word));                                                   \
    } while (0)
    BAD(from = -1, "slice");
    BAD(from = 7, "slice");
    BAD(width = 0, "slice");
    BAD(width = INT32_MAX, "slice");
    BAD(keep_from = -1, "mask");
    BAD(keep_from = 6, "mask");
    BAD(keep_to = 7, "mask");
    BAD(n_subtract = -1, "more rows");
    BAD(n_subtract = 2, "more rows");
    BAD(subtract[0] = 1, "precede");
    BAD(from = 6, "another slice");
#undef BAD
}

static void test_bad_tables(void **state)
{
    (void)state;
    struct tess_quantizer_row rows[TESS_MAX_CODEBOOKS];
    assert_int_equal(tess_tables_rvq(rows, TESS_MAX_CODEBOOKS, 8, "%d"), TESS_MAX_CODEBOOKS);
    assert_int_equal(tess_tables_rvq(rows, TESS_MAX_CODEBOOKS + 1, 8, "%d"), TESS_E_ARGUMENT);
    assert_int_equal(tess_tables_rvq(rows, 0, 8, "%d"), TESS_E_ARGUMENT);
    assert_int_equal(tess_tables_grvq(rows, 2, TESS_MAX_CODEBOOKS / 2 + 1, 8, "%d.%d"),
                     TESS_E_ARGUMENT);
    assert_int_equal(tess_tables_grvq(rows, INT32_MAX, INT32_MAX, 8, "%d.%d"), TESS_E_ARGUMENT);
    assert_int_equal(tess_tables_mcrvq(rows, 9, 8, 8, "%d"), TESS_E_ARGUMENT);
    assert_int_equal(tess_tables_rvq(rows, 2, 8, "%070d"), TESS_E_ARGUMENT);
}

/* An allocator that gives `ctx` blocks and then no more. */
static void *limited(void *ctx, size_t bytes)
{
    int *left = ctx;
    return (*left)-- > 0 ? malloc(bytes) : NULL;
}

static void release(void *ctx, void *ptr)
{
    (void)ctx;
    free(ptr);
}

static void test_no_memory(void **state)
{
    (void)state;
    struct tess_quantizer_row rows[TESS_MAX_CODEBOOKS];
    static const float book[V * D];
    const float *books[4] = {book, book, book, book};
    int k = tess_tables_rvq(rows, 4, D, "%d");
    for (int blocks = 0; blocks < k; blocks++) {
        int left = blocks;
        struct tess_allocator memory = {limited, release, &left};
        struct tess_quantizer q;
        assert_int_equal(create(&q, rows, k, books, TESS_SCALAR, &memory, NULL), TESS_E_NOMEM);
        tess_quantizer_destroy(&q, &memory);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rvq),
        cmocka_unit_test(test_grvq),
        cmocka_unit_test(test_mcrvq),
        cmocka_unit_test(test_mcrvq_masks),
        cmocka_unit_test(test_decode_of_a_prefix),
        cmocka_unit_test(test_bad_rows),
        cmocka_unit_test(test_bad_tables),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
