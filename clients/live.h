/* A codec at work on live sound, in this process or at a daemon: samples go in and codes come out of
 * one lane, codes go in and samples come out of the other. */
#ifndef CLI_LIVE_H
#define CLI_LIVE_H

#include "formats/codes_in.h"
#include "options.h"

/* Take frames [n_frames][codebooks], or pcm [n][channels of the lane], as they come. Return 0 or an exit
 * code, the reason told. */
typedef int cli_take_codes(void *ctx, const uint16_t *codes, size_t n_frames);
typedef int cli_take_pcm(void *ctx, const float *pcm, size_t n);

struct cli_live {
    const struct cli_live_way *way;
    struct tess_model_info info; /* what a daemon tells of it, or all */
    int codebooks;               /* of both lanes */
    cli_take_codes *take_codes;
    cli_take_pcm *take_pcm;
    void *ctx;
};

/* All but room return 0 or an exit code, the reason told. */
struct cli_live_way {
    /* Starts a lane with sound of this rate and channels. */
    int (*start_encoder)(struct cli_live *live, int rate, int channels);
    int (*start_decoder)(struct cli_live *live, int rate, int channels);
    /* Samples and frames that the lanes take now. */
    size_t (*room_to_encode)(const struct cli_live *live);
    size_t (*room_to_decode)(const struct cli_live *live);
    int (*encode)(struct cli_live *live, const float *pcm, size_t n);
    int (*decode)(struct cli_live *live, const uint16_t *codes, size_t n_frames);
    /* Hands on what has come, waiting for up to `ms` where nothing has. */
    int (*turn)(struct cli_live *live, int ms);
    /* Waits for all that the frames so far give. */
    int (*settle)(struct cli_live *live);
    /* The lane's end: what it still holds comes out. */
    int (*end_encoder)(struct cli_live *live);
    int (*end_decoder)(struct cli_live *live);
    void (*close)(struct cli_live *live);
};

/** Opens the codec here, or where --connect says: for sound (`codes` is NULL) the model and codebooks
 *  that the options name, else what made the codes, which come from `name`. Callbacks are the caller's
 *  to set. Returns 0 or an exit code, the reason told; *live is then NULL. */
int cli_live_here(struct cli_live **live,
                  const struct cli_options *options,
                  const struct fmt_codes_in *codes,
                  const char *name);
int cli_live_there(struct cli_live **live,
                   const struct cli_options *options,
                   const struct fmt_codes_in *codes,
                   const char *name);

static inline int cli_live_open(struct cli_live **live,
                                const struct cli_options *options,
                                const struct fmt_codes_in *codes,
                                const char *name)
{
    return options->connect ? cli_live_there(live, options, codes, name)
                            : cli_live_here(live, options, codes, name);
}

#endif
