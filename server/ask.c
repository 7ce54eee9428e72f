/* A query or an Accept header in, values out. Source: RFC 3986, 2.1; RFC 9110, 12.5.1. */
#include "server/ask.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int hex(char c)
{
    const char *at = c ? strchr("0123456789abcdef", tolower((unsigned char)c)) : NULL;
    return at ? (int)(at - "0123456789abcdef") : -1;
}

/* Text up to one of `ends` or the end, unescaped to `to`. Returns false where it is broken. */
static bool unescape(const char **at, const char *ends, char *to, size_t capacity)
{
    const char *c = *at;
    size_t n = 0;
    for (; *c && !strchr(ends, *c); c++) {
        int v = (unsigned char)*c;
        if (*c == '+') v = ' ';
        if (*c == '%') {
            int high = hex(c[1]), low = high < 0 ? -1 : hex(c[2]);
            if (low < 0) return false;
            v = 16 * high + low;
            c += 2;
        }
        if (v == 0 || n + 1 == capacity) return false;
        to[n++] = (char)v;
    }
    to[n] = 0;
    *at = c;
    return true;
}

int srv_ask_next(const char **at, struct srv_ask *ask)
{
    ask->value[0] = 0;
    while (**at == '&')
        ++*at;
    if (!**at) return 0;
    if (!unescape(at, "=&", ask->name, sizeof ask->name)) return -1;
    if (**at == '=') {
        ++*at;
        if (!unescape(at, "&", ask->value, sizeof ask->value)) return -1;
    }
    return 1;
}

bool srv_ask_int(const struct srv_ask *ask, int64_t least, int64_t most, int64_t *n)
{
    char *end;
    errno = 0;
    *n = strtoll(ask->value, &end, 10);
    return isdigit((unsigned char)ask->value[0]) && !*end && !errno && *n >= least && *n <= most;
}

/* ---- Accept ---- */

static bool covers(const char *range, size_t n_range, const char *type)
{
    if (n_range == strlen(type) && strncasecmp(range, type, n_range) == 0) return true;
    if (n_range == 3 && memcmp(range, "*/*", 3) == 0) return true;
    return n_range > 2 && memcmp(range + n_range - 2, "/*", 2) == 0 &&
           strncasecmp(range, type, n_range - 1) == 0;
}

/* The weight in thousandths of a range's parameters, which end at a comma. */
static int weight(const char *parameters, size_t n)
{
    for (const char *c = parameters, *end = c + n; c < end; c++) {
        if (*c != ';') continue;
        c += 1 + strspn(c + 1, " \t");
        if (strncasecmp(c, "q=", 2) == 0) return (int)(1000 * strtod(c + 2, NULL) + 0.5);
        c--;
    }
    return 1000;
}

int srv_ask_accept(const char *header, const char *const *types, int n)
{
    int best = -1, best_weight = 0;
    if (!header || !header[strspn(header, " \t")]) return 0;
    while (*header) {
        header += strspn(header, " \t,");
        size_t n_item = strcspn(header, ","), n_range = strcspn(header, "; \t,");
        int w = weight(header + n_range, n_item - n_range);
        for (int i = 0; i < n && w > best_weight; i++) {
            if (!covers(header, n_range, types[i])) continue;
            best = i;
            best_weight = w;
        }
        header += n_item;
    }
    return best;
}
