/* What a batch has done: manifest.jsonl, which is also what --resume reads, and errors.jsonl. */
#ifndef CLI_BATCH_JOURNAL_H
#define CLI_BATCH_JOURNAL_H

#include "batch_items.h"
#include "batch_layout.h"

#include <stdio.h>

/* An item that has a line, or that is in work. */
struct cli_entry {
    uint8_t id[16]; /* the start of its SHA-256 */
    int64_t key; /* its place as its line tells, then as its input does; -1 = files of their own */
    int64_t line_at; /* where its line is in the manifest; -1 = it has none that counts */
    int64_t n_bytes; /* of its codes */
    int64_t run_at;  /* where its bytes begin in its shard; -1 = its codes are a part */
    int32_t n_line;  /* bytes of the line without its line feed */
    bool is_claimed;
    bool is_seen,
        is_in_place; /* of shards, when the input is compared: it has the item, as its line */
};

/* Not for two threads at once, but for cli_journal_sync. */
struct cli_journal {
    const struct cli_layout *layout; /* borrowed */
    FILE *manifest;                  /* open and locked as long as the batch runs */
    int64_t n_manifest;              /* its bytes */
    bool is_taken_up;                /* it was there before, so what lies beside it is a batch's */
    FILE *errors;                    /* NULL until there is one */
    struct cli_entry *entries;       /* [n_entries] */
    uint32_t n_entries, entry_capacity;
    uint32_t *table; /* [n_table], a power of 2: entries by id, plus 1; 0 = free */
    uint32_t n_table;
    uint32_t *places; /* [n_places]: the entry at each place, plus 1; 0 = none */
    int64_t n_places, place_capacity;
};

/** Opens the layout's folder, which is made if need be; `resume` takes up what is there, else no manifest
 *  may be. Its lines must be of this model, number of codebooks and option, and those of shards tell of
 *  the items, which are gone through for that and begun again. Borrows the layout. Returns 0 or an exit
 *  code, the reason told. */
int cli_journal_open(struct cli_journal *j,
                     const struct cli_layout *layout,
                     bool resume,
                     struct cli_items *items,
                     const struct tess_model_info *model,
                     int codebooks,
                     int option);
void cli_journal_close(struct cli_journal *j);

/** Removes a manifest without lines, unless it was taken up. Cannot fail. */
void cli_journal_forget(const struct cli_journal *j);

/** Takes note of an item, whose entry's index goes to *entry. Returns 1 if it is done, 0 if it is to
 *  be done, or a negated exit code, the reason told: CLI_FAILED if another item has this id, CLI_USAGE if
 *  it is done at another place. */
int cli_journal_claim(struct cli_journal *j, const struct cli_item *item, uint32_t *entry);

/** Appends the line [n] of an item whose codes of n_bytes are on disk, a line feed at its end.
 *  Returns 0 or CLI_IO, the reason told. */
int cli_journal_put(
    struct cli_journal *j, uint32_t entry, const char *line, size_t n, int64_t n_bytes);

/** Puts on disk what was appended; any thread. Returns as above. */
int cli_journal_sync(const struct cli_journal *j);

/** Appends to errors.jsonl. Returns as above. */
int cli_journal_error(struct cli_journal *j, const struct cli_item *item, const char *why);

/** The done items of places [first, first + n) into entries [n]. Returns how many. Cannot fail. */
int cli_journal_done(const struct cli_journal *j,
                     int64_t first,
                     int64_t n,
                     struct cli_entry *entries);

/** The entry's line without its line feed into line [n_line]; any thread. Returns 0 or CLI_IO. */
int cli_journal_line(const struct cli_journal *j, const struct cli_entry *entry, char *line);

/** Writes manifest.sorted.jsonl. Returns as above. */
int cli_journal_sort(const struct cli_journal *j);

#endif
