/* `tessera decode`: codes in, sound out, a block at a time:
 * a file of codes -> frames -> samples -> the wanted rate -> bytes.
 * The last hop waits until the end has been seen: only there does a pipe tell the exact length. */
#include "audio_out.h"
#include "convert.h"
#include "find_model.h"
#include "formats/conceal.h"
#include "progress.h"
#include "report.h"
#include "verbs.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK = 256 }; /* frames: enough at once for the full speed */

struct decode {
    const struct cli_options *options;
    struct tess_model *model;
    struct tess_model_info info;
    struct tess_worker *worker;
    struct tess_decoder *decoder;
    struct cli_input in;
    struct cli_output out;
    struct fmt_codes_in codes_in;
    struct cli_convert convert;
    struct cli_audio_out audio;
    uint16_t *codes; /* [n_codes][codebooks]: kept ones, then those of a block */
    size_t n_codes;
    size_t n_kept; /* frames, of a model that needs all of them at once */
    float *pcm;    /* [n_pcm][channels]: what is held back, then what the decoder gives */
    size_t n_pcm;
    size_t n_held;        /* samples per channel */
    size_t n_block;       /* that go to the resampler at a time */
    int64_t n_samples;    /* handed on to the resampler */
    bool to_source;       /* back to the source's rate and length */
    int64_t n_out, limit; /* written, and at most to be written: -1 = all */
    struct fmt_conceal conceal;
    uint16_t *repeated;       /* [FMT_CONCEALED_FRAMES][codebooks] */
    uint32_t dice;            /* of --packet-loss */
    bool is_lost;             /* the next frame */
    int64_t n_frames, n_lost; /* that came or did not, and the latter */
};

static int open_codes(struct decode *d)
{
    struct tess_io io = {
        .ctx = &d->in,
        .read = cli_input_read,
        .seek = d->in.seekable ? cli_input_seek : NULL,
    };
    const uint8_t *start;
    size_t n = cli_input_peek(&d->in, 6, &start);
    struct tess_why why;
    if (fmt_codes_in_open(&d->codes_in, &io, start, n, &why) == 0) return CLI_OK;
    return cli_fail(CLI_FAILED, "%s: %s", d->in.name, why.text);
}

static int open_decoder(struct decode *d)
{
    struct tess_worker_options how = {.size = sizeof how, .threads = d->options->threads};
    struct tess_stream_options what = {.size = sizeof what, .codebooks = d->codes_in.codebooks};
    int exit_code = cli_options_family(d->options, &d->info, &what.option);
    if (exit_code) return exit_code;
    int error = tess_worker_create(&d->worker, d->model, &how);
    if (!error) error = tess_decoder_create(&d->decoder, d->model, &what);
    if (error == TESS_E_ARGUMENT)
        return cli_fail(CLI_FAILED, "%s: %s does not decode %d codebooks", d->in.name, d->info.name,
                        d->codes_in.codebooks);
    if (error) return cli_fail(CLI_FAILED, "decoder: %s", tess_strerror(error));
    if (d->info.segment && !d->codes_in.segment_frames && !d->options->quiet)
        cli_say("%s: holds no scales: each segment is as loud as any other", d->in.name);
    d->n_block = (BLOCK + 1) * (size_t)d->info.hop + (size_t)d->info.decode_delay;
    return CLI_OK;
}

/* The same frames each time. Source: Marsaglia, Xorshift RNGs, 2003. */
static bool draw(struct decode *d)
{
    d->dice ^= d->dice << 13;
    d->dice ^= d->dice >> 17;
    d->dice ^= d->dice << 5;
    return (d->dice >> 8) * (100 / 0x1p24) < d->options->packet_loss;
}

static int open_loss(struct decode *d)
{
    const size_t K = (size_t)d->codes_in.codebooks;
    if (d->options->packet_loss > 0 && (d->info.decode == TESS_WHOLE_CLIP || d->info.segment))
        return cli_fail(CLI_USAGE, "--packet-loss: %s has no single frames", d->info.name);
    d->conceal = (struct fmt_conceal){(int)K, d->info.channels, d->info.hop, .gain = 1};
    d->conceal.last = malloc(K * sizeof *d->conceal.last);
    d->repeated = malloc(FMT_CONCEALED_FRAMES * K * sizeof *d->repeated);
    d->dice = 1;
    d->is_lost = draw(d);
    return d->conceal.last && d->repeated ? CLI_OK : cli_fail_memory();
}

/* For what is held back, and what n_frames more and the end give. */
static int make_room(struct decode *d, size_t n_frames)
{
    size_t n = d->n_held + (size_t)tess_decoder_bound(d->model, n_frames);
    if (n <= d->n_pcm) return CLI_OK;
    float *pcm = realloc(d->pcm, sizeof *pcm * n * (size_t)d->info.channels);
    if (!pcm) return cli_fail_memory();
    d->pcm = pcm;
    d->n_pcm = n;
    return CLI_OK;
}

/* The rate to write, and where the source's length limits it. */
static int choose_rate(struct decode *d, int *rate)
{
    const char *text = d->options->rate;
    *rate = d->info.sample_rate;
    d->limit = -1;
    if (!text) return CLI_OK;
    d->to_source = strcmp(text, "source") == 0;
    if (d->to_source) {
        fmt_codes_in_source(&d->codes_in, rate);
        return *rate ? CLI_OK : cli_fail(CLI_FAILED, "%s: has no source rate", d->in.name);
    }
    char *end;
    long hz = strtol(text, &end, 10);
    if (end == text || *end || hz < 1 || hz > 768000)
        return cli_fail(CLI_USAGE, "--rate %s: 1 to 768000 Hz or source", text);
    *rate = (int)hz;
    return CLI_OK;
}

/* Samples that n become; -1 where that is not known or not believable. */
static int64_t length_of(int64_t n, int rate_in, int rate_out)
{
    if (n < 0 || n > (INT64_MAX - rate_in) / rate_out) return -1;
    return (n * rate_out + rate_in - 1) / rate_in;
}

static int open_sound(struct decode *d)
{
    int rate;
    int exit_code = choose_rate(d, &rate);
    if (exit_code) return exit_code;
    if (rate != d->info.sample_rate && !d->options->quiet)
        cli_say("resampling %d Hz to %d Hz", d->info.sample_rate, rate);
    exit_code = cli_convert_open(&d->convert, d->in.name, d->info.sample_rate, d->info.channels,
                                 rate, d->info.channels, d->n_block);
    if (exit_code) return exit_code;

    const char *path = d->options->args[1];
    char *made_up =
        path ? NULL : cli_options_output(d->options->args[0], d->options->raw ? ".raw" : ".wav");
    if (!path && !made_up) return cli_fail_memory();
    exit_code = cli_output_open(&d->out, path ? path : made_up, d->options->force, &d->in);
    free(made_up);
    if (exit_code) return exit_code;

    int source_rate;
    int64_t n = fmt_codes_in_samples(&d->codes_in, d->model);
    n = length_of(n, d->info.sample_rate, rate);
    if (d->to_source) n = fmt_codes_in_source(&d->codes_in, &source_rate);
    struct fmt_pcm pcm = {rate, d->info.channels, d->options->as_float ? 32 : 16,
                          d->options->as_float};
    return cli_audio_out_open(&d->audio, &d->out, &pcm, d->options->raw, n);
}

/* Samples at the model's rate to the file, at most n_block; n = 0 ends them. */
static int write_block(struct decode *d, const float *in, size_t n)
{
    int64_t n_out;
    do { /* the end takes as many turns as the resampler has blocks left */
        const float *out;
        n_out = cli_convert_push(&d->convert, in, n, &out);
        if (n_out < 0) return cli_fail(CLI_FAILED, "%s: %s", d->in.name, tess_strerror((int)n_out));
        int64_t left = d->limit < 0 ? n_out : d->limit - d->n_out;
        int64_t some = n_out < left ? n_out : left;
        int exit_code = cli_audio_out_write(&d->audio, out, (size_t)some);
        if (exit_code) return exit_code;
        d->n_out += some;
    } while (n == 0 && n_out > 0);
    d->n_samples += (int64_t)n;
    return CLI_OK;
}

static int write_samples(struct decode *d, const float *in, size_t n)
{
    int exit_code = CLI_OK;
    for (size_t some; n > 0 && !exit_code; n -= some, in += some * (size_t)d->info.channels) {
        some = n < d->n_block ? n : d->n_block;
        exit_code = write_block(d, in, some);
    }
    return exit_code;
}

/* One call of the decoder, what it gives going behind what is held. Returns how many samples, or a
 * negated exit code. */
static int64_t call(struct decode *d, const uint16_t *codes, size_t n_frames, bool end)
{
    struct tess_decode_job job = {
        .decoder = d->decoder,
        .codes = codes,
        .n_frames = n_frames,
        .scales = d->codes_in.scales,
        .n_scales = d->codes_in.n_scales,
        .end = end,
        .pcm = d->pcm + d->n_held * (size_t)d->info.channels,
        .capacity = d->n_pcm - d->n_held,
    };
    int error = tess_decode(d->worker, &job, 1);
    if (!error) return job.n_samples;
    return -cli_fail(CLI_FAILED, "%s: frames %lld to %lld: %s", d->in.name, (long long)d->n_frames,
                     (long long)d->n_frames + (long long)n_frames - 1, tess_strerror(error));
}

/* n samples have come: all that is there but the last hop goes on, at the end nothing. */
static int pass_on(struct decode *d, size_t n, bool end)
{
    size_t channels = (size_t)d->info.channels, hop = (size_t)d->info.hop;
    int64_t n_all = fmt_codes_in_samples(&d->codes_in, d->model);
    n += d->n_held;
    if (n_all >= 0 && (int64_t)n > n_all - d->n_samples) /* frames beyond the sound's end */
        n = (size_t)(n_all - d->n_samples);
    size_t n_final = n > hop && !end ? n - hop : 0;
    int exit_code = write_samples(d, d->pcm, n_final);
    d->n_held = n - n_final;
    memmove(d->pcm, d->pcm + n_final * channels, sizeof(float) * d->n_held * channels);
    return exit_code;
}

static int push(struct decode *d, const uint16_t *codes, size_t n_frames, bool end)
{
    int exit_code = make_room(d, n_frames);
    int64_t n = exit_code ? -exit_code : call(d, codes, n_frames, end);
    if (n < 0) return (int)-n;
    fmt_conceal_came(&d->conceal, codes, n_frames, d->pcm + d->n_held * (size_t)d->info.channels,
                     (size_t)n);
    d->n_frames += (int64_t)n_frames;
    return pass_on(d, (size_t)n, end);
}

/* Frames that never came. */
static int lose(struct decode *d, size_t n_lost)
{
    const size_t channels = (size_t)d->info.channels;
    const size_t n_frames = fmt_conceal_frames(&d->conceal, n_lost, d->repeated);
    int exit_code = make_room(d, n_lost);
    int64_t n = exit_code ? -exit_code : call(d, d->repeated, n_frames, false);
    if (n < 0) return (int)-n;
    float *pcm = d->pcm + d->n_held * channels;
    const size_t silent = (n_lost - n_frames) * (size_t)d->info.hop;
    fmt_conceal_lost(&d->conceal, n_lost, n_frames, pcm, (size_t)n);
    memset(pcm + (size_t)n * channels, 0, sizeof *pcm * silent * channels);
    d->n_frames += (int64_t)n_lost;
    d->n_lost += (int64_t)n_lost;
    return pass_on(d, (size_t)n + silent, false);
}

/* A block's frames, those that come and those that get lost. */
static int push_block(struct decode *d, size_t n_frames)
{
    const uint16_t *codes = d->codes;
    int exit_code = CLI_OK;
    for (size_t n; n_frames > 0 && !exit_code; n_frames -= n) {
        const bool is_lost = d->is_lost;
        for (n = 0; n < n_frames && d->is_lost == is_lost; n++)
            d->is_lost = draw(d);
        exit_code = is_lost ? lose(d, n) : push(d, codes, n, false);
        codes += n * (size_t)d->codes_in.codebooks;
    }
    return exit_code;
}

/* The end is known: the rest of the exact length, and what the resampler holds. */
static int end(struct decode *d)
{
    int exit_code = push(d, d->codes, d->n_kept, true);
    if (exit_code) return exit_code;
    int source_rate;
    int64_t n = fmt_codes_in_samples(&d->codes_in, d->model) - d->n_samples;
    if (n < 0 || n > (int64_t)d->n_held)
        return cli_fail(CLI_FAILED, "%s: the number of samples is not that of the frames",
                        d->in.name);
    if (d->to_source) d->limit = fmt_codes_in_source(&d->codes_in, &source_rate);
    exit_code = write_samples(d, d->pcm, (size_t)n);
    if (!exit_code) exit_code = write_block(d, NULL, 0);
    if (!exit_code) exit_code = cli_audio_out_finish(&d->audio);
    return exit_code ? exit_code : cli_output_commit(&d->out);
}

/* The next frames, behind the kept ones. Returns how many, or a negated exit code. */
static int64_t read_block(struct decode *d)
{
    const size_t width = (size_t)d->codes_in.codebooks;
    if (d->n_kept + BLOCK > d->n_codes) {
        size_t n = 2 * (d->n_kept + BLOCK);
        uint16_t *codes = realloc(d->codes, sizeof *codes * n * width);
        if (!codes) return -cli_fail_memory();
        d->codes = codes;
        d->n_codes = n;
    }
    struct tess_why why;
    int64_t n = fmt_codes_in_read(&d->codes_in, d->codes + d->n_kept * width, BLOCK, &why);
    return n < 0 ? -cli_fail(CLI_FAILED, "%s: %s", d->in.name, why.text) : n;
}

static int keep(struct decode *d, size_t n_frames)
{
    const int64_t most = (d->info.max_samples + d->info.encode_delay) / d->info.hop;
    d->n_kept += n_frames;
    if ((int64_t)d->n_kept <= most) return CLI_OK;
    return cli_fail(CLI_FAILED, "%s: longer than the %lld s that %s decodes at once", d->in.name,
                    (long long)d->info.max_samples / d->info.sample_rate, d->info.name);
}

static int run(struct decode *d, struct cli_progress *progress)
{
    const bool at_once = d->info.decode == TESS_WHOLE_CLIP;
    int64_t n;
    while ((n = read_block(d)) > 0) {
        int exit_code = at_once ? keep(d, (size_t)n) : push_block(d, (size_t)n);
        if (exit_code) return exit_code;
        cli_progress_step(progress, (double)d->n_samples / d->info.sample_rate);
    }
    return n < 0 ? (int)-n : end(d);
}

static void summarise(const struct decode *d, const struct cli_progress *progress)
{
    double seconds = (double)d->n_samples / d->info.sample_rate;
    struct cli_summary summary = {
        .input = d->in.name,
        .output = d->out.name,
        .model = d->info.name,
        .n_frames = d->codes_in.at,
        .n_lost = d->options->packet_loss > 0 ? d->n_lost : -1,
        .n_samples = d->n_out,
        .rate = d->audio.pcm.rate,
        .kbits = seconds > 0 ? 8e-3 * (double)d->in.n_bytes / seconds : 0,
    };
    cli_progress_end(progress, d->options, &summary, d->out.is_stdout);
}

static void close_all(struct decode *d)
{
    cli_audio_out_close(&d->audio);
    cli_output_close(&d->out);
    cli_convert_close(&d->convert);
    fmt_codes_in_close(&d->codes_in);
    cli_input_close(&d->in);
    if (d->decoder) tess_decoder_destroy(d->decoder, d->model);
    tess_worker_destroy(d->worker);
    tess_model_close(d->model);
    free(d->conceal.last);
    free(d->repeated);
    free(d->codes);
    free(d->pcm);
}

int cli_decode(const struct cli_options *options)
{
    struct decode d = {.options = options, .in.fd = -1, .out.fd = -1};
    struct cli_progress progress;
    int exit_code = cli_input_open(&d.in, options->args[0]);
    if (!exit_code) exit_code = open_codes(&d);
    if (!exit_code)
        exit_code = cli_open_model_of(options, &d.codes_in, d.in.name, TESS_FOR_DECODING, &d.model,
                                      &d.info);
    if (!exit_code) exit_code = open_decoder(&d);
    if (!exit_code) exit_code = open_loss(&d);
    if (!exit_code) exit_code = open_sound(&d);
    if (!exit_code) {
        double total = (double)fmt_codes_in_samples(&d.codes_in, d.model) / d.info.sample_rate;
        cli_progress_start(&progress, options, total);
        exit_code = run(&d, &progress);
    }
    if (!exit_code) summarise(&d, &progress);
    close_all(&d);
    return exit_code;
}
