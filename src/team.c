/* Tasks in, the same task on every thread. All meeting is at one barrier: a helper waits there for
 * work, inside a task between its steps, and after it. Before the first task it waits at the gate
 * until the team is complete; a barrier that cannot fill up would never let it go. */
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
    pthread_mutex_t gate; /* held by the creator until all helpers are there, or cannot be */
    int complete;         /* behind the gate */
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
    pthread_mutex_lock(&team->gate);
    int complete = team->complete;
    pthread_mutex_unlock(&team->gate);
    while (complete) {
        tess_team_meet(team);
        if (!team->task) break;
        team->task(team->ctx, team, self->index, team->n_threads);
        tess_team_meet(team);
    }
    return NULL;
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

/* Ends a team whose first n helpers have returned or are about to. */
static void release(struct tess_team *team, int n_helpers)
{
    for (int i = 0; i < n_helpers; i++)
        pthread_join(team->helpers[i].thread, NULL);
    if (team->n_threads > 1) pthread_barrier_destroy(&team->barrier);
    pthread_mutex_destroy(&team->gate);
    tess_base_free(&team->allocator, team);
}

static int start(struct tess_team *team, int i)
{
    struct helper *helper = &team->helpers[i];
    *helper = (struct helper){.team = team, .index = i + 1};
    return pthread_create(&helper->thread, NULL, help, helper);
}

int tess_team_create(struct tess_team **out, int n_threads, const struct tess_allocator *allocator)
{
    const int n_helpers = n_threads - 1;
    struct tess_team *team =
        tess_base_alloc(allocator, sizeof *team + (size_t)n_helpers * sizeof *team->helpers);
    *out = NULL;
    if (!team) return TESS_E_NOMEM;
    team->allocator = *allocator;
    team->gate = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    if (n_threads > 1 && pthread_barrier_init(&team->barrier, NULL, (unsigned)n_threads)) {
        tess_base_free(allocator, team);
        return TESS_E_NOMEM;
    }
    team->n_threads = n_threads;
    int n = 0;
    pthread_mutex_lock(&team->gate);
    while (n < n_helpers && !start(team, n))
        n++;
    team->complete = n == n_helpers;
    pthread_mutex_unlock(&team->gate);
    if (n < n_helpers) {
        release(team, n);
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
    release(team, team->n_threads - 1);
}
