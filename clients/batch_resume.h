/* What an earlier run of a batch has left. */
#ifndef CLI_BATCH_RESUME_H
#define CLI_BATCH_RESUME_H

#include "batch_journal.h"

/** Reads the manifest into the journal's entries: lines count if their codes are there. Cuts off a last
 *  line without an end. Returns 0; or CLI_USAGE if a line is of another model, number of codebooks,
 *  option of the model's family or layout, or has codes in a shard but not its item at that place; or
 *  another exit code, the reason told. */
int cli_resume(struct cli_journal *j,
               struct cli_items *items,
               const struct tess_model_info *model,
               int codebooks,
               int option);

/** The entry of an id, made if there is none; good until the next call. NULL without memory. */
struct cli_entry *cli_journal_entry(struct cli_journal *j, const char *id);

#endif
