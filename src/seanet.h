/* Rows of SEANet encoders and decoders, which several families share.
 * Source: SoundStream, arXiv:2107.03312, section III; EnCodec, arXiv:2210.13438, section 3.1. */
#ifndef TESS_SEANET_H
#define TESS_SEANET_H

#include "src/family.h"

struct tess_seanet {
    int channels;            /* of the sound */
    int width;               /* channels after the first layer: doubled at each ratio */
    int ratios[8], n_ratios; /* of the decoder, in its order */
    int latent_width;
    int kernel, last_kernel, residual_kernel;
    int shortcut; /* a residual block's shortcut is a layer, not the identity */
    int lstm_layers;
    int causal;
    int reflect;    /* padding mirrors the sound instead of being silent */
    int group_norm; /* over all channels and the whole clip, after every convolution */
};

/** Reads what tess_family_read_rates does, the keys that these networks share and the family's own
 *  `more` [n_more]. Errors: MODEL. */
int tess_seanet_read(const struct tess_config *config,
                     const struct tess_key *more,
                     size_t n_more,
                     struct tess_blueprint *blueprint,
                     struct tess_seanet *net,
                     struct tess_why *why);

/** Appends the encoder's rows, sound in slot 0; returns the latent's slot. */
int tess_seanet_encoder(const struct tess_seanet *net, struct tess_rows *rows);

/** Appends the decoder's rows from the latent in slot `in`; the sound is the last row's output. */
void tess_seanet_decoder(const struct tess_seanet *net, struct tess_rows *rows, int in);

#endif
