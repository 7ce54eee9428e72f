/* Any bytes as codes: a decoder takes those that are in range, refuses the others whole, and what it
 * gives is finite and as long as the frames are, however they were pushed. The first byte says how
 * many frames a push has and which codebooks are kept. */
#include "tests/tiny_model.h"

#include <math.h>

enum { MAX_FRAMES = 512 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static void check(int holds)
{
    if (!holds) abort();
}

static const struct tess_model *model(void)
{
    static struct tess_model *opened;
    if (opened) return opened;
    struct tiny_model m = tiny_model();
    struct tiny_file f;
    tiny_write(&m, &f);
    check(tess_model_open_memory(&opened, f.bytes, f.n, NULL, NULL) == 0);
    return opened;
}

/* Two bytes a code, most of them in range. */
static size_t read_codes(const uint8_t *bytes, size_t n_bytes, uint16_t *codes, size_t most)
{
    size_t n = n_bytes / 2 < most ? n_bytes / 2 : most;
    for (size_t i = 0; i < n; i++)
        codes[i] = (uint16_t)(bytes[2 * i] % TINY_ENTRIES | (bytes[2 * i + 1] == 0xFF) << 15);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    static uint16_t codes[MAX_FRAMES * TINY_CODEBOOKS];
    static float pcm[MAX_FRAMES * TINY_HOP];
    if (n_bytes < 1) return 0;
    const size_t k = bytes[0] & 1 ? 2 : 4, step = (size_t)(bytes[0] >> 1) + 1;
    const size_t n_frames = read_codes(bytes + 1, n_bytes - 1, codes, MAX_FRAMES * k) / k;
    const struct tess_stream_options options = {.size = sizeof options, .codebooks = (int)k};
    struct tess_worker *worker;
    struct tess_decoder *decoder;
    check(tess_worker_create(&worker, model(), NULL) == 0);
    check(tess_decoder_create(&decoder, model(), &options) == 0);

    size_t taken = 0, n = 0;
    for (size_t t = 0; t < n_frames; t += step) {
        size_t frames = n_frames - t < step ? n_frames - t : step;
        int in_range = 1;
        for (size_t i = t * k; i < (t + frames) * k; i++)
            in_range &= codes[i] < TINY_ENTRIES;
        int64_t got = tess_decoder_push(worker, decoder, codes + t * k, frames, pcm + n,
                                        MAX_FRAMES * TINY_HOP - n);
        check(in_range ? got >= 0 : got == TESS_E_CODE);
        if (!in_range) continue;
        n += (size_t)got;
        taken += frames;
    }
    int64_t rest = tess_decoder_flush(worker, decoder, pcm + n, MAX_FRAMES * TINY_HOP - n);
    check(rest >= 0 && n + (size_t)rest == taken * TINY_HOP);
    for (size_t i = 0; i < taken * TINY_HOP; i++)
        check(isfinite(pcm[i]));
    tess_decoder_destroy(decoder, model());
    tess_worker_destroy(worker);
    return 0;
}
