/* Bytes in, the same as UTF-8 out. */
#include "formats/utf8.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of the character at s, 0 if there is none. */
static int character(const uint8_t *s)
{
    static const uint32_t smallest[] = {0, 0x80, 0x800, 0x10000};
    if (*s < 0x80) return 1;
    if (*s < 0xC0 || *s > 0xF7) return 0;
    const int more = *s >= 0xF0 ? 3 : *s >= 0xE0 ? 2 : 1;
    uint32_t point = *s & (0x3FU >> more);
    for (int i = 1; i <= more; i++) {
        if ((s[i] & 0xC0) != 0x80) return 0; /* as the text's end has not */
        point = point << 6 | (s[i] & 0x3FU);
    }
    const bool surrogate = point >= 0xD800 && point <= 0xDFFF;
    return point < smallest[more] || point > 0x10FFFF || surrogate ? 0 : more + 1;
}

bool fmt_is_utf8(const char *text)
{
    const uint8_t *s = (const uint8_t *)text;
    int n = 1;
    while (*s && n) {
        n = character(s);
        s += n;
    }
    return n;
}

char *fmt_as_utf8(const char *text)
{
    char *whole = malloc(3 * strlen(text) + 1), *to = whole;
    for (const uint8_t *s = (const uint8_t *)text; whole && *s;) {
        const int n = character(s);
        memcpy(to, n ? (const char *)s : "\xEF\xBF\xBD", n ? (size_t)n : 3);
        to += n ? n : 3;
        s += n ? n : 1;
    }
    if (whole) *to = 0;
    return whole;
}
