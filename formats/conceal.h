/* Frames that never came, in the sound: the last one repeated and faded to silence. */
#ifndef FMT_CONCEAL_H
#define FMT_CONCEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FMT_CONCEALED_FRAMES = 5 }; /* that repeat the last codes before silence */

/* A start has the sizes, room for `last`, gain 1 and otherwise zeros. */
struct fmt_conceal {
    int codebooks, channels, hop;
    uint16_t *last; /* [codebooks], the caller's: the last frame that came */
    bool have_last;
    size_t n_lost; /* frames in a row, at most FMT_CONCEALED_FRAMES */
    float gain;    /* where the last sample left it: 1, less while frames are lost */
};

/** Of n_lost frames to conceal, those that are to be decoded: writes them to codes
 *  [FMT_CONCEALED_FRAMES][codebooks] and returns how many. The others are silence: a hop of zeros
 *  each, behind what the decoder gives. Cannot fail, as all of these. */
size_t fmt_conceal_frames(const struct fmt_conceal *c, size_t n_lost, uint16_t *codes);

/** Fades what the decoder gave for them, pcm [n_samples][channels]. n_frames is what
 *  fmt_conceal_frames returned. */
void fmt_conceal_lost(
    struct fmt_conceal *c, size_t n_lost, size_t n_frames, float *pcm, size_t n_samples);

/** Takes note of frames that came, codes [n_frames][codebooks]; after lost ones their sound, pcm
 *  [n_samples][channels], rises again over the first hop. No frames: the end, which goes on to fade. */
void fmt_conceal_came(
    struct fmt_conceal *c, const uint16_t *codes, size_t n_frames, float *pcm, size_t n_samples);

#endif
