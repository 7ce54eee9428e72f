/* A family turns the config of a model file into tables: rows of its networks, rows of its quantizer,
 * and what the model is. Nothing outside a family's file knows that family. */
#ifndef TESS_FAMILY_H
#define TESS_FAMILY_H

#include "rvq/quantizer.h"
#include "src/config.h"
#include "src/rows.h"

struct tess_blueprint {
    int sample_rate, channels, hop, latent_width;
    int n_codebooks, codebooks_default, n_entries;
    uint64_t codebooks_legal; /* as in struct tess_model_info */
    char arithmetic[16];
    int int8; /* which may be "int8": linear layers in 8 bits (gemm8.h) where the file has them */
    int pad_last;      /* a last partial hop is filled with zeros; else the rows see its samples */
    int drops_partial; /* and give no frame for it */
    int min_samples;   /* whole hops: a shorter clip is filled with zeros up to these */
    int max_seconds;   /* of a clip, where a network needs all of it at once */
    int segment, segment_stride; /* as in struct tess_model_info */
    char option[32];             /* likewise */
    int option_max;
    struct tess_rows encoder; /* samples [hop][channels] a frame to the latent */
    struct tess_rows decoder; /* the latent to samples */
    struct tess_quantizer_row quantizer[TESS_MAX_CODEBOOKS];
};

struct tess_family {
    const char *name; /* as in the file's `tessera.family` */
    /** Fills a zeroed *blueprint. Errors: MODEL (a key missing, unknown or out of range). */
    int (*describe)(const struct tess_config *config,
                    struct tess_blueprint *blueprint,
                    struct tess_why *why);
};

/** The family of that name, or NULL. Any thread. */
const struct tess_family *tess_family_find(const char *name);

/** Reads what the published families have in common: sample_rate, hop, channels, entries, codebooks,
 *  codebooks_default, codebooks_legal, arithmetic. Errors: MODEL. */
int tess_family_read_rates(const struct tess_config *config,
                           struct tess_blueprint *blueprint,
                           struct tess_why *why);

#endif
