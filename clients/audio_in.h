/* Sound in: any file that libsndfile reads, WAV and raw PCM through a pipe as they arrive. */
#ifndef CLI_AUDIO_IN_H
#define CLI_AUDIO_IN_H

#include "formats/pcm.h"
#include "input.h"

#include <sndfile.h>

struct cli_audio_in {
    struct cli_input *in; /* borrowed */
    struct fmt_pcm pcm;   /* rate and channels of the sound; bits only where file is NULL */
    int64_t n_samples;    /* per channel; -1 = not known yet */
    int64_t first, end;   /* where in the sound they begin, and how many are to be read at most */
    int64_t at;           /* samples per channel read so far */
    SNDFILE *file;        /* NULL for bytes read by ourselves: */
    uint64_t bytes_left;  /*   of sound */
    uint8_t *bytes;       /*   a block, */
    size_t n_block;       /*   its size in samples per channel, */
    size_t n_fill;        /*   and the bytes of a sample that is not complete yet */
};

/** Opens the sound in `in`. `raw` (or NULL) says that it is headerless and what it holds. A pipe
 *  that has to be searched (FLAC, Ogg) is spooled to a temporary file first.
 *  Returns 0 or an exit code, the reason told. */
int cli_audio_in_open(struct cli_audio_in *audio, struct cli_input *in, const struct fmt_pcm *raw);

/** Before the first read: of a sound in a file leaves only the samples per channel from `first` on,
 *  n at most. Returns 0 or CLI_FAILED, the reason told. */
int cli_audio_in_part(struct cli_audio_in *audio, int64_t first, int64_t n);
void cli_audio_in_close(struct cli_audio_in *audio);

/** Up to `capacity` samples per channel into pcm [capacity][channels], every one finite; from a
 *  pipe what has arrived. Returns how many, 0 at the end, or a negated exit code, the reason
 *  told. */
int64_t cli_audio_in_read(struct cli_audio_in *audio, float *pcm, size_t capacity);

#endif
