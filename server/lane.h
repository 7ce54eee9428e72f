/* A lane: one direction of a stream, as the workers see it. Bytes of a turn in, bytes out:
 *
 *     encode   samples -> float -> the model's channels and rate -> codes
 *     decode   codes, or frames that were lost -> float -> the client's rate and channels -> samples
 *
 * A lane belongs to the loop's thread or, between srv_scheduler_put and the turn's coming back, to
 * the worker that runs it; never to both. */
#ifndef SRV_LANE_H
#define SRV_LANE_H

#include "formats/conceal.h"
#include "server/models.h"

#include <stdbool.h>

enum srv_direction { SRV_ENCODE, SRV_DECODE, SRV_N_DIRECTIONS };
enum srv_format { SRV_S16LE, SRV_F32LE };

enum {
    SRV_TURN_FRAMES = 24, /* a turn takes no more: what others wait for one long input */
};

struct srv_lane_config {
    const struct srv_model *model;
    enum srv_direction direction;
    int codebooks, option;  /* the latter the family's */
    enum srv_format format; /* of the client's samples */
    int rate, channels;     /* of the client's samples */
    bool bulk;              /* takes what live lanes leave */
    bool trimmed;           /* decode: what is beyond n_samples of the model's rate is left out */
    int64_t n_samples;
};

/* What the loop asks for in one turn and what comes back. Exactly one of n_bytes, lost and end is
 * set; end is asked again until `ended`. */
struct srv_turn {
    size_t n_bytes; /* of in */
    int lost;       /* frames to conceal, at most SRV_TURN_FRAMES */
    bool end;
    int n_frames;              /* about as many are computed */
    int64_t arrived, deadline; /* ns of uv_hrtime: the input's last byte, and when output is due */

    int64_t started; /* when its batch began */
    size_t n_out;    /* bytes of out */
    bool ended;
    int error; /* a TESS_E code: the stream cannot go on */
};

struct srv_lane {
    struct srv_lane_config config;
    void *owner; /* the loop's struct srv_stream */
    struct srv_turn turn;
    uint8_t *in, *out; /* the turn's bytes: [in_capacity], [out_capacity] */
    size_t in_capacity, out_capacity;

    struct srv_lane *next; /* in the scheduler's list of turns that are done */
    int place;             /* in the scheduler's heap, -1 outside */
    double step_seconds;   /* of a batch's first lane: what the batch took; else 0 */
    int step_lanes, step_frames;

    struct tess_encoder *encoder;
    struct tess_decoder *decoder;
    struct tess_resampler *resampler;
    int64_t n_samples; /* of the decoder's that have gone on to the resampler */
    bool codec_ended;  /* the resampler's rest still comes */
    struct fmt_conceal conceal;
};

/* What a worker holds for each lane of a batch, at the model's rate. */
struct srv_slot {
    float *pcm; /* [pcm_capacity][the model's channels] */
    uint16_t *codes;
    size_t pcm_capacity, code_capacity; /* samples per channel; codes */
    float *wide[2]; /* [SRV_WIDE] each, shared by a worker's slots: a block on its way */
    size_t n_samples, n_frames; /* in pcm and codes, before the codec and after it */
    bool run, end;              /* is there a job for the codec; is it the last */
};

enum { SRV_WIDE = 49152, SRV_MIN_RATE = 4000, SRV_MAX_RATE = 192000, SRV_MAX_CHANNELS = 8 };

/** Samples per channel that a turn holds at most, at the model's rate: a slot's pcm_capacity. */
size_t srv_lane_samples(const struct tess_model_info *info);

/** Errors: NOMEM, ARGUMENT (codebooks, rate or channels), UNSUPPORTED (the model needs the whole
 *  clip). Any thread. NULL is allowed in destroy. */
int srv_lane_create(struct srv_lane **lane, const struct srv_lane_config *config);
void srv_lane_destroy(struct srv_lane *lane);

/** Bytes of one sample of all channels, or of one frame of codes: what input comes in. */
size_t srv_lane_unit(const struct srv_lane_config *config);

/** The worker's three steps: srv_lane_prepare fills the slot, the batch's codec runs where slot->run
 *  is set, srv_lane_finish fills turn->out. */
void srv_lane_prepare(struct srv_lane *lane, struct srv_slot *slot);
void srv_lane_finish(struct srv_lane *lane, struct srv_slot *slot);

#endif
