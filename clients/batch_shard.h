/* Shards: the codes and lines of many items as one file. */
#ifndef CLI_BATCH_SHARD_H
#define CLI_BATCH_SHARD_H

#include "batch_journal.h"

/** Bytes of an item in a shard, and of the shard's end after n_items bytes of items. Cannot fail. */
int64_t cli_shard_run(const struct cli_layout *layout, const struct cli_entry *entry);
int64_t cli_shard_end(const struct cli_layout *layout, int64_t n_items);

/** Whether the runs of entries [n] begin where run_at says, -1 being nowhere, and no others are there, in
 *  a shard whose size is right. A tar's size is rounded up, so the heads of its members are read; lines
 *  cannot be mistaken. */
bool cli_shard_holds(const struct cli_layout *layout,
                     const char *path,
                     struct cli_entry *const *entries,
                     size_t n);

/** Writes a shard of entries [n] in the order of their places, unless it is there and none has come
 *  to it; then removes its parts. Any thread, one for each shard. Returns 0 or CLI_IO, the reason
 *  told. */
int cli_shard_write(const struct cli_journal *j,
                    int64_t shard,
                    const struct cli_entry *entries,
                    int n);

#endif
