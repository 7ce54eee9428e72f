/* Text in, a checked cJSON tree out; then whole numbers and printable strings from its items.
 * Before cJSON sees a byte, brackets and quotes have been followed to the end of the object, so
 * it never recurses deeper than MAX_DEPTH and never runs out of text inside the object. */
#include "src/json.h"

#include <pthread.h>
#include <string.h>

enum { MAX_DEPTH = 16 };

/* cJSON writes a global error position at each parse: one parse at a time. */
static pthread_mutex_t parsing = PTHREAD_MUTEX_INITIALIZER;

/* Bytes of the object that `text` begins with; 0 if it is not closed, nested too deep or holds
 * a NUL, plain or escaped. */
static size_t object_bytes(const char *text, size_t n_bytes)
{
    static const char nul_escape[] = "\\u0000";
    int depth = 0, quoted = 0;
    if (!n_bytes || text[0] != '{') return 0;
    for (size_t i = 0; i < n_bytes; i++) {
        char c = text[i];
        if (!c) return 0;
        if (c == '"') {
            quoted = !quoted;
        } else if (quoted && c == '\\') {
            if (n_bytes - i >= 6 && !memcmp(text + i, nul_escape, 6)) return 0;
            i++;
        } else if (!quoted && (c == '{' || c == '[')) {
            if (++depth > MAX_DEPTH) return 0;
        } else if (!quoted && (c == '}' || c == ']')) {
            if (--depth == 0) return i + 1;
        }
    }
    return 0;
}

cJSON *tess_json_object(const char *what, const char *text, size_t n_bytes, struct tess_why *why)
{
    size_t length = object_bytes(text, n_bytes);
    if (!length) {
        tess_base_fail(why, TESS_E_FORMAT,
                       "%s is not a JSON object of at most %d levels without NUL characters", what,
                       MAX_DEPTH);
        return NULL;
    }
    for (size_t i = length; i < n_bytes; i++)
        if (text[i] != ' ') {
            tess_base_fail(why, TESS_E_FORMAT, "%s goes on after the JSON object, at byte %zu",
                           what, i);
            return NULL;
        }
    const char *stop = text;
    pthread_mutex_lock(&parsing);
    cJSON *object = cJSON_ParseWithLengthOpts(text, length, &stop, 0);
    pthread_mutex_unlock(&parsing);
    if (!object)
        tess_base_fail(why, TESS_E_FORMAT, "%s is not valid JSON at byte %td", what, stop - text);
    return object;
}

int tess_json_int(const cJSON *item, int min, int max, int *out)
{
    if (!cJSON_IsNumber(item)) return 0;
    double value = item->valuedouble;
    if (!(value >= min && value <= max) || value != (int)value) return 0;
    *out = (int)value;
    return 1;
}

int tess_json_ints(const cJSON *item, int min, int max, int *out, int capacity)
{
    if (!cJSON_IsArray(item)) return -1;
    int n = 0;
    for (const cJSON *element = item->child; element; element = element->next) {
        if (n == capacity || !tess_json_int(element, min, max, out + n)) return -1;
        n++;
    }
    return n;
}

int tess_json_printable(const char *text, size_t max_bytes)
{
    size_t n = 0;
    for (; text[n] >= 0x20 && text[n] <= 0x7e; n++)
        if (n == max_bytes) return 0;
    return n > 0 && !text[n];
}
