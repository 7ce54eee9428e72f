/* Codes as JSON, {"model", "sample_rate", "n_samples", "n_frames", "n_codebooks", "layout": "KT",
 * "audio_codes": [[...], ...]}: columns first, so the whole has to be held. Layout "TK" has frames
 * first, "flat" is the same as one list. Codes of segments have "segment_frames" and
 * "audio_scales": [...] too, a scale a segment. */
#ifndef FMT_CODES_JSON_H
#define FMT_CODES_JSON_H

#include "src/tessera.h"

#include <stdbool.h>

#define FMT_LAYOUTS(X) X(KT, "KT") X(TK, "TK") X(FLAT, "flat")

enum fmt_layout {
#define FMT_LAYOUT_ENUM(name, text) FMT_##name,
    FMT_LAYOUTS(FMT_LAYOUT_ENUM)
#undef FMT_LAYOUT_ENUM
        FMT_N_LAYOUTS
};

/** The layout called so, FMT_N_LAYOUTS where there is none. Cannot fail. */
enum fmt_layout fmt_layout(const char *name);

struct fmt_codes_json {
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

/** Reads all of `io`, any layout. Returns 0, FORMAT, IO or NOMEM. */
int fmt_codes_json_read(struct fmt_codes_json *json,
                        const struct tess_io *io,
                        struct tess_why *why);

/* The same as text, which comes a block at a time. */
struct fmt_json_text {
    const struct fmt_codes_json *json; /* borrowed */
    enum fmt_layout layout;
    bool is_signed;
    char *head; /* all before the codes */
    size_t n_head, at_head;
    int64_t outer, inner; /* the next code, as the layout counts */
    bool ended;
};

enum {
    FMT_JSON_BLOCK = 16
}; /* bytes that a block has at least: a code and all brackets around it */

/** Begins; codes are printed as int16_t if is_signed. Errors: NOMEM. Stop it either way. */
int fmt_json_text_start(struct fmt_json_text *text,
                        const struct fmt_codes_json *json,
                        enum fmt_layout layout,
                        bool is_signed);

/** The next bytes, at most `capacity`; returns how many, 0 at the end. Cannot fail. */
size_t fmt_json_text_next(struct fmt_json_text *text, char *block, size_t capacity);
void fmt_json_text_stop(struct fmt_json_text *text);

#endif
