/* A family's numbers: the JSON object of the model file's `tessera.config`. Reading a key takes
 * it out; what is left when the family has read its keys is a key nobody knows, an error like an
 * unused tensor. */
#ifndef TESS_CONFIG_H
#define TESS_CONFIG_H

#include "src/base.h"

struct tess_config {
    struct cJSON *unread; /* malloc's: see json.h */
};

/** Parses `json` (NULL = the file has none): at most 16 levels, keys of 1 to 63 printable ASCII
 *  characters. Copies. On failure *c needs no close. One thread at a time. Errors, here and
 *  below: MODEL, with a line naming the key and its limits. */
int tess_config_open(struct tess_config *c, const char *json, struct tess_why *why);
void tess_config_close(struct tess_config *c);

/** A whole number of min..max. Returns 0. */
int tess_config_int(
    const struct tess_config *c, const char *key, int min, int max, int *out, struct tess_why *why);

/** A key and the whole numbers it may have, for tables of them. */
struct tess_key {
    const char *key;
    int min, max, *out;
};

/** tess_config_int for each of n keys, until one fails. */
int tess_config_keys(const struct tess_config *c,
                     const struct tess_key *keys,
                     size_t n,
                     struct tess_why *why);

/** 1 to `capacity` whole numbers of min..max to out [capacity]. Returns how many. */
int tess_config_ints(const struct tess_config *c,
                     const char *key,
                     int min,
                     int max,
                     int *out,
                     int capacity,
                     struct tess_why *why);

/** A string of 1 to size - 1 printable ASCII characters to out [size]. Returns 0. */
int tess_config_string(
    const struct tess_config *c, const char *key, char *out, size_t size, struct tess_why *why);

/** 0 if every key has been read (once: a key that stands twice is left over). */
int tess_config_finish(const struct tess_config *c, struct tess_why *why);

#endif
