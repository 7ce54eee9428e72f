/* Codes in, in one of three formats, told apart by their first bytes. */
#ifndef FMT_CODES_IN_H
#define FMT_CODES_IN_H

#include "src/tessera.h"

#include <stdbool.h>

struct fmt_codes_in {
    struct tess_io io;
    char model[64];       /* name of the model they are of; "" where the file does not say */
    bool has_fingerprint; /* .tess */
    unsigned char fingerprint[8];
    int codebooks;
    int64_t n_frames;           /* of the file, npy and json */
    int64_t at;                 /* frames read so far */
    int64_t n_json_samples;     /* -1 where the file does not say */
    struct tess_reader *reader; /* tess */
    uint16_t *codes;            /* json */
    float *all_scales;          /* json; NULL: the file has none */
    int segment_frames;         /* 0: the file has no scales */
    const float *scales;        /* [n_scales]: of the segments that begin in the frames read last */
    size_t n_scales;
};

/** Whether codes that start so are JSON, which is read and held as a whole. Cannot fail. */
bool fmt_codes_in_is_json(const uint8_t *start, size_t n_start);

/** Reads the head. Copies *io; a source that can seek is checked to its end where its format allows.
 *  `start` [n_start] are the first bytes that `io` is going to give, six unless there are fewer. Returns
 *  0, or an error with the reason in *why. */
int fmt_codes_in_open(struct fmt_codes_in *codes,
                      const struct tess_io *io,
                      const uint8_t *start,
                      size_t n_start,
                      struct tess_why *why);
void fmt_codes_in_close(struct fmt_codes_in *codes);

/** Up to `capacity` frames into frames [capacity][codebooks]. Returns how many, 0 at the end (when
 *  the file has been found whole), or an error, the reason in *why. */
int64_t fmt_codes_in_read(struct fmt_codes_in *codes,
                          uint16_t *frames,
                          size_t capacity,
                          struct tess_why *why);

/** Whether the model made the codes, as far as they tell. Cannot fail. */
bool fmt_codes_in_made_by(const struct fmt_codes_in *codes, const struct tess_model_info *model);

/** Samples per channel that the codes stand for: at the rate of the model that decodes them, and of
 *  the source with its rate (0 where the file does not say). -1 while a pipe has not told yet. */
int64_t fmt_codes_in_samples(const struct fmt_codes_in *codes, const struct tess_model *model);
int64_t fmt_codes_in_source(const struct fmt_codes_in *codes, int *source_rate);

#endif
