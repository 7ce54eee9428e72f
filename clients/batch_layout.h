/* What lies where in the folder of a batch: docs/batch.md. */
#ifndef CLI_BATCH_LAYOUT_H
#define CLI_BATCH_LAYOUT_H

#include "codes_out.h"

#include <limits.h>

struct cli_layout {
    const char *folder;                   /* borrowed */
    const char *format;                   /* its name */
    const struct cli_codes_format *codes; /* of an item's own file, for shards of its part */
    const char *shard;                    /* suffix of shards; NULL = a file an item */
    int shard_size;
};

/** The layout of the format called so, NULL = "tess". Returns 0 or CLI_USAGE, the reason told. */
int cli_layout(struct cli_layout *layout, const char *format, const char *folder, int shard_size);

/** The format whose codes are in a file called so, as a line of the manifest has it. NULL = of none. */
const char *cli_layout_format_of(const char *codes);

/* A name by value. */
struct cli_path {
    char text[PATH_MAX];
};

/** The member `codes` of an item's line: its file or shard, below the folder. */
struct cli_path cli_layout_codes(const struct cli_layout *l, const char *id, int64_t place);

/** That as a path. */
struct cli_path cli_layout_file(const struct cli_layout *l, const char *name);

/** The file that an item's codes are written to: of shards a part, else what `codes` names. */
struct cli_path cli_layout_item(const struct cli_layout *l, const char *id, int64_t place);

/** Whether files of their own, called after this id, would lie below a file of the batch itself. */
bool cli_layout_is_taken(const char *id);

/** The folder of a shard's parts. */
struct cli_path cli_layout_parts(const struct cli_layout *l, int64_t shard);

#endif
