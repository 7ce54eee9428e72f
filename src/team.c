/* Tasks in, the same task on every thread. All meeting is at one barrier: a helper waits there for
 * work, inside a task between its steps, and after it; no other state is shared. */
#include "src/team.h"

#include <pthread.h>

enum { SHARED_ROWS = 16 }; /* fewer rows are done before other threads have woken */

struct helper {
    struct tess_team *team;
    pthread_t thread;
    int index;
};

struct tess_team {
    int n_threads;
    pthread_barrier_t barrier;
    tess_team_task *task; /* NULL: end. Written by the caller, read behind the barrier. */
    void *ctx;
    struct tess_allocator allocator;
    struct helper helpers[]; /* [n_threads - 1] */
};

void tess_team_meet(struct tess_team *team)
{
    if (team && team->n_threads > 1) pthread_barrier_wait(&team->barrier);
}

static void *help(void *arg)
{
    struct helper *self = arg;
    struct tess_team *team = self->team;
    for (;;) {
        tess_team_meet(team);
        if (!team->task) return NULL;
        team->task(team->ctx, team, self->index, team->n_threads);
        tess_team_meet(team);
    }
}

void tess_team_run(struct tess_team *team, int n_rows, tess_team_task *task, void *ctx)
{
    if (team->n_threads == 1 || n_rows < SHARED_ROWS) {
        task(ctx, NULL, 0, 1);
        return;
    }
    team->task = task;
    team->ctx = ctx;
    tess_team_meet(team);
    task(ctx, team, 0, team->n_threads);
    tess_team_meet(team);
}

int tess_team_create(struct tess_team **out, int n_threads, const struct tess_allocator *allocator)
{
    size_t n_helpers = (size_t)n_threads - 1;
    struct tess_team *team =
        tess_base_alloc(allocator, sizeof *team + n_helpers * sizeof *team->helpers);
    *out = NULL;
    if (!team) return TESS_E_NOMEM;
    team->allocator = *allocator;
    team->n_threads = 1;
    if (n_threads > 1 && pthread_barrier_init(&team->barrier, NULL, (unsigned)n_threads)) {
        tess_base_free(allocator, team);
        return TESS_E_NOMEM;
    }
    team->n_threads = n_threads;
    for (int i = 0; i < n_threads - 1; i++) {
        struct helper *helper = &team->helpers[i];
        *helper = (struct helper){.team = team, .index = i + 1};
        if (!pthread_create(&helper->thread, NULL, help, helper)) continue;
        /* Those already there wait for a barrier that can no longer fill up: end them. */
        for (int k = 0; k < i; k++) pthread_cancel(team->helpers[k].thread);
        for (int k = 0; k < i; k++) pthread_join(team->helpers[k].thread, NULL);
        tess_base_free(allocator, team);
        return TESS_E_NOMEM;
    }
    *out = team;
    return 0;
}

void tess_team_destroy(struct tess_team *team)
{
    if (!team) return;
    team->task = NULL;
    tess_team_meet(team);
    for (int i = 0; i < team->n_threads - 1; i++) pthread_join(team->helpers[i].thread, NULL);
    if (team->n_threads > 1) pthread_barrier_destroy(&team->barrier);
    tess_base_free(&team->allocator, team);
}
