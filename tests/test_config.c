/* A family's config: what is read, what is refused, and that nothing is left over. */
#include "src/config.h"
#include "tests/check.h"

#include <stdlib.h>
#include <string.h>

static const char good[] = "{\"hop\": 320, \"strides\": [2, 4, 5, 8], \"arithmetic\": \"fp32\"}";

static void reads_every_key(void **state)
{
    (void)state;
    struct tess_config c;
    struct tess_why why = {""};
    int hop, strides[5];
    char arithmetic[5];
    assert_int_equal(tess_config_open(&c, good, &why), TESS_OK);
    assert_int_equal(tess_config_string(&c, "arithmetic", arithmetic, 5, &why), TESS_OK);
    assert_string_equal(arithmetic, "fp32");
    assert_int_equal(tess_config_int(&c, "hop", 320, 320, &hop, &why), TESS_OK);
    assert_int_equal(hop, 320);
    assert_int_equal(tess_config_finish(&c, &why), TESS_E_MODEL);
    assert_string_equal(why.text, "tessera.config: 'strides' is unknown or stands twice");
    why.text[0] = 0;
    assert_int_equal(tess_config_ints(&c, "strides", 2, 8, strides, 5, &why), 4);
    assert_memory_equal(strides, ((const int[]){2, 4, 5, 8}), 4 * sizeof *strides);
    assert_int_equal(tess_config_finish(&c, &why), TESS_OK);
    assert_string_equal(why.text, ""); /* untouched by success */
    assert_int_equal(tess_config_int(&c, "hop", 320, 320, &hop, &why), TESS_E_MODEL);
    tess_config_close(&c);
}

static void refused(const char *json, const char *text)
{
    struct tess_config c;
    struct tess_why why = {""};
    assert_int_equal(tess_config_open(&c, json, &why), TESS_E_MODEL);
    if (!strstr(why.text, text)) fail_msg("\"%s\"", why.text);
    tess_config_close(&c);
}

static void refuses_texts(void **state)
{
    (void)state;
    refused(NULL, "metadata 'tessera.config' is missing");
    refused("", "tessera.config is not a JSON object of at most 16 levels");
    refused("[1]", "tessera.config is not a JSON object");
    refused("{\"a\":1", "tessera.config is not a JSON object");
    refused("{\"a\":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}", "at most 16 levels");
    refused("{\"a\" 1}", "tessera.config is not valid JSON at byte 5");
    refused("{} {}", "goes on after the JSON object, at byte 3");
    refused("{\"\":1}", "a key is not 1 to 63 characters");
    refused("{\"\\u001b\":1}", "a key is not 1 to 63 characters");
    refused("{\"0123456789012345678901234567890123456789012345678901234567890123\":1}",
            "a key is not 1 to 63 characters");
}

/* What a reader asks of key "a", and whether it gets it: an int of -5..5, one to three ints of
 * -5..5, a string of one to three characters. */
static void refuses_values(void **state)
{
    (void)state;
    enum { INT = 1, INTS = 2, STRING = 4 };
    static const struct {
        const char *json;
        int readers;
    } rows[] = {
        {"{}",                   0     },
        {"{\"A\":1}",            0     },
        {"{\"a\":-5}",           INT   },
        {"{\"a\":5}",            INT   },
        {"{\"a\":5.0}",          INT   },
        {"{\"a\":-6}",           0     },
        {"{\"a\":6}",            0     },
        {"{\"a\":0.5}",          0     },
        {"{\"a\":1e300}",        0     },
        {"{\"a\":-1e999}",       0     },
        {"{\"a\":4294967297}",   0     },
        {"{\"a\":true}",         0     },
        {"{\"a\":null}",         0     },
        {"{\"a\":{\"a\":1}}",    0     },
        {"{\"a\":[]}",           0     },
        {"{\"a\":[1]}",          INTS  },
        {"{\"a\":[1,2,3]}",      INTS  },
        {"{\"a\":[1,2,3,4]}",    0     },
        {"{\"a\":[1,6]}",        0     },
        {"{\"a\":[1,\"2\"]}",    0     },
        {"{\"a\":[[1]]}",        0     },
        {"{\"a\":\"\"}",         0     },
        {"{\"a\":\"1\"}",        STRING},
        {"{\"a\":\"abc\"}",      STRING},
        {"{\"a\":\"abcd\"}",     0     },
        {"{\"a\":\"a\\n\"}",     0     },
        {"{\"a\":\"\xc3\xa9\"}", 0     },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int reader = INT; reader <= STRING; reader *= 2) {
            struct tess_config c;
            struct tess_why why = {""};
            int ints[3];
            char text[4];
            assert_int_equal(tess_config_open(&c, rows[i].json, NULL), TESS_OK);
            int result = reader == INT    ? tess_config_int(&c, "a", -5, 5, ints, &why)
                         : reader == INTS ? tess_config_ints(&c, "a", -5, 5, ints, 3, &why)
                                          : tess_config_string(&c, "a", text, 4, &why);
            if ((result >= 0) != ((rows[i].readers & reader) != 0))
                fail_msg("%s, reader %d: %d", rows[i].json, reader, result);
            if (result < 0) {
                assert_int_equal(result, TESS_E_MODEL);
                assert_non_null(strstr(why.text, "tessera.config: 'a' is not "));
            }
            tess_config_close(&c);
        }
}

static void refuses_a_key_twice(void **state)
{
    (void)state;
    struct tess_config c;
    struct tess_why why;
    int a;
    assert_int_equal(tess_config_open(&c, "{\"a\":1,\"a\":2}", NULL), TESS_OK);
    assert_int_equal(tess_config_int(&c, "a", 0, 9, &a, NULL), TESS_OK);
    assert_int_equal(a, 1);
    assert_int_equal(tess_config_finish(&c, &why), TESS_E_MODEL);
    assert_non_null(strstr(why.text, "'a' is unknown or stands twice"));
    tess_config_close(&c);
}

/* A prefix of an object is never an object. */
static void every_prefix(void **state)
{
    (void)state;
    for (size_t n = 0; n < sizeof good - 1; n++) {
        struct tess_config c;
        char *prefix = malloc(n + 1); /* of its exact size, for the address sanitizer */
        assert_non_null(prefix);
        memcpy(prefix, good, n);
        prefix[n] = 0;
        assert_int_equal(tess_config_open(&c, prefix, NULL), TESS_E_MODEL);
        free(prefix);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_key), cmocka_unit_test(refuses_texts),
        cmocka_unit_test(refuses_values),  cmocka_unit_test(refuses_a_key_twice),
        cmocka_unit_test(every_prefix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
