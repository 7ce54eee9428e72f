/* A turn's bytes in, a slot's samples or codes to and from the codec, a turn's bytes out. Sound
 * passes in blocks, so the wide buffers are small whatever the rates are. A turn's output always
 * fits: out is as large as the largest turn. */
#include "server/lane.h"

#include "server/pcm.h"
#include "src/tessera_wire.h"

#include <stdlib.h>
#include <string.h>

enum {
    BLOCK_IN = 1024, /* samples per channel at the client's rate */
    BLOCK_OUT = 256, /* at the model's */
    ROUNDING = 1024, /* a block may round up by a sample; a turn has fewer blocks than this */
};

size_t srv_lane_samples(const struct tess_model_info *info)
{
    return (size_t)((SRV_TURN_FRAMES + 2) * info->hop + info->decode_delay + ROUNDING);
}

size_t srv_lane_unit(const struct srv_lane_config *c)
{
    return c->direction == SRV_ENCODE ? (size_t)c->channels * srv_pcm_width(c->format)
                                      : (size_t)c->codebooks * 2;
}

static size_t scaled(size_t n, int to, int from)
{
    return (n * (size_t)to + (size_t)from - 1) / (size_t)from;
}

static int create_encoder(struct srv_lane *l, const struct tess_stream_options *options)
{
    const struct srv_lane_config *c = &l->config;
    const struct tess_model_info *info = &c->model->info;
    l->in_capacity = scaled((size_t)(SRV_TURN_FRAMES * info->hop), c->rate, info->sample_rate) *
                     srv_lane_unit(c);
    l->out_capacity = (srv_lane_samples(info) / (size_t)info->hop + 2) * (size_t)c->codebooks * 2;
    int error = tess_encoder_create(&l->encoder, c->model->model, options);
    if (error) return error;
    return tess_resampler_create(&l->resampler, c->rate, info->sample_rate, info->channels, NULL);
}

static int create_decoder(struct srv_lane *l, const struct tess_stream_options *options)
{
    const struct srv_lane_config *c = &l->config;
    const struct tess_model_info *info = &c->model->info;
    l->in_capacity = SRV_TURN_FRAMES * srv_lane_unit(c);
    l->out_capacity = (scaled(srv_lane_samples(info), c->rate, info->sample_rate) + ROUNDING) *
                      (size_t)c->channels * srv_pcm_width(c->format);
    l->conceal = (struct fmt_conceal){c->codebooks, info->channels, info->hop, .gain = 1};
    l->conceal.last = calloc((size_t)c->codebooks, sizeof *l->conceal.last);
    if (!l->conceal.last) return TESS_E_NOMEM;
    int error = tess_decoder_create(&l->decoder, c->model->model, options);
    if (error) return error;
    return tess_resampler_create(&l->resampler, info->sample_rate, c->rate, info->channels, NULL);
}

static int check(const struct srv_lane_config *c)
{
    const struct tess_model_info *info = &c->model->info;
    bool encode = c->direction == SRV_ENCODE;
    int widest = c->channels > info->channels ? c->channels : info->channels;
    if (c->rate < SRV_MIN_RATE || c->rate > SRV_MAX_RATE || c->channels < 1 ||
        c->channels > SRV_MAX_CHANNELS)
        return TESS_E_ARGUMENT;
    if (c->channels != info->channels && c->channels != 1 && info->channels != 1)
        return TESS_E_ARGUMENT;
    if (scaled(BLOCK_OUT, c->rate, info->sample_rate) * (size_t)widest > SRV_WIDE)
        return TESS_E_ARGUMENT;
    return srv_can_stream(info, encode) ? 0 : TESS_E_UNSUPPORTED;
}

int srv_lane_create(struct srv_lane **lane, const struct srv_lane_config *config)
{
    *lane = NULL;
    int error = check(config);
    if (error) return error;
    struct srv_lane *l = calloc(1, sizeof *l);
    if (!l) return TESS_E_NOMEM;
    l->config = *config;
    l->place = -1;
    struct tess_stream_options options = {sizeof options, config->codebooks, config->option};
    error =
        config->direction == SRV_ENCODE ? create_encoder(l, &options) : create_decoder(l, &options);
    if (!error) {
        l->in = malloc(l->in_capacity);
        l->out = malloc(l->out_capacity);
        if (!l->in || !l->out) error = TESS_E_NOMEM;
    }
    if (error)
        srv_lane_destroy(l);
    else
        *lane = l;
    return error;
}

void srv_lane_destroy(struct srv_lane *l)
{
    if (!l) return;
    tess_encoder_destroy(l->encoder, l->config.model->model);
    tess_decoder_destroy(l->decoder, l->config.model->model);
    tess_resampler_destroy(l->resampler);
    free(l->conceal.last);
    free(l->in);
    free(l->out);
    free(l);
}

/* ---- encode ---- */

/* The resampler's output goes behind what the slot holds. */
static void keep(struct srv_lane *l, struct srv_slot *slot, int64_t n)
{
    if (n < 0)
        l->turn.error = (int)n;
    else
        slot->n_samples += (size_t)n;
}

static float *slot_end(const struct srv_lane *l, const struct srv_slot *slot)
{
    return slot->pcm + slot->n_samples * (size_t)l->config.model->info.channels;
}

static void prepare_encode(struct srv_lane *l, struct srv_slot *slot)
{
    const struct srv_lane_config *c = &l->config;
    const struct fmt_pcm pcm = srv_pcm_of(c);
    size_t unit = srv_lane_unit(c), n = l->turn.n_bytes / unit;
    for (size_t at = 0; at < n && !l->turn.error; at += BLOCK_IN) {
        size_t some = n - at < BLOCK_IN ? n - at : BLOCK_IN;
        fmt_pcm_to_float(&pcm, l->in + at * unit, some * (size_t)c->channels, slot->wide[0]);
        srv_pcm_mix(slot->wide[0], c->channels, slot->wide[1], c->model->info.channels, some);
        keep(l, slot,
             tess_resampler_push(l->resampler, slot->wide[1], some, slot_end(l, slot),
                                 slot->pcm_capacity - slot->n_samples));
    }
    if (l->turn.end) {
        size_t room = (size_t)(SRV_TURN_FRAMES * c->model->info.hop);
        keep(l, slot, tess_resampler_flush(l->resampler, slot->pcm, room));
        slot->end = slot->n_samples == 0;
    }
    slot->run = !l->turn.error;
}

static void finish_encode(struct srv_lane *l, struct srv_slot *slot)
{
    size_t n = slot->n_frames * (size_t)l->config.codebooks;
    for (size_t i = 0; i < n; i++)
        tess_wire_put16(l->out + 2 * i, slot->codes[i]);
    l->turn.n_out = 2 * n;
    l->turn.ended = slot->end;
}

/* ---- decode ---- */

static void prepare_decode(struct srv_lane *l, struct srv_slot *slot)
{
    size_t K = (size_t)l->config.codebooks;
    if (l->turn.lost)
        slot->n_frames = fmt_conceal_frames(&l->conceal, (size_t)l->turn.lost, slot->codes);
    else
        slot->n_frames = l->turn.n_bytes / srv_lane_unit(&l->config);
    for (size_t i = 0; !l->turn.lost && i < slot->n_frames * K; i++)
        slot->codes[i] = tess_wire_get16(l->in + 2 * i);
    slot->end = l->turn.end && !l->codec_ended;
    slot->run = slot->n_frames > 0 || slot->end;
}

static void conceal(struct srv_lane *l, struct srv_slot *slot)
{
    const struct tess_model_info *info = &l->config.model->info;
    const size_t n_lost = (size_t)l->turn.lost;
    if (n_lost == 0) {
        fmt_conceal_came(&l->conceal, slot->codes, slot->n_frames, slot->pcm, slot->n_samples);
        return;
    }
    fmt_conceal_lost(&l->conceal, n_lost, slot->n_frames, slot->pcm, slot->n_samples);
    const size_t silent = (n_lost - slot->n_frames) * (size_t)info->hop;
    memset(slot_end(l, slot), 0, silent * (size_t)info->channels * sizeof *slot->pcm);
    slot->n_samples += silent;
}

static void trim(struct srv_lane *l, struct srv_slot *slot)
{
    const struct srv_lane_config *c = &l->config;
    int64_t left = c->n_samples - l->n_samples;
    if (c->trimmed && (int64_t)slot->n_samples > left) slot->n_samples = (size_t)left;
    l->n_samples += (int64_t)slot->n_samples;
}

/* n samples of wide[0] at the client's rate, to bytes behind those of the turn. */
static void put_out(struct srv_lane *l, struct srv_slot *slot, int64_t n)
{
    const struct srv_lane_config *c = &l->config;
    if (n < 0) {
        l->turn.error = (int)n;
        return;
    }
    const struct fmt_pcm pcm = srv_pcm_of(c);
    size_t n_values = (size_t)n * (size_t)c->channels;
    srv_pcm_mix(slot->wide[0], c->model->info.channels, slot->wide[1], c->channels, (size_t)n);
    fmt_pcm_from_float(&pcm, slot->wide[1], n_values, l->out + l->turn.n_out);
    l->turn.n_out += (size_t)n * fmt_pcm_bytes(&pcm);
}

static void finish_decode(struct srv_lane *l, struct srv_slot *slot)
{
    size_t channels = (size_t)l->config.model->info.channels;
    conceal(l, slot);
    trim(l, slot);
    for (size_t at = 0; at < slot->n_samples && !l->turn.error; at += BLOCK_OUT) {
        size_t some = slot->n_samples - at < BLOCK_OUT ? slot->n_samples - at : BLOCK_OUT;
        put_out(l, slot,
                tess_resampler_push(l->resampler, slot->pcm + at * channels, some, slot->wide[0],
                                    SRV_WIDE / channels));
    }
    if (l->turn.end && l->codec_ended) {
        size_t room = BLOCK_OUT < SRV_WIDE / channels ? BLOCK_OUT : SRV_WIDE / channels;
        size_t before = l->turn.n_out;
        put_out(l, slot, tess_resampler_flush(l->resampler, slot->wide[0], room));
        l->turn.ended = l->turn.n_out == before;
    }
    if (slot->end) l->codec_ended = true;
}

/* ---- both ---- */

void srv_lane_prepare(struct srv_lane *l, struct srv_slot *slot)
{
    slot->n_samples = slot->n_frames = 0;
    slot->run = slot->end = false;
    l->turn.n_out = 0;
    l->turn.ended = false;
    l->turn.error = 0;
    if (l->config.direction == SRV_ENCODE)
        prepare_encode(l, slot);
    else
        prepare_decode(l, slot);
}

void srv_lane_finish(struct srv_lane *l, struct srv_slot *slot)
{
    if (l->turn.error) return;
    if (l->config.direction == SRV_ENCODE)
        finish_encode(l, slot);
    else
        finish_decode(l, slot);
}
