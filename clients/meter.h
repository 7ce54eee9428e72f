/* What somebody who speaks into a microphone wants to see. */
#ifndef CLI_METER_H
#define CLI_METER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cli_meter {
    bool shown; /* a terminal is watching */
    double last;
    float peak;                                /* since the line was renewed */
    double latency, latency_most, latency_sum; /* seconds */
    int64_t n_latencies;
};

void cli_meter_start(struct cli_meter *meter, bool quiet);

/** Takes n values of the sound, and how old a frame's last sample was when its codes came. */
void cli_meter_level(struct cli_meter *meter, const float *pcm, size_t n);
void cli_meter_latency(struct cli_meter *meter, double seconds);
double cli_meter_mean_latency(const struct cli_meter *meter);

/** Renews the line ten times a second. */
void cli_meter_show(struct cli_meter *meter, double seconds, size_t n_lost);

#endif
