/* Samples in from a thread, to a callback out. How many lie here just before the next ones come says
 * which clock is faster; the least of a second tells it whatever the sizes of the pieces. */
#include "playout.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SLIPS_A_SECOND = 200 }; /* a slip is 5 ms: a pitch period of the lowest voices, roughly */

static const float quiet =
    0.125f; /* of the loudest of late: between words, in a noisy room as well */
static const float fading = 0.9f; /* of what was loud, in a second */

int cli_playout_create(struct cli_playout *out, size_t channels, size_t rate, size_t cushion)
{
    *out = (struct cli_playout){.channels = channels, .rate = rate, .capacity = rate};
    out->floor = SIZE_MAX;
    atomic_init(&out->cushion, cushion);
    out->piece = malloc(sizeof *out->piece * (rate / SLIPS_A_SECOND + 1) * channels);
    return out->piece ? tess_ring_create(&out->ring, rate * channels, NULL) : TESS_E_NOMEM;
}

void cli_playout_destroy(struct cli_playout *out)
{
    tess_ring_destroy(out->ring);
    free(out->piece);
    out->ring = NULL;
    out->piece = NULL;
}

size_t cli_playout_fill(const struct cli_playout *out)
{
    return tess_ring_fill(out->ring) / out->channels;
}

void cli_playout_give(struct cli_playout *out, float *pcm, size_t n)
{
    const size_t cushion = atomic_load(&out->cushion), fill = cli_playout_fill(out);
    const bool ended = atomic_load(&out->ended);
    const bool playing = atomic_load(&out->playing) || ended || fill >= n + 2 * cushion;
    atomic_store(&out->asked, n);

    size_t got = playing ? tess_ring_read(out->ring, pcm, n * out->channels) : 0;
    const bool underflow = playing && got < n * out->channels && !ended;
    memset(pcm + got, 0, sizeof *pcm * (n * out->channels - got));
    if (underflow) {
        atomic_fetch_add(&out->n_underflows, 1);
        if (cushion < out->rate / 5) atomic_store(&out->cushion, cushion + cushion / 2 + 1);
    }
    atomic_store(&out->playing, playing && !underflow);
}

size_t cli_playout_write(struct cli_playout *out, const float *pcm, size_t n)
{
    const size_t room = out->capacity - cli_playout_fill(out);
    if (n > room) n = room;
    return tess_ring_write(out->ring, pcm, n * out->channels) / out->channels;
}

/* `from` fading out while `to` fades in, both [n][channels], into out->piece. */
static const float *fade(struct cli_playout *out, const float *from, const float *to, size_t n)
{
    for (size_t i = 0; i < n * out->channels; i++) {
        const float part = (float)(i / out->channels + 1) / (float)(n + 1);
        out->piece[i] = from[i] + part * (to[i] - from[i]);
    }
    return out->piece;
}

static bool is_quiet(struct cli_playout *out, const float *pcm, size_t n)
{
    float peak = 0;
    for (size_t i = 0; i < n * out->channels; i++)
        peak = fmaxf(peak, fabsf(pcm[i]));
    out->loud = fmaxf(peak, out->loud * (1 - (1 - fading) * (float)n / (float)out->rate));
    return peak < quiet * out->loud;
}

static void write_all(struct cli_playout *out, const float *pcm, size_t n)
{
    out->n_dropped += n - cli_playout_write(out, pcm, n);
}

/* Writes the first samples of pcm so that they last longer or shorter; returns how many those were. */
static size_t slip(struct cli_playout *out, const float *pcm, size_t n)
{
    const size_t longest = out->rate / SLIPS_A_SECOND, s = n / 2 < longest ? n / 2 : longest;
    const float *next = pcm + s * out->channels;
    if (out->due < 0) {
        write_all(out, fade(out, pcm, next, s), s);
        out->n_cut += s;
        out->due += (ptrdiff_t)s;
        return 2 * s;
    }
    write_all(out, pcm, s);
    write_all(out, fade(out, next, pcm, s), s);
    out->n_repeated += s;
    out->due -= (ptrdiff_t)s;
    return s;
}

static void look_anew(struct cli_playout *out, ptrdiff_t due)
{
    const ptrdiff_t one = (ptrdiff_t)(out->rate / SLIPS_A_SECOND);
    out->due = due > one || due < -one ? due : 0;
    out->floor = SIZE_MAX;
    out->since = 0;
}

void cli_playout_put(struct cli_playout *out, const float *pcm, size_t n)
{
    const size_t fill = cli_playout_fill(out), cushion = atomic_load(&out->cushion);
    const bool calm = is_quiet(out, pcm, n), playing = atomic_load(&out->playing);
    size_t done = 0;
    if (!playing && fill > atomic_load(&out->asked) + 2 * cushion) {
        out->n_cut += n; /* enough to start with: more would only be late */
        return;
    }
    if (!playing)
        look_anew(out, 0);
    else if (fill < out->floor)
        out->floor = fill;
    if (out->due && (calm || out->since >= out->rate)) {
        done = slip(out, pcm, n);
        look_anew(out, out->due);
    }
    write_all(out, pcm + done * out->channels, n - done);
    out->since += n;
    if (!out->due && out->since >= out->rate)
        look_anew(out, (ptrdiff_t)cushion - (ptrdiff_t)out->floor);
}
