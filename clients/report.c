/* A format in, one clean line on standard error out. What progress has left there is taken away
 * first, so that no message hangs on its end. */
#include "report.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool has_progress;
static _Thread_local struct cli_told *listener; /* has this thread's lines, instead of people */
static int own = -1; /* where standard error went before it was taken from the libraries */

int cli_report_fd(void)
{
    return own < 0 ? STDERR_FILENO : own;
}

void cli_report_alone(bool alone)
{
    if (alone == (own >= 0)) return;
    if (!alone) {
        dup2(own, STDERR_FILENO);
        close(own);
        own = -1;
        return;
    }
    const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (nowhere < 0) return;
    own = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    if (own >= 0) dup2(nowhere, STDERR_FILENO);
    close(nowhere);
}

void cli_say_progress(const char *line)
{
    if (*line || has_progress) dprintf(cli_report_fd(), "\r%s\033[K", line);
    has_progress = *line;
}

static void say(const char *format, va_list args)
{
    char line[sizeof listener->line];
    vsnprintf(line, sizeof line, format, args);
    if (listener) {
        memcpy(listener->line, line, sizeof line);
        return;
    }
    for (char *c = line; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f) *c = '?';
    cli_say_progress("");
    dprintf(cli_report_fd(), "tessera: %s\n", line);
}

void cli_report_to(struct cli_told *told)
{
    listener = told;
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
