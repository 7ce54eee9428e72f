/* One voice for every failure: a line on standard error, and the exit code that goes with it. */
#ifndef CLI_REPORT_H
#define CLI_REPORT_H

#include <stdbool.h>

enum cli_exit {
    CLI_OK = 0,
    CLI_FAILED = 1, /* an input could not be processed */
    CLI_USAGE = 2,  /* the command line makes no sense */
    CLI_MODEL = 3,  /* no model, a broken one, or the wrong one */
    CLI_IO = 4,     /* output could not be written */
    CLI_SERVER = 5, /* the daemon said no */
    CLI_INTERRUPTED = 130,
};

/** Writes "tessera: ..." as one line to standard error; control characters (a file name may hold
 *  them) become '?'. */
void cli_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** cli_say that returns `exit_code`, so that a check reads
 *  `return cli_fail(CLI_FAILED, "%s: no samples", name);` */
int cli_fail(int exit_code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** What is said when memory is gone; returns CLI_FAILED. */
int cli_fail_memory(void);

/** From here on standard error is the reports' alone: what libraries print there goes nowhere, until
 *  it is called with false. Cannot fail: at worst the libraries are heard. */
void cli_report_alone(bool alone);

/** The descriptor that the reports go to: a terminal or not. Cannot fail. */
int cli_report_fd(void);

/** Renews the one line of progress on a terminal; "" takes it away, as what is said does. */
void cli_say_progress(const char *line);

/** From here on what this thread says stands in `told`, the last line as it is and without
 *  "tessera: ", and nowhere else; NULL ends that. */
struct cli_told {
    char line[1024];
};
void cli_report_to(struct cli_told *told);

#endif
