/* Counters that /metrics shows. All belong to the loop's thread. */
#ifndef SRV_METRICS_H
#define SRV_METRICS_H

#include "server/session.h"

enum { SRV_MAX_BUCKETS = 16 };

struct srv_histogram {
    const double *bound; /* [n] upper bounds, ascending; one bucket more has none */
    int n;
    uint64_t bucket[SRV_MAX_BUCKETS + 1], count;
    double sum;
};

struct srv_metrics {
    uint64_t frames[SRV_N_DIRECTIONS]; /* encoded, decoded */
    uint64_t deadline_misses;
    uint64_t dropped[SRV_N_DROPS];
    uint64_t refused[SRV_N_REFUSALS];
    uint64_t cut; /* streams whose connection went without END */
    uint64_t bytes_in, bytes_out;
    struct srv_histogram step_seconds, batch_streams, queue_seconds;
};

void srv_metrics_init(struct srv_metrics *metrics);
void srv_histogram_add(struct srv_histogram *histogram, double value);

/** The text of /metrics (Prometheus 0.0.4), to be freed; NULL without memory. */
char *srv_metrics_text(const struct srv_server *server);

#endif
