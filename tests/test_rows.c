/* Tables of rows that cannot run: each is refused with a reason that names the row or the limit. */
#include "tests/network.h"

static void test_refusals(void **state)
{
    (void)state;
    struct tess_allocator memory = tess_base_allocator(NULL);
    static const struct {
        struct network net;
        const char *named;
    } bad[] = {
        {{"no rows", 4, 1, {{0}}, {{0}}, 0},                                                    "0 rows"     },
        {{"empty slot", 4, 1, {ROW(GELU, "g", 1, 2, 0, KSD(1, 1, 1))}, {{0}}, 0},               "'g'"        },
        {{"slot below", 4, 1, {ROW(GELU, "g", -1, 2, 0, KSD(1, 1, 1))}, {{0}}, 0},              "'g'"        },
        {{"slot above", 4, 1, {ROW(GELU, "g", 0, TESS_MAX_SLOTS, 0, KSD(1, 1, 1))}, {{0}}, 0},
         "'g'"                                                                                               },
        {{"conv in place", 4, 1, {ROW(CONV, "x", 0, 0, 4, KSD(1, 1, 1))}, {{0}}, 0},
         "'x' cannot write over"                                                                             },
        {{"upconv in place", 4, 1, {ROW(UPCONV, "x", 0, 0, 4, KSD(1, 1, 1))}, {{0}}, 0},
         "'x' cannot write over"                                                                             },
        {{"depthwise in place", 4, 1, {ROW(DEPTHWISE, "x", 0, 0, 4, KSD(3, 1, 1))}, {{0}}, 0},
         "'x' cannot write over"                                                                             },
        {{"polar in place", 4, 1, {ROW(POLAR, "x", 0, 0, 4, KSD(1, 1, 1))}, {{0}}, 0},
         "'x' cannot write over"                                                                             },
        {{"log_phase in place", 4, 1, {ROW(LOG_PHASE, "x", 0, 0, 4, KSD(1, 1, 1))}, {{0}}, 0},
         "'x' cannot write over"                                                                             },
        {{"lstm in place", 4, 1, {ROW(LSTM, "x", 0, 0, 4, KSD(1, 1, 1))}, {{0}}, 0},
         "'x' cannot write over"                                                                             },
        {{"norm channels", 4, 1, {ROW(NORM, "n", 0, 1, 5, KSD(1, 1, 1))}, {{0}}, 0},
         "'n': 4 channels"                                                                                   },
        {{"depthwise channels", 4, 1, {ROW(DEPTHWISE, "d", 0, 1, 5, KSD(3, 1, 1))}, {{0}}, 0},
         "'d': 4 channels"                                                                                   },
        {{"odd spectrum in", 5, 1, {ROW(POLAR, "p", 0, 1, 5, KSD(1, 1, 1))}, {{0}}, 0},         "'p'"        },
        {{"odd spectrum out", 5, 1, {ROW(LOG_PHASE, "p", 0, 1, 0, KSD(1, 1, 1))}, {{0}}, 0},    "'p'"        },
        {{"phases", 14, 1, {ROW(LOG_PHASE, "p", 0, 1, 0, KSD(8, 1, 1))}, {{0}}, 0},             "'p'"        },
        {{"stft channels", 2, 4, {ROW(STFT, "s", 0, 1, 14, KSD(12, 4, 1))}, {{0}}, 0},          "12 points"  },
        {{"odd steps", 2, 3, {ROW(WAVELET, "w", 0, 1, 0, KSD(1, 1, 1))}, {{0}}, 0},             "'w'"        },
        {{"wavelet in place", 2, 2, {ROW(WAVELET, "w", 0, 0, 0, KSD(1, 1, 1))}, {{0}}, 0},
         "'w' cannot write over"                                                                             },
        {{"no pairs", 3, 1, {ROW(UNWAVELET, "w", 0, 1, 0, KSD(1, 1, 1))}, {{0}}, 0},            "'w'"        },
        {{"pad in place", 3, 1, {ROW(PAD, "p", 0, 0, 0, KSD(1, 1, 1))}, {{0}}, 0},
         "'p' cannot write over"                                                                             },
        {{"trim in place", 3, 1, {ROW(TRIM, "t", 0, 0, 0, KSD(1, 1, 1))}, {{0}}, 0},
         "'t' cannot write over"                                                                             },
        {{"trims what is not there", 3, 1, {ROW(TRIM, "t", 0, 1, 0, KSD(1, 1, 1))}, {{0}}, 0},
         "'t' trims 1"                                                                                       },
        {{"updepth in place", 4, 1, {ROW(UPDEPTH, "x", 0, 0, 0, KSD(4, 2, 1))}, {{0}}, 0},
         "'x' cannot write over"                                                                             },
        {{"updepth with gaps", 4, 1, {ROW(UPDEPTH, "d", 0, 1, 0, KSD(2, 3, 1))}, {{0}}, 0},     "'d'"        },
        {{"updepth channels", 4, 1, {ROW(UPDEPTH, "d", 0, 1, 5, KSD(4, 2, 1))}, {{0}}, 0},
         "'d': 4 channels"                                                                                   },
        {{"groups", 5, 1, {ROW(GROUP_NORM, "n", 0, 1, 0, KSD(2, 1, 1))}, {{0}}, 0},
         "'n': 5 channels"                                                                                   },
        {{"attention in place", 12, 1, {ROW(ATTENTION, "x", 0, 0, 0, KSD(5, 2, 1))}, {{0}}, 0},
         "'x' cannot write over"                                                                             },
        {{"no thirds", 16, 1, {ROW(ATTENTION, "a", 0, 1, 0, KSD(5, 2, 1))}, {{0}}, 0},          "'a': 16"    },
        {{"no pairs in a head", 18, 1, {ROW(ATTENTION, "a", 0, 1, 0, KSD(5, 2, 1))}, {{0}}, 0},
         "'a': 18"                                                                                           },
        {{"choice misshapen",
          4,
          1,
          {ROW(CHOSEN_NORM, "n", 0, 1, 0, KSD(3, 1, 1))},
          {{"n.scale", 2, 4, 0}, {"n.shift", 3, 4, 0}},
          0},
         "[2][4]"                                                                                            },
        {{"plain tensor misshapen",
          4,
          1,
          {ROW(CONV, "c", 0, 1, 4, KSD(1, 1, 1), .plain = 1)},
          {{"c.weight", 4, 5, 0}},
          0},
         "[4][5]"                                                                                            },
        {{"istft channels", 12, 1, {ROW(ISTFT, "s", 0, 1, 1, KSD(12, 4, 1))}, {{0}}, 0},
         "12 points"                                                                                         },
        {{"istft drops too much",
          14,
          1,
          {ROW(ISTFT, "s", 0, 1, 1, KSD(12, 4, 1), .right = 9)},
          {{0}},
          0},
         "9 samples"                                                                                         },
        {{"odd points", 1, 4, {ROW(STFT, "s", 0, 1, 15, KSD(13, 4, 1))}, {{0}}, 0},             "13 points"  },
        {{"too far apart", 1, 4, {ROW(STFT, "s", 0, 1, 4, KSD(2, 4, 1))}, {{0}}, 0},            "2 points"   },
        {{"too many points", 1, 1, {ROW(STFT, "s", 0, 1, 65540, KSD(65538, 1, 1))}, {{0}}, 0},
         "65538"                                                                                             },
        {{"hop", 1, 6, {ROW(STFT, "s", 0, 1, 14, KSD(12, 4, 1))}, {{0}}, 0},                    "hop of 4"   },
        {{"stride", 4, 3, {ROW(CONV, "c", 0, 1, 4, KSD(4, 2, 1))}, {{0}}, 0},                   "stride of 2"},
        {{"stride above reach", 4, 3, {ROW(CONV, "c", 0, 1, 4, KSD(2, 3, 1))}, {{0}}, 0},
         "stride of 3"                                                                                       },
        {{"look-ahead above reach",
          4,
          1,
          {ROW(CONV, "c", 0, 1, 4, KSD(2, 1, 1), .right = 2)},
          {{0}},
          0},
         "'c'"                                                                                               },
        {{"look-behind", 4, 1, {ROW(CONV, "c", 0, 1, 4, KSD(2, 1, 1), .right = -1)}, {{0}}, 0},
         "'c'"                                                                                               },
        {{"no stride", 4, 1, {ROW(CONV, "c", 0, 1, 4, KSD(2, 0, 1))}, {{0}}, 0},                "stride 0"   },
        {{"no dilation", 4, 1, {ROW(CONV, "c", 0, 1, 4, KSD(2, 1, 0))}, {{0}}, 0},              "dilation 0" },
        {{"transposed with gaps", 4, 1, {ROW(UPCONV, "u", 0, 1, 4, KSD(2, 3, 1))}, {{0}}, 0},
         "'u'"                                                                                               },
        {{"long kernel", 4, 1, {ROW(DEPTHWISE, "d", 0, 1, 4, KSD(65, 1, 1))}, {{0}}, 0},        "65"         },
        {{"depthwise stride", 4, 2, {ROW(DEPTHWISE, "d", 0, 1, 4, KSD(4, 2, 1))}, {{0}}, 0},
         "stride"                                                                                            },
        {{"adds to nothing",
          4,
          1,
          {ROW(SCALED_ADD, "a", 0, 1, 4, KSD(1, 1, 1), .with = 2)},
          {{0}},
          0},
         "'a'"                                                                                               },
        {{"adds to a slot above",
          4,
          1,
          {ROW(ADD, "a", 0, 1, 4, KSD(1, 1, 1), .with = TESS_MAX_SLOTS)},
          {{0}},
          0},
         "'a'"                                                                                               },
        {{"adds to other channels",
          4,
          1,
          {ROW(CONV, "c", 0, 1, 5, KSD(1, 1, 1)), ROW(SCALED_ADD, "a", 1, 0, 5, KSD(1, 1, 1))},
          {{0}},
          0},
         "[1][5]"                                                                                            },
        {{"adds to other steps",
          4,
          2,
          {ROW(CONV, "c", 0, 1, 4, KSD(2, 2, 1)), ROW(ADD, "a", 1, 0, 4, KSD(1, 1, 1))},
          {{0}},
          0},
         "[2][4]"                                                                                            },
        {{"adds over what is ahead",
          4,
          1,
          {ROW(CONV, "c", 0, 1, 4, KSD(3, 1, 1), .right = 1), ROW(ADD, "a", 1, 0, 4, KSD(1, 1, 1))},
          {{0}},
          0},
         "'a'"                                                                                               },
        {{"adds to what lags",
          4,
          1,
          {ROW(CONV, "c", 0, 1, 4, KSD(3, 1, 1), .right = 1),
           ROW(ADD, "a", 0, 2, 4, KSD(1, 1, 1), .with = 1)},
          {{0}},
          0},
         "'a'"                                                                                               },
        {{"tensor missing", 4, 1, {ROW(CONV, "c", 0, 1, 4, KSD(1, 1, 1))}, {{0}}, 0},           "c.weight"   },
        {{"tensor misshapen",
          4,
          1,
          {ROW(CONV, "c", 0, 1, 4, KSD(1, 1, 1))},
          {{"c.weight", 4, 1, 4}, {"c.bias", 4, 0, 0}},
          0},
         "[4][1][4]"                                                                                         },
        {{"upconv bias missing",
          4,
          1,
          {ROW(UPCONV, "u", 0, 1, 4, KSD(2, 1, 1))},
          {{"u.weight", 2, 4, 4}},
          0},
         "u.bias"                                                                                            },
        {{"lstm matrix missing",
          4,
          1,
          {ROW(LSTM, "l", 0, 1, 1, KSD(1, 1, 1))},
          {{"l.weight_ih", 4, 4, 0}, {"l.bias", 4, 0, 0}},
          0},
         "l.weight_hh"                                                                                       },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct loaded *l = malloc(sizeof *l);
        struct tess_why why = {""};
        assert_non_null(l);
        if (network_load(l, &bad[i].net, &memory, &why) != TESS_E_MODEL)
            fail_msg("%s", bad[i].net.name);
        if (!strstr(why.text, bad[i].named)) fail_msg("%s: '%s'", bad[i].net.name, why.text);
        free(l);
    }
}

static void test_too_many_rows(void **state)
{
    (void)state;
    struct tess_allocator memory = tess_base_allocator(NULL);
    struct tess_rows *rows = calloc(1, sizeof *rows);
    struct tess_why why = {""};
    struct tess_weights weights = {.allocator = &memory, .why = &why};
    struct tess_graph graph;
    assert_non_null(rows);
    for (int i = 0; i <= TESS_MAX_ROWS; i++)
        tess_rows_add(rows, tess_row(TESS_OP_GELU, 0, 0, 0, "%d", i));
    assert_int_equal(tess_graph_create(&graph, rows, 4, 1, 1, &weights), TESS_E_MODEL);
    assert_non_null(strstr(why.text, "513"));
    free(rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_too_many_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
