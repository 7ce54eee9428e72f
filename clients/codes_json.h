/* Codes as JSON, {"model", "sample_rate", "n_samples", "n_frames", "n_codebooks",
 * "layout": "KT", "audio_codes": [[...], ...]}: columns first, so the whole has to be held. Codes of
 * segments have "segment_frames" and "audio_scales": [...] too, a scale a segment. */
#ifndef CLI_CODES_JSON_H
#define CLI_CODES_JSON_H

#include "input.h"
#include "output.h"

struct cli_codes_json {
    char model[64]; /* "" where the file does not say */
    int sample_rate;
    int64_t n_samples; /* per channel; -1 where the file does not say */
    int64_t n_frames;
    int codebooks;
    uint16_t *codes; /* [n_frames][codebooks]; freed by the reader's caller */
    int segment_frames;
    float *scales; /* [n_scales]; likewise */
    size_t n_scales;
};

/** Reads layouts KT and TK. Returns 0 or an exit code, the reason told. */
int cli_codes_json_read(struct cli_codes_json *json, struct cli_input *in);

/** Writes layout KT; codes are printed as int16_t if is_signed. Returns 0 or an exit code, the
 *  reason told. */
int cli_codes_json_write(const struct cli_codes_json *json, bool is_signed, struct cli_output *out);

#endif
