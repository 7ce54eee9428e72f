/* `tessera batch`: many recordings in, their codes and a manifest out.
 *
 *     items ──> workers, each with an encoder ──> files of codes ──> lines of the manifest ──> shards
 *
 * One lock guards all that workers share. Encoding and waiting for the disk go on without it. */
#include "batch_encode.h"
#include "batch_items.h"
#include "batch_journal.h"
#include "batch_shard.h"
#include "find_model.h"
#include "json_out.h"
#include "machine.h"
#include "output.h"
#include "progress.h"
#include "report.h"
#include "verbs.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A shard that is not complete. The items hold it that are in work, and the reading of items as long
 * as it may find more. */
struct shard {
    int64_t number;
    int n_holds;
};

struct batch {
    const struct cli_options *options;
    struct cli_options silent; /* the same for encoders: what is mixed or resampled is not news */
    struct tess_model *model;
    struct tess_model_info info;
    struct cli_layout layout;
    int codebooks, n_workers;
    atomic_int stop; /* an exit code that ends it all */

    pthread_mutex_t lock; /* of what follows */
    struct cli_items *items;
    struct cli_journal journal;
    struct shard *shards; /* [n_shards], at most one a worker, and the one being read twice */
    int n_shards;
    int64_t reading; /* the shard of the item read last; -1 = none, or there are no shards */
    struct cli_progress progress;
    int64_t n_total;                   /* items there are, 0 = not known */
    int64_t n_done, n_failed, n_found; /* items: done now, failed, done before */
    int64_t n_frames, n_samples;       /* of those done now */
    int64_t n_heard;                   /* samples encoded, of failed items too */
};

/* What one thread has. */
struct worker {
    struct batch *batch;
    struct cli_encoding encoding;
    struct cli_told told;
    pthread_t thread;
};

static atomic_int interrupted;

/* The first signal ends the items in work, a second one the program. */
static void interrupt(int number)
{
    (void)number;
    if (atomic_exchange(&interrupted, 1)) _exit(CLI_INTERRUPTED);
}

static int stopped(const struct batch *b)
{
    return atomic_load(&interrupted) ? CLI_INTERRUPTED : atomic_load(&b->stop);
}

/* ---- under the lock ---- */

/* What this worker was told goes to people. */
static void pass_on(struct worker *w)
{
    cli_report_to(NULL);
    cli_say("%s", w->told.line);
    cli_report_to(&w->told);
}

static void stop(struct worker *w, int exit_code)
{
    int none = 0;
    if (exit_code != CLI_INTERRUPTED &&
        atomic_compare_exchange_strong(&w->batch->stop, &none, exit_code))
        pass_on(w);
}

static void fail_item(struct worker *w, const struct cli_item *item)
{
    struct batch *b = w->batch;
    b->n_failed++;
    pass_on(w);
    const int exit_code = cli_journal_error(&b->journal, item, w->told.line);
    if (exit_code) stop(w, exit_code);
}

static void show_progress(struct batch *b)
{
    if (!cli_progress_due(&b->progress)) return;
    const int64_t n_new = b->n_done + b->n_failed, n_through = n_new + b->n_found;
    const double spent = b->progress.last - b->progress.start;
    const double sound = (double)b->n_heard / b->info.sample_rate;
    char of[32] = "", left[48] = "", line[192];
    if (b->n_total) snprintf(of, sizeof of, " of %lld", (long long)b->n_total);
    if (n_new && b->n_total > n_through)
        snprintf(left, sizeof left, "  %s left",
                 cli_hours(spent * (double)(b->n_total - n_through) / (double)n_new).text);
    snprintf(line, sizeof line, "%lld%s  %s  %.0fx real time%s", (long long)n_through, of,
             cli_hours(sound).text, sound / spent, left);
    cli_say_progress(line);
}

static void hold(struct batch *b, int64_t number)
{
    int i = 0;
    if (number < 0) return;
    while (i < b->n_shards && b->shards[i].number != number)
        i++;
    if (i == b->n_shards) b->shards[b->n_shards++] = (struct shard){number, 0};
    b->shards[i].n_holds++;
}

/* The last one to release a shard writes it, meanwhile without the lock. */
static void release(struct worker *w, int64_t number)
{
    struct batch *b = w->batch;
    int i = 0;
    if (number < 0) return;
    while (b->shards[i].number != number)
        i++;
    if (--b->shards[i].n_holds > 0) return;
    b->shards[i] = b->shards[--b->n_shards];

    const int64_t first = number * b->layout.shard_size, left = b->journal.n_places - first;
    const int64_t n = left < b->layout.shard_size ? left : b->layout.shard_size;
    if (stopped(b) || n <= 0) return; /* none of its items could even be claimed */
    struct cli_entry *entries = malloc((size_t)n * sizeof *entries);
    int exit_code = entries ? CLI_OK : cli_fail_memory();
    if (!exit_code) {
        const int n_done = cli_journal_done(&b->journal, first, n, entries);
        pthread_mutex_unlock(&b->lock);
        exit_code = cli_shard_write(&b->journal, number, entries, n_done);
        pthread_mutex_lock(&b->lock);
    }
    free(entries);
    if (exit_code) stop(w, exit_code);
}

static int64_t shard_of(const struct batch *b, const struct cli_item *item)
{
    return b->layout.shard ? item->place / b->layout.shard_size : -1;
}

/* From here on items of this shard are read. */
static void turn_to(struct worker *w, int64_t number)
{
    struct batch *b = w->batch;
    const int64_t before = b->reading;
    if (number == before) return;
    b->reading = number;
    hold(b, number);
    release(w, before);
}

/* The next item that is to be done, its shard held; false at the end. */
static bool next(struct worker *w, struct cli_item *item, uint32_t *entry)
{
    struct batch *b = w->batch;
    int got;
    while (!stopped(b) && (got = cli_items_next(b->items, item)) != 0) {
        if (got > 0) {
            got = cli_journal_claim(&b->journal, item, entry);
            if (got == -CLI_USAGE) stop(w, CLI_USAGE); /* before a shard is written without it */
            if (got == 0) hold(b, shard_of(b, item));
            turn_to(w, shard_of(b, item));
            if (got == 0) return true;
        }
        if (got < 0 && got != -CLI_USAGE) fail_item(w, item);
        if (got > 0) b->n_found++;
        cli_item_free(item);
        show_progress(b);
    }
    turn_to(w, -1);
    return false;
}

/* ---- without it ---- */

static int step(void *ctx, int64_t n_samples)
{
    struct batch *b = ctx;
    pthread_mutex_lock(&b->lock);
    b->n_heard += n_samples;
    show_progress(b);
    pthread_mutex_unlock(&b->lock);
    return stopped(b);
}

static int encode(struct worker *w, const struct cli_item *item, struct cli_coded *coded)
{
    struct batch *b = w->batch;
    const int exit_code =
        cli_batch_encode(&w->encoding, &b->layout, item, b->journal.is_taken_up, step, b, coded);
    if (exit_code || !b->layout.shard || coded->n_bytes >> 33 == 0) return exit_code;
    return cli_fail(CLI_FAILED, "%s: its codes are more than the 8 GiB of a shard's member",
                    item->path);
}

static void process(struct worker *w, const struct cli_item *item, uint32_t entry)
{
    struct batch *b = w->batch;
    struct cli_coded coded;
    int exit_code = encode(w, item, &coded);
    if (!exit_code) {
        pthread_mutex_lock(&b->lock);
        exit_code = cli_journal_put(&b->journal, entry, coded.line, coded.n_line, coded.n_bytes);
        pthread_mutex_unlock(&b->lock);
        if (!exit_code) exit_code = cli_journal_sync(&b->journal);
    }
    cJSON_free(coded.line);

    pthread_mutex_lock(&b->lock);
    if (!exit_code) {
        b->n_done++;
        b->n_frames += coded.n_frames;
        b->n_samples += coded.n_samples;
    } else if (exit_code == CLI_FAILED) {
        fail_item(w, item);
    } else {
        stop(w, exit_code);
    }
    show_progress(b);
    release(w, shard_of(b, item));
    pthread_mutex_unlock(&b->lock);
}

static void *work(void *arg)
{
    struct worker *w = arg;
    struct batch *b = w->batch;
    struct cli_item item;
    uint32_t entry;
    cli_report_to(&w->told);
    const int exit_code =
        cli_encoding_open(&w->encoding, &b->silent, b->model, &b->info, b->codebooks);
    pthread_mutex_lock(&b->lock);
    if (exit_code) stop(w, exit_code);
    while (next(w, &item, &entry)) {
        pthread_mutex_unlock(&b->lock);
        process(w, &item, entry);
        cli_item_free(&item);
        pthread_mutex_lock(&b->lock);
    }
    pthread_mutex_unlock(&b->lock);
    cli_encoding_close(&w->encoding);
    cli_report_to(NULL);
    return NULL;
}

/* This thread is a worker too. */
static int run(struct batch *b)
{
    struct worker *workers = calloc((size_t)b->n_workers, sizeof *workers);
    b->shards = malloc(((size_t)b->n_workers + 2) * sizeof *b->shards);
    if (!workers || !b->shards) {
        free(workers);
        return cli_fail_memory();
    }
    int n = 1, error = 0;
    workers[0].batch = b;
    for (; n < b->n_workers && !error; n += !error) {
        workers[n].batch = b;
        error = pthread_create(&workers[n].thread, NULL, work, &workers[n]);
    }
    if (error) atomic_store(&b->stop, cli_fail(CLI_FAILED, "a worker: %s", strerror(error)));
    work(&workers[0]);
    while (--n > 0)
        pthread_join(workers[n].thread, NULL);
    free(workers);
    return stopped(b);
}

static void summarise(const struct batch *b)
{
    const double spent = cli_clock() - b->progress.start;
    const double seconds = (double)b->n_samples / b->info.sample_rate;
    const double speed = spent > 0 ? seconds / spent : 0;
    const char *out = b->layout.folder;
    if (b->options->json) {
        cJSON *root = cJSON_CreateObject();
        cJSON_AddStringToObject(root, "output", out);
        cJSON_AddStringToObject(root, "model", b->info.name);
        cJSON_AddNumberToObject(root, "done", (double)b->n_done);
        cJSON_AddNumberToObject(root, "failed", (double)b->n_failed);
        cJSON_AddNumberToObject(root, "done_before", (double)b->n_found);
        cJSON_AddNumberToObject(root, "frames", (double)b->n_frames);
        cJSON_AddNumberToObject(root, "seconds", seconds);
        cJSON_AddNumberToObject(root, "workers", b->n_workers);
        cJSON_AddNumberToObject(root, "times_real_time", speed);
        cJSON_AddNumberToObject(root, "cpu_seconds", cli_cpu_clock());
        cJSON_AddNumberToObject(root, "peak_memory_bytes", (double)cli_peak_memory());
        cli_json_print(root, stdout);
    } else if (!b->options->quiet) {
        char before[48] = "", failed[48] = "";
        if (b->n_found)
            snprintf(before, sizeof before, ", %lld done before", (long long)b->n_found);
        if (b->n_failed)
            snprintf(failed, sizeof failed, ", %lld failed (errors.jsonl)", (long long)b->n_failed);
        fprintf(stderr, "%s: %lld done%s%s, %s, %.1fx real time, %.1f MB\n", out,
                (long long)b->n_done, failed, before, cli_hours(seconds).text, speed,
                (double)cli_peak_memory() / 1e6);
    }
}

static int open_all(struct batch *b, const char *folder)
{
    const struct cli_options *o = b->options;
    int exit_code = cli_layout(&b->layout, o->format, o->out, o->shard_size), option;
    if (!exit_code)
        exit_code = cli_open_model(o, cli_model_name(o), TESS_FOR_ENCODING, &b->model, &b->info);
    if (!exit_code) exit_code = cli_choose_codebooks(o, &b->info, &b->codebooks);
    if (!exit_code) exit_code = cli_options_family(o, &b->info, &option);
    if (!exit_code)
        exit_code = cli_items_open(&b->items, folder, o->manifest, o->resume && b->layout.shard);
    if (!exit_code)
        exit_code = cli_journal_open(&b->journal, &b->layout, o->resume, b->items, &b->info,
                                     b->codebooks, option);
    cli_progress_start(&b->progress, o, 0);
    if (!exit_code && b->progress.shown) b->n_total = cli_items_count(folder, o->manifest);
    return exit_code;
}

static int finish(struct batch *b, const char *from)
{
    cli_say_progress("");
    if (b->n_done + b->n_failed + b->n_found == 0) {
        cli_journal_forget(&b->journal);
        return cli_fail(CLI_FAILED, "%s: no sound files", from);
    }
    const int exit_code = cli_journal_sort(&b->journal);
    if (!exit_code) summarise(b);
    return exit_code ? exit_code : b->n_failed ? CLI_FAILED : CLI_OK;
}

int cli_batch(const struct cli_options *options)
{
    const char *folder = options->args[0];
    if (!folder == !options->manifest)
        return cli_fail(CLI_USAGE, "either a folder or --manifest tells what to encode");
    if (!options->out) return cli_fail(CLI_USAGE, "--out is missing: the folder to write to");
    const long n_cores = sysconf(_SC_NPROCESSORS_ONLN);
    struct batch b = {
        .options = options,
        .silent = *options,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .reading = -1,
        .n_workers = options->workers ? options->workers
                     : n_cores > 0    ? (int)n_cores
                                      : 1,
    };
    b.silent.quiet = 1;
    int exit_code = open_all(&b, folder);
    if (!exit_code) {
        cli_output_on_interrupt(interrupt);
        exit_code = run(&b);
        if (exit_code == CLI_INTERRUPTED) cli_say("interrupted");
        if (!exit_code) exit_code = finish(&b, folder ? folder : options->manifest);
    }
    cli_journal_close(&b.journal);
    cli_items_close(b.items);
    free(b.shards);
    tess_model_close(b.model);
    return exit_code;
}
