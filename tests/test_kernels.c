/* One definition, several sets of kernels: codes and audio of the minute of speech have the same bits
 * on each, and the hashes written in tests/data/pinned-ARITHMETIC.txt, on this CPU as on the one that
 * wrote them. After a change of a shipped model:
 *     [TESSERA_TEST_MODEL=FILE] build/bin/test_kernels --write tests/data/pinned-ARITHMETIC.txt
 * With --nightly the definition, which is slow, decodes all of it too, and a thousand clips, not five. */
#include "tests/check.h"
#include "tests/codec.h"
#include "tests/random.h"

#include <sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_KERNELS = 4,
    HEX = SHA256_DIGEST_STRING_LENGTH,
    N_CLIPS = 1000,
    N_FEW_CLIPS = 5,
    MIN_CLIP = 7200,
    MAX_CLIP = 24000
};

static int nightly;
static int n_kernels;
static struct codec codecs[MAX_KERNELS]; /* in the order of tess_kernel_name: 0 is the definition */
static size_t hop, k;
static size_t n; /* samples of the minute */
static size_t n_frames;
static float *speech; /* [n] */

/* The minute on the fastest kernels. */
static uint16_t *codes; /* [n_frames][k] */
static float *audio;    /* [n_frames * hop] */

static int set_up(void **state)
{
    (void)state;
    for (; tess_kernel_name(n_kernels); n_kernels++) {
        assert_true(n_kernels < MAX_KERNELS);
        codecs[n_kernels] = codec_open(tess_kernel_name(n_kernels), 2, 1);
    }
    const struct codec *fastest = &codecs[n_kernels - 1];
    hop = (size_t)fastest->info.hop;
    k = (size_t)fastest->info.codebooks;
    speech = read_speech(&n);
    n_frames = codec_frames(fastest, n);
    codes = zeros(n_frames * k, sizeof *codes);
    audio = zeros(n_frames * hop, sizeof *audio);
    codec_encode(fastest, NULL, speech, n, (int)k, codes);
    codec_decode(fastest, NULL, codes, n_frames, (int)k, audio);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(speech);
    free(codes);
    free(audio);
    for (int i = 0; i < n_kernels; i++)
        codec_close(&codecs[i]);
    return 0;
}

/* ---- hashes ------------------------------------------------------------------------------ */

/* SHA-256 of integers as little-endian bytes of `width` each, as text. */
static void hash(const void *values, size_t count, size_t width, char hex[HEX])
{
    uint8_t *bytes = zeros(count, width);
    const uint8_t *from = values;
    const union {
        uint16_t value;
        uint8_t bytes[2];
    } order = {1};
    for (size_t i = 0; i < count; i++)
        for (size_t b = 0; b < width; b++)
            bytes[i * width + b] = from[i * width + (order.bytes[0] ? b : width - 1 - b)];
    SHA256Data(bytes, count * width, hex);
    free(bytes);
}

struct hashes {
    char model[HEX], codes[HEX], audio[HEX];
};

static struct hashes hash_minute(void)
{
    struct hashes h;
    for (int i = 0; i < 32; i++)
        snprintf(h.model + 2 * i, 3, "%02x", (unsigned)codecs[0].info.sha256[i]);
    hash(codes, n_frames * k, sizeof *codes, h.codes);
    hash(audio, n_frames * hop, sizeof *audio, h.audio);
    return h;
}

static int write_hashes(const char *path)
{
    set_up(NULL);
    const struct hashes h = hash_minute();
    FILE *file = fopen(path, "w");
    int failed = !file || fprintf(file,
                                  "# SHA-256 of the model file, and of the codes (16-bit) and the "
                                  "audio (32-bit floats),\n# little-endian, that it makes of "
                                  "speech.flac. Written by: test_kernels --write FILE\n"
                                  "model %s\ncodes %s\naudio %s\n",
                                  h.model, h.codes, h.audio) < 0;
    if (file && fclose(file)) failed = 1;
    if (failed) perror(path);
    tear_down(NULL);
    return failed;
}

static void the_minute_has_the_pinned_hashes(void **state)
{
    (void)state;
    const struct hashes h = hash_minute();
    struct hashes pinned;
    char path[64];
    snprintf(path, sizeof path, "tests/data/pinned-%s.txt", codecs[0].info.arithmetic);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "#%*[^\n] #%*[^\n] model %64s codes %64s audio %64s",
                            pinned.model, pinned.codes, pinned.audio),
                     3);
    fclose(file);
    if (strcmp(h.model, pinned.model)) fail_msg("%s is of another model: write it anew", path);
    assert_string_equal(h.codes, pinned.codes);
    assert_string_equal(h.audio, pinned.audio);
}

/* ---- kernel against kernel --------------------------------------------------------------- */

static void every_kernel_gives_the_same_codes(void **state)
{
    (void)state;
    uint16_t *out = zeros(n_frames * k, sizeof *out);
    for (int i = 0; i < n_kernels - 1; i++) {
        codec_encode(&codecs[i], NULL, speech, n, (int)k, out);
        assert_memory_equal(out, codes, n_frames * k * sizeof *out);
    }
    free(out);
}

/* The decoder is causal: the audio of the first codes is the first audio, but for the tail. */
static void every_kernel_gives_the_same_audio(void **state)
{
    (void)state;
    const size_t ten_seconds = (size_t)codecs[0].info.sample_rate * 10 / hop;
    float *out = zeros(n_frames * hop, sizeof *out);
    for (int i = 0; i < n_kernels - 1; i++) {
        const size_t frames = i == 0 && !nightly ? ten_seconds : n_frames;
        codec_decode(&codecs[i], NULL, codes, frames, (int)k, out);
        const size_t tail = frames < n_frames ? (size_t)codecs[i].info.decode_delay : 0;
        assert_memory_equal(out, audio, (frames * hop - tail) * sizeof *out);
    }
    free(out);
}

/* Two voices of the minute, each with a loudness of its own. */
static size_t make_clip(uint64_t *seed, float *clip)
{
    const size_t length = MIN_CLIP + (size_t)random_below(seed, MAX_CLIP - MIN_CLIP + 1);
    const float *one = speech + random_below(seed, (int)(n - length));
    const float *other = speech + random_below(seed, (int)(n - length));
    const float gain = 4.0f * random_float(seed), other_gain = random_float(seed);
    for (size_t i = 0; i < length; i++)
        clip[i] = gain * one[i] + other_gain * other[i];
    return length;
}

static void every_kernel_gives_the_same_of_any_clip(void **state)
{
    (void)state;
    uint64_t seed = 1;
    const size_t max_frames = codec_frames(&codecs[0], MAX_CLIP);
    const size_t n_codes = max_frames * k, n_audio = max_frames * hop;
    float *clip = zeros(MAX_CLIP, sizeof *clip);
    uint16_t *want = zeros(n_codes, sizeof *want), *got = zeros(n_codes, sizeof *got);
    float *sound = zeros(n_audio, sizeof *sound), *heard = zeros(n_audio, sizeof *heard);
    for (int c = 0; c < (nightly ? N_CLIPS : N_FEW_CLIPS); c++) {
        const size_t length = make_clip(&seed, clip), frames = codec_frames(&codecs[0], length);
        codec_encode(&codecs[0], NULL, clip, length, (int)k, want);
        codec_decode(&codecs[0], NULL, want, frames, (int)k, sound);
        for (int i = 1; i < n_kernels; i++) {
            codec_encode(&codecs[i], NULL, clip, length, (int)k, got);
            assert_memory_equal(got, want, frames * k * sizeof *got);
            codec_decode(&codecs[i], NULL, want, frames, (int)k, heard);
            assert_memory_equal(heard, sound, frames * hop * sizeof *heard);
        }
    }
    free(clip);
    free(want);
    free(got);
    free(sound);
    free(heard);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_minute_has_the_pinned_hashes),
        cmocka_unit_test(every_kernel_gives_the_same_codes),
        cmocka_unit_test(every_kernel_gives_the_same_audio),
        cmocka_unit_test(every_kernel_gives_the_same_of_any_clip),
    };
    if (argc == 3 && !strcmp(argv[1], "--write")) return write_hashes(argv[2]);
    nightly = argc > 1 && !strcmp(argv[1], "--nightly");
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
