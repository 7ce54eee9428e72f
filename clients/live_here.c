/* The codec in this process: samples -> the model's rate -> frames, and frames -> samples -> the
 * speaker's rate, a block at a time. */
#include "convert.h"
#include "find_model.h"
#include "live.h"
#include "report.h"

#include <stdlib.h>
#include <time.h>

enum { BLOCK = 1024, FRAMES = 16 }; /* samples and frames at a time */

struct here {
    struct cli_live live;
    struct tess_model *model;
    struct tess_worker *worker;
    int option; /* the family's */
    struct tess_encoder *encoder;
    struct cli_convert in, out;
    uint16_t *codes; /* [n_codes][codebooks] */
    size_t n_codes;
    struct tess_decoder *decoder;
    float *pcm; /* [n_pcm][channels] */
    size_t n_pcm;
};

static struct here *of(struct cli_live *live)
{
    return (struct here *)live;
}

static int refuse(const struct here *h, const char *what)
{
    return cli_fail(CLI_MODEL, "%s %s a whole sound at once, not a live one", h->live.info.name,
                    what);
}

static int start_encoder(struct cli_live *live, int rate, int channels)
{
    struct here *h = of(live);
    const struct tess_model_info *info = &live->info;
    const struct tess_stream_options what = {sizeof what, live->codebooks, h->option};
    if (info->encode == TESS_WHOLE_CLIP) return refuse(h, "encodes");
    int exit_code = cli_convert_open(&h->in, "the microphone", rate, channels, info->sample_rate,
                                     info->channels, BLOCK);
    if (exit_code) return exit_code;
    int error = tess_encoder_create(&h->encoder, h->model, &what);
    if (error) return cli_fail(CLI_FAILED, "encoder: %s", tess_strerror(error));
    h->n_codes = (size_t)tess_encoder_bound(h->model, h->in.capacity);
    h->codes = malloc(sizeof *h->codes * h->n_codes * (size_t)live->codebooks);
    return h->codes ? CLI_OK : cli_fail_memory();
}

static int start_decoder(struct cli_live *live, int rate, int channels)
{
    struct here *h = of(live);
    const struct tess_model_info *info = &live->info;
    const struct tess_stream_options what = {sizeof what, live->codebooks, h->option};
    if (info->decode == TESS_WHOLE_CLIP) return refuse(h, "decodes");
    h->n_pcm = (size_t)tess_decoder_bound(h->model, FRAMES);
    int exit_code = cli_convert_open(&h->out, "the speaker", info->sample_rate, info->channels,
                                     rate, channels, h->n_pcm);
    if (exit_code) return exit_code;
    int error = tess_decoder_create(&h->decoder, h->model, &what);
    if (error) return cli_fail(CLI_FAILED, "decoder: %s", tess_strerror(error));
    h->pcm = malloc(sizeof *h->pcm * h->n_pcm * (size_t)info->channels);
    return h->pcm ? CLI_OK : cli_fail_memory();
}

static size_t room(const struct cli_live *live)
{
    (void)live;
    return SIZE_MAX;
}

/* Samples at the model's rate to frames. */
static int push_pcm(struct here *h, const float *pcm, size_t n, bool end)
{
    struct tess_encode_job job = {.encoder = h->encoder,
                                  .pcm = pcm,
                                  .n_samples = n,
                                  .end = end,
                                  .codes = h->codes,
                                  .capacity = h->n_codes};
    int error = tess_encode(h->worker, &job, 1);
    if (error) return cli_fail(CLI_FAILED, "encoder: %s", tess_strerror(error));
    return job.n_frames ? h->live.take_codes(h->live.ctx, h->codes, (size_t)job.n_frames) : CLI_OK;
}

/* n = 0 ends the sound. */
static int convert_in(struct here *h, const float *pcm, size_t n)
{
    const float *some;
    int64_t got = cli_convert_push(&h->in, pcm, n, &some);
    while (got > 0) {
        int exit_code = push_pcm(h, some, (size_t)got, false);
        if (exit_code) return exit_code;
        got = n ? 0 : cli_convert_push(&h->in, NULL, 0, &some);
    }
    if (got < 0) return cli_fail(CLI_FAILED, "resampling: %s", tess_strerror((int)got));
    return n ? CLI_OK : push_pcm(h, NULL, 0, true);
}

static int encode(struct cli_live *live, const float *pcm, size_t n)
{
    struct here *h = of(live);
    int exit_code = CLI_OK;
    for (size_t some; n > 0 && !exit_code; n -= some, pcm += some * (size_t)h->in.channels_in) {
        some = n < BLOCK ? n : BLOCK;
        exit_code = convert_in(h, pcm, some);
    }
    return exit_code;
}

static int end_encoder(struct cli_live *live)
{
    return convert_in(of(live), NULL, 0);
}

/* Samples at the model's rate to the speaker's; n = 0 ends them. */
static int convert_out(struct here *h, const float *pcm, size_t n)
{
    const float *some;
    int64_t got = cli_convert_push(&h->out, pcm, n, &some);
    while (got > 0) {
        int exit_code = h->live.take_pcm(h->live.ctx, some, (size_t)got);
        if (exit_code) return exit_code;
        got = n ? 0 : cli_convert_push(&h->out, NULL, 0, &some);
    }
    return got < 0 ? cli_fail(CLI_FAILED, "resampling: %s", tess_strerror((int)got)) : CLI_OK;
}

static int push_codes(struct here *h, const uint16_t *codes, size_t n_frames, bool end)
{
    struct tess_decode_job job = {.decoder = h->decoder,
                                  .codes = codes,
                                  .n_frames = n_frames,
                                  .end = end,
                                  .pcm = h->pcm,
                                  .capacity = h->n_pcm};
    int error = tess_decode(h->worker, &job, 1);
    if (error) return cli_fail(CLI_FAILED, "decoder: %s", tess_strerror(error));
    return job.n_samples ? convert_out(h, h->pcm, (size_t)job.n_samples) : CLI_OK;
}

static int decode(struct cli_live *live, const uint16_t *codes, size_t n)
{
    int exit_code = CLI_OK;
    for (size_t some; n > 0 && !exit_code; n -= some, codes += some * (size_t)live->codebooks) {
        some = n < FRAMES ? n : FRAMES;
        exit_code = push_codes(of(live), codes, some, false);
    }
    return exit_code;
}

static int end_decoder(struct cli_live *live)
{
    int exit_code = push_codes(of(live), NULL, 0, true);
    return exit_code ? exit_code : convert_out(of(live), NULL, 0);
}

static int turn(struct cli_live *live, int ms)
{
    (void)live;
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000L}, NULL);
    return CLI_OK;
}

static int settle(struct cli_live *live)
{
    (void)live;
    return CLI_OK;
}

static void close_here(struct cli_live *live)
{
    struct here *h = of(live);
    cli_convert_close(&h->in);
    cli_convert_close(&h->out);
    tess_encoder_destroy(h->encoder, h->model);
    tess_decoder_destroy(h->decoder, h->model);
    tess_worker_destroy(h->worker);
    tess_model_close(h->model);
    free(h->codes);
    free(h->pcm);
    free(h);
}

static const struct cli_live_way way = {
    .start_encoder = start_encoder,
    .start_decoder = start_decoder,
    .room_to_encode = room,
    .room_to_decode = room,
    .encode = encode,
    .decode = decode,
    .turn = turn,
    .settle = settle,
    .end_encoder = end_encoder,
    .end_decoder = end_decoder,
    .close = close_here,
};

static int open_here(struct here *h,
                     const struct cli_options *options,
                     const struct fmt_codes_in *codes,
                     const char *name)
{
    struct cli_live *live = &h->live;
    const struct tess_worker_options how = {.size = sizeof how, .threads = options->threads};
    const enum tess_use use = codes               ? TESS_FOR_DECODING
                              : options->loopback ? TESS_FOR_BOTH
                                                  : TESS_FOR_ENCODING;
    int exit_code =
        codes ? cli_open_model_of(options, codes, name, use, &h->model, &live->info)
              : cli_open_model(options, cli_model_name(options), use, &h->model, &live->info);
    if (!exit_code) exit_code = cli_options_family(options, &live->info, &h->option);
    if (!exit_code && codes) live->codebooks = codes->codebooks;
    if (!exit_code && !codes)
        exit_code = cli_choose_codebooks(options, &live->info, &live->codebooks);
    if (exit_code) return exit_code;
    int error = tess_worker_create(&h->worker, h->model, &how);
    return error ? cli_fail(CLI_FAILED, "worker: %s", tess_strerror(error)) : CLI_OK;
}

int cli_live_here(struct cli_live **live,
                  const struct cli_options *options,
                  const struct fmt_codes_in *codes,
                  const char *name)
{
    struct here *h = calloc(1, sizeof *h);
    *live = NULL;
    if (!h) return cli_fail_memory();
    h->live.way = &way;
    int exit_code = open_here(h, options, codes, name);
    if (exit_code)
        close_here(&h->live);
    else
        *live = &h->live;
    return exit_code;
}
