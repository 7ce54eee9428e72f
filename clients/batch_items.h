/* What a batch has to do: the recordings of a folder or of a manifest, one after the other. */
#ifndef CLI_BATCH_ITEMS_H
#define CLI_BATCH_ITEMS_H

#include <stdbool.h>
#include <stdint.h>

/* A recording or a part of one; docs/batch.md. Texts are NULL where nothing is known. */
struct cli_item {
    int64_t place;
    int64_t line;     /* of the manifest, from 1; 0 without one */
    char *id, *audio; /* freed with the item, like the next three */
    char *path;       /* where `audio` is from here */
    char *text, *speaker;
    double offset, duration; /* seconds; duration < 0: to the end */
};

void cli_item_free(struct cli_item *item);

struct cli_items;

/** Begins with the sound files below `folder`, or if it is NULL with the lines of `manifest`; `twice` if
 *  cli_items_again is to follow: a pipe is then read to its end first. Returns 0 or an exit code, the
 *  reason told. */
int cli_items_open(struct cli_items **items, const char *folder, const char *manifest, bool twice);
void cli_items_close(struct cli_items *items);

/** Begins again. Returns as above. */
int cli_items_again(struct cli_items *items);

/** The next item. Returns 1, 0 at the end, or a negated exit code, the reason told: *item then holds
 *  what is known of an item that cannot be, and others may follow. Free it either way. */
int cli_items_next(struct cli_items *items, struct cli_item *item);

/** How many items there are, about: what cannot be an item may count. 0 where only reading would
 *  tell. */
int64_t cli_items_count(const char *folder, const char *manifest);

#endif
