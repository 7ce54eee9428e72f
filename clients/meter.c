/* Samples and times in, one line out: `00:00:12  [#######---]  -23 dB  latency 9 ms  lost 0`. */
#include "meter.h"

#include "machine.h"
#include "report.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

enum { BARS = 20, DB_A_BAR = 3 };

void cli_meter_start(struct cli_meter *m, bool quiet)
{
    *m = (struct cli_meter){.shown = isatty(cli_report_fd()) && !quiet, .last = cli_clock()};
}

void cli_meter_level(struct cli_meter *m, const float *pcm, size_t n)
{
    for (size_t i = 0; i < n; i++)
        m->peak = fmaxf(m->peak, fabsf(pcm[i]));
}

void cli_meter_latency(struct cli_meter *m, double seconds)
{
    m->latency = seconds;
    m->latency_most = fmax(m->latency_most, seconds);
    m->latency_sum += seconds;
    m->n_latencies++;
}

double cli_meter_mean_latency(const struct cli_meter *m)
{
    return m->n_latencies ? m->latency_sum / (double)m->n_latencies : 0;
}

void cli_meter_show(struct cli_meter *m, double seconds, size_t n_lost)
{
    const double now = cli_clock();
    if (!m->shown || now - m->last < 0.1) return;
    const double level = 20 * log10(fmax((double)m->peak, 1e-3));
    const int bars = BARS + (int)fmin(level / DB_A_BAR, 0);
    const long long s = (long long)seconds;
    char line[128];
    snprintf(line, sizeof line,
             "%02lld:%02lld:%02lld  [%.*s%.*s] %4.0f dB  latency %.0f ms  lost %zu", s / 3600,
             s / 60 % 60, s % 60, bars, "####################", BARS - bars, "--------------------",
             level, 1e3 * m->latency, n_lost);
    cli_say_progress(line);
    m->last = now;
    m->peak = 0;
}
