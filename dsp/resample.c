/* Samples at one rate in, samples at another out: libsoxr (double inside, linear phase), with the
 * lengths made exact.
 *
 * soxr computes in blocks and lets samples out in bursts; it takes its own delay off, so sample m
 * of the output stands for the time of input m * rate_in / rate_out, and is let out only when the
 * input around that time is there. A push hands out what is ready, but at most its share
 * ceil(n_in * rate_out / rate_in), and leaves the rest in soxr for later pushes. So the bound needs
 * no knowledge of soxr, a live stream gets a steady flow, and nothing comes later than it would
 * otherwise: a burst held back is what covers the wait for the next one.
 *
 * Always holds: n_out <= ceil(n_in * rate_out / rate_in), and equal after the flush, which feeds
 * zeros until that many are out. soxr's own flush is not used: it rounds the count to nearest.
 *
 * Two limits. soxr takes its memory from malloc. And it has an AVX engine and a plain one, which may
 * round differently in double: docs/architecture.md says how rarely a float differs. No call chooses
 * the engine, only the environment (SOXR_USE_SIMD64=0: the plain one, at half the speed). */
#include "src/base.h"

#include <limits.h>
#include <soxr.h>
#include <string.h>

/* PRECISION is in bits: 126 dB, where 16-bit samples have 98. With one more a live stream at 8 or 16 kHz
 * waits twice as long, with one less soxr computes in float. */
enum {
    MAX_RATE = 768000,
    MAX_RATIO = 4096, /* where soxr still ends within its input's time */
    MAX_CHANNELS = 64,
    PRECISION = 21,
    LOG2_DFT = 8,  /* soxr's shortest transforms, whose blocks are what a live stream waits for */
    BLOCK = 1024,  /* samples per channel fed at once */
    SILENCE = 4096 /* zeros fed at once, over all channels */
};

struct tess_resampler {
    struct tess_allocator allocator;
    soxr_t soxr; /* NULL where the rates are equal */
    int64_t rate_in, rate_out;
    size_t channels;
    int64_t n_in, n_out; /* samples per channel so far */
    int ended;
};

static const float silence[SILENCE];

/* ceil(n * rate_out / rate_in) without an overflow in between. */
static int64_t resampled(const struct tess_resampler *r, int64_t n)
{
    const int64_t whole = n / r->rate_in, rest = n % r->rate_in;
    return whole * r->rate_out + (rest * r->rate_out + r->rate_in - 1) / r->rate_in;
}

/* Samples per channel still to come for the input so far. */
static size_t due(const struct tess_resampler *r)
{
    return (size_t)(resampled(r, r->n_in) - r->n_out);
}

static soxr_t make_soxr(int rate_in, int rate_out, int channels)
{
    const soxr_io_spec_t io = soxr_io_spec(SOXR_FLOAT32_I, SOXR_FLOAT32_I);
    soxr_quality_spec_t quality = soxr_quality_spec(SOXR_VHQ, 0);
    soxr_runtime_spec_t runtime = soxr_runtime_spec(1);
    quality.precision = PRECISION;
    runtime.log2_min_dft_size = runtime.log2_large_dft_size = LOG2_DFT;
    return soxr_create(rate_in, rate_out, (unsigned)channels, NULL, &io, &quality, &runtime);
}

int tess_resampler_create(struct tess_resampler **resampler,
                          int rate_in,
                          int rate_out,
                          int channels,
                          const struct tess_allocator *allocator)
{
    *resampler = NULL;
    if (rate_in < 1 || rate_in > MAX_RATE || rate_out < 1 || rate_out > MAX_RATE || channels < 1 ||
        channels > MAX_CHANNELS || rate_in > MAX_RATIO * (int64_t)rate_out ||
        rate_out > MAX_RATIO * (int64_t)rate_in)
        return TESS_E_ARGUMENT;

    struct tess_allocator a = tess_base_allocator(allocator);
    struct tess_resampler *r = tess_base_alloc(&a, sizeof *r);
    if (!r) return TESS_E_NOMEM;
    r->allocator = a;
    r->rate_in = rate_in;
    r->rate_out = rate_out;
    r->channels = (size_t)channels;
    if (rate_in != rate_out) {
        r->soxr = make_soxr(rate_in, rate_out, channels);
        if (!r->soxr) {
            tess_resampler_destroy(r);
            return TESS_E_NOMEM;
        }
    }
    *resampler = r;
    return TESS_OK;
}

void tess_resampler_destroy(struct tess_resampler *resampler)
{
    if (!resampler) return;
    soxr_delete(resampler->soxr);
    struct tess_allocator a = resampler->allocator;
    tess_base_free(&a, resampler);
}

void tess_resampler_reset(struct tess_resampler *resampler)
{
    soxr_clear(resampler->soxr); /* if memory fails here, soxr says so at the next push */
    resampler->n_in = resampler->n_out = 0;
    resampler->ended = 0;
}

size_t tess_resampler_bound(const struct tess_resampler *resampler, size_t n_in)
{
    return (size_t)resampled(resampler, (int64_t)n_in);
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Feeds n samples and takes up to `room` out. soxr counts in int. It takes all n because it is
 * given no place to say that it took fewer. */
static int64_t feed(struct tess_resampler *r, const float *in, size_t n, float *out, size_t room)
{
    size_t done = 0;
    if (soxr_process(r->soxr, in, n, NULL, out, smaller(room, INT_MAX), &done)) return TESS_E_NOMEM;
    return (int64_t)done;
}

/* A push through soxr, in blocks: its queues stay small however much is pushed. */
static int64_t
convert(struct tess_resampler *r, const float *in, size_t n_in, float *out, size_t room)
{
    size_t n_out = 0;
    for (size_t fed = 0; fed < n_in;) {
        const size_t n = smaller(n_in - fed, BLOCK);
        int64_t got = feed(r, in + fed * r->channels, n, out + n_out * r->channels, room - n_out);
        if (got < 0) return got;
        fed += n;
        n_out += (size_t)got;
    }
    return (int64_t)n_out;
}

int64_t tess_resampler_push(
    struct tess_resampler *resampler, const float *in, size_t n_in, float *out, size_t capacity)
{
    struct tess_resampler *r = resampler;
    const size_t share = tess_resampler_bound(r, n_in);
    if (r->ended) return TESS_E_ENDED;
    if (capacity < share) return TESS_E_SPACE;
    if (n_in == 0) return 0;

    r->n_in += (int64_t)n_in;
    int64_t n_out = (int64_t)n_in;
    if (r->soxr)
        n_out = convert(r, in, n_in, out, smaller(share, due(r)));
    else
        memcpy(out, in, n_in * r->channels * sizeof *out);
    if (n_out > 0) r->n_out += n_out;
    return n_out;
}

int64_t tess_resampler_flush(struct tess_resampler *resampler, float *out, size_t capacity)
{
    struct tess_resampler *r = resampler;
    const size_t room = smaller(due(r), capacity);
    r->ended = 1;
    if (due(r) > 0 && capacity == 0) return TESS_E_SPACE;

    size_t n_out = 0;
    size_t n_zeros = 0; /* first what is ready: many small calls must not fill soxr's queues */
    while (n_out < room) {
        int64_t got = feed(r, silence, n_zeros, out + n_out * r->channels, room - n_out);
        if (got < 0) return got;
        n_out += (size_t)got;
        n_zeros = SILENCE / r->channels;
    }
    r->n_out += (int64_t)n_out;
    return (int64_t)n_out;
}
