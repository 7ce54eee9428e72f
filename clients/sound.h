/* A file or pipe of sound as samples at a model's rate and channels. */
#ifndef CLI_SOUND_H
#define CLI_SOUND_H

#include "audio_in.h"
#include "convert.h"

struct cli_sound {
    struct cli_input in;
    struct cli_audio_in audio;
    struct cli_convert convert;
    float *pcm; /* [n_block][channels of the sound] */
    size_t n_block;
    bool ended; /* all is read; the resampler may hold samples still */
};

/** Opens a sound, "-" being standard input, for `info`'s rate and channels; the name is borrowed. `raw`
 *  as in cli_audio_in_open. `tells`: says what is mixed or resampled. Returns 0 or an exit code, the
 *  reason told; to be closed in any case. */
int cli_sound_open(struct cli_sound *sound,
                   const char *path,
                   const struct fmt_pcm *raw,
                   const struct tess_model_info *info,
                   bool tells);

/** The next samples, *pcm [n][channels of the model], valid until the next call. Returns n, 0 at the
 *  end, or a negated exit code, the reason told. */
int64_t cli_sound_next(struct cli_sound *sound, const float **pcm);

/** A second call does nothing. */
void cli_sound_close(struct cli_sound *sound);

#endif
