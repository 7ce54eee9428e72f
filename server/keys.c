/* A file of keys in, yes or no out. Comparing looks at every byte of every key, whatever differs. */
#include "server/keys.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(const char *path, const char *why)
{
    fprintf(stderr, "tesserad: --api-key-file %s: %s\n", path, why);
    return 2;
}

static int add(struct srv_keys *keys, const char *key, size_t length)
{
    void *more = realloc(keys->key, (keys->n + 1) * sizeof *keys->key);
    if (!more) return -1;
    keys->key = more;
    memset(keys->key[keys->n], 0, SRV_MAX_KEY);
    memcpy(keys->key[keys->n++], key, length);
    return 0;
}

static const char *read_lines(struct srv_keys *keys, FILE *file)
{
    char line[SRV_MAX_KEY + 2];
    while (fgets(line, sizeof line, file)) {
        size_t length = strcspn(line, "\r\n");
        if (length >= SRV_MAX_KEY) return "a key is longer than 127 bytes";
        if (length == 0 || line[0] == '#') continue;
        if (add(keys, line, length) != 0) return "out of memory";
    }
    if (ferror(file)) return strerror(errno);
    return keys->n > 0 ? NULL : "no key in it";
}

int srv_keys_read(struct srv_keys *keys, const char *path)
{
    *keys = (struct srv_keys){0};
    if (!*path) return 0;
    FILE *file = fopen(path, "re");
    if (!file) return fail(path, strerror(errno));
    const char *why = read_lines(keys, file);
    fclose(file);
    return why ? fail(path, why) : 0;
}

void srv_keys_free(struct srv_keys *keys)
{
    free(keys->key);
    *keys = (struct srv_keys){0};
}

bool srv_keys_allow(const struct srv_keys *keys, const char *key)
{
    if (keys->n == 0) return true;
    char shown[SRV_MAX_KEY] = "";
    size_t length = key ? strnlen(key, SRV_MAX_KEY) : 0;
    if (length < SRV_MAX_KEY) memcpy(shown, key ? key : "", length);
    unsigned allowed = 0;
    for (size_t i = 0; i < keys->n; i++) {
        unsigned difference = 0;
        for (int b = 0; b < SRV_MAX_KEY; b++)
            difference |= (unsigned char)(keys->key[i][b] ^ shown[b]);
        allowed |= difference == 0;
    }
    return allowed != 0; /* an empty or too long key is all zeros, and no key of the file is */
}
