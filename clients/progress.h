/* How far, how fast, how large. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "options.h"

#include <stdint.h>

struct cli_progress {
    bool shown;         /* a terminal is watching */
    double start, last; /* seconds of cli_clock */
    double total;       /* seconds of sound; below 0 = not known */
};

void cli_progress_start(struct cli_progress *p, const struct cli_options *options, double total);

/** Whether a line of progress is to be shown now, as once a second. */
bool cli_progress_due(struct cli_progress *p);

/** Seconds as 00:01:02. */
struct cli_hours {
    char text[32];
};
struct cli_hours cli_hours(double seconds);

/** To be called after every block; once a second one line is renewed:
 *  `42 %  00:01:02  118x real time`. */
void cli_progress_step(struct cli_progress *p, double done);

/** What was done, for the end. */
struct cli_summary {
    const char *input, *output, *model;
    int64_t n_frames, n_samples; /* samples per channel at `rate` */
    int rate;
    int64_t n_lost; /* frames; -1 = none could be */
    double kbits;   /* a second, of the coded file; 0 = none was seen */
};

/** Ends the line of progress, then prints the summary unless quiet: a block on standard error, or
 *  with --json an object on standard output (standard error where that carries the data). */
void cli_progress_end(const struct cli_progress *p,
                      const struct cli_options *options,
                      const struct cli_summary *summary,
                      bool stdout_is_data);

#endif
