/* Samples to an audio callback, through a cushion that keeps two clocks together: where it has grown or
 * shrunk for a second, samples are cut out or repeated, faded into each other, 5 ms at a time: at quiet
 * places, or one a second where there are none. Otherwise the samples pass unchanged. After an
 * underflow the callback waits for a larger cushion. */
#ifndef CLI_PLAYOUT_H
#define CLI_PLAYOUT_H

#include "src/tessera.h"

#include <stdatomic.h>
#include <stdbool.h>

struct cli_playout { /* counts are of samples per channel */
    struct tess_ring *ring;
    size_t channels, rate, capacity;
    atomic_bool playing;        /* not while the cushion is being filled */
    atomic_size_t asked;        /* that the callback wants at a time */
    atomic_size_t cushion;      /* that shall lie here when the next ones come */
    atomic_size_t n_underflows; /* times that the callback found too few */
    atomic_bool ended;          /* no more will come: an empty ring is the end */
    float *piece;               /* the writer's, as what follows */
    float loud;                 /* greatest value of late */
    size_t floor, since;        /* fewest that lay here, in how many played */
    ptrdiff_t due;              /* to be repeated, or, below 0, to be cut out */
    size_t n_repeated, n_cut;
    size_t n_dropped; /* there was no room */
};

/** At `rate`, with room for a second, `cushion` samples to begin with. Returns 0 or TESS_E_NOMEM. */
int cli_playout_create(struct cli_playout *out, size_t channels, size_t rate, size_t cushion);

/** Once the callback is not called any more. */
void cli_playout_destroy(struct cli_playout *out);

/** The callback's: fills pcm [n][channels], with silence where there is nothing. Never waits. */
void cli_playout_give(struct cli_playout *out, float *pcm, size_t n);

/** The other thread's, of sound that comes by another clock: takes all of pcm [n][channels]. */
void cli_playout_put(struct cli_playout *out, const float *pcm, size_t n);

/** The other thread's, of sound that can wait: takes up to n samples as they are. Returns how many. */
size_t cli_playout_write(struct cli_playout *out, const float *pcm, size_t n);

/** Samples that wait to be played. Either thread, cannot fail. */
size_t cli_playout_fill(const struct cli_playout *out);

#endif
