/* The reader and the writer against files that make_format_vectors.py wrote from docs/format.md. */
#include "tests/memory_io.h"

#include <stdio.h>

static struct memory load(const char *folder, const char *name, const char *suffix)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s%s", folder, name, suffix);
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("%s is missing", path);
    struct memory m = {.limit = SIZE_MAX};
    uint8_t block[4096];
    for (size_t n; (n = fread(block, 1, sizeof block, f)) > 0;)
        assert_int_equal(memory_write(&m, block, n), 0);
    fclose(f);
    return m;
}

static int64_t number(FILE *f, const char *key)
{
    char found[32];
    long long value;
    assert_int_equal(fscanf(f, "%31s %lld\n", found, &value), 2);
    assert_string_equal(found, key);
    return value;
}

/* A line "key=value" against what the reader has. */
static void check_text(FILE *f, const char *key, const char *value)
{
    char line[256], expected[256];
    assert_non_null(fgets(line, sizeof line, f));
    snprintf(expected, sizeof expected, "%s=%s\n", key, value);
    assert_string_equal(line, expected);
}

static void check_vector(const char *name, uint64_t seed)
{
    enum { ROOM = 256 };
    struct memory file = load("tests/data/format", name, ".tess");
    struct memory m = view(&file, file.size, seed), copy = {.limit = SIZE_MAX};
    char path[256];
    snprintf(path, sizeof path, "tests/data/format/%s.txt", name);
    FILE *f = fopen(path, "r");
    assert_non_null(f);

    struct tess_io in = source(&m), out = sink(&copy);
    struct tess_reader *r;
    struct tess_writer *w;
    assert_int_equal(tess_reader_create(&r, &in, NULL, NULL), 0);
    const struct tess_file_info *info = tess_reader_info(r);
    assert_int_equal(tess_writer_create(&w, &out, info, NULL, NULL), 0);
    assert_int_equal(info->sample_rate, number(f, "sample_rate"));
    assert_int_equal(info->hop, number(f, "hop"));
    assert_int_equal(info->codebooks, number(f, "codebooks"));
    assert_int_equal(info->entries, number(f, "entries"));
    assert_int_equal(info->code_min, number(f, "code_min"));
    assert_int_equal(info->channels, number(f, "channels"));
    assert_int_equal(info->source_rate, number(f, "source_rate"));
    assert_int_equal(info->n_source, number(f, "n_source"));
    int64_t total = number(f, "total"), samples = number(f, "samples");
    int64_t frames = number(f, "frames"), error;
    assert_int_equal(info->segment_frames, number(f, "segment_frames"));
    int64_t n_tags = number(f, "tags");
    for (int i = 0; i < 8; i++)
        assert_int_equal(info->fingerprint[i], 0xA0 + i);
    assert_int_equal(info->n_tags, n_tags);
    check_text(f, "model", info->model);
    for (int i = 0; i < n_tags; i++)
        check_text(f, info->tags[i].key, info->tags[i].value);

    size_t columns = (size_t)info->codebooks;
    uint16_t *codes = calloc(ROOM * columns, sizeof *codes);
    assert_non_null(codes);
    assert_true(frames + 1 < ROOM);
    assert_int_equal(tess_reader_frames(r), -1);
    float scales[ROOM];
    size_t n_scales = 0;
    assert_int_equal(read_scaled(r, codes, columns, 1, scales, &n_scales, &error, NULL), frames);
    assert_int_equal(error, 0);
    assert_int_equal(tess_reader_frames(r), frames);
    assert_int_equal(tess_reader_samples(r), samples);
    assert_int_equal(info->n_source, total);
    for (size_t i = 0; i < (size_t)frames * columns; i++) {
        int code;
        assert_int_equal(fscanf(f, "%d", &code), 1);
        assert_int_equal(info->code_min < 0 ? (int16_t)codes[i] : codes[i], code);
    }
    for (size_t i = 0; i < n_scales; i++) {
        float scale;
        assert_int_equal(fscanf(f, "%f", &scale), 1);
        assert_true(scales[i] == scale);
    }
    assert_int_equal(fscanf(f, "%*s"), EOF); /* nothing is left */
    assert_int_equal(tess_writer_put_scaled(w, codes, (size_t)frames, scales, n_scales), 0);
    assert_int_equal(tess_writer_finish(w, total, NULL), 0);
    assert_int_equal(copy.size, file.size);
    assert_memory_equal(copy.bytes, file.bytes, file.size);

    tess_writer_destroy(w);
    tess_reader_destroy(r);
    fclose(f);
    free(codes);
    free(copy.bytes);
    free(file.bytes);
}

static void test_vectors(void **state)
{
    (void)state;
    static const char *const names[] = {"empty", "tiny",     "boundary",      "signed",
                                        "wide",  "segments", "segments-full", "speech"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (uint64_t seed = 0; seed <= 3; seed++)
            check_vector(names[i], seed);
}

/* Reads to the end or the first error, which is returned. */
static int64_t drain(struct memory *m, struct tess_why *why)
{
    struct tess_io io = source(m);
    struct tess_reader *r;
    uint16_t codes[64];
    int64_t n = tess_reader_create(&r, &io, NULL, why);
    if (n) return n;
    while ((n = tess_reader_next(r, codes, 1, why)) > 0)
        continue;
    tess_reader_destroy(r);
    return n;
}

static int error_named(const char *name)
{
#define NAMED(error, code, text)                                                                   \
    if (!strcmp(name, #error)) return code;
    TESS_ERRORS(NAMED)
#undef NAMED
    fail_msg("no error is called %s", name);
    return 0;
}

static void test_bad_vectors(void **state)
{
    (void)state;
    FILE *f = fopen("tests/data/format/bad/list.txt", "r");
    assert_non_null(f);
    char name[64], error[16], word[64];
    int n_files = 0;
    for (; fscanf(f, "%63s %15s %63[^\n]", name, error, word) == 3; n_files++) {
        struct memory file = load("tests/data/format/bad", name, ".tess");
        for (uint64_t seed = 0; seed <= 1; seed++) {
            struct memory m = view(&file, file.size, seed);
            struct tess_why why = {""};
            if (drain(&m, &why) != error_named(error) || !strstr(why.text, word))
                fail_msg("%s: %s ('%s' expected): %s", name, error, word, why.text);
        }
        free(file.bytes);
    }
    fclose(f);
    assert_true(n_files > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_bad_vectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
