/* Frames of live sound to a .tess file that tells what is missing in it. */
#ifndef CLI_RECORDING_H
#define CLI_RECORDING_H

#include "output.h"
#include "src/tessera.h"

struct cli_recording {
    struct cli_output out;
    struct tess_writer *writer;          /* NULL: closed, or the file takes no more */
    const struct tess_model_info *model; /* borrowed */
    int codebooks, rate;                 /* of the source */
    int64_t n_frames;
};

/** Opens OUT, "-" being standard output, for codes of sound of this rate. Returns 0 or an exit code, the
 *  reason told; to be closed in any case. */
int cli_recording_open(struct cli_recording *recording,
                       const char *path,
                       bool force,
                       const struct tess_model_info *model,
                       int codebooks,
                       int rate);

/** Appends frames. Where the file takes no more it is kept as far as it got. Returns as above. */
int cli_recording_put(struct cli_recording *recording, const uint16_t *codes, size_t n_frames);

/** Completes the file for n_source samples of the source, or as many as its frames cover if those are
 *  fewer. A file's header then tells how many of them are silence in place of lost ones (tag
 *  `lost-samples`) and how often the device lost an unknown number (`device-overflows`); a pipe's header
 *  has gone out before. Returns as above. */
int cli_recording_finish(struct cli_recording *recording,
                         int64_t n_source,
                         size_t n_lost,
                         size_t n_skips);
void cli_recording_close(struct cli_recording *recording);

#endif
