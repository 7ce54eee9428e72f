/* The models served: opened once at the start, shared by all. */
#ifndef SRV_MODELS_H
#define SRV_MODELS_H

#include "server/options.h"
#include "src/tessera.h"

struct srv_model {
    char name[64]; /* the operator's, else the file's own */
    struct tess_model *model;
    struct tess_model_info info;
    char sha256[65];
};

struct srv_models {
    struct srv_model item[SRV_MAX_MODELS];
    int n;
};

/** Opens each of --model. Returns 0, or 1 with the reason on stderr; close either way. */
int srv_models_open(struct srv_models *models, const struct srv_list *names);
void srv_models_close(struct srv_models *models);

/** The model called `name`, the first for NULL; NULL when there is none. */
const struct srv_model *srv_models_find(const struct srv_models *models, const char *name);

/** Whether a client can stream it: not where the whole clip is needed, nor where segments have scales,
 *  which no message carries. */
static inline bool srv_can_stream(const struct tess_model_info *info, bool encode)
{
    return !info->segment && (encode ? info->encode : info->decode) != TESS_WHOLE_CLIP;
}

/** Whether so many columns of codes are a rate of the model. */
static inline bool srv_is_rate(const struct tess_model_info *info, int codebooks)
{
    const uint64_t legal = info->codebooks_legal;
    if (!legal) return codebooks == info->codebooks;
    return codebooks >= 1 && codebooks <= 64 && legal >> (codebooks - 1) & 1;
}

static inline double srv_frame_rate(const struct tess_model_info *info)
{
    return (double)info->sample_rate / info->hop;
}

#endif
