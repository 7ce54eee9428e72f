/* `tessera play`: a file or pipe of codes -> the codec, here or at a daemon -> samples -> the speaker,
 * which sets the pace: samples wait until there is room for them. */
#include "device.h"
#include "input.h"
#include "live.h"
#include "progress.h"
#include "report.h"
#include "verbs.h"

#include <stdlib.h>
#include <time.h>

enum { BLOCK = 8 }; /* frames at a time */

struct play {
    const struct cli_options *options;
    struct cli_input in;
    struct fmt_codes_in codes_in;
    struct cli_live *live;
    struct cli_device speaker;
    struct cli_playout playout;
    uint16_t *codes;   /* [BLOCK][codebooks] */
    int64_t n_samples; /* given to the speaker */
    struct cli_progress progress;
};

static int open_codes(struct play *p, const char *path)
{
    int exit_code = cli_input_open(&p->in, path);
    if (exit_code) return exit_code;
    const struct tess_io io = {
        .ctx = &p->in,
        .read = cli_input_read,
        .seek = p->in.seekable ? cli_input_seek : NULL,
    };
    const uint8_t *first;
    const size_t n = cli_input_peek(&p->in, 6, &first);
    struct tess_why why;
    if (fmt_codes_in_open(&p->codes_in, &io, first, n, &why) == 0) return CLI_OK;
    return cli_fail(CLI_FAILED, "%s: %s", p->in.name, why.text);
}

/* Samples that may still be played: all, until the codes tell where the sound ends. */
static int64_t left(const struct play *p)
{
    int64_t n = p->codes_in.reader ? tess_reader_samples(p->codes_in.reader) : -1;
    if (n < 0) n = p->codes_in.n_json_samples;
    if (n < 0) return INT64_MAX;
    return (n * p->speaker.rate + p->live->info.sample_rate - 1) / p->live->info.sample_rate -
           p->n_samples;
}

static void pause_a_little(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
}

static int take_pcm(void *ctx, const float *pcm, size_t n)
{
    struct play *p = ctx;
    if ((int64_t)n > left(p)) n = (size_t)left(p);
    p->n_samples += (int64_t)n;
    for (;;) {
        const size_t done = cli_playout_write(&p->playout, pcm, n);
        pcm += done * p->playout.channels;
        n -= done;
        if (n == 0) return CLI_OK;
        int exit_code = cli_device_check(&p->speaker);
        if (exit_code) return exit_code;
        pause_a_little();
    }
}

/* The cushion: 30 ms and as much again to begin with, which a busy machine or network may use up. */
static int open_speaker(struct play *p)
{
    struct cli_device *s = &p->speaker;
    const struct tess_model_info *info = &p->live->info;
    int exit_code =
        cli_device_choose(s, CLI_PLAYBACK, p->options->device, info->sample_rate, info->channels);
    if (exit_code) return exit_code;
    s->unhurried = p->in.seekable; /* a pipe may be live */
    const size_t rate = (size_t)s->rate;
    p->codes = malloc(sizeof *p->codes * BLOCK * (size_t)p->codes_in.codebooks);
    if (!p->codes ||
        cli_playout_create(&p->playout, (size_t)s->channels, rate, rate * 30 / 1000) != TESS_OK)
        return cli_fail_memory();
    p->live->take_pcm = take_pcm;
    p->live->ctx = p;
    exit_code = p->live->way->start_decoder(p->live, s->rate, s->channels);
    return exit_code ? exit_code : cli_device_play(s, &p->playout);
}

static int decode(struct play *p, size_t n_frames)
{
    const struct cli_live_way *way = p->live->way;
    int exit_code = CLI_OK;
    while (!exit_code && way->room_to_decode(p->live) < n_frames)
        exit_code = way->turn(p->live, 5);
    if (!exit_code) exit_code = way->decode(p->live, p->codes, n_frames);
    return exit_code ? exit_code : way->settle(p->live);
}

/* Until the speaker has played everything. */
static int drain(struct play *p)
{
    int exit_code = CLI_OK;
    atomic_store(&p->playout.ended, true);
    while (!exit_code && cli_playout_fill(&p->playout) > 0) {
        pause_a_little();
        exit_code = cli_device_check(&p->speaker);
    }
    if (!exit_code) cli_device_drain(&p->speaker);
    return exit_code;
}

static int run(struct play *p)
{
    struct tess_why why;
    int64_t n;
    while ((n = fmt_codes_in_read(&p->codes_in, p->codes, BLOCK, &why)) > 0) {
        int exit_code = decode(p, (size_t)n);
        if (exit_code) return exit_code;
        cli_progress_step(&p->progress, (double)p->n_samples / p->speaker.rate);
    }
    int exit_code = p->live->way->end_decoder(p->live);
    if (!exit_code) exit_code = drain(p);
    return n < 0 && !exit_code ? cli_fail(CLI_FAILED, "%s: %s", p->in.name, why.text) : exit_code;
}

static void summarise(const struct play *p)
{
    const size_t n = atomic_load(&p->playout.n_underflows);
    const double seconds = (double)p->n_samples / p->speaker.rate;
    const struct cli_summary summary = {
        .input = p->in.name,
        .output = p->speaker.name,
        .model = p->live->info.name,
        .n_frames = p->codes_in.at,
        .n_samples = p->n_samples,
        .rate = p->speaker.rate,
        .kbits = seconds > 0 ? 8e-3 * (double)p->in.n_bytes / seconds : 0,
    };
    cli_progress_end(&p->progress, p->options, &summary, false);
    if (n > 0 && !p->options->quiet) cli_say("%zu times the sound came too late: silence", n);
}

static int play(struct play *p)
{
    int exit_code = open_codes(p, p->options->args[0]);
    if (!exit_code) exit_code = cli_live_open(&p->live, p->options, &p->codes_in, p->in.name);
    if (!exit_code) exit_code = open_speaker(p);
    if (exit_code) return exit_code;
    cli_progress_start(&p->progress, p->options, (double)left(p) / p->speaker.rate);
    exit_code = run(p);
    cli_device_close(&p->speaker);
    cli_devices_stop();
    if (!exit_code) summarise(p);
    return exit_code;
}

int cli_play(const struct cli_options *options)
{
    struct play p = {.options = options, .in.fd = -1};
    int exit_code = cli_options_live(options);
    if (!exit_code) exit_code = cli_devices_start();
    if (exit_code) return exit_code;
    exit_code = play(&p);
    cli_device_close(&p.speaker);
    cli_devices_stop();
    if (p.live) p.live->way->close(p.live);
    fmt_codes_in_close(&p.codes_in);
    cli_input_close(&p.in);
    cli_playout_destroy(&p.playout);
    free(p.codes);
    return exit_code;
}
