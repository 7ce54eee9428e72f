/* JSON from strangers: what cJSON leaves open (depth, NUL, numbers as doubles) is closed here.
 * cJSON takes its memory from malloc: its hooks are global, and the library touches no global.
 * It also writes a global error position at each parse, which we never read, under a lock. */
#ifndef TESS_JSON_H
#define TESS_JSON_H

#include "src/base.h"

#include <cjson/cJSON.h>

/** Parses text [n_bytes]: one object, at most 16 levels deep, then nothing but spaces. Strings
 *  hold no NUL, so they are C strings as they stand. Returns the object, to be freed with
 *  cJSON_Delete, or NULL (also when malloc fails) with the reason in *why, where `what` names
 *  the text. Keys may repeat: the caller checks. Any thread. */
cJSON *tess_json_object(const char *what, const char *text, size_t n_bytes, struct tess_why *why);

/** Whether `item` (or NULL) is a whole number of min..max; if so it goes to *out.
 *  Cannot fail, any thread. */
int tess_json_int(const cJSON *item, int min, int max, int *out);

/** Reads an array of at most `capacity` whole numbers of min..max into out [capacity]. Returns
 *  how many, or -1 if `item` (or NULL) is anything else. Any thread. */
int tess_json_ints(const cJSON *item, int min, int max, int *out, int capacity);

/** Whether `text` is 1 to max_bytes characters of printable ASCII (0x20..0x7e) and so may stand
 *  in a message as it is. Cannot fail, any thread. */
int tess_json_printable(const char *text, size_t max_bytes);

#endif
