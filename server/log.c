/* Events in, lines on stderr out. A line is written whole, so lines of several writers never mix. */
#include "server/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const char *const level_names[] = {"info", "warning", "error"};

void srv_log_clean(char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (text[i] < ' ' || text[i] > '~') text[i] = '?';
}

/* The inside of a JSON string: out has room for twice the text. */
static void escape(char *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') *out++ = '\\';
        *out++ = *text;
    }
    *out = 0;
}

void srv_log(
    const struct srv_log *log, enum srv_level level, const char *event, const char *format, ...)
{
    char message[1024], escaped[2048], line[2304], when[32];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    srv_log_clean(message, strlen(message));

    time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &utc);
    if (log->json) {
        escape(escaped, message);
        snprintf(line, sizeof line,
                 "{\"time\":\"%s\",\"level\":\"%s\",\"event\":\"%s\",\"message\":\"%s\"}\n", when,
                 level_names[level], event, escaped);
    } else
        snprintf(line, sizeof line, "%s %s %s: %s\n", when, level_names[level], event, message);
    fputs(line, stderr);
}
