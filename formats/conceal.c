/* Lost frames in, frames to decode in their place and gains for their sound out: what is repeated falls
 * in a straight line to nothing, what comes after it rises again. */
#include "conceal.h"

#include <string.h>

size_t fmt_conceal_frames(const struct fmt_conceal *c, size_t n_lost, uint16_t *codes)
{
    const size_t K = (size_t)c->codebooks;
    const size_t left = c->have_last ? FMT_CONCEALED_FRAMES - c->n_lost : 0;
    const size_t n = n_lost < left ? n_lost : left;
    for (size_t i = 0; i < n; i++)
        memcpy(codes + i * K, c->last, K * sizeof *codes);
    return n;
}

/* The gain goes in a straight line to `to` over the first `n` samples and stays there. */
static void fade(struct fmt_conceal *c, float *pcm, size_t n_samples, float to, size_t n)
{
    const size_t channels = (size_t)c->channels;
    const float step = n > 0 ? (to - c->gain) / (float)n : 0;
    for (size_t t = 0; t < n_samples; t++) {
        c->gain = t < n ? c->gain + step : to;
        for (size_t i = 0; i < channels; i++)
            pcm[t * channels + i] *= c->gain;
    }
    if (n_samples > 0) c->gain = to;
}

void fmt_conceal_lost(
    struct fmt_conceal *c, size_t n_lost, size_t n_frames, float *pcm, size_t n_samples)
{
    c->n_lost += n_frames;
    fade(c, pcm, n_samples, 1 - (float)c->n_lost / FMT_CONCEALED_FRAMES, n_samples);
    if (n_lost > n_frames) c->gain = 0;
}

void fmt_conceal_came(
    struct fmt_conceal *c, const uint16_t *codes, size_t n_frames, float *pcm, size_t n_samples)
{
    const size_t K = (size_t)c->codebooks, hop = (size_t)c->hop;
    if (n_frames == 0) { /* the end gives what was held back, of lost frames it may be */
        const float lower = c->gain - (float)n_samples / (float)(hop * FMT_CONCEALED_FRAMES);
        if (c->gain < 1) fade(c, pcm, n_samples, lower > 0 ? lower : 0, n_samples);
        return;
    }
    memcpy(c->last, codes + (n_frames - 1) * K, K * sizeof *codes);
    c->have_last = true;
    c->n_lost = 0;
    if (c->gain < 1) fade(c, pcm, n_samples, 1, hop < n_samples ? hop : n_samples);
}
