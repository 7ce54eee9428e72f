/* A few threads that do one call's work together, in steps. */
#ifndef TESS_TEAM_H
#define TESS_TEAM_H

#include "src/base.h"

struct tess_team;

enum { TESS_MAX_THREADS = 64 };

/** n_threads 1..64, the caller's among them; the others sleep between runs. Errors: NOMEM. */
int tess_team_create(struct tess_team **team,
                     int n_threads,
                     const struct tess_allocator *allocator);
void tess_team_destroy(struct tess_team *team);

/** Calls task(ctx, team, i, n_threads) on every thread, i = 0 on the caller's, and returns when all
 *  have returned; where n_rows of work are too few to share, task(ctx, NULL, 0, 1) on the caller's
 *  alone. One caller at a time. */
typedef void tess_team_task(void *ctx, struct tess_team *team, int thread, int n_threads);
void tess_team_run(struct tess_team *team, int n_rows, tess_team_task *task, void *ctx);

/** Inside a task: waits until every thread of the team is here. NULL: returns at once. */
void tess_team_meet(struct tess_team *team);

#endif
