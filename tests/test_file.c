/* Codes to .tess bytes and back: round trips, and every way in which a source, a sink or memory
 * can fail. */
#include "tests/memory_io.h"

#include <math.h>

/* ---- a recording ------------------------------------------------------------------------- */

enum { K = 3, CHUNK = 8, MAX_FRAMES = 100 };

static const struct tess_tag tags[2] = {
    {"title", "Gr\xC3\xBC\xC3\x9F\x65"},
    {"note",  ""                      }
};

/* Two seconds are 8 frames; a frame is 2 samples at the model's rate, 4 at the source's. */
static const struct tess_file_info recording = {
    .size = sizeof recording,
    .model = "test",
    .fingerprint = {1, 2, 3, 4, 5, 6, 7, 8},
    .sample_rate = 8,
    .hop = 2,
    .codebooks = K,
    .entries = 1000,
    .code_min = 0,
    .channels = 1,
    .source_rate = 16,
    .n_source = -1,
    .n_tags = 2,
    .tags = tags,
};

static const uint16_t *some_codes(void)
{
    static uint16_t codes[MAX_FRAMES * K];
    uint64_t seed = 5;
    for (int i = 0; i < MAX_FRAMES * K; i++)
        codes[i] = (uint16_t)random_below(&seed, 1000);
    return codes;
}

static struct memory write_file(size_t n_frames, uint64_t seed)
{
    struct memory m = {.limit = SIZE_MAX};
    struct tess_io io = sink(&m);
    struct tess_writer *w;
    assert_int_equal(tess_writer_create(&w, &io, &recording, NULL, NULL), 0);
    const uint16_t *codes = some_codes();
    for (size_t t = 0; t < n_frames;) {
        size_t n = seed ? (size_t)random_below(&seed, (int)(n_frames - t) + 1) : n_frames;
        assert_int_equal(tess_writer_put(w, codes + t * K, n), 0);
        t += n;
    }
    assert_int_equal(tess_writer_finish(w, (int64_t)n_frames * 4, NULL), 0);
    assert_int_equal(tess_writer_bytes(w), m.size);
    tess_writer_destroy(w);
    return m;
}

/* Reads a file of some_codes and checks that whatever comes out is right. Returns the error. */
static int64_t
read_file_why(struct memory *m, size_t capacity, size_t *n_frames, struct tess_why *why)
{
    struct tess_io io = source(m);
    struct tess_reader *r;
    uint16_t codes[(MAX_FRAMES + CHUNK) * K];
    *n_frames = 0;
    why->text[0] = 0;
    int64_t error = tess_reader_create(&r, &io, NULL, why);
    if (!error) {
        *n_frames = read_codes(r, codes, K, capacity, &error, why);
        assert_memory_equal(codes, some_codes(), *n_frames * K * sizeof *codes);
        struct tess_why again = {""};
        assert_int_equal(tess_reader_next(r, codes, 1, &again), error); /* it stays so */
        assert_string_equal(again.text, why->text);
        tess_reader_destroy(r);
    } else {
        assert_null(r);
    }
    assert_int_equal(error < 0, why->text[0] != 0);
    return error;
}

static int64_t read_file(struct memory *m, size_t capacity, size_t *n_frames)
{
    struct tess_why why;
    return read_file_why(m, capacity, n_frames, &why);
}

static void test_round_trip(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, 1, 7, 8, 9, 15, 16, 17, 100};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct memory file = write_file(lengths[i], 0);
        for (uint64_t seed = 1; seed <= 20; seed++) { /* any split gives the same bytes */
            struct memory split = write_file(lengths[i], seed);
            assert_int_equal(split.size, file.size);
            assert_memory_equal(split.bytes, file.bytes, file.size);
            free(split.bytes);
        }
        for (size_t capacity = 1; capacity <= 2 * CHUNK; capacity++)
            for (uint64_t seed = 0; seed <= 3; seed++) {
                size_t n;
                struct memory m = view(&file, file.size, seed);
                assert_int_equal(read_file(&m, capacity, &n), 0);
                assert_int_equal(n, lengths[i]);
            }
        free(file.bytes);
    }
}

/* ---- segments ---------------------------------------------------------------------------- */

/* Of 3 frames each: two seconds are 9 frames then. The last segment is never full. */
enum { SEGMENT = 3 };

static float scale_of(size_t segment)
{
    return 1.0f / (float)(segment + 1);
}

static struct tess_writer *scaled_writer(struct memory *m)
{
    struct tess_file_info info = recording;
    struct tess_io io = sink(m);
    struct tess_writer *w;
    info.segment_frames = SEGMENT;
    assert_int_equal(tess_writer_create(&w, &io, &info, NULL, NULL), 0);
    return w;
}

static struct memory write_scaled(size_t n_frames, uint64_t seed)
{
    struct memory m = {.limit = SIZE_MAX};
    struct tess_writer *w = scaled_writer(&m);
    float scales[MAX_FRAMES];
    size_t passed = 0;
    for (size_t i = 0; i < MAX_FRAMES; i++)
        scales[i] = scale_of(i);
    for (size_t t = 0; t < n_frames;) {
        size_t n = seed ? (size_t)random_below(&seed, (int)(n_frames - t) + 1) : n_frames;
        size_t due = t + n == n_frames ? n_frames / SEGMENT + 1 : (t + n + SEGMENT - 1) / SEGMENT;
        assert_int_equal(
            tess_writer_put_scaled(w, some_codes() + t * K, n, scales + passed, due - passed), 0);
        passed = due;
        t += n;
    }
    assert_int_equal(tess_writer_finish(w, (int64_t)n_frames * 4, NULL), 0);
    tess_writer_destroy(w);
    return m;
}

static void test_scales(void **state)
{
    (void)state;
    for (size_t n_frames = 0; n_frames <= 28; n_frames++)
        for (uint64_t seed = 0; seed <= 8; seed++) {
            struct memory file = write_scaled(n_frames, seed), m = view(&file, file.size, seed);
            struct tess_io io = source(&m);
            struct tess_reader *r;
            uint16_t codes[MAX_FRAMES * K];
            float scales[MAX_FRAMES];
            size_t n_scales;
            int64_t error;
            assert_int_equal(tess_reader_create(&r, &io, NULL, NULL), 0);
            assert_int_equal(read_scaled(r, codes, K, 1 + seed, scales, &n_scales, &error, NULL),
                             n_frames);
            assert_int_equal(error, 0);
            assert_memory_equal(codes, some_codes(), n_frames * K * sizeof *codes);
            assert_int_equal(n_scales, n_frames ? n_frames / SEGMENT + 1 : 0);
            for (size_t i = 0; i < n_scales; i++)
                assert_true(scales[i] == scale_of(i));
            if (io.seek) assert_int_equal(tess_reader_scan(r, NULL), 0);
            for (int64_t frame = 0; io.seek && frame < (int64_t)n_frames; frame++) {
                assert_int_equal(tess_reader_seek(r, frame, NULL), 0);
                read_scaled(r, codes, K, 2, scales, &n_scales, &error, NULL);
                const size_t passed = ((size_t)frame + SEGMENT - 1) / SEGMENT;
                assert_int_equal(n_scales, n_frames / SEGMENT + 1 - passed);
                for (size_t i = 0; i < n_scales; i++)
                    assert_true(scales[i] == scale_of(passed + i));
            }
            if (io.seek) {
                assert_int_equal(tess_reader_seek(r, (int64_t)n_frames, NULL), 0);
                assert_int_equal(read_scaled(r, codes, K, 2, scales, &n_scales, &error, NULL), 0);
                assert_int_equal(error, 0);
            }
            tess_reader_destroy(r);
            free(file.bytes);
        }
}

/* A chunk says with 16 bits how many scales it has. */
static void test_too_many_scales(void **state)
{
    (void)state;
    struct tess_file_info info = recording;
    struct memory m = {.limit = SIZE_MAX};
    struct tess_io io = sink(&m);
    struct tess_writer *w;
    struct tess_why why;
    info.sample_rate = 40000;
    info.hop = info.segment_frames = 1;
    info.codebooks = 1;
    assert_int_equal(tess_writer_create(&w, &io, &info, NULL, &why), TESS_E_ARGUMENT);
    assert_non_null(strstr(why.text, "80000 frames in segments of 1"));
    assert_int_equal(m.size, 0);
}

/* What does not fit is not taken. */
static void test_scales_refused(void **state)
{
    (void)state;
    const float ones[] = {1.0f, 1.0f, 1.0f}, bad[] = {1.0f, NAN};
    const uint16_t *codes = some_codes();
    struct memory m = {.limit = SIZE_MAX};
    struct tess_writer *w = scaled_writer(&m);
    struct tess_why why;
    assert_int_equal(tess_writer_put(w, codes, 3), TESS_E_ARGUMENT);
    assert_int_equal(tess_writer_put_scaled(w, codes, 4, ones, 1), TESS_E_ARGUMENT);
    assert_int_equal(tess_writer_put_scaled(w, codes, 4, ones, 3), TESS_E_ARGUMENT);
    assert_int_equal(tess_writer_put_scaled(w, codes, 4, bad, 2), TESS_E_NONFINITE);
    assert_int_equal(tess_writer_put_scaled(w, codes, 3, ones, 1), 0);
    assert_int_equal(tess_writer_finish(w, 12, &why), TESS_E_ARGUMENT); /* of whole segments */
    assert_non_null(strstr(why.text, "has no scale"));
    assert_int_equal(tess_writer_put_scaled(w, codes, 3, ones, 2), 0);
    assert_int_equal(tess_writer_put_scaled(w, codes, 1, ones, 1),
                     TESS_E_ARGUMENT); /* it was the end */
    assert_int_equal(tess_writer_finish(w, 24, &why), 0);
    tess_writer_destroy(w);
    free(m.bytes);
    m = (struct memory){.limit = SIZE_MAX};
    struct tess_io io = sink(&m);
    assert_int_equal(tess_writer_create(&w, &io, &recording, NULL, NULL), 0);
    assert_int_equal(tess_writer_put_scaled(w, codes, 3, ones, 1), TESS_E_ARGUMENT);
    tess_writer_destroy(w);
    free(m.bytes);
}

/* ---- damage ------------------------------------------------------------------------------ */

static int scan_file(struct memory *m, struct tess_why *why)
{
    struct tess_io io = source(m);
    struct tess_reader *r;
    int err = tess_reader_create(&r, &io, NULL, why);
    if (err) return err;
    err = tess_reader_scan(r, why);
    if (err) { /* what comes before the damage can still be read */
        uint16_t codes[K];
        int64_t n = tess_reader_next(r, codes, 1, NULL);
        assert_true(n < 0 || (n == 1 && !memcmp(codes, some_codes(), sizeof codes)));
        assert_int_equal(tess_reader_frames(r), -1);
    }
    tess_reader_destroy(r);
    return err;
}

static void test_every_prefix(void **state)
{
    (void)state;
    struct memory file = write_file(20, 0);
    size_t last = 0;
    for (size_t cut = 0; cut < file.size; cut++) {
        size_t n;
        struct memory whole = view(&file, cut, 0), pipe = view(&file, cut, cut + 1);
        struct tess_why read, scanned;
        assert_int_equal(read_file_why(&whole, 5, &n, &read), TESS_E_TRUNCATED);
        assert_true(n >= last && (n % CHUNK == 0 || n == 20));
        last = n;
        assert_int_equal(read_file(&pipe, 5, &n), TESS_E_TRUNCATED);
        assert_int_equal(n, last);
        whole = view(&file, cut, 0);
        assert_int_equal(scan_file(&whole, &scanned), TESS_E_TRUNCATED);
        assert_string_equal(scanned.text, read.text); /* where, and after how many frames */
    }
    assert_int_equal(last, 20);
    free(file.bytes);
}

/* CRC-32 finds every single bit, so not one flip may pass. */
static void test_every_bit_flip(void **state)
{
    (void)state;
    struct memory file = write_file(20, 0);
    for (size_t bit = 0; bit < file.size * 8; bit++) {
        size_t n;
        file.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        struct memory whole = view(&file, file.size, 0), pipe = view(&file, file.size, bit + 1);
        assert_true(read_file(&whole, 5, &n) < 0);
        assert_true(read_file(&pipe, 5, &n) < 0);
        whole = view(&file, file.size, 0);
        (void)scan_file(&whole, NULL);
        file.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    free(file.bytes);
}

static void test_source_fails(void **state)
{
    (void)state;
    struct memory file = write_file(20, 0);
    for (size_t limit = 0; limit < file.size; limit++) {
        size_t n;
        struct memory m = view(&file, file.size, 0);
        m.limit = limit;
        assert_int_equal(read_file(&m, 5, &n), TESS_E_IO);
    }
    free(file.bytes);
}

static void test_sink_fails(void **state)
{
    (void)state;
    struct memory file = write_file(20, 0);
    for (size_t limit = 0; limit < file.size; limit++) {
        struct memory m = {.limit = limit};
        struct tess_io io = sink(&m);
        struct tess_writer *w;
        struct tess_why why = {""};
        int err = tess_writer_create(&w, &io, &recording, NULL, &why);
        if (!err) {
            int put = tess_writer_put(w, some_codes(), 20);
            err = tess_writer_finish(w, 80, &why);
            assert_true(put == 0 || put == TESS_E_IO);
            assert_int_equal(tess_writer_put(w, some_codes(), 1), TESS_E_IO); /* the file is lost */
            assert_int_equal(tess_writer_finish(w, 80, NULL), TESS_E_IO);
        }
        assert_int_equal(err, TESS_E_IO);
        assert_true(why.text[0] != 0);
        assert_memory_equal(m.bytes ? m.bytes : file.bytes, file.bytes, m.size);
        tess_writer_destroy(w);
        free(m.bytes);
    }
    free(file.bytes);
}

/* An allocator that gives *ctx blocks and then no more. */
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
    struct memory file = write_file(20, 0);
    int blocks, error = TESS_E_NOMEM;
    for (blocks = 0; error; blocks++) {
        int left = blocks;
        struct tess_allocator memory = {limited, release, &left};
        struct memory m = {.limit = SIZE_MAX};
        struct tess_io io = sink(&m);
        struct tess_writer *w;
        error = tess_writer_create(&w, &io, &recording, &memory, NULL);
        assert_true(error == 0 || error == TESS_E_NOMEM);
        tess_writer_destroy(w);
        free(m.bytes);
    }
    assert_true(blocks > 2);
    error = TESS_E_NOMEM;
    for (blocks = 0; error; blocks++) {
        int left = blocks;
        struct tess_allocator memory = {limited, release, &left};
        struct memory m = view(&file, file.size, 0);
        struct tess_io io = source(&m);
        struct tess_reader *r;
        error = tess_reader_create(&r, &io, &memory, NULL);
        assert_true(error == 0 || error == TESS_E_NOMEM);
        tess_reader_destroy(r);
    }
    assert_true(blocks > 2);
    free(file.bytes);
}

/* ---- seeking ----------------------------------------------------------------------------- */

static void test_seek(void **state)
{
    (void)state;
    static const int lengths[] = {0, 5, 8, 16, 20};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        int n_frames = lengths[i];
        struct memory file = write_file((size_t)n_frames, 0), m = view(&file, file.size, 0);
        struct tess_io io = source(&m);
        struct tess_reader *r;
        assert_int_equal(tess_reader_create(&r, &io, NULL, NULL), 0);
        assert_int_equal(tess_reader_seek(r, 0, NULL), TESS_E_ARGUMENT); /* no scan yet */
        assert_int_equal(tess_reader_frames(r), -1);
        assert_int_equal(tess_reader_info(r)->n_source, -1);
        assert_int_equal(tess_reader_scan(r, NULL), 0);
        assert_int_equal(tess_reader_frames(r), n_frames);
        assert_int_equal(tess_reader_samples(r), n_frames * 2);
        assert_int_equal(tess_reader_info(r)->n_source, n_frames * 4);
        for (int step = 1; step <= n_frames + 1; step++) /* visits every frame in many orders */
            for (int t = 0, turn = 0; turn <= n_frames; turn++, t = (t + step) % (n_frames + 1)) {
                uint16_t codes[MAX_FRAMES * K];
                int64_t error;
                assert_int_equal(tess_reader_seek(r, t, NULL), 0);
                assert_int_equal(read_codes(r, codes, K, 3, &error, NULL), n_frames - t);
                assert_int_equal(error, 0);
                assert_memory_equal(codes, some_codes() + t * K,
                                    (size_t)(n_frames - t) * K * sizeof *codes);
            }
        assert_int_equal(tess_reader_seek(r, -1, NULL), TESS_E_ARGUMENT);
        assert_int_equal(tess_reader_seek(r, n_frames + 1, NULL), TESS_E_ARGUMENT);
        tess_reader_destroy(r);
        free(file.bytes);
    }
}

static void test_pipes_do_not_seek(void **state)
{
    (void)state;
    struct memory file = write_file(20, 0), m = view(&file, file.size, 1);
    struct tess_io io = source(&m);
    struct tess_reader *r;
    assert_int_equal(tess_reader_create(&r, &io, NULL, NULL), 0);
    assert_int_equal(tess_reader_scan(r, NULL), TESS_E_UNSUPPORTED);
    assert_int_equal(tess_reader_seek(r, 0, NULL), TESS_E_UNSUPPORTED);
    uint16_t codes[20 * K];
    int64_t error;
    assert_int_equal(read_codes(r, codes, K, 1, &error, NULL), 20);
    assert_int_equal(error, 0);
    tess_reader_destroy(r);
    free(file.bytes);
}

/* A damaged chunk is an error that a seek past it leaves behind. */
static void test_seek_past_damage(void **state)
{
    (void)state;
    struct memory file = write_file(20, 0), m = view(&file, file.size, 0);
    struct tess_io io = source(&m);
    struct tess_reader *r;
    uint16_t codes[CHUNK * K];
    assert_int_equal(tess_reader_create(&r, &io, NULL, NULL), 0);
    assert_int_equal(tess_reader_scan(r, NULL), 0);
    size_t at = 0;
    for (int marks = 0; marks < 2; at++)
        marks += !memcmp(file.bytes + at, "CHNK", 4);
    file.bytes[at + 20] ^= 1; /* in the payload of chunk 1 */
    struct tess_why why;
    assert_int_equal(tess_reader_next(r, codes, CHUNK, &why), CHUNK);
    assert_int_equal(tess_reader_next(r, codes, CHUNK, &why), TESS_E_CHECKSUM);
    assert_string_equal(why.text, "chunk 1: the checksum does not match");
    assert_int_equal(tess_reader_seek(r, CHUNK + 1, &why), TESS_E_CHECKSUM);
    assert_int_equal(tess_reader_seek(r, 2 * CHUNK, &why), 0);
    assert_int_equal(tess_reader_next(r, codes, CHUNK, &why), 4);
    assert_memory_equal(codes, some_codes() + 2 * CHUNK * K, 4 * K * sizeof *codes);
    tess_reader_destroy(r);
    free(file.bytes);
}

/* ---- what a writer refuses --------------------------------------------------------------- */

static void test_writer_refuses(void **state)
{
    (void)state;
    struct memory m = {.limit = SIZE_MAX};
    struct tess_io io = sink(&m);
    struct tess_writer *w;
    struct tess_why why;
    struct tess_tag long_tags[17];
    char value[4096];
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = 0;
    for (int i = 0; i < 17; i++)
        long_tags[i] = (struct tess_tag){"key", value};
#define REFUSED(change, word)                                                                      \
    do {                                                                                           \
        struct tess_file_info info = recording;                                                    \
        info.change;                                                                               \
        assert_int_equal(tess_writer_create(&w, &io, &info, NULL, &why), TESS_E_ARGUMENT);         \
        assert_null(w);                                                                            \
        assert_non_null(strstr(why.text, word));                                                   \
    } while (0)
    REFUSED(size = 1, "tess_file_info of 1 bytes");
    REFUSED(sample_rate = 0, "sample rate is 0");
    REFUSED(hop = -1, "hop is -1");
    REFUSED(codebooks = 1025, "1 to 1024");
    REFUSED(entries = 65537, "65537 codes");
    REFUSED(code_min = 1, "from 1 on");
    REFUSED(channels = 65, "channels is 65");
    REFUSED(source_rate = 768001, "768000");
    REFUSED(n_source = -2, "-2");
    REFUSED(n_tags = -1, "tags is -1");
    REFUSED(tags = ((const struct tess_tag[2]){
                {"ok", "ok"},
                {"",   "v" }
    }),
            "key of tag 1");
    REFUSED(tags = ((const struct tess_tag[2]){
                {"k", "\xFF"},
                {"k", "v"   }
    }),
            "value of tag 0");
    REFUSED(tags = ((const struct tess_tag[2]){
                {"k", "\xED\xA0\x80"},
                {"k", "v"           }
    }),
            "tag 0");
    REFUSED(tags = ((const struct tess_tag[2]){
                {"k", "\xE2\x82"},
                {"k", "v"       }
    }),
            "tag 0");
    REFUSED(n_tags = 17; info.tags = long_tags, "65536");
#undef REFUSED
    assert_int_equal(m.size, 0);
}

static void test_writer_keeps_count(void **state)
{
    (void)state;
    struct memory m = {.limit = SIZE_MAX};
    struct tess_io io = sink(&m);
    struct tess_writer *w;
    struct tess_why why;
    struct tess_file_info info = recording;
    info.n_source = 79;
    assert_int_equal(tess_writer_create(&w, &io, &info, NULL, NULL), 0);
    const uint16_t outside[2 * K] = {0, 1, 2, 3, 4, 1000};
    assert_int_equal(tess_writer_put(w, some_codes(), 19), 0);
    assert_int_equal(tess_writer_put(w, outside, 2), TESS_E_CODE); /* nothing is taken */
    assert_int_equal(tess_writer_finish(w, 79, &why), TESS_E_ARGUMENT);
    assert_string_equal(why.text, "19 frames where 79 samples take 20");
    assert_int_equal(tess_writer_put(w, some_codes() + 19 * K, 1), 0);
    assert_int_equal(tess_writer_finish(w, 80, &why), TESS_E_ARGUMENT);
    assert_string_equal(why.text, "80 samples where the header promised 79");
    assert_int_equal(tess_writer_finish(w, 79, NULL), 0);
    assert_int_equal(tess_writer_finish(w, 79, NULL), TESS_E_ENDED);
    assert_int_equal(tess_writer_put(w, some_codes(), 1), TESS_E_ENDED);
    tess_writer_destroy(w);

    size_t n;
    m.seed = 1;
    assert_int_equal(read_file(&m, 4, &n), 0);
    assert_int_equal(n, 20);
    free(m.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),        cmocka_unit_test(test_scales),
        cmocka_unit_test(test_too_many_scales),   cmocka_unit_test(test_scales_refused),
        cmocka_unit_test(test_every_prefix),      cmocka_unit_test(test_every_bit_flip),
        cmocka_unit_test(test_source_fails),      cmocka_unit_test(test_sink_fails),
        cmocka_unit_test(test_no_memory),         cmocka_unit_test(test_seek),
        cmocka_unit_test(test_pipes_do_not_seek), cmocka_unit_test(test_seek_past_damage),
        cmocka_unit_test(test_writer_refuses),    cmocka_unit_test(test_writer_keeps_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
