/* `tessera mic`: a microphone's samples -> silence where some were lost -> the codec, here or at a
 * daemon -> frames -> a file or pipe, and back to the speaker. One thread does it all but for the
 * callbacks, which copy. Whatever ends it, what has come is finished properly. */
#include "audio_out.h"
#include "device.h"
#include "json_out.h"
#include "live.h"
#include "machine.h"
#include "meter.h"
#include "recording.h"
#include "report.h"
#include "verbs.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCK = 1024,    /* samples at a time */
    TURN_MS = 3,     /* waited for more of them */
    RING_SECONDS = 4 /* that may wait, for a slow disk or server */
};

struct mic {
    const struct cli_options *options;
    struct cli_live *live;
    struct cli_device microphone, speaker;
    struct cli_intake intake;
    struct cli_playout playout;
    double cushion_sum; /* samples that lay there, summed over the pieces that came */
    int64_t n_pieces;
    struct cli_recording recording;
    struct cli_output save_out;
    struct cli_audio_out save;
    float *pcm;              /* [BLOCK][channels] */
    int64_t n_source, limit; /* samples so far, and at most */
    int64_t n_frames;
    struct cli_meter meter;
};

/* ---- the end: a signal; a second one gives up, but a terminal that closes may send several ---- */

static volatile sig_atomic_t asked_to_stop;

static void ask_to_stop(int number)
{
    if (asked_to_stop && number != SIGHUP) cli_output_give_up(number);
    asked_to_stop = 1;
}

/* ---- frames ---- */

/* How long ago the last sample of the frames so far came. */
static double age(const struct mic *m)
{
    const double came = 1e-9 * (double)atomic_load(&m->intake.newest);
    const double heard = (double)atomic_load(&m->intake.n_heard) / m->microphone.rate;
    const double coded = (double)m->n_frames * m->live->info.hop / m->live->info.sample_rate;
    return fmax(cli_clock() - came + heard - coded, 0);
}

static int take_codes(void *ctx, const uint16_t *codes, size_t n_frames)
{
    struct mic *m = ctx;
    int exit_code = CLI_OK;
    m->n_frames += (int64_t)n_frames;
    cli_meter_latency(&m->meter, age(m));
    if (m->recording.writer) exit_code = cli_recording_put(&m->recording, codes, n_frames);
    if (!exit_code && m->options->loopback && m->live->way->room_to_decode(m->live) >= n_frames)
        exit_code = m->live->way->decode(m->live, codes, n_frames);
    return exit_code;
}

static int take_pcm(void *ctx, const float *pcm, size_t n)
{
    struct mic *m = ctx;
    if (m->speaker.stream) {
        m->cushion_sum += (double)(cli_playout_fill(&m->playout) + n);
        m->n_pieces++;
    }
    cli_playout_put(&m->playout, pcm, n);
    return CLI_OK;
}

/* ---- the way there ---- */

static int open_save(struct mic *m, const char *path)
{
    const struct fmt_pcm pcm = {m->microphone.rate, m->microphone.channels, 32, true};
    int exit_code = cli_output_open(&m->save_out, path, m->options->force, NULL);
    if (exit_code) return exit_code;
    if (cli_output_is_same(&m->recording.out, &m->save_out))
        return cli_fail(CLI_USAGE, "--save %s: holds the codes", path);
    return cli_audio_out_open(&m->save, &m->save_out, &pcm, false, -1);
}

static int open_outputs(struct mic *m)
{
    const struct cli_options *o = m->options;
    const char *path = o->n_args ? o->args[0] : NULL;
    int exit_code = CLI_OK;
    if (path && o->save && strcmp(path, "-") == 0 && strcmp(o->save, "-") == 0)
        return cli_fail(CLI_USAGE, "--save -: standard output holds the codes");
    if (path)
        exit_code = cli_recording_open(&m->recording, path, o->force, &m->live->info,
                                       m->live->codebooks, m->microphone.rate);
    if (!exit_code && o->save) exit_code = open_save(m, o->save);
    return exit_code;
}

/* The cushion: 12 ms keep a callback of 9 ms and a turn of ours apart. */
static int start_speaker(struct mic *m)
{
    struct cli_device *s = &m->speaker;
    const struct tess_model_info *info = &m->live->info;
    int exit_code =
        cli_device_choose(s, CLI_PLAYBACK, m->options->device, info->sample_rate, info->channels);
    if (exit_code) return exit_code;
    const size_t rate = (size_t)s->rate;
    if (cli_playout_create(&m->playout, (size_t)s->channels, rate, rate * 12 / 1000) != TESS_OK)
        return cli_fail_memory();
    exit_code = m->live->way->start_decoder(m->live, s->rate, s->channels);
    return exit_code ? exit_code : cli_device_play(s, &m->playout);
}

static int start(struct mic *m)
{
    const struct cli_options *o = m->options;
    struct cli_device *d = &m->microphone;
    int exit_code = cli_live_open(&m->live, o, NULL, NULL);
    if (exit_code) return exit_code;
    const struct tess_model_info *info = &m->live->info;
    m->live->take_codes = take_codes;
    m->live->take_pcm = take_pcm;
    m->live->ctx = m;
    exit_code = cli_device_choose(d, CLI_CAPTURE, o->capture, info->sample_rate, info->channels);
    if (!exit_code) exit_code = m->live->way->start_encoder(m->live, d->rate, d->channels);
    if (!exit_code) exit_code = open_outputs(m);
    if (!exit_code && o->loopback) exit_code = start_speaker(m);
    if (exit_code) return exit_code;

    const size_t channels = (size_t)d->channels, rate = (size_t)d->rate;
    m->pcm = malloc(sizeof *m->pcm * BLOCK * channels);
    if (!m->pcm || cli_intake_create(&m->intake, channels, RING_SECONDS * rate) != TESS_OK)
        return cli_fail_memory();
    m->limit = o->seconds > 0 ? llrint(o->seconds * d->rate) : INT64_MAX;
    cli_meter_start(&m->meter, o->quiet);
    cli_output_on_interrupt(ask_to_stop);
    return cli_device_capture(d, &m->intake);
}

/* Up to a block of samples, if the codec takes them now. Returns how many, or a negated exit code. */
static int step(struct mic *m)
{
    const int64_t left = m->limit - m->n_source;
    size_t most = m->live->way->room_to_encode(m->live);
    if (most > BLOCK) most = BLOCK;
    if ((int64_t)most > left) most = (size_t)left;
    const size_t n = cli_intake_read(&m->intake, m->pcm, most);
    if (n == 0) return 0;
    m->n_source += (int64_t)n;
    cli_meter_level(&m->meter, m->pcm, n * m->intake.channels);
    int exit_code = m->options->save ? cli_audio_out_write(&m->save, m->pcm, n) : CLI_OK;
    if (!exit_code) exit_code = m->live->way->encode(m->live, m->pcm, n);
    return exit_code ? -exit_code : (int)n;
}

static int check_devices(const struct mic *m)
{
    int exit_code = cli_device_check(&m->microphone);
    return exit_code || !m->options->loopback ? exit_code : cli_device_check(&m->speaker);
}

/* Until somebody or something ends it. *works tells whether the codec and files still do. */
static int run(struct mic *m, bool *works)
{
    while (*works && !asked_to_stop && m->n_source < m->limit) {
        const int n = step(m);
        int exit_code = n < 0 ? -n : m->live->way->turn(m->live, n > 0 ? 0 : TURN_MS);
        *works = !exit_code;
        if (*works && n == 0) exit_code = check_devices(m);
        if (exit_code) return exit_code;
        cli_meter_show(&m->meter, (double)m->n_source / m->microphone.rate,
                       atomic_load(&m->intake.n_lost));
    }
    return CLI_OK;
}

/* What the microphone had given when it stopped, and what the codec holds back. */
static int drain(struct mic *m)
{
    const struct cli_live_way *way = m->live->way;
    int n = 1, exit_code = CLI_OK;
    while (!exit_code && n != 0) {
        n = step(m);
        exit_code = n < 0 ? -n : way->turn(m->live, 0);
    }
    if (!exit_code) exit_code = way->end_encoder(m->live);
    if (!exit_code && m->options->loopback) exit_code = way->end_decoder(m->live);
    return exit_code;
}

static int finish_save(struct mic *m)
{
    m->save_out.error = 0; /* has been told: what fitted is kept */
    int exit_code = cli_audio_out_finish(&m->save);
    return exit_code ? exit_code : cli_output_commit(&m->save_out);
}

static int finish_files(struct mic *m)
{
    int exit_code = CLI_OK, saved = CLI_OK;
    if (m->recording.writer)
        exit_code = cli_recording_finish(&m->recording, m->n_source, atomic_load(&m->intake.n_lost),
                                         atomic_load(&m->intake.n_skips));
    if (m->options->save) saved = finish_save(m);
    return exit_code ? exit_code : saved;
}

/* ---- what was done ---- */

/* Milliseconds that a sample lay before the speaker. */
static double cushion_ms(const struct mic *m)
{
    return m->n_pieces ? 1e3 * m->cushion_sum / (double)m->n_pieces / m->speaker.rate : 0;
}

static void print_summary(const struct mic *m, double seconds, double kbits)
{
    const size_t n_lost = atomic_load(&m->intake.n_lost), n_skips = atomic_load(&m->intake.n_skips);
    fprintf(stderr,
            "%s: %lld frames, %.2f s, %.2f kbit/s; latency %.1f ms, at most %.1f, and the device's "
            "%.1f\n",
            m->recording.out.name ? m->recording.out.name : m->microphone.name,
            (long long)m->n_frames, seconds, kbits, 1e3 * cli_meter_mean_latency(&m->meter),
            1e3 * m->meter.latency_most, 1e3 * m->microphone.latency);
    if (n_lost > 0) fprintf(stderr, "%zu samples were lost: silence is in their place\n", n_lost);
    if (n_skips > 0)
        fprintf(stderr, "%zu times the device lost samples, nobody knows how many\n", n_skips);
    if (m->options->loopback)
        fprintf(stderr,
                "speaker: latency %.1f ms and the device's %.1f; %zu underflows, %zu samples "
                "repeated, %zu cut out, %zu dropped\n",
                cushion_ms(m), 1e3 * m->speaker.latency, atomic_load(&m->playout.n_underflows),
                m->playout.n_repeated, m->playout.n_cut, m->playout.n_dropped);
}

static void print_json(const struct mic *m, double seconds, double kbits)
{
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "microphone", m->microphone.name);
    cJSON_AddStringToObject(root, "model", m->live->info.name);
    cJSON_AddNumberToObject(root, "frames", (double)m->n_frames);
    cJSON_AddNumberToObject(root, "samples", (double)m->n_source);
    cJSON_AddNumberToObject(root, "sample_rate", m->microphone.rate);
    cJSON_AddNumberToObject(root, "seconds", seconds);
    cJSON_AddNumberToObject(root, "kbit_per_second", kbits);
    cJSON_AddNumberToObject(root, "latency_ms", 1e3 * cli_meter_mean_latency(&m->meter));
    cJSON_AddNumberToObject(root, "latency_most_ms", 1e3 * m->meter.latency_most);
    cJSON_AddNumberToObject(root, "device_latency_ms", 1e3 * m->microphone.latency);
    cJSON_AddNumberToObject(root, "lost_samples", (double)atomic_load(&m->intake.n_lost));
    cJSON_AddNumberToObject(root, "device_overflows", (double)atomic_load(&m->intake.n_skips));
    if (m->options->loopback) {
        const struct cli_playout *p = &m->playout;
        cJSON *speaker = cJSON_AddObjectToObject(root, "speaker");
        cJSON_AddNumberToObject(speaker, "cushion_ms", cushion_ms(m));
        cJSON_AddNumberToObject(speaker, "device_latency_ms", 1e3 * m->speaker.latency);
        cJSON_AddNumberToObject(speaker, "underflows", (double)atomic_load(&p->n_underflows));
        cJSON_AddNumberToObject(speaker, "samples_repeated", (double)p->n_repeated);
        cJSON_AddNumberToObject(speaker, "samples_cut", (double)p->n_cut);
        cJSON_AddNumberToObject(speaker, "samples_dropped", (double)p->n_dropped);
    }
    const bool is_data = m->recording.out.is_stdout || m->save_out.is_stdout;
    cli_json_print(root, is_data ? stderr : stdout);
}

static void summarise(const struct mic *m)
{
    const double seconds = (double)m->n_source / m->microphone.rate;
    const double kbits = seconds > 0 ? 8e-3 * (double)m->recording.out.n_bytes / seconds : 0;
    cli_say_progress("");
    if (m->options->json)
        print_json(m, seconds, kbits);
    else if (!m->options->quiet)
        print_summary(m, seconds, kbits);
}

static void close_all(struct mic *m)
{
    cli_device_close(&m->microphone);
    cli_device_close(&m->speaker);
    if (m->live) m->live->way->close(m->live);
    cli_recording_close(&m->recording);
    cli_audio_out_close(&m->save);
    cli_output_close(&m->save_out);
    cli_intake_destroy(&m->intake);
    cli_playout_destroy(&m->playout);
    free(m->pcm);
}

static int record(struct mic *m)
{
    bool works = true;
    int exit_code = start(m);
    if (exit_code) return exit_code;
    exit_code = run(m, &works);
    cli_device_close(&m->speaker);
    cli_device_close(&m->microphone);
    cli_devices_stop();
    const int drained = works ? drain(m) : CLI_OK, finished = finish_files(m);
    summarise(m);
    return exit_code ? exit_code : drained ? drained : finished;
}

int cli_mic(const struct cli_options *options)
{
    struct mic m = {.options = options, .recording.out.fd = -1, .save_out.fd = -1};
    if (!options->list_devices && !options->n_args && !options->save && !options->loopback)
        return cli_fail(CLI_USAGE, "nowhere to go: OUT, --save FILE or --loopback");
    if (options->device && !options->loopback)
        return cli_fail(CLI_USAGE, "--device, the speaker, needs --loopback");
    int exit_code = cli_options_live(options);
    if (!exit_code) exit_code = cli_devices_start();
    if (exit_code) return exit_code;
    exit_code = options->list_devices ? cli_devices_list(options) : record(&m);
    close_all(&m);
    cli_devices_stop();
    return exit_code;
}
