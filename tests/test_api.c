/* What the public header promises apart from coding: names and numbers, what the shipped
 * model says of itself, and sizes. */
#include "tests/check.h"
#include "tests/codec.h"

#include <limits.h>
#include <math.h>
#include <sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void the_version_is_the_headers(void **state)
{
    (void)state;
    int major, minor, patch, end = 0;
    assert_string_equal(tess_version(), TESS_VERSION);
    assert_int_equal(sscanf(tess_version(), "%d.%d.%d%n", &major, &minor, &patch, &end), 3);
    assert_int_equal(tess_version()[end], '\0');
    assert_int_equal(tess_abi(), TESS_ABI);
}

static void every_error_has_its_own_sentence(void **state)
{
    (void)state;
    const int errors[] = {TESS_OK,
#define NUMBER(name, number, text) TESS_E_##name,
                          TESS_ERRORS(NUMBER)
#undef NUMBER
    };
    const size_t n = sizeof errors / sizeof *errors;
    for (size_t i = 0; i < n; i++) {
        const char *text = tess_strerror(errors[i]);
        assert_true(errors[i] < 0 || i == 0);
        assert_true(strlen(text) > 0 && text[strlen(text) - 1] != '.');
        assert_string_not_equal(text, "unknown error");
        for (size_t j = 0; j < i; j++) {
            assert_int_not_equal(errors[i], errors[j]);
            assert_string_not_equal(text, tess_strerror(errors[j]));
        }
    }
    const int others[] = {1, -1 - (int)n, INT_MAX, INT_MIN};
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(tess_strerror(others[i]), "unknown error");
}

static void kernels_begin_with_the_definition(void **state)
{
    (void)state;
    assert_null(tess_kernel_name(-1));
    assert_string_equal(tess_kernel_name(0), "scalar");
    int n = 0;
    for (; tess_kernel_name(n); n++)
        for (int i = 0; i < n; i++)
            assert_string_not_equal(tess_kernel_name(i), tess_kernel_name(n));
    assert_null(tess_kernel_name(n + 1));
    assert_null(tess_kernel_name(INT_MAX));

    unsetenv("TESSERA_KERNEL");
    struct codec codec = codec_open(NULL, 1, 1);
    assert_string_equal(codec.info.kernel, tess_kernel_name(n - 1));
    codec_close(&codec);
}

/* Its numbers agree with each other and with the file. */
static void the_shipped_model_says_what_it_is(void **state)
{
    (void)state;
    struct codec codec = codec_open(NULL, 1, 1);
    const struct tess_model_info *info = &codec.info;
    assert_true(strlen(info->name) && strlen(info->family) && strlen(info->licence));
    assert_in_range(info->channels, 1, 64);
    assert_in_range(info->hop, 1, info->sample_rate);
    assert_in_range(info->entries, 2, 65536);
    assert_int_equal(info->code_min, 0);
    assert_in_range(info->codebooks_default, 1, info->codebooks);
    assert_true(info->codebooks_legal >> (info->codebooks_default - 1) & 1);
    assert_true(info->codebooks_legal >> (info->codebooks - 1) == 1); /* full rate is the highest */
    assert_true(info->encode == TESS_LIVE && info->encode_delay == 0);
    assert_true(info->decode == (info->decode_delay ? TESS_DELAYED : TESS_LIVE));
    assert_true(info->parameters > 0);
    assert_true(isfinite(info->encode_flops) && info->encode_flops > 0.0);
    assert_true(isfinite(info->decode_flops) && info->decode_flops > 0.0);

    char hex[SHA256_DIGEST_STRING_LENGTH], byte[3];
    assert_non_null(SHA256File(TEST_MODEL, hex));
    for (int i = 0; i < 32; i++) {
        snprintf(byte, sizeof byte, "%02x", (unsigned)info->sha256[i]);
        assert_memory_equal(byte, hex + 2 * i, 2);
    }
    struct tess_model_info old = {.size = sizeof old - 1};
    assert_int_equal(tess_model_get_info(codec.model, &old), TESS_E_ARGUMENT);
    codec_close(&codec);
}

static void streams_are_blocks_of_the_stated_size(void **state)
{
    (void)state;
    struct codec codec = codec_open(NULL, 1, 1);
    const size_t e_size = tess_encoder_size(codec.model), d_size = tess_decoder_size(codec.model);
    struct tess_encoder *e = codec_encoder(&codec, 0), *e2 = zeros(e_size, 1);
    struct tess_decoder *d = codec_decoder(&codec, 0), *d2 = zeros(d_size, 1);
    memset(e2, 0xFF, e_size);
    memset(d2, 0xFF, d_size);
    assert_int_equal(tess_encoder_init(e2, codec.model, NULL), 0);
    assert_int_equal(tess_decoder_init(d2, codec.model, NULL), 0);
    assert_memory_equal(e, e2, e_size);
    assert_memory_equal(d, d2, d_size);
    tess_encoder_destroy(e, codec.model);
    tess_decoder_destroy(d, codec.model);
    free(e2);
    free(d2);
    codec_close(&codec);
}

static void a_worker_of_the_largest_size_can_be_had(void **state)
{
    (void)state;
    struct codec codec = codec_open(NULL, 64, 1024);
    codec_close(&codec);
}

static void a_worker_measures_its_stages_if_asked(void **state)
{
    (void)state;
    struct codec codec = codec_open(NULL, 1, 1);
    const size_t hop = (size_t)codec.info.hop, k = (size_t)codec.info.codebooks;
    const struct tess_worker_options options = {.size = sizeof options, .profile = 1};
    struct tess_worker *worker;
    struct tess_profile measured, none;
    float *pcm = zeros(20 * hop, sizeof *pcm);
    uint16_t *codes = zeros(20 * k, sizeof *codes);
    assert_int_equal(tess_worker_create(&worker, codec.model, &options), 0);
    codec_encode(&codec, worker, pcm, 20 * hop, (int)k, codes);
    codec_decode(&codec, worker, codes, 20, (int)k, pcm);
    tess_worker_get_profile(worker, &measured);
    assert_true(measured.analysis > 0.0 && measured.encoder > 0.0 && measured.quantizer > 0.0);
    assert_true(measured.lookup > 0.0 && measured.decoder > 0.0 && measured.synthesis > 0.0);
    codec_encode(&codec, NULL, pcm, 20 * hop, (int)k, codes);
    tess_worker_get_profile(codec.worker, &none);
    assert_true(none.analysis == 0.0 && none.encoder == 0.0 && none.quantizer == 0.0);
    tess_worker_destroy(worker);
    free(pcm);
    free(codes);
    codec_close(&codec);
}

static void nothing_may_be_freed(void **state)
{
    (void)state;
    struct codec codec = codec_open(NULL, 1, 1);
    tess_encoder_destroy(NULL, codec.model);
    tess_decoder_destroy(NULL, codec.model);
    codec_close(&codec);
    tess_worker_destroy(NULL);
    tess_model_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_version_is_the_headers),
        cmocka_unit_test(every_error_has_its_own_sentence),
        cmocka_unit_test(kernels_begin_with_the_definition),
        cmocka_unit_test(the_shipped_model_says_what_it_is),
        cmocka_unit_test(streams_are_blocks_of_the_stated_size),
        cmocka_unit_test(a_worker_of_the_largest_size_can_be_had),
        cmocka_unit_test(a_worker_measures_its_stages_if_asked),
        cmocka_unit_test(nothing_may_be_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
