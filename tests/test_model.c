/* Model files in, models or reasons out: the shipped one, a tiny one, and what damage and lack of
 * memory do to it. Linked with --wrap=malloc and its kin, which count what a push must not do. */
#include "tests/check.h"
#include "tests/tiny_model.h"

#include <limits.h>
#include <math.h>

static const char shipped[] = "weights/tessera-24k-speech.safetensors";

/* ---- counted memory ---------------------------------------------------------------------------- */

static int n_mallocs;

void *__real_malloc(size_t);
void *__real_calloc(size_t, size_t);
void *__real_realloc(void *, size_t);
void *__wrap_malloc(size_t);
void *__wrap_calloc(size_t, size_t);
void *__wrap_realloc(void *, size_t);

void *__wrap_malloc(size_t n)
{
    n_mallocs++;
    return __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    n_mallocs++;
    return __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    n_mallocs++;
    return __real_realloc(p, n);
}

struct purse {
    int left; /* allocations before there is no more */
    int held; /* blocks not yet released */
};

static void *take(void *ctx, size_t n)
{
    struct purse *purse = ctx;
    if (purse->left-- <= 0) return NULL;
    purse->held++;
    return malloc(n);
}

static void put(void *ctx, void *p)
{
    struct purse *purse = ctx;
    if (p) purse->held--;
    free(p);
}

/* ---- helpers ----------------------------------------------------------------------------------- */

/* From a copy of exactly n bytes, so that the address sanitizer sees a step past its end. */
static int open_bytes(struct tess_model **model, const void *bytes, size_t n, struct tess_why *why)
{
    void *copy = malloc(n ? n : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, n);
    int err = tess_model_open_memory(model, copy, n, NULL, why);
    free(copy);
    assert_true(err ? *model == NULL : *model != NULL);
    return err;
}

static int open_tiny(struct tess_model **model, const struct tiny_model *m, struct tess_why *why)
{
    struct tiny_file f;
    tiny_write(m, &f);
    return open_bytes(model, f.bytes, f.n, why);
}

static struct tess_model *tiny(void)
{
    struct tiny_model m = tiny_model();
    struct tess_model *model;
    struct tess_why why;
    assert_int_equal(open_tiny(&model, &m, &why), 0);
    return model;
}

/* The model does not open, and the reason names what is wrong with it. */
static void refuse(const struct tiny_model *m, int error, const char *named)
{
    struct tess_model *model;
    struct tess_why why = {""};
    assert_int_equal(open_tiny(&model, m, &why), error);
    if (!strstr(why.text, named)) fail_msg("'%s' does not name '%s'", why.text, named);
}

enum { FRAMES = 10 };

/* Samples to codes to samples, hop after hop and at once; codes in range, samples finite. */
static void run(const struct tess_model *model)
{
    struct tess_model_info info = {.size = sizeof info};
    assert_int_equal(tess_model_get_info(model, &info), 0);
    const size_t n = (size_t)(FRAMES * info.hop), k = (size_t)info.codebooks;
    float *pcm = malloc(n * sizeof *pcm), *back = malloc(n * sizeof *back);
    uint16_t *codes = malloc(FRAMES * k * sizeof *codes);
    assert_true(pcm && back && codes);
    uint64_t seed = 7;
    for (size_t i = 0; i < n; i++)
        pcm[i] = random_float(&seed);

    struct tess_worker *worker;
    struct tess_encoder *encoder;
    struct tess_decoder *decoder;
    assert_int_equal(tess_worker_create(&worker, model, NULL), 0);
    assert_int_equal(tess_encoder_create(&encoder, model, NULL), 0);
    assert_int_equal(tess_decoder_create(&decoder, model, NULL), 0);
    const int before = n_mallocs;
    const size_t first = (size_t)info.hop + 1;
    int64_t frames = tess_encoder_push(worker, encoder, pcm, first, codes, FRAMES);
    assert_int_equal(frames, 1);
    frames += tess_encoder_push(worker, encoder, pcm + first, n - first, codes + k, FRAMES - 1);
    assert_int_equal(frames, FRAMES);
    assert_int_equal(tess_encoder_flush(worker, encoder, codes, FRAMES), 0);
    for (size_t i = 0; i < FRAMES * k; i++)
        assert_true(codes[i] < info.entries);

    int64_t samples = tess_decoder_push(worker, decoder, codes, 1, back, n);
    samples += tess_decoder_push(worker, decoder, codes + k, FRAMES - 1, back + samples, n);
    samples += tess_decoder_flush(worker, decoder, back + samples, n - (size_t)samples);
    assert_int_equal(samples, n);
    for (size_t i = 0; i < n; i++)
        assert_true(isfinite(back[i]));
    assert_int_equal(n_mallocs, before);
    tess_encoder_destroy(encoder, model);
    tess_decoder_destroy(decoder, model);
    tess_worker_destroy(worker);
    free(pcm);
    free(back);
    free(codes);
}

/* ---- models that open -------------------------------------------------------------------------- */

static void test_shipped(void **state)
{
    (void)state;
    struct tess_model *model;
    struct tess_model_info info = {.size = sizeof info};
    struct tess_why why;
    assert_int_equal(tess_model_open(&model, shipped, NULL, &why), 0);
    assert_int_equal(tess_model_get_info(model, &info), 0);
    assert_string_equal(info.name, "tessera-24k-speech");
    assert_string_equal(info.family, "tessera");
    assert_true(*info.licence);
    assert_string_equal(info.arithmetic, "fp32");
    assert_string_equal(info.kernel, tess_base_isa_name((enum tess_isa)tess_base_isa(NULL)));
    assert_int_equal(info.sample_rate, 24000);
    assert_int_equal(info.channels, 1);
    assert_int_equal(info.hop, 320);
    assert_int_equal(info.codebooks, 4);
    assert_int_equal(info.codebooks_default, 4);
    assert_int_equal(info.codebooks_legal, 1 << 1 | 1 << 3);
    assert_int_equal(info.entries, 1024);
    assert_int_equal(info.code_min, 0);
    assert_int_equal(info.encode, TESS_LIVE);
    assert_int_equal(info.encode_delay, 0);
    assert_int_equal(info.decode, TESS_DELAYED);
    assert_int_equal(info.decode_delay, 640);
    run(model);
    tess_model_close(model);
    assert_int_equal(tess_model_open(&model, "weights/nothing", NULL, &why), TESS_E_IO);
    assert_null(model);
}

static void test_tiny(void **state)
{
    (void)state;
    struct tess_model *model = tiny();
    struct tess_model_info info = {.size = sizeof info};
    assert_int_equal(tess_model_get_info(model, &info), 0);
    assert_int_equal(info.decode_delay, 12 - 4);
    /* by hand: four products a side, eight channels, 2000 frames a second, 2 operations each */
    assert_true(info.encode_flops == 2.0 * 2000 * (8 * 13 + 16 * 8 + 8 * 16 + 4 * 8));
    assert_true(info.decode_flops == 2.0 * 2000 * (8 * 4 + 16 * 8 + 8 * 16 + 14 * 8));
    /* the products, their biases; depthwise, norms and gain; quantizer */
    assert_int_equal(info.parameters, 392 + 36 + 400 + 46 + 2 * (3 * 8 + 8 + 6 * 8 + 8) + 4 * 8);
    info.size--;
    assert_int_equal(tess_model_get_info(model, &info), TESS_E_ARGUMENT);
    run(model);
    tess_model_close(model);
    tess_model_close(NULL);
}

/* What the decoder holds back at the end may be far more than it gives in a batch. */
static void test_long_tail(void **state)
{
    (void)state;
    struct tiny_model m = tiny_model();
    struct tess_model *model;
    tiny_configure(&m, "\"n_fft\": 12", "\"n_fft\": 800");
    tiny_find(&m, "encoder.in.weight")->dims[1] = 401 + 2 * 3;
    tiny_find(&m, "decoder.head.weight")->dims[0] = 802;
    tiny_find(&m, "decoder.head.bias")->dims[0] = 802;
    assert_int_equal(open_tiny(&model, &m, NULL), 0);
    run(model);

    enum { N = 300 * TINY_HOP };
    uint16_t codes[300 * TINY_CODEBOOKS] = {0};
    float pcm[N];
    struct tess_worker *worker;
    struct tess_decoder *decoder;
    assert_int_equal(tess_worker_create(&worker, model, NULL), 0);
    assert_int_equal(tess_decoder_create(&decoder, model, NULL), 0);
    assert_int_equal(tess_decoder_push(worker, decoder, codes, 300, pcm, N), N - 796);
    assert_int_equal(tess_decoder_flush(worker, decoder, pcm + N - 796, 796), 796);
    tess_decoder_destroy(decoder, model);
    tess_worker_destroy(worker);
    tess_model_close(model);
}

static void test_kernels(void **state)
{
    (void)state;
    struct tiny_model m = tiny_model();
    struct tiny_file f;
    struct tess_model *model;
    struct tess_model_info info = {.size = sizeof info};
    struct tess_why why;
    tiny_write(&m, &f);
    for (int i = 0; tess_kernel_name(i); i++) {
        struct tess_model_options options = {.size = sizeof options, .kernel = tess_kernel_name(i)};
        assert_int_equal(tess_model_open_memory(&model, f.bytes, f.n, &options, &why), 0);
        assert_int_equal(tess_model_get_info(model, &info), 0);
        assert_string_equal(info.kernel, options.kernel);
        run(model);
        tess_model_close(model);
    }
    struct tess_model_options options = {.size = sizeof options, .kernel = "abacus"};
    assert_int_equal(tess_model_open_memory(&model, f.bytes, f.n, &options, &why),
                     TESS_E_UNSUPPORTED);
    assert_null(model);
    assert_non_null(strstr(why.text, "abacus"));
    for (int i = 0; tess_kernel_name(i); i++)
        assert_non_null(strstr(why.text, tess_kernel_name(i)));

    setenv("TESSERA_KERNEL", "scalar", 1);
    assert_int_equal(tess_model_open_memory(&model, f.bytes, f.n, NULL, &why), 0);
    assert_int_equal(tess_model_get_info(model, &info), 0);
    assert_string_equal(info.kernel, "scalar");
    tess_model_close(model);
    setenv("TESSERA_KERNEL", "abacus", 1);
    assert_int_equal(tess_model_open_memory(&model, f.bytes, f.n, NULL, &why), TESS_E_UNSUPPORTED);
    assert_non_null(strstr(why.text, "TESSERA_KERNEL 'abacus'"));
    setenv("TESSERA_KERNEL", "", 1);
    assert_int_equal(tess_model_open_memory(&model, f.bytes, f.n, NULL, &why), 0);
    tess_model_close(model);
    unsetenv("TESSERA_KERNEL");
}

/* A model of one direction gives what the whole one gives, keeps less, and refuses the other. */
static void test_opened_for_one_direction(void **state)
{
    (void)state;
    enum { N = FRAMES * TINY_HOP };
    struct purse purse = {.left = INT_MAX};
    const struct tess_allocator allocator = {take, put, &purse};
    struct tess_model_options options = {.size = sizeof options, .allocator = &allocator};
    struct tiny_model m = tiny_model();
    struct tiny_file f;
    struct tess_model *model;
    struct tess_worker *worker;
    struct tess_encoder *encoder;
    struct tess_decoder *decoder;
    struct tess_why why;
    float in[N], sound[3][N];
    uint16_t codes[3][FRAMES * TINY_CODEBOOKS];
    int held[3];
    uint64_t seed = 7;
    for (int i = 0; i < N; i++)
        in[i] = random_float(&seed);
    tiny_write(&m, &f);
    for (int use = TESS_FOR_BOTH; use <= TESS_FOR_DECODING; use++) {
        options.use = (enum tess_use)use;
        assert_int_equal(tess_model_open_memory(&model, f.bytes, f.n, &options, &why), 0);
        held[use] = purse.held;
        assert_int_equal(tess_worker_create(&worker, model, NULL), 0);
        int err = tess_encoder_create(&encoder, model, NULL);
        assert_int_equal(err, use == TESS_FOR_DECODING ? TESS_E_UNSUPPORTED : 0);
        if (!err) {
            assert_int_equal(tess_encoder_push(worker, encoder, in, N, codes[use], FRAMES), FRAMES);
            assert_memory_equal(codes[use], codes[0], sizeof *codes);
        }
        err = tess_decoder_create(&decoder, model, NULL);
        assert_int_equal(err, use == TESS_FOR_ENCODING ? TESS_E_UNSUPPORTED : 0);
        if (!err) {
            int64_t n = tess_decoder_push(worker, decoder, codes[0], FRAMES, sound[use], N);
            assert_true(n > 0);
            assert_memory_equal(sound[use], sound[0], (size_t)n * sizeof **sound);
        }
        tess_encoder_destroy(encoder, model);
        tess_decoder_destroy(decoder, model);
        tess_worker_destroy(worker);
        tess_model_close(model);
    }
    assert_true(held[TESS_FOR_ENCODING] < held[0] && held[TESS_FOR_DECODING] < held[0]);
    assert_int_equal(purse.held, 0);
    options.use = (enum tess_use)3;
    assert_int_equal(tess_model_open_memory(&model, f.bytes, f.n, &options, &why), TESS_E_ARGUMENT);
    assert_null(model);
}

/* ---- models that do not ------------------------------------------------------------------------ */

static void test_wrong_tensors(void **state)
{
    (void)state;
    const struct tiny_model good = tiny_model();
    for (int i = 0; i < good.n_tensors; i++) {
        const struct tiny_tensor *t = &good.tensors[i];
        struct tiny_model m = good;
        tiny_remove(&m, t->name);
        refuse(&m, TESS_E_MODEL, t->name);
        m = good;
        m.tensors[i].dims[t->rank - 1]++;
        refuse(&m, TESS_E_MODEL, t->name);
        m = good;
        m.tensors[i].dims[m.tensors[i].rank++] = 1;
        refuse(&m, TESS_E_MODEL, t->name);
        m = good;
        m.tensors[i].dtype = "I32";
        refuse(&m, TESS_E_MODEL, t->name);
    }
    struct tiny_model m = good;
    tiny_add(&m, "decoder.1.gain", "F16", 8, 0, 0);
    refuse(&m, TESS_E_MODEL, "decoder.1.gain");
}

static void test_values_that_are_not_finite(void **state)
{
    (void)state;
    const struct tiny_model m = tiny_model();
    struct tiny_file f;
    tiny_write(&m, &f);
    size_t at = f.n;
    for (int i = m.n_tensors - 1; i >= 0;
         i--) { /* the last value of each tensor, from the end on */
        const size_t width = strcmp(m.tensors[i].dtype, "F16") ? 4 : 2;
        unsigned char *high = f.bytes + at - 1, *low = f.bytes + at - 2, kept[2] = {*low, *high};
        struct tess_model *model;
        struct tess_why why;
        *high = width == 2 ? 0x7E : 0x7F; /* a NaN of either width */
        *low = 0xC0;
        assert_int_equal(open_bytes(&model, f.bytes, f.n, &why), TESS_E_MODEL);
        assert_non_null(strstr(why.text, m.tensors[i].name));
        *low = kept[0];
        *high = kept[1];
        at -= tiny_tensor_bytes(&m.tensors[i]);
    }
}

static void refuse_config(const char *old, const char *new, const char *named)
{
    struct tiny_model m = tiny_model();
    tiny_configure(&m, old, new);
    refuse(&m, TESS_E_MODEL, named);
}

static void test_wrong_config(void **state)
{
    (void)state;
    refuse_config("\"hop\": 4", "\"hop\": 0", "hop");
    refuse_config("\"hop\": 4", "\"hop\": 4.5", "hop");
    refuse_config("\"hop\": 4", "\"hop\": \"4\"", "hop");
    refuse_config("\"hop\": 4, ", "", "hop");
    refuse_config("\"hop\": 4", "\"hop\": 4, \"hop\": 4", "hop");
    refuse_config("\"hop\": 4", "\"hop\": 5", "n_fft");
    refuse_config("\"hop\": 4", "\"hop\": 6", "n_fft"); /* twice is too little */
    refuse_config("\"n_fft\": 12", "\"n_fft\": 14", "n_fft");
    refuse_config("\"n_fft\": 12", "\"n_fft\": 16384", "n_fft");
    refuse_config("\"phase_bins\": 3", "\"phase_bins\": 8", "phase_bins");
    refuse_config("\"kernel\": 3", "\"kernel\": 32", "kernel");
    refuse_config("\"entries\": 4", "\"entries\": 1", "entries");
    refuse_config("\"entries\": 4", "\"entries\": 5", "quantizer.0.0");
    refuse_config("\"groups\": 2", "\"groups\": 9", "groups");
    refuse_config("\"encoder_blocks\": 1", "\"encoder_blocks\": 2", "encoder.1.dw.weight");
    refuse_config("\"decoder_blocks\": 1", "\"decoder_blocks\": 0", "decoder.0.");
    refuse_config("\"fp32\"", "\"int4\"", "int4");
    refuse_config("\"hop\"", "\"colour\": 1, \"hop\"", "colour");
    refuse_config("{", "", "config");
}

static void test_wrong_metadata(void **state)
{
    (void)state;
    const struct tiny_model good = tiny_model();
    struct tiny_model m = good;
    m.format = "2";
    refuse(&m, TESS_E_MODEL, "tessera.format");
    m.format = NULL;
    refuse(&m, TESS_E_MODEL, "tessera.format");
    m = good;
    m.family = "mosaic";
    refuse(&m, TESS_E_FAMILY, "mosaic");
    m.family = NULL;
    refuse(&m, TESS_E_MODEL, "tessera.family");
    m = good;
    m.name = NULL;
    refuse(&m, TESS_E_MODEL, "tessera.name");
    m.name = "a name of sixty-four characters, which is one more than there can be";
    refuse(&m, TESS_E_MODEL, "tessera.name");
    m = good;
    m.licence = NULL;
    refuse(&m, TESS_E_MODEL, "tessera.licence");
}

static void test_options_of_another_size(void **state)
{
    (void)state;
    struct tiny_model m = tiny_model();
    struct tiny_file f;
    struct tess_model *model = NULL;
    struct tess_why why = {""};
    tiny_write(&m, &f);
    const struct tess_model_options other = {.size = sizeof other - 1};
    assert_int_equal(tess_model_open_memory(&model, f.bytes, f.n, &other, &why), TESS_E_ARGUMENT);
    assert_null(model);
    assert_true(*why.text);
    assert_int_equal(tess_model_open(&model, shipped, &other, &why), TESS_E_ARGUMENT);

    model = tiny();
    struct tess_worker *worker;
    struct tess_encoder *encoder;
    struct tess_decoder *decoder;
    const struct tess_worker_options workers[] = {
        {.size = 1           },
        { .size = sizeof *workers,       .threads = 65},
        { .size = sizeof *workers,       .threads = -1},
        { .size = sizeof *workers, .max_streams = 1025},
        { .size = sizeof *workers,   .max_streams = -1},
    };
    for (size_t i = 0; i < sizeof workers / sizeof *workers; i++) {
        assert_int_equal(tess_worker_create(&worker, model, &workers[i]), TESS_E_ARGUMENT);
        assert_null(worker);
    }
    const struct tess_stream_options streams[] = {
        {.size = 1       },
        { .size = sizeof *streams,  .codebooks = 1}, /* a layer is two */
        { .size = sizeof *streams,  .codebooks = 5},
        { .size = sizeof *streams, .codebooks = -1},
    };
    for (size_t i = 0; i < sizeof streams / sizeof *streams; i++) {
        assert_int_equal(tess_encoder_create(&encoder, model, &streams[i]), TESS_E_ARGUMENT);
        assert_int_equal(tess_decoder_create(&decoder, model, &streams[i]), TESS_E_ARGUMENT);
        assert_true(!encoder && !decoder);
    }
    tess_model_close(model);
}

/* ---- damage ------------------------------------------------------------------------------------ */

static void test_every_prefix(void **state)
{
    (void)state;
    struct tiny_model m = tiny_model();
    struct tiny_file f;
    tiny_write(&m, &f);
    for (size_t n = 0; n < f.n; n++) {
        struct tess_model *model;
        struct tess_why why = {""};
        int err = open_bytes(&model, f.bytes, n, &why);
        assert_true(err == TESS_E_TRUNCATED || err == TESS_E_FORMAT);
        assert_true(*why.text);
    }
}

/* A flipped bit is refused with a reason, or gives another model that is as sound. */
static void test_every_flipped_bit(void **state)
{
    (void)state;
    struct tiny_model m = tiny_model();
    struct tiny_file f;
    int n_open = 0;
    tiny_write(&m, &f);
    for (size_t bit = 0; bit < 8 * f.n; bit++) {
        struct tess_model *model;
        struct tess_why why = {""};
        f.bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        if (open_bytes(&model, f.bytes, f.n, &why)) {
            assert_true(*why.text);
        } else {
            run(model);
            tess_model_close(model);
            n_open++;
        }
        f.bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    assert_true(n_open > 0);
}

/* ---- memory ------------------------------------------------------------------------------------ */

static void test_out_of_memory(void **state)
{
    (void)state;
    struct purse purse = {0};
    const struct tess_allocator allocator = {take, put, &purse};
    struct tess_model_options options = {.size = sizeof options, .allocator = &allocator};
    struct tess_worker_options threads = {.size = sizeof threads, .threads = 3, .max_streams = 2};
    struct tiny_model m = tiny_model();
    struct tiny_file f;
    struct tess_model *model = NULL;
    struct tess_why why;
    int err = TESS_E_NOMEM;
    tiny_write(&m, &f);
    for (int n = 0; err; n++) {
        purse.left = n;
        why.text[0] = 0;
        err = tess_model_open_memory(&model, f.bytes, f.n, &options, &why);
        if (!err) break;
        assert_int_equal(err, TESS_E_NOMEM);
        assert_true(*why.text);
        assert_null(model);
        assert_int_equal(purse.held, 0);
    }
    const int of_model = purse.held;
    assert_true(of_model > m.n_tensors / 2);

    struct tess_worker *worker = NULL;
    err = TESS_E_NOMEM;
    for (int n = 0; err; n++) {
        purse.left = n;
        err = tess_worker_create(&worker, model, &threads);
        if (!err) break;
        assert_int_equal(err, TESS_E_NOMEM);
        assert_null(worker);
        assert_int_equal(purse.held, of_model);
    }
    const int of_worker = purse.held - of_model;
    assert_true(of_worker > 0);

    struct tess_encoder *encoder;
    struct tess_decoder *decoder;
    purse.left = 0;
    assert_int_equal(tess_encoder_create(&encoder, model, NULL), TESS_E_NOMEM);
    assert_int_equal(tess_decoder_create(&decoder, model, NULL), TESS_E_NOMEM);
    assert_true(!encoder && !decoder);
    tess_worker_destroy(worker);
    assert_int_equal(purse.held, of_model);
    tess_model_close(model);
    assert_int_equal(purse.held, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shipped),
        cmocka_unit_test(test_tiny),
        cmocka_unit_test(test_long_tail),
        cmocka_unit_test(test_kernels),
        cmocka_unit_test(test_opened_for_one_direction),
        cmocka_unit_test(test_wrong_tensors),
        cmocka_unit_test(test_values_that_are_not_finite),
        cmocka_unit_test(test_wrong_config),
        cmocka_unit_test(test_wrong_metadata),
        cmocka_unit_test(test_options_of_another_size),
        cmocka_unit_test(test_every_prefix),
        cmocka_unit_test(test_every_flipped_bit),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
