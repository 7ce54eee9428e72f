/* Lanes in, by deadline; the same lanes out, computed.
 *
 * Always holds: `lock` guards the heaps, the list of finished lanes and who sleeps, nothing else is
 * shared but the models, which are immutable. A lane in a heap or a batch is nobody else's. */
#include "server/scheduler.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum {
    CALIBRATION_RUNS = 8,
    GOOD_BATCH = 16,
    MEASURED_FRAMES = 8, /* smaller batches say little of what a frame costs under load */
};
/* Half of what a live frame has (stream.c), by the cost that admission counts with; a full batch takes
 * about half of that. */
static const double BULK_SECONDS = 0.02;

/* What a frame costs on busy cores, at least, by what it costs on idle ones: sockets and the other
 * workers take their part. Measured with 110 streams on two cores. */
static const double BUSY = 1.4;

/* Ready lanes of one model and direction: the oldest deadline is at [0]. */
struct heap {
    struct srv_lane **lane;
    int n, capacity;
    int n_joined;         /* lanes that may come: at most capacity, so a put always has room */
    double frame_seconds; /* what a frame costs, at least `least`: only the loop writes it */
    double least;
};

struct worker {
    struct srv_scheduler *scheduler;
    uv_thread_t thread;
    uv_cond_t wake;
    bool asleep;
    struct tess_worker *codec[SRV_MAX_MODELS];
    struct srv_slot slot[SRV_BATCH_LANES];
    struct srv_lane *lane[SRV_BATCH_LANES];
    struct tess_encode_job encode[SRV_BATCH_LANES];
    struct tess_decode_job decode[SRV_BATCH_LANES];
    int job_lane[SRV_BATCH_LANES]; /* which of the batch each job is */
};

struct srv_scheduler {
    const struct srv_models *models;
    uv_mutex_t lock;
    uv_async_t async; /* some lanes are done */
    struct heap heap[SRV_MAX_MODELS][SRV_N_DIRECTIONS];
    int n_ready, n_frames; /* lanes in all heaps, and frames of their turns */
    int n_awake;           /* workers */
    struct srv_lane *done, **done_end;
    bool stopping;

    struct worker *worker;
    int n_workers, n_started;
    srv_scheduler_done *tell;
    void *ctx;

    /* The loop's alone. */
    int n_live[SRV_MAX_MODELS][SRV_N_DIRECTIONS];
};

/* ---- heap ---- */

static void place(struct heap *h, int i, struct srv_lane *lane)
{
    h->lane[i] = lane;
    lane->place = i;
}

static void sift_up(struct heap *h, int i, struct srv_lane *lane)
{
    for (int parent; i > 0; i = parent) {
        parent = (i - 1) / 2;
        if (h->lane[parent]->turn.deadline <= lane->turn.deadline) break;
        place(h, i, h->lane[parent]);
    }
    place(h, i, lane);
}

static void sift_down(struct heap *h, int i, struct srv_lane *lane)
{
    for (int child; (child = 2 * i + 1) < h->n; i = child) {
        if (child + 1 < h->n && h->lane[child + 1]->turn.deadline < h->lane[child]->turn.deadline)
            child++;
        if (h->lane[child]->turn.deadline >= lane->turn.deadline) break;
        place(h, i, h->lane[child]);
    }
    place(h, i, lane);
}

static void heap_remove(struct heap *h, int i)
{
    struct srv_lane *last = h->lane[--h->n];
    h->lane[i]->place = -1;
    if (i == h->n) return;
    if (i > 0 && last->turn.deadline < h->lane[(i - 1) / 2]->turn.deadline)
        sift_up(h, i, last);
    else
        sift_down(h, i, last);
}

static int model_index(const struct srv_scheduler *s, const struct srv_lane_config *c)
{
    return (int)(c->model - s->models->item);
}

static struct heap *heap_of(struct srv_scheduler *s, const struct srv_lane *lane)
{
    return &s->heap[model_index(s, &lane->config)][lane->config.direction];
}

/* ---- the workers' side ---- */

static struct heap *oldest_heap(struct srv_scheduler *s)
{
    struct heap *oldest = NULL;
    for (int m = 0; m < s->models->n; m++)
        for (int d = 0; d < SRV_N_DIRECTIONS; d++) {
            struct heap *h = &s->heap[m][d];
            if (h->n > 0 && (!oldest || h->lane[0]->turn.deadline < oldest->lane[0]->turn.deadline))
                oldest = h;
        }
    return oldest;
}

/* Called with the lock: one worker more where there is work that those awake will not get to soon. A
 * frame in company costs less than half of one alone, so few workers with full batches do more than
 * many with a frame each; a sleeping worker is worth waking once a good batch waits for it. */
static void wake_worker(struct srv_scheduler *s)
{
    if (s->n_awake == s->n_workers || s->n_ready == 0) return;
    if (s->n_awake > 0 && s->n_frames < GOOD_BATCH) return;
    struct worker *w = s->worker;
    while (!w->asleep)
        w++;
    w->asleep = false;
    s->n_awake++;
    uv_cond_signal(&w->wake);
}

static void sleep_worker(struct worker *w)
{
    w->asleep = true;
    w->scheduler->n_awake--;
    while (w->asleep)
        uv_cond_wait(&w->wake, &w->scheduler->lock);
}

/* Whether the heap's first lane may join a batch of n lanes and n_frames. Bulk lanes keep to themselves:
 * with them a batch of a few live frames would take as long as a full one. Theirs ends early where
 * frames cost much, but not inside a turn: that would make codes depend on time. */
static bool joins(const struct worker *w, const struct heap *h, int n, int n_frames)
{
    if (h->n == 0 || n == SRV_BATCH_LANES) return false;
    if (n == 0) return true;
    const struct srv_lane *lane = h->lane[0];
    const bool bulk = lane->config.bulk;
    n_frames += lane->turn.n_frames;
    return bulk == w->lane[0]->config.bulk && n_frames <= SRV_BATCH_FRAMES &&
           !(bulk && n_frames * h->frame_seconds > BULK_SECONDS);
}

/* Called with the lock. Returns the number of lanes, 0 when the worker is to end. */
static int take_batch(struct worker *w)
{
    struct srv_scheduler *s = w->scheduler;
    struct heap *h;
    while (!s->stopping && (h = oldest_heap(s)) == NULL)
        sleep_worker(w);
    if (s->stopping) return 0;
    int n = 0, n_frames = 0;
    while (joins(w, h, n, n_frames)) {
        w->lane[n] = h->lane[0];
        heap_remove(h, 0);
        n_frames += w->lane[n++]->turn.n_frames;
    }
    s->n_ready -= n;
    s->n_frames -= n_frames;
    wake_worker(s);
    return n;
}

static void run_encode(struct worker *w, struct tess_worker *codec, int n)
{
    int n_jobs = 0;
    for (int i = 0; i < n; i++) {
        struct srv_slot *slot = &w->slot[i];
        if (!slot->run) continue;
        w->job_lane[n_jobs] = i;
        w->encode[n_jobs++] = (struct tess_encode_job){
            .encoder = w->lane[i]->encoder,
            .pcm = slot->pcm,
            .n_samples = slot->n_samples,
            .end = slot->end,
            .codes = slot->codes,
            .capacity = slot->code_capacity / (size_t)w->lane[i]->config.codebooks,
        };
    }
    tess_encode(codec, w->encode, n_jobs);
    for (int j = 0; j < n_jobs; j++) {
        int i = w->job_lane[j];
        w->slot[i].n_frames = (size_t)w->encode[j].n_frames;
        w->lane[i]->turn.error = w->encode[j].error;
    }
}

static void run_decode(struct worker *w, struct tess_worker *codec, int n)
{
    int n_jobs = 0;
    for (int i = 0; i < n; i++) {
        struct srv_slot *slot = &w->slot[i];
        if (!slot->run) continue;
        w->job_lane[n_jobs] = i;
        w->decode[n_jobs++] = (struct tess_decode_job){
            .decoder = w->lane[i]->decoder,
            .codes = slot->codes,
            .n_frames = slot->n_frames,
            .end = slot->end,
            .pcm = slot->pcm,
            .capacity = slot->pcm_capacity,
        };
    }
    tess_decode(codec, w->decode, n_jobs);
    for (int j = 0; j < n_jobs; j++) {
        int i = w->job_lane[j];
        w->slot[i].n_samples = (size_t)w->decode[j].n_samples;
        w->lane[i]->turn.error = w->decode[j].error;
    }
}

static void run_batch(struct worker *w, int n)
{
    const struct srv_lane_config *c = &w->lane[0]->config;
    struct tess_worker *codec = w->codec[model_index(w->scheduler, c)];
    int64_t start = (int64_t)uv_hrtime();
    int n_frames = 0;
    for (int i = 0; i < n; i++) {
        w->lane[i]->turn.started = start;
        srv_lane_prepare(w->lane[i], &w->slot[i]);
        n_frames += w->lane[i]->turn.n_frames;
    }
    if (c->direction == SRV_ENCODE)
        run_encode(w, codec, n);
    else
        run_decode(w, codec, n);
    for (int i = 0; i < n; i++) {
        srv_lane_finish(w->lane[i], &w->slot[i]);
        w->lane[i]->next = i + 1 < n ? w->lane[i + 1] : NULL;
        w->lane[i]->step_seconds = 0;
    }
    w->lane[0]->step_seconds = (double)((int64_t)uv_hrtime() - start) * 1e-9;
    w->lane[0]->step_lanes = n;
    w->lane[0]->step_frames = n_frames;
}

static void work(void *arg)
{
    struct worker *w = arg;
    struct srv_scheduler *s = w->scheduler;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL); /* signals are the loop's */
    uv_mutex_lock(&s->lock);
    for (int n; (n = take_batch(w)) > 0;) {
        uv_mutex_unlock(&s->lock);
        run_batch(w, n);
        uv_mutex_lock(&s->lock);
        *s->done_end = w->lane[0];
        s->done_end = &w->lane[n - 1]->next;
        uv_async_send(&s->async);
    }
    uv_mutex_unlock(&s->lock);
}

/* ---- the loop's side ---- */

static void on_done(uv_async_t *async)
{
    struct srv_scheduler *s = async->data;
    uv_mutex_lock(&s->lock);
    struct srv_lane *lanes = s->done;
    s->done = NULL;
    s->done_end = &s->done;
    uv_mutex_unlock(&s->lock);
    if (lanes) s->tell(s->ctx, lanes);
}

void srv_scheduler_put(struct srv_scheduler *s, struct srv_lane *lane)
{
    struct heap *h = heap_of(s, lane);
    uv_mutex_lock(&s->lock);
    sift_up(h, h->n++, lane);
    s->n_ready++;
    s->n_frames += lane->turn.n_frames;
    wake_worker(s);
    uv_mutex_unlock(&s->lock);
}

bool srv_scheduler_cancel(struct srv_scheduler *s, struct srv_lane *lane)
{
    uv_mutex_lock(&s->lock);
    bool waiting = lane->place >= 0;
    if (waiting) heap_remove(heap_of(s, lane), lane->place);
    s->n_ready -= waiting;
    s->n_frames -= waiting ? lane->turn.n_frames : 0;
    uv_mutex_unlock(&s->lock);
    return waiting;
}

int srv_scheduler_workers(const struct srv_scheduler *s)
{
    return s->n_workers;
}

double srv_scheduler_load(const struct srv_scheduler *s,
                          const struct srv_model *model,
                          bool encode,
                          bool decode)
{
    double seconds = 0; /* of computing in a second */
    for (int m = 0; m < s->models->n; m++) {
        const struct srv_model *one = &s->models->item[m];
        double rate = srv_frame_rate(&one->info);
        const struct heap *h = s->heap[m];
        const int *n = s->n_live[m];
        seconds +=
            rate * (h[SRV_ENCODE].frame_seconds * (n[SRV_ENCODE] + (one == model && encode)) +
                    h[SRV_DECODE].frame_seconds * (n[SRV_DECODE] + (one == model && decode)));
    }
    return seconds / s->n_workers;
}

int srv_scheduler_join(struct srv_scheduler *s, const struct srv_lane_config *c)
{
    int m = model_index(s, c), error = 0;
    struct heap *h = &s->heap[m][c->direction];
    uv_mutex_lock(&s->lock);
    if (h->n_joined == h->capacity) {
        int more = h->capacity ? 2 * h->capacity : 64;
        void *lanes = realloc(h->lane, (size_t)more * sizeof(struct srv_lane *));
        if (lanes) {
            h->lane = lanes;
            h->capacity = more;
        } else
            error = TESS_E_NOMEM;
    }
    h->n_joined += !error;
    uv_mutex_unlock(&s->lock);
    s->n_live[m][c->direction] += !error && !c->bulk;
    return error;
}

void srv_scheduler_leave(struct srv_scheduler *s, const struct srv_lane_config *c)
{
    int m = model_index(s, c);
    uv_mutex_lock(&s->lock);
    s->heap[m][c->direction].n_joined--;
    uv_mutex_unlock(&s->lock);
    s->n_live[m][c->direction] -= !c->bulk;
}

void srv_scheduler_measured(struct srv_scheduler *s, const struct srv_lane *lane)
{
    if (lane->step_frames < MEASURED_FRAMES) return;
    struct heap *h = heap_of(s, lane);
    uv_mutex_lock(&s->lock);
    h->frame_seconds += (lane->step_seconds / lane->step_frames - h->frame_seconds) / 64;
    if (h->frame_seconds < h->least) h->frame_seconds = h->least;
    uv_mutex_unlock(&s->lock);
}

/* ---- start and end ---- */

static int create_worker(struct srv_scheduler *s, struct worker *w)
{
    w->scheduler = s;
    if (uv_cond_init(&w->wake) != 0) return TESS_E_NOMEM;
    s->n_workers++;
    size_t n_values = 0, n_samples = 0, n_codes = 0;
    for (int m = 0; m < s->models->n; m++) {
        const struct srv_model *model = &s->models->item[m];
        size_t samples = srv_lane_samples(&model->info);
        size_t values = samples * (size_t)model->info.channels;
        size_t codes = (samples / (size_t)model->info.hop + 2) * (size_t)model->info.codebooks;
        n_samples = samples > n_samples ? samples : n_samples;
        n_values = values > n_values ? values : n_values;
        n_codes = codes > n_codes ? codes : n_codes;
        struct tess_worker_options o = {
            .size = sizeof o, .threads = 1, .max_streams = SRV_BATCH_LANES};
        int error = tess_worker_create(&w->codec[m], model->model, &o);
        if (error) return error;
    }
    float *wide = malloc(2 * SRV_WIDE * sizeof *wide);
    w->slot[0].wide[0] = wide;
    for (int i = 0; i < SRV_BATCH_LANES; i++) {
        struct srv_slot *slot = &w->slot[i];
        slot->pcm = malloc(n_values * sizeof *slot->pcm);
        slot->codes = malloc(n_codes * sizeof *slot->codes);
        if (!wide || !slot->pcm || !slot->codes) return TESS_E_NOMEM;
        slot->pcm_capacity = n_samples;
        slot->code_capacity = n_codes;
        slot->wide[0] = wide;
        slot->wide[1] = wide + SRV_WIDE;
    }
    return 0;
}

static void destroy_worker(struct srv_scheduler *s, struct worker *w)
{
    uv_cond_destroy(&w->wake);
    for (int m = 0; m < s->models->n; m++)
        tess_worker_destroy(w->codec[m]);
    free(w->slot[0].wide[0]);
    for (int i = 0; i < SRV_BATCH_LANES; i++) {
        free(w->slot[i].pcm);
        free(w->slot[i].codes);
    }
}

/* What admission starts from: the seconds of a frame of silence in the smallest batch that is measured
 * later. */
static int calibrate(struct srv_scheduler *s, int m, enum srv_direction direction)
{
    const struct srv_model *model = &s->models->item[m];
    bool encode = direction == SRV_ENCODE;
    if (!srv_can_stream(&model->info, encode)) return 0;
    struct srv_lane_config config = {
        .model = model,
        .direction = direction,
        .codebooks = model->info.codebooks_default,
        .format = SRV_F32LE,
        .rate = model->info.sample_rate,
        .channels = model->info.channels,
    };
    const size_t frame = srv_lane_unit(&config) * (encode ? (size_t)model->info.hop : 1);
    struct worker *w = &s->worker[0];
    int n = 0, error = 0;
    while (n < MEASURED_FRAMES && !(error = srv_lane_create(&w->lane[n], &config)))
        memset(w->lane[n++]->in, 0, frame);
    for (int run = 0; run < CALIBRATION_RUNS && !error; run++) {
        for (int i = 0; i < n; i++) {
            w->lane[i]->turn.n_bytes = frame;
            w->lane[i]->turn.n_frames = 1;
        }
        run_batch(w, n);
        double seconds = BUSY * w->lane[0]->step_seconds / n;
        struct heap *h = &s->heap[m][direction];
        if (run == 0 || seconds < h->least) h->frame_seconds = h->least = seconds;
    }
    while (n > 0)
        srv_lane_destroy(w->lane[--n]);
    return error;
}

static int start_workers(struct srv_scheduler *s, int n_workers)
{
    s->worker = calloc((size_t)n_workers, sizeof *s->worker);
    if (!s->worker) return TESS_E_NOMEM;
    for (int i = 0; i < n_workers; i++) {
        int error = create_worker(s, &s->worker[i]);
        if (error) return error;
    }
    for (int m = 0; m < s->models->n; m++)
        for (int d = 0; d < SRV_N_DIRECTIONS; d++) {
            int error = calibrate(s, m, (enum srv_direction)d);
            if (error) return error;
        }
    s->n_awake = n_workers; /* each goes to sleep by itself */
    for (; s->n_started < n_workers; s->n_started++) {
        struct worker *w = &s->worker[s->n_started];
        if (uv_thread_create(&w->thread, work, w) != 0) return TESS_E_NOMEM;
    }
    return 0;
}

int srv_scheduler_create(struct srv_scheduler **scheduler,
                         uv_loop_t *loop,
                         const struct srv_models *models,
                         int n_workers,
                         srv_scheduler_done *done,
                         void *ctx)
{
    *scheduler = NULL;
    struct srv_scheduler *s = calloc(1, sizeof *s);
    if (!s) return TESS_E_NOMEM;
    s->models = models;
    s->done_end = &s->done;
    s->tell = done;
    s->ctx = ctx;
    s->async.data = s;
    if (uv_mutex_init(&s->lock) != 0 || uv_async_init(loop, &s->async, on_done) != 0) {
        free(s);
        return TESS_E_NOMEM;
    }
    int error = start_workers(s, n_workers);
    if (error)
        srv_scheduler_destroy(s);
    else
        *scheduler = s;
    return error;
}

static void on_closed(uv_handle_t *async)
{
    free(async->data);
}

void srv_scheduler_destroy(struct srv_scheduler *s)
{
    if (!s) return;
    uv_mutex_lock(&s->lock);
    s->stopping = true;
    for (int i = 0; i < s->n_started; i++) {
        s->worker[i].asleep = false;
        uv_cond_signal(&s->worker[i].wake);
    }
    uv_mutex_unlock(&s->lock);
    for (int i = 0; i < s->n_started; i++)
        uv_thread_join(&s->worker[i].thread);
    on_done(&s->async);
    for (int i = 0; i < s->n_workers; i++)
        destroy_worker(s, &s->worker[i]);
    free(s->worker);
    for (int m = 0; m < SRV_MAX_MODELS; m++)
        for (int d = 0; d < SRV_N_DIRECTIONS; d++)
            free(s->heap[m][d].lane);
    uv_mutex_destroy(&s->lock);
    uv_close((uv_handle_t *)&s->async, on_closed);
}
