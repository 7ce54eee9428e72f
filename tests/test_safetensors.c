/* Safetensors files made here, byte by byte, whole and damaged. Every buffer is a malloc of its
 * exact size, so that the address sanitizer sees a read past the end. */
#include "src/safetensors.h"
#include "tests/check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct file {
    unsigned char *bytes;
    size_t n_bytes;
};

static struct file make_file(const char *json, const void *data, size_t n_data)
{
    size_t n_json = strlen(json);
    struct file f = {malloc(8 + n_json + n_data), 8 + n_json + n_data};
    assert_non_null(f.bytes);
    tess_put_le64(f.bytes, n_json);
    memcpy(f.bytes + 8, json, n_json);
    if (n_data) memcpy(f.bytes + 8 + n_json, data, n_data);
    return f;
}

/* Opens a file of this header and n_data (at most 64) zero bytes. */
static int open_json(const char *json, size_t n_data, struct tess_why *why)
{
    static const unsigned char zeros[64];
    struct tess_safetensors st;
    struct file f = make_file(json, zeros, n_data);
    int err = tess_safetensors_open_memory(&st, f.bytes, f.n_bytes, NULL, why);
    tess_safetensors_close(&st);
    free(f.bytes);
    return err;
}

/* Two tensors, not in the order of their names; "half" begins at an odd address. */
static const char small_json[] =
    "{\"__metadata__\":{\"tessera.family\":\"tessera\",\"empty\":\"\"},"
    "\"odd\":{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[0,1]},"
    "\"half\":{\"dtype\":\"F16\",\"shape\":[1,3],\"data_offsets\":[1,7]},"
    "\"float\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[7,15]}}  ";
static const unsigned char small_data[15] = {
    0x7f,                   /* 127 */
    0x00, 0x3c, 0x01, 0x80, /* 1, -2^-24 */
    0xff, 0x7b,             /* 65504 */
    0xdb, 0x0f, 0x49, 0x40, /* (float)pi */
    0x00, 0x00, 0x00, 0x80, /* -0 */
};
enum { SMALL_DATA = sizeof small_data };

static struct file small_file(void)
{
    return make_file(small_json, small_data, SMALL_DATA);
}

static void check_small(struct tess_safetensors *st)
{
    /* sha256sum of the same bytes */
    static const unsigned char digest[32] = {0x2d, 0xf6, 0x43, 0xb2, 0x0a, 0xdb, 0x0f, 0x78,
                                             0xc6, 0xec, 0x55, 0x74, 0x40, 0x10, 0x01, 0xe5,
                                             0xdc, 0x27, 0xa5, 0x06, 0xd4, 0x76, 0xd7, 0x76,
                                             0x9e, 0xbe, 0x62, 0x75, 0x2e, 0x05, 0xf5, 0xf3};
    float values[3];
    assert_int_equal(st->n_tensors, 3);
    assert_string_equal(st->tensors[0].name, "float");
    assert_string_equal(st->tensors[1].name, "half");
    assert_string_equal(st->tensors[2].name, "odd");
    assert_memory_equal(st->sha256, digest, sizeof digest);
    assert_int_equal(st->n_bytes, 8 + strlen(small_json) + SMALL_DATA);
    assert_string_equal(tess_safetensors_metadata(st, "tessera.family"), "tessera");
    assert_string_equal(tess_safetensors_metadata(st, "empty"), "");
    assert_null(tess_safetensors_metadata(st, "tessera"));
    assert_null(tess_safetensors_find(st, "hal"));
    assert_null(tess_safetensors_find(st, "__metadata__"));

    struct tess_tensor *half = tess_safetensors_find(st, "half");
    assert_ptr_equal(half, &st->tensors[1]);
    assert_int_equal(half->dtype, TESS_F16);
    assert_int_equal(half->rank, 2);
    assert_memory_equal(half->dims, ((const int[]){1, 3, 1, 1}), sizeof half->dims);
    assert_int_equal(half->n_elements, 3);
    assert_int_equal(half->n_bytes, 6);
    assert_memory_equal(half->data, small_data + 1, 6);
    assert_false(half->used);
    assert_int_equal(tess_safetensors_widen(half, values, NULL), TESS_OK);
    assert_memory_equal(values, ((const float[]){1, -0x1p-24f, 65504}), sizeof values);

    const struct tess_tensor *pair = tess_safetensors_find(st, "float");
    assert_int_equal(tess_safetensors_widen(pair, values, NULL), TESS_OK);
    assert_memory_equal(values, ((const float[]){0x1.921fb6p+1f, -0.0f}), 2 * sizeof *values);
}

static void opens_memory(void **state)
{
    (void)state;
    struct tess_safetensors st;
    struct file f = small_file();
    assert_int_equal(tess_safetensors_open_memory(&st, f.bytes, f.n_bytes, NULL, NULL), TESS_OK);
    check_small(&st);
    assert_ptr_equal(st.bytes, f.bytes);
    tess_safetensors_close(&st);
    free(f.bytes);

    f = make_file("{}", NULL, 0);
    assert_int_equal(tess_safetensors_open_memory(&st, f.bytes, f.n_bytes, NULL, NULL), TESS_OK);
    assert_int_equal(st.n_tensors, 0);
    assert_null(tess_safetensors_find(&st, "x"));
    assert_null(tess_safetensors_metadata(&st, "x"));
    tess_safetensors_close(&st);
    free(f.bytes);
}

static void opens_path(void **state)
{
    (void)state;
    char folder[] = "/tmp/test_safetensors.XXXXXX", path[64];
    struct tess_safetensors st;
    struct tess_why why;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/file", folder);

    assert_int_equal(tess_safetensors_open(&st, path, NULL, &why), TESS_E_IO); /* not there */
    tess_safetensors_close(&st);
    assert_non_null(strstr(why.text, "cannot open: "));
    assert_int_equal(tess_safetensors_open(&st, folder, NULL, &why), TESS_E_IO);
    assert_string_equal(why.text, "not a regular file");
    assert_int_equal(mkfifo(path, 0600), 0); /* must not wait for a writer */
    assert_int_equal(tess_safetensors_open(&st, path, NULL, &why), TESS_E_IO);
    assert_string_equal(why.text, "not a regular file");
    unlink(path);

    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    fflush(out);
    assert_int_equal(tess_safetensors_open(&st, path, NULL, &why), TESS_E_TRUNCATED); /* empty */
    struct file f = small_file();
    assert_int_equal(fwrite(f.bytes, 1, f.n_bytes, out), f.n_bytes);
    fflush(out);
    assert_int_equal(tess_safetensors_open(&st, path, NULL, NULL), TESS_OK);
    check_small(&st);
    tess_safetensors_close(&st);
    assert_int_equal(ftruncate(fileno(out), (off_t)1 << 31), 0); /* holes: takes no disk */
    assert_int_equal(tess_safetensors_open(&st, path, NULL, &why), TESS_E_MODEL);
    assert_non_null(strstr(why.text, "2147483647 bytes"));
    fclose(out);
    free(f.bytes);
    unlink(path);
    rmdir(folder);
}

static void every_prefix_is_truncated(void **state)
{
    (void)state;
    struct file f = small_file();
    for (size_t n = 0; n < f.n_bytes; n++) {
        struct tess_safetensors st;
        struct tess_why why = {""};
        unsigned char *prefix = malloc(n ? n : 1);
        assert_non_null(prefix);
        memcpy(prefix, f.bytes, n);
        assert_int_equal(tess_safetensors_open_memory(&st, prefix, n, NULL, &why),
                         TESS_E_TRUNCATED);
        assert_true(why.text[0] != 0);
        free(prefix);
    }
    free(f.bytes);
}

/* A flip in the length is an error, one in the data opens, one in the header is an error with a
 * printable reason or another valid file (a name, say). */
static void every_bit_flip(void **state)
{
    (void)state;
    struct file f = small_file();
    for (size_t bit = 0; bit < 8 * f.n_bytes; bit++) {
        struct tess_safetensors st;
        struct tess_why why = {""};
        float values[SMALL_DATA];
        f.bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        int err = tess_safetensors_open_memory(&st, f.bytes, f.n_bytes, NULL, &why);
        if (bit < 8 * 8) assert_int_not_equal(err, TESS_OK);
        if (bit >= 8 * (f.n_bytes - SMALL_DATA)) assert_int_equal(err, TESS_OK);
        if (err) {
            assert_true(err == TESS_E_FORMAT || err == TESS_E_TRUNCATED || err == TESS_E_MODEL);
            assert_true(why.text[0] != 0);
            for (const char *c = why.text; *c; c++)
                assert_in_range(*c, 0x20, 0x7e);
        }
        for (int i = 0; i < st.n_tensors; i++)
            (void)tess_safetensors_widen(&st.tensors[i], values, NULL);
        tess_safetensors_close(&st);
        f.bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    free(f.bytes);
}

/* One tensor of this dtype, shape and data_offsets; tensors in a file of several are 4 x I8. */
#define T(name, dtype, shape, span)                                                                \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":[" shape "],\"data_offsets\":[" span "]}"
#define I8(name, span) T(name, "I8", "4", span)
#define HALVES(shape)  "{" T("a", "F16", shape, "0,8") "}"
#define SPAN(span)     "{" T("a", "I8", "2", span) "}"
#define META(object)   "{\"__metadata__\":" object "}"
#define ENTRY(fields)  "{\"a\":{" fields "}}"

static void expect(const char *json, size_t n_data, int error, const char *text)
{
    struct tess_why why = {""};
    int err = open_json(json, n_data, &why);
    if (err != error || !strstr(why.text, text))
        fail_msg("%s: error %d, \"%s\"", json, err, why.text);
}

static void malformed_json(void **state)
{
    (void)state;
    expect("", 0, TESS_E_FORMAT, "the header is not a JSON object");
    expect(" {}", 0, TESS_E_FORMAT, "not a JSON object");
    expect("[]", 0, TESS_E_FORMAT, "not a JSON object");
    expect("\xef\xbb\xbf{}", 0, TESS_E_FORMAT, "not a JSON object");
    expect("{", 0, TESS_E_FORMAT, "not a JSON object");
    expect("{\"a\":1,", 0, TESS_E_FORMAT, "not a JSON object");
    expect("{\"a", 0, TESS_E_FORMAT, "not a JSON object");
    expect("{\"a\\", 0, TESS_E_FORMAT, "not a JSON object");
    expect("{\"a\\u0000b\":1}", 0, TESS_E_FORMAT, "NUL");
    expect("{\"a\":x}", 0, TESS_E_FORMAT, "not valid JSON at byte 5");
    expect("{\"a\":[1}}", 0, TESS_E_FORMAT, "not valid JSON at byte 7");
    expect("{\"a\":\"\\ud800\"}", 0, TESS_E_FORMAT, "not valid JSON");
    expect("{}{}", 0, TESS_E_FORMAT, "goes on after the JSON object, at byte 2");
    expect("{}\n", 0, TESS_E_FORMAT, "goes on");
}

static void malformed_names(void **state)
{
    (void)state;
    expect("{" I8("", "0,4") "}", 4, TESS_E_MODEL, "the name of tensor 1 is not 1 to 127");
    expect("{" I8("a", "0,4") "," I8("\x1b[2J", "4,8") "}", 8, TESS_E_MODEL, "name of tensor 2");
    expect("{" I8("\\u001b", "0,4") "}", 4, TESS_E_MODEL, "name of tensor 1");
    expect("{" I8("\xc3\xa9", "0,4") "}", 4, TESS_E_MODEL, "name of tensor 1");
    expect("{" I8("a", "0,4") "," I8("a", "4,8") "}", 8, TESS_E_MODEL, "tensor 'a' appears twice");
}

static void malformed_fields(void **state)
{
    (void)state;
    expect("{\"a\":1}", 0, TESS_E_MODEL, "tensor 'a' is not an object");
    expect("{\"a\":[1]}", 0, TESS_E_MODEL, "tensor 'a' is not an object");
    expect(ENTRY(""), 0, TESS_E_MODEL, "tensor 'a': dtype");
    expect(ENTRY("\"dtype\":\"I8\""), 0, TESS_E_MODEL, "'a': shape is not");
    expect(ENTRY("\"dtype\":\"I8\",\"shape\":[1]"), 1, TESS_E_MODEL, "'a': data_offsets are not");
    expect(ENTRY("\"dtype\":\"I8\",\"dtype\":\"I8\""), 0, TESS_E_MODEL, "'a' has a field");
    expect(ENTRY("\"Dtype\":\"I8\""), 0, TESS_E_MODEL, "'a' has a field unknown or twice");
    expect(ENTRY("\"dtype\":7"), 0, TESS_E_MODEL, "'a': dtype is none of F16");
    expect(ENTRY("\"dtype\":\"F64\""), 0, TESS_E_MODEL, "'a': dtype is none of F16");
    expect(ENTRY("\"dtype\":\"f16\""), 0, TESS_E_MODEL, "'a': dtype is none of F16");
    expect(ENTRY("\"dtype\":\"F16\",\"shape\":4"), 0, TESS_E_MODEL, "'a': shape is not");
}

static void malformed_shapes(void **state)
{
    (void)state;
    expect(HALVES(""), 8, TESS_E_MODEL, "'a': shape is not 1 to 4 whole numbers");
    expect(HALVES("1,1,1,1,4"), 8, TESS_E_MODEL, "'a': shape is not");
    expect(HALVES("0"), 8, TESS_E_MODEL, "'a': shape is not");
    expect(HALVES("-4"), 8, TESS_E_MODEL, "'a': shape is not");
    expect(HALVES("3.5"), 8, TESS_E_MODEL, "'a': shape is not");
    expect(HALVES("\"4\""), 8, TESS_E_MODEL, "'a': shape is not");
    expect(HALVES("[4]"), 8, TESS_E_MODEL, "'a': shape is not");
    expect(HALVES("2147483648"), 8, TESS_E_MODEL, "'a': shape is not");
    expect(HALVES("1e999"), 8, TESS_E_MODEL, "'a': shape is not");
    expect(HALVES("1073741824"), 8, TESS_E_MODEL, "'a': shape needs more than 2147483647 bytes");
    expect(HALVES("65536,65536,65536,65540"), 8, TESS_E_MODEL, "'a': shape needs more than");
    expect(HALVES("3"), 8, TESS_E_MODEL, "'a': data_offsets span 8 bytes, shape and dtype need 6");
    expect(HALVES("5"), 8, TESS_E_MODEL, "'a': data_offsets span 8 bytes, shape and dtype need 10");
}

static void malformed_offsets(void **state)
{
    (void)state;
    expect(SPAN(""), 2, TESS_E_MODEL, "'a': data_offsets are not");
    expect(SPAN("2"), 2, TESS_E_MODEL, "'a': data_offsets are not");
    expect(SPAN("0,2,2"), 2, TESS_E_MODEL, "'a': data_offsets are not");
    expect(SPAN("2,0"), 2, TESS_E_MODEL, "'a': data_offsets are not");
    expect(SPAN("-2,0"), 2, TESS_E_MODEL, "'a': data_offsets are not");
    expect(SPAN("0,2.5"), 2, TESS_E_MODEL, "'a': data_offsets are not");
    expect(SPAN("18446744073709551614,18446744073709551616"), 2, TESS_E_MODEL, "data_offsets are");
    expect(SPAN("0,2"), 1, TESS_E_TRUNCATED, "'a' ends at byte 2 of the data, the file holds 1");
    expect(SPAN("2147483645,2147483647"), 2, TESS_E_TRUNCATED, "'a' ends at byte 2147483647");
}

static void malformed_layouts(void **state)
{
    (void)state;
    expect(SPAN("1,3"), 3, TESS_E_MODEL, "'a': unused bytes before its data");
    expect(SPAN("0,2"), 3, TESS_E_MODEL, "1 bytes follow the last tensor");
    expect("{}", 1, TESS_E_MODEL, "1 bytes follow the last tensor");
    expect("{" I8("a", "0,4") "," I8("b", "3,7") "}", 7, TESS_E_MODEL, "'b': an overlap before");
    expect("{" I8("a", "0,4") "," I8("b", "5,9") "}", 9, TESS_E_MODEL, "'b': unused bytes before");
    expect("{" I8("a", "4,8") "," I8("b", "4,8") "}", 8, TESS_E_MODEL, "unused bytes before");
    expect("{" I8("a", "0,4") "," I8("b", "0,4") "}", 4, TESS_E_MODEL, "an overlap before");
    expect("{" I8("a", "4,8") "," I8("b", "0,4") "}", 8, TESS_OK, "");
}

static void malformed_metadata(void **state)
{
    (void)state;
    expect(META("[\"a\"]"), 0, TESS_E_MODEL, "__metadata__ is not one object");
    expect(META("{},\"__metadata__\":{}"), 0, TESS_E_MODEL, "__metadata__ is not one object");
    expect(META("{\"k\":1}"), 0, TESS_E_MODEL, "metadata 'k' is not a string");
    expect(META("{\"k\":null}"), 0, TESS_E_MODEL, "metadata 'k' is not a string");
    expect(META("{\"k\":\"a\\nb\"}"), 0, TESS_E_MODEL, "metadata 'k' is not a string");
    expect(META("{\"\\t\":\"a\"}"), 0, TESS_E_MODEL, "a key of __metadata__ is not");
    expect(META("{\"\":\"a\"}"), 0, TESS_E_MODEL, "a key of __metadata__ is not");
    expect(META("{\"k\":\"a\",\"k\":\"b\"}"), 0, TESS_E_MODEL, "metadata 'k' appears twice");
}

/* prefix, then n times `unit`, then suffix */
static char *repeated(const char *prefix, char unit, size_t n, const char *suffix)
{
    size_t n_prefix = strlen(prefix);
    char *text = malloc(n_prefix + n + strlen(suffix) + 1);
    assert_non_null(text);
    memcpy(text, prefix, n_prefix);
    memset(text + n_prefix, unit, n);
    memcpy(text + n_prefix + n, suffix, strlen(suffix) + 1);
    return text;
}

/* With n units the header is inside a limit (`at`), with one more it is not (`above`). */
static void
expect_limit(const char *prefix, char unit, size_t n, const char *suffix, int at, int above)
{
    for (size_t over = 0; over < 2; over++) {
        char *json = repeated(prefix, unit, n + over, suffix);
        assert_int_equal(open_json(json, 0, NULL), over ? above : at);
        free(json);
    }
}

static void limits(void **state)
{
    (void)state;
    expect_limit("{}", ' ', (1 << 20) - 2, "", TESS_OK, TESS_E_FORMAT);
    /* a name inside the limit is read on, to find that there is no data */
    expect_limit("{\"", 'n', 127, "\":{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[0,1]}}",
                 TESS_E_TRUNCATED, TESS_E_MODEL);
    expect_limit("{\"__metadata__\":{\"", 'k', 127, "\":\"v\"}}", TESS_OK, TESS_E_MODEL);
    expect_limit("{\"__metadata__\":{\"k\":\"", 'v', 65535, "\"}}", TESS_OK, TESS_E_MODEL);
    /* depth: inside the limit, 'a' is only no object */
    expect_limit("{\"a\":", '[', 15, "]]]]]]]]]]]]]]]}", TESS_E_MODEL, TESS_E_FORMAT);
    expect_limit("{\"a\":", '[', 9999, "", TESS_E_FORMAT, TESS_E_FORMAT);
}

/* n tensors of one byte, called 0, 1, ..., or n metadata entries. */
static int open_many(int n, int as_metadata)
{
    char *json = malloc(64 + 80 * (size_t)n), *end = json;
    unsigned char *data = calloc((size_t)n, 1);
    assert_non_null(json);
    assert_non_null(data);
    end += sprintf(end, "{\"__metadata__\":{%s", as_metadata ? "" : "}");
    for (int i = 0; i < n; i++)
        end += as_metadata ? sprintf(end, "%s\"%d\":\"x\"", i ? "," : "", i)
                           : sprintf(end, "," T("%d", "I8", "1", "%d,%d"), i, i, i + 1);
    sprintf(end, "%s", as_metadata ? "}}" : "}");
    struct tess_safetensors st;
    struct file f = make_file(json, data, as_metadata ? 0 : (size_t)n);
    int err = tess_safetensors_open_memory(&st, f.bytes, f.n_bytes, NULL, NULL);
    for (int i = 0; i < st.n_tensors; i++) { /* each is found, with its own byte */
        const struct tess_tensor *t = tess_safetensors_find(&st, st.tensors[i].name);
        assert_ptr_equal(t, &st.tensors[i]);
        assert_int_equal(t->data - (f.bytes + f.n_bytes - n), atoi(t->name));
    }
    tess_safetensors_close(&st);
    free(f.bytes);
    free(data);
    free(json);
    return err;
}

static void counts(void **state)
{
    (void)state;
    assert_int_equal(open_many(4096, 0), TESS_OK);
    assert_int_equal(open_many(4097, 0), TESS_E_MODEL);
    assert_int_equal(open_many(64, 1), TESS_OK);
    assert_int_equal(open_many(65, 1), TESS_E_MODEL);
}

static void header_lengths(void **state)
{
    (void)state;
    static const struct {
        uint64_t n_header;
        int error;
    } rows[] = {
        {0,                                      TESS_E_FORMAT   },
        {1,                                      TESS_E_FORMAT   },
        {(1 << 20) + 1,                          TESS_E_FORMAT   },
        {(uint64_t)1 << 31,                      TESS_E_FORMAT   },
        {(uint64_t)1 << 63,                      TESS_E_FORMAT   },
        {UINT64_MAX,                             TESS_E_FORMAT   },
        {UINT64_MAX - 7,                         TESS_E_FORMAT   },
        {1 << 20,                                TESS_E_TRUNCATED},
        {sizeof small_json - 1 + SMALL_DATA + 1, TESS_E_TRUNCATED},
    };
    struct file f = small_file();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tess_safetensors st;
        tess_put_le64(f.bytes, rows[i].n_header);
        assert_int_equal(tess_safetensors_open_memory(&st, f.bytes, f.n_bytes, NULL, NULL),
                         rows[i].error);
    }
    free(f.bytes);
}

/* All 65,536 halves against the definition, (-1)^s 2^(e-15) (1 + m/1024) in double. */
static void widens_every_half(void **state)
{
    (void)state;
    for (unsigned half = 0; half < 65536; half++) {
        unsigned char bytes[2] = {(unsigned char)half, (unsigned char)(half >> 8)};
        struct tess_tensor t = {.name = "h", .n_elements = 1, .n_bytes = 2, .data = bytes};
        int exponent = half >> 10 & 31, fraction = half & 1023;
        float out;
        struct tess_why why;
        int err = tess_safetensors_widen(&t, &out, &why);
        if (exponent == 31) {
            assert_int_equal(err, TESS_E_MODEL);
            assert_string_equal(why.text, "tensor 'h': element 0 is not finite");
            continue;
        }
        double size = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
        float expected = (float)(half >> 15 ? -size : size);
        assert_int_equal(err, TESS_OK);
        assert_memory_equal(&out, &expected, sizeof out);
    }
}

static void widens_only_finite_floats(void **state)
{
    (void)state;
    static const uint32_t not_finite[] = {0x7f800000, 0xff800000, 0x7fc00000, 0xff800001};
    struct tess_why why;
    float out[2];
    unsigned char bytes[8] = {0};
    struct tess_tensor t = {.name = "f", .dtype = TESS_F32, .n_elements = 2, .data = bytes};
    for (size_t i = 0; i < sizeof not_finite / sizeof *not_finite; i++) {
        tess_put_le32(bytes + 4, not_finite[i]);
        assert_int_equal(tess_safetensors_widen(&t, out, &why), TESS_E_MODEL);
        assert_string_equal(why.text, "tensor 'f': element 1 is not finite");
    }
    tess_put_le32(bytes + 4, 0x7f7fffff);
    assert_int_equal(tess_safetensors_widen(&t, out, NULL), TESS_OK);
    t.dtype = TESS_BF16;
    assert_int_equal(tess_safetensors_widen(&t, out, &why), TESS_E_MODEL);
    assert_string_equal(why.text, "tensor 'f' is BF16, not F16 or F32");
}

struct counter {
    int n_until_failure, n_open;
};

static void *counting_alloc(void *ctx, size_t n_bytes)
{
    struct counter *c = ctx;
    if (c->n_until_failure-- == 0) return NULL;
    c->n_open++;
    return malloc(n_bytes);
}

static void counting_release(void *ctx, void *ptr)
{
    struct counter *c = ctx;
    if (ptr) c->n_open--;
    free(ptr);
}

static void allocation_failures(void **state)
{
    (void)state;
    struct file f = small_file();
    int err = TESS_E_NOMEM, n_failures = 0;
    for (; err == TESS_E_NOMEM; n_failures++) {
        struct counter counter = {.n_until_failure = n_failures};
        struct tess_allocator a = {counting_alloc, counting_release, &counter};
        struct tess_safetensors st;
        err = tess_safetensors_open_memory(&st, f.bytes, f.n_bytes, &a, NULL);
        tess_safetensors_close(&st);
        assert_int_equal(counter.n_open, 0);
    }
    assert_int_equal(err, TESS_OK);
    assert_int_equal(n_failures, 3); /* tensors, metadata, then none failed */
    free(f.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_memory),
        cmocka_unit_test(opens_path),
        cmocka_unit_test(every_prefix_is_truncated),
        cmocka_unit_test(every_bit_flip),
        cmocka_unit_test(malformed_json),
        cmocka_unit_test(malformed_names),
        cmocka_unit_test(malformed_fields),
        cmocka_unit_test(malformed_shapes),
        cmocka_unit_test(malformed_offsets),
        cmocka_unit_test(malformed_layouts),
        cmocka_unit_test(malformed_metadata),
        cmocka_unit_test(limits),
        cmocka_unit_test(counts),
        cmocka_unit_test(header_lengths),
        cmocka_unit_test(widens_every_half),
        cmocka_unit_test(widens_only_finite_floats),
        cmocka_unit_test(allocation_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
