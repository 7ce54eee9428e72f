/* Events in, lines on stderr out. A line is written whole, so lines of several writers never mix. */
#include "server/log.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>

static const char *const level_names[] = {"info", "warning", "error"};

/* The text inside a JSON string: what JSON forbids becomes an escape. */
static void escape(char *out, size_t capacity, const char *text)
{
    size_t n = 0;
    for (; *text && n + 7 < capacity; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') {
            out[n++] = '\\';
            out[n++] = (char)c;
        } else if (c < 0x20)
            n += (size_t)snprintf(out + n, 7, "\\u%04x", c);
        else
            out[n++] = (char)c;
    }
    out[n] = 0;
}

void srv_log(
    const struct srv_log *log, enum srv_level level, const char *event, const char *format, ...)
{
    char message[1024], escaped[2048], line[2304], when[32];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);

    time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &utc);
    if (log->json) {
        escape(escaped, sizeof escaped, message);
        snprintf(line, sizeof line,
                 "{\"time\":\"%s\",\"level\":\"%s\",\"event\":\"%s\",\"message\":\"%s\"}\n", when,
                 level_names[level], event, escaped);
    } else
        snprintf(line, sizeof line, "%s %s %s: %s\n", when, level_names[level], event, message);
    fputs(line, stderr);
}
