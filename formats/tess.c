/* A model in, the header of its codes out. */
#include "formats/tess.h"

#include <string.h>

struct tess_file_info
fmt_tess_info(const struct tess_model_info *model, int codebooks, int source_rate)
{
    struct tess_file_info info = {
        .size = sizeof info,
        .sample_rate = model->sample_rate,
        .hop = model->hop,
        .codebooks = codebooks,
        .entries = model->entries,
        .code_min = model->code_min,
        .channels = model->channels,
        .source_rate = source_rate,
        .n_source = -1,
        .segment_frames = model->segment / model->hop,
    };
    memcpy(info.model, model->name, sizeof info.model);
    memcpy(info.fingerprint, model->sha256, sizeof info.fingerprint);
    return info;
}
