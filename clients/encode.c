/* `tessera encode`: sound in, codes out, a block at a time:
 * bytes -> samples -> the model's channels and rate -> frames of codes -> a file of them. */
#include "audio_in.h"
#include "codes_out.h"
#include "convert.h"
#include "find_model.h"
#include "hashes.h"
#include "progress.h"
#include "report.h"
#include "verbs.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK = 65536 }; /* values of all channels: enough frames at once for the full speed */

struct encode {
    const struct cli_options *options;
    struct tess_model *model;
    struct tess_model_info info;
    struct tess_worker *worker;
    struct tess_encoder *encoder;
    struct cli_input in;
    struct cli_output out, hash_out;
    struct cli_audio_in audio;
    struct cli_convert convert;
    struct cli_codes_out codes_out;
    struct cli_hashes hashes;
    float *pcm; /* [n_block][channels of the sound] */
    size_t n_block;
    uint16_t *codes; /* [n_codes][codebooks] */
    float *scales;   /* [n_scales], of segments */
    size_t n_codes, n_scales;
    int codebooks;
    int64_t n_samples; /* at the model's rate, so far */
    float *clip;       /* [clip_capacity][channels]: of a model that needs all samples at once */
    size_t n_clip, clip_capacity;
};

static int open_sound(struct encode *e, const char *path)
{
    struct fmt_pcm raw;
    int exit_code = cli_options_raw(e->options, &raw);
    if (!exit_code) exit_code = cli_input_open(&e->in, path);
    if (!exit_code) exit_code = cli_audio_in_open(&e->audio, &e->in, e->options->raw ? &raw : NULL);
    if (exit_code) return exit_code;

    const struct fmt_pcm *pcm = &e->audio.pcm;
    e->n_block = pcm->channels < BLOCK / 256 ? (size_t)(BLOCK / pcm->channels) : 256;
    e->pcm = malloc(sizeof(float) * e->n_block * (size_t)pcm->channels);
    if (!e->pcm) return cli_fail_memory();
    if (!e->options->quiet && pcm->channels > e->info.channels)
        cli_say("mixing %d channels down to %d", pcm->channels, e->info.channels);
    if (!e->options->quiet && pcm->rate != e->info.sample_rate)
        cli_say("resampling %d Hz to %d Hz", pcm->rate, e->info.sample_rate);
    return cli_convert_open(&e->convert, e->in.name, pcm->rate, pcm->channels, e->info.sample_rate,
                            e->info.channels, e->n_block);
}

/* For the codes of one push of n samples. */
static int make_room(struct encode *e, size_t n)
{
    const size_t segment = (size_t)(e->info.segment / e->info.hop);
    e->n_codes = (size_t)tess_encoder_bound(e->model, n);
    e->n_scales = segment ? e->n_codes / segment + 1 : 0;
    free(e->codes);
    free(e->scales);
    e->codes = malloc(sizeof(uint16_t) * e->n_codes * (size_t)e->codebooks);
    e->scales = malloc(sizeof(float) * e->n_scales + 1);
    return e->codes && e->scales ? CLI_OK : cli_fail_memory();
}

static int open_encoder(struct encode *e)
{
    struct tess_worker_options how = {.size = sizeof how, .threads = e->options->threads};
    struct tess_stream_options what = {.size = sizeof what, .codebooks = e->codebooks};
    int exit_code = cli_options_family(e->options, &e->info, &what.option);
    if (exit_code) return exit_code;
    int error = tess_worker_create(&e->worker, e->model, &how);
    if (!error) error = tess_encoder_create(&e->encoder, e->model, &what);
    if (error) return cli_fail(CLI_FAILED, "encoder: %s", tess_strerror(error));
    return make_room(e, e->convert.capacity);
}

static int open_codes(struct encode *e, const char *path)
{
    const struct cli_codes_format *format = cli_codes_format(e->options->format, path);
    if (!format) return cli_fail(CLI_USAGE, "--format %s: tess, npy or json", e->options->format);
    char *made_up = path ? NULL : cli_options_output(e->options->args[0], format->suffix);
    if (!path && !made_up) return cli_fail_memory();
    int exit_code = cli_output_open(&e->out, path ? path : made_up, e->options->force, &e->in);
    free(made_up);
    if (exit_code) return exit_code;
    return cli_codes_out_open(&e->codes_out, format, &e->out, &e->info, e->codebooks,
                              e->audio.pcm.rate);
}

static int open_hashes(struct encode *e)
{
    const char *path = e->options->save_hash;
    if (!path) return CLI_OK;
    if (e->info.encode == TESS_WHOLE_CLIP)
        return cli_fail(CLI_USAGE, "--save-hash: %s encodes a sound at once", e->info.name);
    if (e->out.is_stdout && strcmp(path, "-") == 0)
        return cli_fail(CLI_USAGE, "--save-hash -: standard output holds the codes");
    int exit_code = cli_output_open(&e->hash_out, path, e->options->force, &e->in);
    if (exit_code) return exit_code;
    return cli_hashes_open(&e->hashes, &e->hash_out, e->model, &e->info, e->encoder, e->codebooks);
}

/* One call of the encoder, and where its frames go. */
static int push(struct encode *e, const float *pcm, size_t n, bool end)
{
    struct tess_encode_job job = {
        .encoder = e->encoder,
        .pcm = pcm,
        .n_samples = n,
        .end = end,
        .codes = e->codes,
        .capacity = e->n_codes,
        .scales = e->scales,
        .scale_capacity = e->n_scales,
    };
    int error = tess_encode(e->worker, &job, 1);
    if (error) return cli_fail(CLI_FAILED, "%s: %s", e->in.name, tess_strerror(error));
    e->n_samples += (int64_t)n;
    struct cli_frames frames = {e->codes, (size_t)job.n_frames, e->scales, (size_t)job.n_scales};
    int exit_code = cli_codes_out_put(&e->codes_out, &frames);
    for (int64_t t = 0; t < job.n_frames && !exit_code && e->hashes.out; t++)
        exit_code = cli_hashes_put(&e->hashes, e->codes + t * e->codebooks);
    return exit_code;
}

/* Keeps samples until all are there. */
static int keep(struct encode *e, const float *pcm, size_t n)
{
    const size_t channels = (size_t)e->info.channels;
    if ((int64_t)(e->n_clip + n) > e->info.max_samples)
        return cli_fail(CLI_FAILED, "%s: longer than the %lld s that %s encodes at once",
                        e->in.name, (long long)e->info.max_samples / e->info.sample_rate,
                        e->info.name);
    if (e->n_clip + n > e->clip_capacity) {
        size_t capacity = 2 * (e->n_clip + n);
        float *clip = realloc(e->clip, sizeof *clip * capacity * channels);
        if (!clip) return cli_fail_memory();
        e->clip = clip;
        e->clip_capacity = capacity;
    }
    memcpy(e->clip + e->n_clip * channels, pcm, sizeof *pcm * n * channels);
    e->n_clip += n;
    return CLI_OK;
}

/* Hashes are of the encoder right after each frame, so then a push ends where a hop does. */
static int push_all(struct encode *e, const float *pcm, size_t n)
{
    int exit_code = CLI_OK;
    if (e->info.encode == TESS_WHOLE_CLIP) return n > 0 ? keep(e, pcm, n) : CLI_OK;
    while (n > 0 && !exit_code) {
        size_t to_hop = (size_t)(e->info.hop - e->n_samples % e->info.hop);
        size_t some = e->hashes.out && to_hop < n ? to_hop : n;
        exit_code = push(e, pcm, some, false);
        pcm += some * (size_t)e->info.channels;
        n -= some;
    }
    return exit_code;
}

static int run(struct encode *e, struct cli_progress *progress)
{
    int64_t n_read, n;
    do {
        n_read = cli_audio_in_read(&e->audio, e->pcm, e->n_block);
        if (n_read < 0) return (int)-n_read;
        do { /* the sound's end (n_read = 0) takes as many turns as the resampler has blocks left */
            const float *pcm;
            n = cli_convert_push(&e->convert, e->pcm, (size_t)n_read, &pcm);
            if (n < 0) return cli_fail(CLI_FAILED, "%s: %s", e->in.name, tess_strerror((int)n));
            int exit_code = push_all(e, pcm, (size_t)n);
            if (exit_code) return exit_code;
        } while (n_read == 0 && n > 0);
        cli_progress_step(progress, (double)e->n_samples / e->info.sample_rate);
    } while (n_read > 0);
    if (e->audio.at < e->audio.n_samples && !e->options->quiet)
        cli_say("%s: ends early, after %lld of %lld samples", e->in.name, (long long)e->audio.at,
                (long long)e->audio.n_samples);
    int exit_code = e->n_clip ? make_room(e, e->n_clip) : CLI_OK;
    return exit_code ? exit_code : push(e, e->clip, e->n_clip, true);
}

/* A family that gives no frame for a last part of a hop covers that much less of the source. */
static int64_t covered_source(const struct encode *e)
{
    const int64_t covered = e->codes_out.n_frames * e->info.hop;
    if (!e->info.drops_partial || covered >= e->n_samples) return e->audio.at;
    if (!e->options->quiet)
        cli_say("%s: the last %lld samples fill no frame and are left out", e->in.name,
                (long long)(e->n_samples - covered));
    return covered * e->audio.pcm.rate / e->info.sample_rate;
}

static int finish(struct encode *e)
{
    int64_t n_source = covered_source(e), n_samples = e->n_samples;
    if (n_source < e->audio.at) n_samples = e->codes_out.n_frames * e->info.hop;
    int exit_code = cli_codes_out_finish(&e->codes_out, n_source, n_samples);
    if (!exit_code && e->hashes.out) exit_code = cli_output_commit(&e->hash_out);
    if (!exit_code) exit_code = cli_output_commit(&e->out);
    return exit_code;
}

static void summarise(const struct encode *e, const struct cli_progress *progress)
{
    double seconds = (double)e->n_samples / e->info.sample_rate;
    struct cli_summary summary = {
        .input = e->in.name,
        .output = e->out.name,
        .model = e->info.name,
        .n_frames = e->codes_out.n_frames,
        .n_samples = e->n_samples,
        .rate = e->info.sample_rate,
        .kbits = seconds > 0 ? 8e-3 * (double)e->out.n_bytes / seconds : 0,
    };
    cli_progress_end(progress, e->options, &summary, e->out.is_stdout || e->hash_out.is_stdout);
}

static void close_all(struct encode *e)
{
    cli_codes_out_close(&e->codes_out);
    cli_output_close(&e->hash_out);
    cli_output_close(&e->out);
    cli_convert_close(&e->convert);
    cli_audio_in_close(&e->audio);
    cli_input_close(&e->in);
    if (e->encoder) tess_encoder_destroy(e->encoder, e->model);
    tess_worker_destroy(e->worker);
    tess_model_close(e->model);
    free(e->clip);
    free(e->codes);
    free(e->scales);
    free(e->pcm);
}

int cli_encode(const struct cli_options *options)
{
    struct encode e = {.options = options, .in.fd = -1, .out.fd = -1, .hash_out.fd = -1};
    struct cli_progress progress;
    int exit_code =
        cli_open_model(options, cli_model_name(options), TESS_FOR_ENCODING, &e.model, &e.info);
    if (!exit_code) exit_code = cli_choose_codebooks(options, &e.info, &e.codebooks);
    if (!exit_code) exit_code = open_sound(&e, options->args[0]);
    if (!exit_code) exit_code = open_encoder(&e);
    if (!exit_code) exit_code = open_codes(&e, options->args[1]);
    if (!exit_code) exit_code = open_hashes(&e);
    if (!exit_code) {
        double total = (double)e.audio.n_samples / e.audio.pcm.rate;
        cli_progress_start(&progress, options, total);
        exit_code = run(&e, &progress);
    }
    if (!exit_code) exit_code = finish(&e);
    if (!exit_code) summarise(&e, &progress);
    close_all(&e);
    return exit_code;
}
