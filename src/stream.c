/* Making, resetting and recognising the flat blocks that streams are. */
#include "src/stream.h"

#include <string.h>

static uint64_t tag(const struct tess_model *model, enum tess_direction direction)
{
    return (tess_le64(model->info.sha256) & ~UINT64_C(1)) | (uint64_t)direction;
}

static size_t pending_floats(int hop, int channels, enum tess_direction direction)
{
    return direction == TESS_ENCODE ? (size_t)hop * (size_t)channels : 0;
}

size_t tess_stream_size(const struct tess_model *model, enum tess_direction direction)
{
    const struct tess_graph *graph = direction == TESS_ENCODE ? &model->encoder : &model->decoder;
    size_t floats = pending_floats(model->info.hop, model->info.channels, direction) + graph->n_state;
    return sizeof(struct tess_stream) + floats * sizeof(float);
}

int tess_stream_init(struct tess_stream *stream,
                     const struct tess_model *model,
                     enum tess_direction direction,
                     const struct tess_stream_options *options)
{
    if (options && options->size != sizeof *options) return TESS_E_ARGUMENT;
    int codebooks = tess_model_codebooks(model, options ? options->codebooks : 0);
    if (codebooks < 0) return codebooks;
    size_t n_bytes = tess_stream_size(model, direction);
    memset(stream, 0, n_bytes);
    stream->model = tag(model, direction);
    stream->n_bytes = n_bytes;
    stream->codebooks = codebooks;
    stream->hop = model->info.hop;
    stream->channels = model->info.channels;
    stream->tail = direction == TESS_DECODE ? model->decoder.n_tail : 0;
    stream->n_skip = stream->tail;
    return 0;
}

void tess_stream_reset(struct tess_stream *stream)
{
    memset(stream + 1, 0, stream->n_bytes - sizeof *stream);
    stream->n_frames = 0;
    stream->n_pending = stream->ended = 0;
    stream->n_skip = stream->tail;
}

int tess_stream_check(const struct tess_stream *stream,
                      const struct tess_model *model,
                      enum tess_direction direction)
{
    if (stream->model != tag(model, direction)) return TESS_E_MISMATCH;
    return stream->ended ? TESS_E_ENDED : 0;
}

float *tess_stream_state(struct tess_stream *stream, enum tess_direction direction)
{
    return tess_stream_data(stream) + pending_floats(stream->hop, stream->channels, direction);
}
