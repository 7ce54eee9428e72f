/* One caller's scratch: slots for a batch of frames, the batch's lists, the threads. */
#ifndef TESS_WORKER_H
#define TESS_WORKER_H

#include "src/stream.h"

/* Frames that run at once, over all streams of a call: so many that packed weights are read often
 * from the first-level cache, so few that activations stay in the second-level one. */
enum { TESS_BATCH_FRAMES = 96 };

struct tess_worker {
    const struct tess_model *model;
    struct tess_team *team;
    int max_streams;
    int profile;
    struct tess_profile times;
    struct tess_batch batch;
    int *start;          /* [max_streams + 1], the batch's */
    float **states;      /* [max_streams], the batch's */
    int *jobs;           /* [max_streams] the job that each of the batch's streams is */
    int64_t *done;       /* [max_streams] frames that each job has behind it in this call */
    int64_t *total;      /* [max_streams] frames that each job gives or takes in this call */
    float *scratch[TESS_MAX_THREADS];
    struct tess_allocator allocator;
};

/** Fills the batch with the next frames of the jobs that have any left, at most
 *  TESS_BATCH_FRAMES. stream_of(jobs, j) is job j's stream. Returns the number of frames. */
int tess_worker_next(struct tess_worker *worker,
                     struct tess_stream *(*stream_of)(void *jobs, int j),
                     void *jobs,
                     int n_jobs,
                     enum tess_direction direction);

/** Seconds since some start if the worker is profiling, else 0. */
double tess_worker_clock(const struct tess_worker *worker);

#endif
