/* Recordings that are cut into segments, each coded as a clip by itself: struct tess_model_info's
 * `segment`. What encoder.c, decoder.c and stream.c ask here for such a model, and the parts of
 * their calls that this borrows. */
#ifndef TESS_SEGMENTS_H
#define TESS_SEGMENTS_H

#include "src/worker.h"

/** Whether recordings can be cut as the blueprint says. Errors: MODEL. */
int tess_segments_check(const struct tess_blueprint *blueprint, struct tess_why *why);

/** Floats of what waits in a stream. */
int tess_segments_floats(const struct tess_model *model, enum tess_direction direction);

/** tess_encoder_frames, tess_encoder_bound, tess_decoder_samples and tess_model_samples. */
int64_t tess_segments_frames(const struct tess_stream *encoder, size_t n_samples);
int64_t tess_segments_most_frames(const struct tess_model_info *info, size_t n_samples);
int64_t tess_segments_samples(const struct tess_stream *decoder, size_t n_frames);
int64_t tess_segments_all_samples(const struct tess_model_info *info, int64_t n_frames);

/** tess_encode and tess_decode. */
int tess_segments_encode(struct tess_worker *worker, struct tess_encode_job *jobs, int n_jobs);
int tess_segments_decode(struct tess_worker *worker, struct tess_decode_job *jobs, int n_jobs);

/* ---- encoder.c, decoder.c ---------------------------------------------------------------------- */

/** What any job is checked for. Errors: MISMATCH, ENDED, ARGUMENT, NONFINITE, CODE. */
int tess_encoder_check(const struct tess_worker *worker, const struct tess_encode_job *job);
int tess_decoder_check(const struct tess_worker *worker, const struct tess_decode_job *job);

/** Copies samples from..from + n of those that wait and, behind them, the job's; zeros after the end.
 *  `out` may be where they wait. */
void tess_encoder_copy(const struct tess_encode_job *job, size_t from, size_t n, float *out);

/** Runs the batch whose slot 0 is filled: its codes go to its jobs. */
void tess_encoder_run(struct tess_worker *worker, struct tess_encode_job *jobs);

/** Runs the batch whose slot 0 is filled; the samples stay in the network's slot. */
void tess_decoder_run(struct tess_worker *worker);

#endif
