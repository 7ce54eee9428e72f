/* Codes out, in one of three formats, or as text in a fourth. */
#ifndef CLI_CODES_OUT_H
#define CLI_CODES_OUT_H

#include "output.h"
#include "src/tessera.h"

struct cli_codes_out {
    const struct cli_codes_format *format;
    struct cli_output *out;              /* borrowed */
    const struct tess_model_info *model; /* borrowed */
    int codebooks;
    int64_t n_frames;           /* put so far */
    struct tess_writer *writer; /* tess */
    int spool;                  /* npy into a pipe: a temporary file, else -1 */
    uint16_t *codes;            /* json: [capacity][K] */
    int64_t capacity;
    float *scales; /* json: [n_scales] */
    size_t n_scales, scale_capacity;
};

/* Frames [n][codebooks], and the scales of the segments that begin in them, where there are any. */
struct cli_frames {
    const uint16_t *codes;
    size_t n;
    const float *scales;
    size_t n_scales;
};

struct cli_codes_format {
    const char *name, *suffix;
    int (*open)(struct cli_codes_out *codes, int source_rate);
    int (*put)(struct cli_codes_out *codes, const struct cli_frames *frames);
    int (*finish)(struct cli_codes_out *codes, int64_t n_source, int64_t n_samples);
};

/** Frames as JSON text, [[code, ...], ...], for a file that holds more than codes. */
extern const struct cli_codes_format cli_codes_rows;

/** The format called "tess", "npy" or "json", or NULL; without a name (NULL) that of the path's
 *  suffix, and .tess where that tells nothing. */
const struct cli_codes_format *cli_codes_format(const char *name, const char *path);

/** Starts codes of `codebooks` columns on `out`; the source's rate stands in a .tess header.
 *  Returns 0 or an exit code, the reason told. */
int cli_codes_out_open(struct cli_codes_out *codes,
                       const struct cli_codes_format *format,
                       struct cli_output *out,
                       const struct tess_model_info *model,
                       int codebooks,
                       int source_rate);

/** Appends frames; .npy leaves their scales out. Returns as above. */
int cli_codes_out_put(struct cli_codes_out *codes, const struct cli_frames *frames);

/** Completes the codes: samples per channel of the source and at the model's rate. */
int cli_codes_out_finish(struct cli_codes_out *codes, int64_t n_source, int64_t n_samples);
void cli_codes_out_close(struct cli_codes_out *codes);

#endif
