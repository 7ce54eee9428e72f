/* Which lanes compute next. The loop puts a lane that has input; a worker a core takes the lanes
 * whose deadlines are oldest, of one model and direction, up to 64 at once, runs them as one batch
 * and gives them back; the loop hears of it through `done`. Between batches nothing waits: while
 * workers are busy ready lanes gather, so batches grow exactly as load does. */
#ifndef SRV_SCHEDULER_H
#define SRV_SCHEDULER_H

#include "server/lane.h"

#include <uv.h>

enum {
    SRV_BATCH_LANES = 64,
    SRV_BATCH_FRAMES = 96, /* 4 ms of the default model: what a lane waits before its turn starts */
};

struct srv_scheduler;

/** Called on the loop's thread with a list (lane->next) of lanes whose turns are done. */
typedef void srv_scheduler_done(void *ctx, struct srv_lane *lanes);

/** Starts n_workers threads, each with scratch for every model, and measures what a frame costs.
 *  Errors: NOMEM, or what the library says. */
int srv_scheduler_create(struct srv_scheduler **scheduler,
                         uv_loop_t *loop,
                         const struct srv_models *models,
                         int n_workers,
                         srv_scheduler_done *done,
                         void *ctx);

/** Waits for running batches, tells of them and ends the threads. No lane may wait for its turn. The
 *  loop must still run once for the async handle's close. NULL is allowed. */
void srv_scheduler_destroy(struct srv_scheduler *scheduler);

/** The lane's turn is set: a worker will run it. Afterwards the lane is not the loop's until it
 *  comes back. Cannot fail. */
void srv_scheduler_put(struct srv_scheduler *scheduler, struct srv_lane *lane);

/** Takes a lane back that no worker has begun. Returns true when it is the loop's again, false when
 *  it will come back through `done`. */
bool srv_scheduler_cancel(struct srv_scheduler *scheduler, struct srv_lane *lane);

int srv_scheduler_workers(const struct srv_scheduler *scheduler);

/** The share of the workers' time that all live lanes need, and one more stream of the lanes said
 *  with them: 1 is all of it. From the measured cost of a frame. */
double srv_scheduler_load(const struct srv_scheduler *scheduler,
                          const struct srv_model *model,
                          bool encode,
                          bool decode);

/** Lanes come and go: join before the first put (it makes room; NOMEM), leave when the lane is the
 *  loop's for good. Live ones count as load. */
int srv_scheduler_join(struct srv_scheduler *scheduler, const struct srv_lane_config *config);
void srv_scheduler_leave(struct srv_scheduler *scheduler, const struct srv_lane_config *config);

/** A batch's measures, from its first lane: the cost of a frame follows them. */
void srv_scheduler_measured(struct srv_scheduler *scheduler, const struct srv_lane *lane);

#endif
