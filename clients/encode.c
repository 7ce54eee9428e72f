/* `tessera encode`: sound in, codes out, a block at a time:
 * bytes -> samples -> the model's channels and rate -> frames of codes -> a file of them. */
#include "encoding.h"
#include "find_model.h"
#include "hashes.h"
#include "progress.h"
#include "report.h"
#include "verbs.h"

#include <stdlib.h>
#include <string.h>

struct encode {
    const struct cli_options *options;
    struct tess_model *model;
    struct tess_model_info info;
    struct cli_encoding encoding;
    struct cli_output out, hash_out;
    struct cli_codes_out codes_out;
    struct cli_hashes hashes;
    struct cli_progress progress;
};

static int open_codes(struct encode *e, const char *path)
{
    const struct cli_codes_format *format = cli_codes_format(e->options->format, path);
    if (!format) return cli_fail(CLI_USAGE, "--format %s: tess, npy or json", e->options->format);
    const char *hash = e->options->save_hash;
    if (path && hash && strcmp(path, "-") == 0 && strcmp(hash, "-") == 0)
        return cli_fail(CLI_USAGE, "--save-hash -: standard output holds the codes");
    char *made_up = path ? NULL : cli_options_output(e->options->args[0], format->suffix);
    if (!path && !made_up) return cli_fail_memory();
    int exit_code =
        cli_output_open(&e->out, path ? path : made_up, e->options->force, &e->encoding.sound.in);
    free(made_up);
    if (exit_code) return exit_code;
    return cli_codes_out_open(&e->codes_out, format, &e->out, &e->info, e->encoding.codebooks,
                              e->encoding.sound.audio.pcm.rate);
}

static int open_hashes(struct encode *e)
{
    const char *path = e->options->save_hash;
    if (!path) return CLI_OK;
    if (e->info.encode == TESS_WHOLE_CLIP)
        return cli_fail(CLI_USAGE, "--save-hash: %s encodes a sound at once", e->info.name);
    int exit_code = cli_output_open(&e->hash_out, path, e->options->force, &e->encoding.sound.in);
    if (exit_code) return exit_code;
    if (cli_output_is_same(&e->out, &e->hash_out))
        return cli_fail(CLI_USAGE, "--save-hash %s: holds the codes", path);
    return cli_hashes_open(&e->hashes, &e->hash_out, e->model, &e->info, e->encoding.encoder,
                           e->encoding.codebooks);
}

/* Hashes are of the encoder right after each frame, so then a push ends where a hop does. */
static int take(void *ctx, const struct cli_frames *frames)
{
    struct encode *e = ctx;
    int exit_code = cli_codes_out_put(&e->codes_out, frames);
    for (size_t t = 0; t < frames->n && !exit_code && e->hashes.out; t++)
        exit_code = cli_hashes_put(&e->hashes, frames->codes + t * (size_t)e->encoding.codebooks);
    cli_progress_step(&e->progress, (double)e->encoding.n_samples / e->info.sample_rate);
    return exit_code;
}

static int run(struct encode *e)
{
    const struct cli_audio_in *audio = &e->encoding.sound.audio;
    cli_progress_start(&e->progress, e->options, (double)audio->n_samples / audio->pcm.rate);
    e->encoding.by_hop = e->hashes.out;
    int exit_code = cli_encoding_run(&e->encoding, take, e);
    if (!exit_code && audio->at < audio->n_samples && !e->options->quiet)
        cli_say("%s: ends early, after %lld of %lld samples", e->encoding.sound.in.name,
                (long long)audio->at, (long long)audio->n_samples);
    return exit_code;
}

static int finish(struct encode *e)
{
    int64_t n_source, n_samples;
    cli_encoding_covered(&e->encoding, &n_source, &n_samples);
    if (n_samples < e->encoding.n_samples && !e->options->quiet)
        cli_say("%s: the last %lld samples fill no frame and are left out",
                e->encoding.sound.in.name, (long long)(e->encoding.n_samples - n_samples));
    int exit_code = cli_codes_out_finish(&e->codes_out, n_source, n_samples);
    if (!exit_code && e->hashes.out) exit_code = cli_output_commit(&e->hash_out);
    if (!exit_code) exit_code = cli_output_commit(&e->out);
    return exit_code;
}

static void summarise(const struct encode *e)
{
    double seconds = (double)e->encoding.n_samples / e->info.sample_rate;
    struct cli_summary summary = {
        .input = e->encoding.sound.in.name,
        .output = e->out.name,
        .model = e->info.name,
        .n_frames = e->codes_out.n_frames,
        .n_lost = -1,
        .n_samples = e->encoding.n_samples,
        .rate = e->info.sample_rate,
        .kbits = seconds > 0 ? 8e-3 * (double)e->out.n_bytes / seconds : 0,
    };
    cli_progress_end(&e->progress, e->options, &summary, e->out.is_stdout || e->hash_out.is_stdout);
}

static void close_all(struct encode *e)
{
    cli_codes_out_close(&e->codes_out);
    cli_output_close(&e->hash_out);
    cli_output_close(&e->out);
    cli_encoding_close(&e->encoding);
    tess_model_close(e->model);
}

int cli_encode(const struct cli_options *options)
{
    struct encode e = {
        .options = options, .encoding.sound.in.fd = -1, .out.fd = -1, .hash_out.fd = -1};
    int codebooks;
    int exit_code =
        cli_open_model(options, cli_model_name(options), TESS_FOR_ENCODING, &e.model, &e.info);
    if (!exit_code) exit_code = cli_choose_codebooks(options, &e.info, &codebooks);
    if (!exit_code)
        exit_code = cli_encoding_open(&e.encoding, options, e.model, &e.info, codebooks);
    if (!exit_code) exit_code = cli_encoding_start(&e.encoding, options->args[0]);
    if (!exit_code) exit_code = open_codes(&e, options->args[1]);
    if (!exit_code) exit_code = open_hashes(&e);
    if (!exit_code) exit_code = run(&e);
    if (!exit_code) exit_code = finish(&e);
    if (!exit_code) summarise(&e);
    close_all(&e);
    return exit_code;
}
