/* One caller's scratch: slots for a batch of frames, the batch's lists, the threads. */
#ifndef TESS_WORKER_H
#define TESS_WORKER_H

#include "src/stream.h"

/* Frames that run at once, over all streams of a call: so many that packed weights are read often
 * from the first-level cache, so few that activations stay in the second-level one. Where a frame is
 * long, fewer: those of as many samples. */
enum { TESS_BATCH_FRAMES = 96, TESS_BATCH_SAMPLES = 96 * 320 };

struct tess_worker {
    const struct tess_model *model;
    struct tess_team *team;
    int max_streams;
    int batch_frames; /* TESS_BATCH_FRAMES at most */
    int profile;
    struct tess_profile times;
    struct tess_batch batch;
    int64_t slot_frames; /* that the slots hold */
    /* the batch's lists: rows at each point of the network, states, which streams end */
    int **start;
    float **states;
    unsigned char *last;
    int *option;
    float *clip_state; /* of the segment that runs: it is not carried on */
    /* [max_streams] of the current call */
    int *jobs;                      /* the job that each of the batch's streams is */
    struct tess_progress *progress; /* of each job */
    float *scratch[TESS_MAX_THREADS];
    struct tess_allocator allocator;
};

/* How far a job of the current call is. Rows are of the network's input: samples or frames. */
struct tess_progress {
    int64_t done, total; /* input rows */
    int ends;            /* the stream's end is still to be run */
};

/** Fills the batch (start[0], states, last) with the next rows of the jobs that have any left or
 *  are to end, at most batch_frames frames of rows_a_frame rows in all, and lays it out. Where
 *  the network needs whole clips, all rows of one job are the batch.
 *  stream_of(jobs, j) is job j's stream. Marks them as done. Returns the number of streams. */
int tess_worker_next(struct tess_worker *worker,
                     const struct tess_graph *graph,
                     int rows_a_frame,
                     struct tess_stream *(*stream_of)(void *jobs, int j),
                     void *jobs,
                     int n_jobs);

/** Makes the slots large enough for n_frames frames at once, if they are not: after a NOMEM too,
 *  which loses what they held. Errors: NOMEM. */
int tess_worker_reserve(struct tess_worker *worker, int64_t n_frames);

/** Checks and reserves for a network that needs the whole clip: a stream's only call, of n_samples,
 *  n_frames frames. Errors: UNSUPPORTED (not the whole), ARGUMENT (above max_samples), NOMEM. */
int tess_worker_reserve_clip(struct tess_worker *worker,
                             const struct tess_stream *stream,
                             int end,
                             int64_t n_samples,
                             int64_t n_frames);

/** Makes a clip of n_rows input rows, from its start to its end, the batch: of a stream of job j's that
 *  is cut into segments. Slot 0 is still to be filled. */
void tess_worker_take_clip(struct tess_worker *worker,
                           const struct tess_graph *graph,
                           const struct tess_stream *stream,
                           int j,
                           int n_rows);

/** Seconds since some start if the worker is profiling, else 0. */
double tess_worker_clock(const struct tess_worker *worker);

#endif
