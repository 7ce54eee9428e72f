/* Making, resetting and recognising the flat blocks that streams are. */
#include "src/segments.h"

#include <string.h>

static uint64_t tag(const struct tess_model *model, enum tess_direction direction)
{
    return (tess_le64(model->info.sha256) & ~UINT64_C(1)) | (uint64_t)direction;
}

static int pending_floats(const struct tess_model *model, enum tess_direction direction)
{
    if (model->info.segment) return tess_segments_floats(model, direction);
    return direction == TESS_ENCODE ? model->info.hop * model->info.channels : 0;
}

static const struct tess_graph *graph_of(const struct tess_model *model,
                                         enum tess_direction direction)
{
    return direction == TESS_ENCODE ? &model->encoder : &model->decoder;
}

size_t tess_stream_size(const struct tess_model *model, enum tess_direction direction)
{
    size_t floats = (size_t)pending_floats(model, direction);
    if (!model->info.segment) floats += graph_of(model, direction)->n_state;
    return sizeof(struct tess_stream) + floats * sizeof(float);
}

int tess_stream_init(struct tess_stream *stream,
                     const struct tess_model *model,
                     enum tess_direction direction,
                     const struct tess_stream_options *options)
{
    if (options && options->size != sizeof *options) return TESS_E_ARGUMENT;
    if (!graph_of(model, direction)->runs) return TESS_E_UNSUPPORTED;
    int codebooks = tess_model_codebooks(model, options ? options->codebooks : 0);
    if (codebooks < 0) return codebooks;
    int option = options ? options->option : 0;
    if (option < 0 || option > model->info.option_max) return TESS_E_ARGUMENT;
    size_t n_bytes = tess_stream_size(model, direction);
    memset(stream, 0, n_bytes);
    stream->model = tag(model, direction);
    stream->n_bytes = n_bytes;
    stream->codebooks = codebooks;
    stream->option = option;
    stream->hop = model->info.hop;
    stream->channels = model->info.channels;
    stream->lag = graph_of(model, direction)->lag;
    stream->n_data = pending_floats(model, direction);
    stream->segment = model->info.segment;
    stream->segment_stride = model->info.segment_stride;
    return 0;
}

void tess_stream_reset(struct tess_stream *stream)
{
    memset(stream + 1, 0, stream->n_bytes - sizeof *stream);
    stream->n_in = stream->n_out = 0;
    stream->n_pending = stream->n_scales = stream->ended = 0;
}

int tess_stream_check(const struct tess_stream *stream,
                      const struct tess_model *model,
                      enum tess_direction direction)
{
    if (stream->model != tag(model, direction)) return TESS_E_MISMATCH;
    if (!graph_of(model, direction)->runs) return TESS_E_UNSUPPORTED; /* a block from elsewhere */
    return stream->ended ? TESS_E_ENDED : 0;
}
