/* Text that may not be UTF-8: names of files are bytes. */
#ifndef FMT_UTF8_H
#define FMT_UTF8_H

#include <stdbool.h>

/** Whether the text is UTF-8: no overlong form, no surrogate. Cannot fail. */
bool fmt_is_utf8(const char *text);

/** The text with U+FFFD in place of each byte that is not UTF-8, to be freed. NULL without memory. */
char *fmt_as_utf8(const char *text);

#endif
