/* What an earlier run of a batch has left. */
#ifndef CLI_BATCH_RESUME_H
#define CLI_BATCH_RESUME_H

#include "batch_journal.h"

/** Reads the manifest into the journal's entries: lines count if their codes are there. Cuts off a last
 *  line without an end. Returns 0; or CLI_USAGE if the lines are of another model, number of codebooks
 *  or layout; or another exit code, the reason told. */
int cli_resume(struct cli_journal *j, const struct tess_model_info *model, int codebooks);

/** The entry of an id, made if there is none; good until the next call. NULL without memory. */
struct cli_entry *cli_journal_entry(struct cli_journal *j, const char *id);

#endif
