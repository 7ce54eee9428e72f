/* Text in, a tree out. The depth is counted before the parser, which recurses, sees the text. */
#include "formats/json.h"

#include <stdbool.h>
#include <string.h>

enum { MAX_DEPTH = 16 };

static bool shallow(const char *text, size_t n)
{
    int depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (quoted && c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == '{' || c == '[') && ++depth > MAX_DEPTH)
            return false;
        else if (!quoted && (c == '}' || c == ']'))
            depth--;
    }
    return true;
}

cJSON *fmt_json_parse(const char *text, size_t n)
{
    if (!shallow(text, n) || memchr(text, 0, n)) return NULL;
    const char *end = NULL;
    cJSON *object = cJSON_ParseWithLengthOpts(text, n, &end, false);
    while (object && end < text + n && strchr(" \t\r\n", *end))
        end++;
    if (object && cJSON_IsObject(object) && end == text + n) return object;
    cJSON_Delete(object);
    return NULL;
}
