/* Samples from an audio callback to the thread that encodes them. What does not fit becomes silence of
 * the same length, in its place, and is counted: what follows a gap stands where it was spoken. */
#ifndef CLI_INTAKE_H
#define CLI_INTAKE_H

#include "src/tessera.h"

#include <stdatomic.h>
#include <stdbool.h>

struct cli_intake { /* counts are of samples per channel */
    struct tess_ring *ring;
    size_t channels, capacity;
    size_t gap;            /* the callback's: lost, and not yet in the ring as silence */
    atomic_size_t n_heard; /* that have come, lost ones included */
    atomic_size_t n_lost;  /* silence stands for these */
    atomic_size_t n_skips; /* times that the device itself lost samples, nobody knows how many */
    atomic_llong newest;   /* when the last ones came, ns of the monotonic clock; 0: none did */
};

/** For `capacity` samples of `channels`. Returns 0 or TESS_E_NOMEM. */
int cli_intake_create(struct cli_intake *in, size_t channels, size_t capacity);

/** Once the callback is not called any more. */
void cli_intake_destroy(struct cli_intake *in);

/** The callback's: takes pcm [n][channels], come at time `now`; `skipped`: the device lost some
 *  before them. Never waits. */
void cli_intake_take(
    struct cli_intake *in, const float *pcm, size_t n, bool skipped, long long now);

/** The other thread's: up to n samples to pcm [n][channels]. Returns how many. Never waits. */
size_t cli_intake_read(struct cli_intake *in, float *pcm, size_t n);

/** Samples that wait to be read. Either thread, cannot fail. */
size_t cli_intake_fill(const struct cli_intake *in);

#endif
