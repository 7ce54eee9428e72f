/* One item of a batch: its sound in, its codes on disk and its line of the manifest out. */
#ifndef CLI_BATCH_ENCODE_H
#define CLI_BATCH_ENCODE_H

#include "batch_items.h"
#include "batch_layout.h"
#include "encoding.h"

struct cli_coded {
    char *line; /* [n_line], the line feed included; cJSON_free it */
    size_t n_line;
    int64_t n_bytes, n_frames, n_samples;
};

/** Is told of the samples at the model's rate that have come since the last call; returns 0, or an
 *  exit code that ends the item. */
typedef int cli_step(void *ctx, int64_t n_samples);

/** Encodes the item. Returns 0, with its codes on disk under the name that the layout gives them; or an
 *  exit code, the reason told unless it was `step`'s, and nothing is left behind. It is CLI_FAILED where
 *  other files are in the way: a folder, or without `force` what has the codes' name. */
int cli_batch_encode(struct cli_encoding *e,
                     const struct cli_layout *layout,
                     const struct cli_item *item,
                     bool force,
                     cli_step *step,
                     void *ctx,
                     struct cli_coded *coded);

#endif
