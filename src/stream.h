/* What an encoder and a decoder have in common: one flat block of bytes, a head of integers and then
 * floats. All of it is a function of what the stream has been given, not of how that was split. */
#ifndef TESS_STREAM_H
#define TESS_STREAM_H

#include "src/model.h"

enum tess_direction { TESS_ENCODE, TESS_DECODE };

struct tess_stream {
    uint64_t model;    /* the model's fingerprint, its last bit the direction */
    uint64_t n_bytes;  /* of the whole block */
    uint64_t n_in;     /* frames that have gone into the network */
    uint64_t n_out;    /* frames (encoder) or samples (decoder) that have come out of it */
    int32_t codebooks; /* K */
    int32_t hop;       /* samples a frame */
    int32_t channels;
    int32_t lag;       /* frames or samples that the network may hold back until the end */
    int32_t n_pending; /* encoder: samples waiting for their hop, or segment, to fill up */
    int32_t n_data;    /* floats of what waits; they stand before the network's state */
    int32_t ended;
    int32_t option;                  /* the value of the family's option */
    int32_t segment, segment_stride; /* samples; 0 = the recording is not cut */
    int32_t n_scales;                /* decoder: scales waiting for their segments */
    int32_t unused;                  /* the head is whole words of 8 bytes */
    /* then floats. Encoder: [hop][channels] pending samples; both: the network's state. With segments
     * there is no state; what waits is src/segments.c's */
};

struct tess_encoder {
    struct tess_stream stream;
};

struct tess_decoder {
    struct tess_stream stream;
};

/** The floats behind the head: pending samples. */
static inline float *tess_stream_pending(struct tess_stream *stream)
{
    return (float *)(stream + 1);
}

/** The network's part of the block. */
static inline float *tess_stream_state(struct tess_stream *stream)
{
    return tess_stream_pending(stream) + stream->n_data;
}

size_t tess_stream_size(const struct tess_model *model, enum tess_direction direction);
int tess_stream_init(struct tess_stream *stream,
                     const struct tess_model *model,
                     enum tess_direction direction,
                     const struct tess_stream_options *options);
void tess_stream_reset(struct tess_stream *stream);

/** 0, MISMATCH (a stream of another model or direction) or ENDED. */
int tess_stream_check(const struct tess_stream *stream,
                      const struct tess_model *model,
                      enum tess_direction direction);

#endif
