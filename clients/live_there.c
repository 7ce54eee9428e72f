/* The codec at a daemon: stream 1 is the encoder, stream 2 the decoder. Samples travel as floats, so
 * the codes are those of the same samples here. */
#include "find_model.h"
#include "formats/pcm.h"
#include "live.h"
#include "remote.h"
#include "report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ENCODER = 1, DECODER = 2, PATIENCE_MS = 10000 };
enum { PIECE = 4096 }; /* bytes of a message that goes out: far below a second of sound */

struct there {
    struct cli_live live;
    struct cli_remote remote;
    const struct cli_options *options;
    size_t unit[CLI_REMOTE_STREAMS]; /* bytes of a sample of all channels, of each lane's sound */
    bool ended[CLI_REMOTE_STREAMS];  /* STATS have come */
    uint32_t n_asked, n_settled;     /* the last FLUSH and the last FLUSHED */
    uint16_t codes[TESS_WIRE_MAX_PAYLOAD / 2]; /* of a message that came */
    float pcm[TESS_WIRE_MAX_PAYLOAD / 4];
};

static const struct fmt_pcm floats = {.channels = 1, .bits = 32, .is_float = true};

static struct there *of(struct cli_live *live)
{
    return (struct there *)live;
}

/* ---- starting ---- */

static double number(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

static const char *text(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsString(item) ? item->valuestring : "";
}

/* What READY tells of a model; 0 where it tells less than a file of its codes needs. */
static bool read_info(const cJSON *model, struct tess_model_info *info)
{
    *info = (struct tess_model_info){.size = sizeof *info};
    snprintf(info->name, sizeof info->name, "%s", text(model, "name"));
    for (int i = 0; i < 32; i++) {
        unsigned byte = 0;
        if (sscanf(text(model, "sha256") + 2 * i, "%2x", &byte) != 1) return false;
        info->sha256[i] = (unsigned char)byte;
    }
    info->sample_rate = (int)number(model, "sample_rate");
    info->channels = (int)number(model, "channels");
    info->hop = (int)number(model, "hop");
    info->entries = (int)number(model, "entries");
    info->code_min = (int)number(model, "code_min");
    info->codebooks_default = info->codebooks = (int)number(model, "codebooks");
    const cJSON *legal;
    cJSON_ArrayForEach(legal, cJSON_GetObjectItemCaseSensitive(model, "codebooks_legal"))
    {
        const int k = legal->valueint;
        if (k > info->codebooks) info->codebooks = k;
        if (k >= 1 && k <= 64) info->codebooks_legal |= (uint64_t)1 << (k - 1);
    }
    return info->sample_rate > 0 && info->channels > 0 && info->hop > 0 && info->codebooks > 0;
}

/* The server's model of that name, or without one its first. */
static int find_model(struct there *t, const char *name)
{
    const cJSON *model;
    cJSON_ArrayForEach(model, cJSON_GetObjectItemCaseSensitive(t->remote.ready, "models"))
    {
        if (name && strcmp(name, text(model, "name")) != 0) continue;
        if (read_info(model, &t->live.info)) return CLI_OK;
        return cli_fail(CLI_SERVER, "%s: this is not the protocol of tesserad", t->remote.name);
    }
    return cli_fail(CLI_SERVER, "%s: has no model '%s'", t->remote.name, name ? name : "");
}

static int start(struct there *t, int stream, const char *direction, int rate, int channels)
{
    cJSON *open = cJSON_CreateObject();
    cJSON_AddStringToObject(open, "direction", direction);
    cJSON_AddStringToObject(open, "model", t->live.info.name);
    cJSON_AddNumberToObject(open, "codebooks", t->live.codebooks);
    cJSON_AddStringToObject(open, "format", "f32le");
    cJSON_AddNumberToObject(open, "rate", rate);
    cJSON_AddNumberToObject(open, "channels", channels);
    const char *option = t->options->option, *value = option ? strchr(option, '=') : NULL;
    if (value) {
        char name[32];
        snprintf(name, sizeof name, "%.*s", (int)(value - option), option);
        cJSON *options = cJSON_AddObjectToObject(open, "options");
        cJSON_AddNumberToObject(options, name, strtod(value + 1, NULL));
    }
    t->unit[stream] = sizeof(float) * (size_t)channels;
    return cli_remote_start(&t->remote, (uint16_t)stream, open);
}

static int start_encoder(struct cli_live *live, int rate, int channels)
{
    return start(of(live), ENCODER, "encode", rate, channels);
}

static int start_decoder(struct cli_live *live, int rate, int channels)
{
    return start(of(live), DECODER, "decode", rate, channels);
}

/* ---- sending ---- */

static size_t room_to_encode(const struct cli_live *live)
{
    const struct there *t = (const struct there *)live;
    return (size_t)t->remote.credit[ENCODER] / t->unit[ENCODER];
}

static size_t room_to_decode(const struct cli_live *live)
{
    const struct there *t = (const struct there *)live;
    return (size_t)t->remote.credit[DECODER] / (2 * (size_t)live->codebooks);
}

static int encode(struct cli_live *live, const float *pcm, size_t n)
{
    struct there *t = of(live);
    uint8_t bytes[PIECE];
    const size_t channels = t->unit[ENCODER] / sizeof *pcm, most = PIECE / t->unit[ENCODER];
    int exit_code = CLI_OK;
    for (size_t some; n > 0 && !exit_code; n -= some, pcm += some * channels) {
        some = n < most ? n : most;
        fmt_pcm_from_float(&floats, pcm, some * channels, bytes);
        exit_code =
            cli_remote_send(&t->remote, TESS_WIRE_PCM, ENCODER, bytes, some * t->unit[ENCODER]);
    }
    return exit_code;
}

static int decode(struct cli_live *live, const uint16_t *codes, size_t n_frames)
{
    uint8_t bytes[PIECE];
    const size_t width = (size_t)live->codebooks, most = PIECE / (2 * width);
    int exit_code = CLI_OK;
    for (size_t some; n_frames > 0 && !exit_code; n_frames -= some, codes += some * width) {
        some = n_frames < most ? n_frames : most;
        for (size_t i = 0; i < some * width; i++)
            tess_wire_put16(bytes + 2 * i, codes[i]);
        exit_code =
            cli_remote_send(&of(live)->remote, TESS_WIRE_CODES, DECODER, bytes, some * width * 2);
    }
    return exit_code;
}

/* ---- taking ---- */

static int take(struct there *t, const struct cli_remote_message *m)
{
    struct cli_live *live = &t->live;
    struct tess_wire_flushed flushed;
    const size_t frame = 2 * (size_t)live->codebooks;
    if (m->type == TESS_WIRE_CODES && m->stream == ENCODER && m->n % frame == 0) {
        for (size_t i = 0; i < m->n / 2; i++)
            t->codes[i] = tess_wire_get16(m->payload + 2 * i);
        return live->take_codes(live->ctx, t->codes, m->n / frame);
    }
    if (m->type == TESS_WIRE_PCM && m->stream == DECODER && m->n % t->unit[DECODER] == 0) {
        fmt_pcm_to_float(&floats, m->payload, m->n / 4, t->pcm);
        return live->take_pcm(live->ctx, t->pcm, m->n / t->unit[DECODER]);
    }
    if (m->type == TESS_WIRE_STATS && (m->stream == ENCODER || m->stream == DECODER)) {
        t->ended[m->stream] = true;
        return CLI_OK;
    }
    if (m->type == TESS_WIRE_FLUSHED && tess_wire_get_flushed(&flushed, m->payload, m->n)) {
        t->n_settled = flushed.id;
        return CLI_OK;
    }
    return cli_fail(CLI_SERVER, "%s: an unexpected message of type %d", t->remote.name, m->type);
}

/* One message: 1, 0 if none came, or a negated exit code. */
static int take_next(struct there *t, int patience_ms)
{
    struct cli_remote_message m;
    int got = cli_remote_next(&t->remote, patience_ms, &m);
    if (got <= 0) return got;
    int exit_code = take(t, &m);
    return exit_code ? -exit_code : 1;
}

static int turn(struct cli_live *live, int ms)
{
    int got = take_next(of(live), ms);
    while (got > 0)
        got = take_next(of(live), 0);
    return -got;
}

/* Something that has been asked for comes, or the server is no more. */
static int await(struct there *t)
{
    int got = take_next(t, PATIENCE_MS);
    if (got == 0) return cli_fail(CLI_SERVER, "%s: the server does not answer", t->remote.name);
    return got < 0 ? -got : CLI_OK;
}

static int settle(struct cli_live *live)
{
    struct there *t = of(live);
    uint8_t id[4];
    tess_wire_put32(id, ++t->n_asked);
    int exit_code = cli_remote_send(&t->remote, TESS_WIRE_FLUSH, DECODER, id, sizeof id);
    while (!exit_code && t->n_settled != t->n_asked)
        exit_code = await(t);
    return exit_code;
}

static int end(struct there *t, int stream)
{
    int exit_code = cli_remote_send(&t->remote, TESS_WIRE_END, (uint16_t)stream, "", 0);
    while (!exit_code && !t->ended[stream])
        exit_code = await(t);
    return exit_code;
}

static int end_encoder(struct cli_live *live)
{
    return end(of(live), ENCODER);
}

static int end_decoder(struct cli_live *live)
{
    return end(of(live), DECODER);
}

static void close_there(struct cli_live *live)
{
    cli_remote_close(&of(live)->remote);
    free(live);
}

static const struct cli_live_way way = {
    .start_encoder = start_encoder,
    .start_decoder = start_decoder,
    .room_to_encode = room_to_encode,
    .room_to_decode = room_to_decode,
    .encode = encode,
    .decode = decode,
    .turn = turn,
    .settle = settle,
    .end_encoder = end_encoder,
    .end_decoder = end_decoder,
    .close = close_there,
};

static int open_there(struct there *t,
                      const struct cli_options *options,
                      const struct fmt_codes_in *codes,
                      const char *name)
{
    struct cli_live *live = &t->live;
    const char *model = options->model;
    if (!model && codes && codes->model[0]) model = codes->model;
    int exit_code = cli_remote_open(&t->remote, options);
    if (!exit_code) exit_code = find_model(t, model);
    if (exit_code) return exit_code;
    if (!codes) return cli_choose_codebooks(options, &live->info, &live->codebooks);
    live->codebooks = codes->codebooks;
    return fmt_codes_in_made_by(codes, &live->info) ? CLI_OK
                                                    : cli_fail_made_by(codes, name, &live->info);
}

int cli_live_there(struct cli_live **live,
                   const struct cli_options *options,
                   const struct fmt_codes_in *codes,
                   const char *name)
{
    struct there *t = calloc(1, sizeof *t);
    *live = NULL;
    if (!t) return cli_fail_memory();
    t->live.way = &way;
    t->remote.fd = -1;
    t->options = options;
    int exit_code = open_there(t, options, codes, name);
    if (exit_code)
        close_there(&t->live);
    else
        *live = &t->live;
    return exit_code;
}
