/* What a request asks for, out of its line and its headers: the query's names and values, the media
 * type that it accepts. */
#ifndef SRV_ASK_H
#define SRV_ASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct srv_ask {
    char name[32], value[128];
};

/** The next name and value of a query, unescaped, from *at on, which moves. Returns 1, 0 at the end, or
 *  -1 where an escape is broken or a text does not fit. */
int srv_ask_next(const char **at, struct srv_ask *ask);

/** The value as a number from least to most. */
bool srv_ask_int(const struct srv_ask *ask, int64_t least, int64_t most, int64_t *n);

/** Which of `types` [n] the header accepts most, the first of several alike, 0 where it is NULL or
 *  empty; -1 where it accepts none. */
int srv_ask_accept(const char *header, const char *const *types, int n);

#endif
