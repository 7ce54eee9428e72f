/* What an encoder and a decoder have in common: one flat block of bytes, a head of integers and then
 * floats. The head's fields and all floats are a function of what the stream has been given, not of
 * how it was split. */
#ifndef TESS_STREAM_H
#define TESS_STREAM_H

#include "src/model.h"

enum tess_direction { TESS_ENCODE, TESS_DECODE };

struct tess_stream {
    uint64_t model;     /* the model's fingerprint, its last bit the direction */
    uint64_t n_bytes;   /* of the whole block */
    uint64_t n_frames;  /* frames that have passed */
    int32_t codebooks;  /* K */
    int32_t hop;        /* samples a frame */
    int32_t channels;
    int32_t n_pending;  /* encoder: samples waiting for their hop to fill up */
    int32_t n_skip;     /* decoder: samples before the recording's start, still to be dropped */
    int32_t tail;       /* decoder: samples held back until the end */
    int32_t ended;
    int32_t unused;
    /* then floats. Encoder: [hop][channels] pending samples; both: the graph's state */
};

struct tess_encoder {
    struct tess_stream stream;
};

struct tess_decoder {
    struct tess_stream stream;
};

/** The floats behind the head. */
static inline float *tess_stream_data(struct tess_stream *stream)
{
    return (float *)(stream + 1);
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

/** The graph's part of the block. */
float *tess_stream_state(struct tess_stream *stream, enum tess_direction direction);

#endif
