/* samples at the model's rate -> frames of codes, a block at a time. Between
 * two sounds only the encoder and its worker are held. */
#include "encoding.h"

#include "report.h"

#include <stdlib.h>
#include <string.h>

int cli_encoding_open(struct cli_encoding *e,
                      const struct cli_options *options,
                      const struct tess_model *model,
                      const struct tess_model_info *info,
                      int codebooks)
{
    *e = (struct cli_encoding){options, model, info, .codebooks = codebooks, .sound.in.fd = -1};
    struct tess_worker_options how = {.size = sizeof how, .threads = options->threads};
    int exit_code = cli_options_family(options, info, &e->option);
    if (exit_code) return exit_code;
    struct tess_stream_options what = {sizeof what, codebooks, e->option};
    int error = tess_worker_create(&e->worker, model, &how);
    if (!error) error = tess_encoder_create(&e->encoder, model, &what);
    return error ? cli_fail(CLI_FAILED, "encoder: %s", tess_strerror(error)) : CLI_OK;
}

void cli_encoding_close(struct cli_encoding *e)
{
    cli_encoding_stop(e);
    if (e->encoder) tess_encoder_destroy(e->encoder, e->model);
    tess_worker_destroy(e->worker);
}

/* For the codes of one push of n samples. */
static int make_room(struct cli_encoding *e, size_t n)
{
    const size_t segment = (size_t)(e->info->segment / e->info->hop);
    e->n_codes = (size_t)tess_encoder_bound(e->model, n);
    e->n_scales = segment ? e->n_codes / segment + 1 : 0;
    free(e->codes);
    free(e->scales);
    e->codes = malloc(sizeof(uint16_t) * e->n_codes * (size_t)e->codebooks);
    e->scales = malloc(sizeof(float) * e->n_scales + 1);
    return e->codes && e->scales ? CLI_OK : cli_fail_memory();
}

int cli_encoding_start(struct cli_encoding *e, const char *path)
{
    struct fmt_pcm raw;
    int exit_code = cli_options_raw(e->options, &raw);
    if (!exit_code)
        exit_code = cli_sound_open(&e->sound, path, e->options->raw ? &raw : NULL, e->info,
                                   !e->options->quiet);
    return exit_code ? exit_code : make_room(e, e->sound.convert.capacity);
}

void cli_encoding_stop(struct cli_encoding *e)
{
    cli_sound_close(&e->sound);
    free(e->clip);
    free(e->codes);
    free(e->scales);
    e->clip = e->scales = NULL;
    e->codes = NULL;
    e->n_clip = e->clip_capacity = 0;
    e->n_samples = e->n_frames = 0;
    if (e->encoder) tess_encoder_reset(e->encoder);
}

/* One call of the encoder, and where its frames go. */
static int
push(struct cli_encoding *e, const float *pcm, size_t n, bool end, cli_take_frames *take, void *ctx)
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
    if (error) return cli_fail(CLI_FAILED, "%s: %s", e->sound.in.name, tess_strerror(error));
    e->n_samples += (int64_t)n;
    e->n_frames += job.n_frames;
    struct cli_frames frames = {e->codes, (size_t)job.n_frames, e->scales, (size_t)job.n_scales};
    return take(ctx, &frames);
}

/* Keeps samples until all are there. */
static int keep(struct cli_encoding *e, const float *pcm, size_t n)
{
    const size_t channels = (size_t)e->info->channels;
    if ((int64_t)(e->n_clip + n) > e->info->max_samples)
        return cli_fail(CLI_FAILED, "%s: longer than the %lld s that %s encodes at once",
                        e->sound.in.name, (long long)e->info->max_samples / e->info->sample_rate,
                        e->info->name);
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

static int
push_all(struct cli_encoding *e, const float *pcm, size_t n, cli_take_frames *take, void *ctx)
{
    int exit_code = CLI_OK;
    if (e->info->encode == TESS_WHOLE_CLIP) return n > 0 ? keep(e, pcm, n) : CLI_OK;
    while (n > 0 && !exit_code) {
        size_t to_hop = (size_t)(e->info->hop - e->n_samples % e->info->hop);
        size_t some = e->by_hop && to_hop < n ? to_hop : n;
        exit_code = push(e, pcm, some, false, take, ctx);
        pcm += some * (size_t)e->info->channels;
        n -= some;
    }
    return exit_code;
}

int cli_encoding_run(struct cli_encoding *e, cli_take_frames *take, void *ctx)
{
    const float *pcm;
    int64_t n;
    while ((n = cli_sound_next(&e->sound, &pcm)) > 0) {
        int exit_code = push_all(e, pcm, (size_t)n, take, ctx);
        if (exit_code) return exit_code;
    }
    if (n < 0) return (int)-n;
    int exit_code = e->n_clip ? make_room(e, e->n_clip) : CLI_OK;
    return exit_code ? exit_code : push(e, e->clip, e->n_clip, true, take, ctx);
}

void cli_encoding_covered(const struct cli_encoding *e, int64_t *n_source, int64_t *n_samples)
{
    const int64_t covered = e->n_frames * e->info->hop;
    *n_source = e->sound.audio.at;
    *n_samples = e->n_samples;
    if (!e->info->drops_partial || covered >= e->n_samples) return;
    *n_source = covered * e->sound.audio.pcm.rate / e->info->sample_rate;
    *n_samples = covered;
}
