/* Sound out: WAV or headerless, 16-bit or float, to a file or a pipe. */
#ifndef CLI_AUDIO_OUT_H
#define CLI_AUDIO_OUT_H

#include "formats/pcm.h"
#include "output.h"

struct cli_audio_out {
    struct cli_output *out; /* borrowed */
    struct fmt_pcm pcm;
    bool has_head, has_wide_head;
    int64_t n_samples; /* per channel, written so far */
    uint8_t *bytes;
    size_t n_block; /* samples per channel that fit there */
};

/** Starts a sound of pcm's format on `out`: headerless if `raw`, else WAV (RF64 past 4 GB in a
 *  file). n_samples per channel, or -1 where that is not known yet.
 *  Returns 0 or an exit code, the reason told. */
int cli_audio_out_open(struct cli_audio_out *audio,
                       struct cli_output *out,
                       const struct fmt_pcm *pcm,
                       bool raw,
                       int64_t n_samples);

/** Appends n samples per channel; integers saturate. Returns 0 or an exit code, the reason told. */
int cli_audio_out_write(struct cli_audio_out *audio, const float *samples, size_t n);

/** Puts the length into a file's head; the output still has to be committed. Returns as above. */
int cli_audio_out_finish(struct cli_audio_out *audio);
void cli_audio_out_close(struct cli_audio_out *audio);

#endif
