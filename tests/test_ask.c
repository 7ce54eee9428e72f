/* What requests ask for: queries and Accept headers, as they are and broken. */
#include "server/ask.h"
#include "tests/check.h"

#include <stdlib.h>
#include <string.h>

static void test_query(void **state)
{
    (void)state;
    const char *at = "model=a%2Fb+c&&float&rate=48000&empty=&x==%26";
    static const char *const pairs[][2] = {
        {"model", "a/b c"},
        {"float", ""     },
        {"rate",  "48000"},
        {"empty", ""     },
        {"x",     "=&"   }
    };
    struct srv_ask ask;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        assert_int_equal(srv_ask_next(&at, &ask), 1);
        assert_string_equal(ask.name, pairs[i][0]);
        assert_string_equal(ask.value, pairs[i][1]);
    }
    assert_int_equal(srv_ask_next(&at, &ask), 0);
}

static void test_broken_queries(void **state)
{
    (void)state;
    char long_name[64], long_value[160] = "v=";
    memset(long_name, 'n', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = 0;
    memset(long_value + 2, 'v', sizeof long_value - 3);
    long_value[sizeof long_value - 1] = 0;
    const char *const broken[] = {"a%", "a=%4", "a=%4g", "a=%00", "%zz=1", long_name, long_value};
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        const char *at = broken[i];
        struct srv_ask ask;
        assert_int_equal(srv_ask_next(&at, &ask), -1);
    }
}

static void test_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
    } numbers[] = {
        {"1",                    true },
        {"10",                   true },
        {"0",                    false},
        {"11",                   false},
        {"",                     false},
        {" 1",                   false},
        {"+1",                   false},
        {"-1",                   false},
        {"1.0",                  false},
        {"1x",                   false},
        {"99999999999999999999", false},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct srv_ask ask;
        int64_t n;
        strcpy(ask.value, numbers[i].text);
        assert_int_equal(srv_ask_int(&ask, 1, 10, &n), numbers[i].good);
    }
}

static void test_accept(void **state)
{
    (void)state;
    static const char *const types[] = {"application/json", "application/x-npy", "audio/wav"};
    static const struct {
        const char *header;
        int type;
    } headers[] = {
        {NULL,                                             0 },
        {"",                                               0 },
        {" ",                                              0 },
        {"*/*",                                            0 },
        {"audio/wav",                                      2 },
        {"AUDIO/WAV",                                      2 },
        {"audio/*",                                        2 },
        {"application/x-npy, application/json",            1 },
        {"application/json;q=0.5, application/x-npy",      1 },
        {"text/html,application/xhtml+xml,*/*;q=0.8",      0 },
        {"audio/wav;rate=8000;q=0.9,application/*;q=0.91", 0 },
        {"audio/wav ; Q=0.2 , application/x-npy; q=0.1",   2 },
        {"audio/wav;q=0",                                  -1},
        {"audio",                                          -1},
        {"audio/wave",                                     -1},
        {"image/png, text/*",                              -1},
        {",,;,",                                           -1},
    };
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++)
        assert_int_equal(srv_ask_accept(headers[i].header, types, 3), headers[i].type);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_query),
        cmocka_unit_test(test_broken_queries),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_accept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
