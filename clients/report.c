/* A format in, one clean line on standard error out. What progress has left there is taken away
 * first, so that no message hangs on its end. */
#include "report.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

static bool has_progress;

void cli_say_progress(const char *line)
{
    if (*line || has_progress) fprintf(stderr, "\r%s\033[K", line);
    has_progress = *line;
}

static void say(const char *format, va_list args)
{
    char line[1024];
    vsnprintf(line, sizeof line, format, args);
    for (char *c = line; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f) *c = '?';
    cli_say_progress("");
    fprintf(stderr, "tessera: %s\n", line);
}

void cli_say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(format, args);
    va_end(args);
}

int cli_fail(int exit_code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(format, args);
    va_end(args);
    return exit_code;
}

int cli_fail_memory(void)
{
    return cli_fail(CLI_FAILED, "out of memory");
}
