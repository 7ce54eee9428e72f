/* The keys of --api-key-file. */
#ifndef SRV_KEYS_H
#define SRV_KEYS_H

#include <stdbool.h>
#include <stddef.h>

enum { SRV_MAX_KEY = 128 }; /* bytes of a key, its terminator included */

struct srv_keys {
    char (*key)[SRV_MAX_KEY]; /* padded with zeros */
    size_t n;                 /* 0: no file, everybody is let in */
};

/** One key a line; blank lines and lines that start with # are skipped. "" reads nothing. Returns 0,
 *  or 2 with the reason on stderr (no keys in it is one). */
int srv_keys_read(struct srv_keys *keys, const char *path);
void srv_keys_free(struct srv_keys *keys);

/** Is `key` (NULL: none) one of them? Takes the same time whatever is right about it. */
bool srv_keys_allow(const struct srv_keys *keys, const char *key);

#endif
