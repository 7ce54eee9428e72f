/* Counts in, lines for people (standard error) or machines (JSON) out. */
#include "progress.h"

#include "json_out.h"
#include "machine.h"
#include "report.h"

#include <stdio.h>
#include <unistd.h>

void cli_progress_start(struct cli_progress *p, const struct cli_options *options, double total)
{
    double now = cli_clock();
    *p = (struct cli_progress){isatty(cli_report_fd()) && !options->quiet, now, now, total};
}

bool cli_progress_due(struct cli_progress *p)
{
    double now = cli_clock();
    if (!p->shown || now - p->last < 1) return false;
    p->last = now;
    return true;
}

struct cli_hours cli_hours(double seconds)
{
    const long long s = (long long)seconds;
    struct cli_hours hours;
    snprintf(hours.text, sizeof hours.text, "%02lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
    return hours;
}

void cli_progress_step(struct cli_progress *p, double done)
{
    if (!cli_progress_due(p)) return;
    char part[16] = "", line[80];
    if (p->total > 0) snprintf(part, sizeof part, "%.0f %%  ", 100 * done / p->total);
    snprintf(line, sizeof line, "%s%s  %.0fx real time", part, cli_hours(done).text,
             done / (p->last - p->start));
    cli_say_progress(line);
}

void cli_progress_end(const struct cli_progress *p,
                      const struct cli_options *options,
                      const struct cli_summary *summary,
                      bool stdout_is_data)
{
    double spent = cli_clock() - p->start;
    double seconds = (double)summary->n_samples / summary->rate;
    double speed = spent > 0 ? seconds / spent : 0;
    double megabytes = (double)cli_peak_memory() / 1e6;
    cli_say_progress("");
    if (options->json) {
        cJSON *root = cJSON_CreateObject();
        cJSON_AddStringToObject(root, "input", summary->input);
        cJSON_AddStringToObject(root, "output", summary->output);
        cJSON_AddStringToObject(root, "model", summary->model);
        cJSON_AddNumberToObject(root, "frames", (double)summary->n_frames);
        if (summary->n_lost >= 0)
            cJSON_AddNumberToObject(root, "lost_frames", (double)summary->n_lost);
        cJSON_AddNumberToObject(root, "samples", (double)summary->n_samples);
        cJSON_AddNumberToObject(root, "sample_rate", summary->rate);
        cJSON_AddNumberToObject(root, "seconds", seconds);
        cJSON_AddNumberToObject(root, "kbit_per_second", summary->kbits);
        cJSON_AddNumberToObject(root, "times_real_time", speed);
        cJSON_AddNumberToObject(root, "peak_memory_bytes", (double)cli_peak_memory());
        cli_json_print(root, stdout_is_data ? stderr : stdout);
    } else if (!options->quiet) {
        char lost[40] = "";
        if (summary->n_lost >= 0)
            snprintf(lost, sizeof lost, " (%lld lost)", (long long)summary->n_lost);
        fprintf(stderr, "%s: %lld frames%s, %.2f s, %.2f kbit/s, %.1fx real time, %.1f MB\n",
                summary->output, (long long)summary->n_frames, lost, seconds, summary->kbits, speed,
                megabytes);
    }
}
