/* Samples in from a callback, the same samples out to a thread. The callback itself fills a gap, as
 * soon as there is room, so the ring alone keeps the order. Whole samples of all channels only. */
#include "intake.h"

enum { SILENCE = 256 };

int cli_intake_create(struct cli_intake *in, size_t channels, size_t capacity)
{
    *in = (struct cli_intake){.channels = channels, .capacity = capacity};
    return tess_ring_create(&in->ring, capacity * channels, NULL);
}

void cli_intake_destroy(struct cli_intake *in)
{
    tess_ring_destroy(in->ring);
    in->ring = NULL;
}

static size_t room(const struct cli_intake *in)
{
    return in->capacity - cli_intake_fill(in);
}

static void fill_gap(struct cli_intake *in)
{
    static const float silence[SILENCE];
    const size_t most = SILENCE / in->channels;
    size_t n = in->gap < room(in) ? in->gap : room(in);
    in->gap -= n;
    for (size_t some; n > 0; n -= some) {
        some = n < most ? n : most;
        tess_ring_write(in->ring, silence, some * in->channels);
    }
}

void cli_intake_take(struct cli_intake *in, const float *pcm, size_t n, bool skipped, long long now)
{
    if (skipped) atomic_fetch_add(&in->n_skips, 1);
    fill_gap(in);
    if (in->gap == 0 && room(in) >= n) {
        tess_ring_write(in->ring, pcm, n * in->channels);
    } else {
        in->gap += n;
        atomic_fetch_add(&in->n_lost, n);
    }
    atomic_fetch_add(&in->n_heard, n);
    atomic_store(&in->newest, now);
}

size_t cli_intake_read(struct cli_intake *in, float *pcm, size_t n)
{
    return tess_ring_read(in->ring, pcm, n * in->channels) / in->channels;
}

size_t cli_intake_fill(const struct cli_intake *in)
{
    return tess_ring_fill(in->ring) / in->channels;
}
