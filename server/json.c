/* Bytes of a client's JSON in, checked values out; and the JSON that clients get. */
#include "server/json.h"

#include "formats/json.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

cJSON *srv_json_parse(const uint8_t *bytes, size_t n)
{
    return fmt_json_parse((const char *)bytes, n);
}

bool srv_json_text(const cJSON *object, const char *name, const char *fallback, const char **text)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    *text = item ? cJSON_GetStringValue(item) : fallback;
    return !item || *text;
}

bool srv_json_int(const cJSON *object,
                  const char *name,
                  int64_t fallback,
                  int64_t least,
                  int64_t most,
                  int64_t *value)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    *value = fallback;
    if (!item) return true;
    double v = item->valuedouble;
    if (!cJSON_IsNumber(item) || !(v >= (double)least && v <= (double)most) || v != floor(v))
        return false;
    *value = (int64_t)v;
    return true;
}

bool srv_json_bool(const cJSON *object, const char *name, bool *value)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    *value = cJSON_IsTrue(item);
    return !item || cJSON_IsBool(item);
}

/* ---- OPEN ---- */

static int fail(struct tess_why *why, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int fail(struct tess_why *why, int error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(why->text, sizeof why->text, format, args);
    va_end(args);
    return error;
}

/* The model's own option, if it has one, is the only member that there may be. */
static int read_options(const cJSON *json, struct srv_lane_config *c, struct tess_why *why)
{
    const struct tess_model_info *info = &c->model->info;
    const cJSON *options = cJSON_GetObjectItemCaseSensitive(json, "options");
    const cJSON *first = options ? options->child : NULL;
    int64_t value;
    if (!options || (cJSON_IsObject(options) && !first)) return 0;
    if (!info->option[0])
        return fail(why, TESS_WIRE_BAD_REQUEST, "model %s takes no options", c->model->name);
    if (!cJSON_IsObject(options) || first->next || strcmp(first->string, info->option) != 0 ||
        !srv_json_int(options, info->option, 0, 0, info->option_max, &value))
        return fail(why, TESS_WIRE_BAD_REQUEST, "options of model %s are {\"%s\": 0 to %d}",
                    c->model->name, info->option, info->option_max);
    c->option = (int)value;
    return 0;
}

static int read_open(const struct srv_models *models,
                     const cJSON *json,
                     struct srv_open *open,
                     struct tess_why *why)
{
    const char *direction, *name, *format;
    int64_t codebooks, rate, channels, credit;
    if (!srv_json_text(json, "direction", "", &direction) ||
        !srv_json_text(json, "model", NULL, &name) ||
        !srv_json_text(json, "format", "s16le", &format))
        return fail(why, TESS_WIRE_BAD_REQUEST, "direction, model and format are texts");
    open->encode = strcmp(direction, "encode") == 0 || strcmp(direction, "both") == 0;
    open->decode = strcmp(direction, "decode") == 0 || strcmp(direction, "both") == 0;
    if (!open->encode && !open->decode)
        return fail(why, TESS_WIRE_BAD_REQUEST, "direction is encode, decode or both");

    struct srv_lane_config *c = &open->config;
    c->model = srv_models_find(models, name);
    if (!c->model)
        return fail(why, TESS_WIRE_NOT_FOUND, "no model '%.63s' (READY lists them)", name);
    const struct tess_model_info *info = &c->model->info;
    if (strcmp(format, "s16le") != 0 && strcmp(format, "f32le") != 0)
        return fail(why, TESS_WIRE_BAD_REQUEST, "format is s16le or f32le");
    c->format = format[0] == 's' ? SRV_S16LE : SRV_F32LE;
    if (!srv_json_int(json, "codebooks", info->codebooks_default, 1, INT32_MAX, &codebooks) ||
        !srv_is_rate(info, (int)codebooks))
        return fail(why, TESS_WIRE_BAD_REQUEST,
                    "codebooks is not a rate of model %s (READY lists them)", c->model->name);
    if (!srv_json_int(json, "rate", info->sample_rate, SRV_MIN_RATE, SRV_MAX_RATE, &rate))
        return fail(why, TESS_WIRE_BAD_REQUEST, "rate is from %d to %d Hz", SRV_MIN_RATE,
                    SRV_MAX_RATE);
    if (!srv_json_int(json, "channels", info->channels, 1, SRV_MAX_CHANNELS, &channels))
        return fail(why, TESS_WIRE_BAD_REQUEST, "channels are from 1 to %d", SRV_MAX_CHANNELS);
    if (!srv_json_int(json, "credit", 0, 0, UINT32_MAX, &credit) ||
        !srv_json_bool(json, "bulk", &c->bulk))
        return fail(why, TESS_WIRE_BAD_REQUEST, "credit is a number of bytes, bulk true or false");
    c->codebooks = (int)codebooks;
    c->rate = (int)rate;
    c->channels = (int)channels;
    open->limited = cJSON_GetObjectItemCaseSensitive(json, "credit") != NULL;
    open->credit = (uint32_t)credit;
    return read_options(json, c, why);
}

int srv_json_open(const struct srv_models *models,
                  const uint8_t *bytes,
                  size_t n,
                  struct srv_open *open,
                  struct tess_why *why)
{
    *open = (struct srv_open){0};
    cJSON *json = srv_json_parse(bytes, n);
    if (!json) return fail(why, TESS_WIRE_BAD_REQUEST, "OPEN is not a JSON object");
    int error = read_open(models, json, open, why);
    cJSON_Delete(json);
    return error;
}

/* ---- what clients get ---- */

static const char *capability(const struct tess_model_info *info, enum tess_capability c)
{
    static const char *const names[] = {"live", "delayed", "whole-clip"};
    return info->segment ? "segments" : names[c];
}

static void add_model(cJSON *list, const struct srv_model *m)
{
    const struct tess_model_info *info = &m->info;
    cJSON *o = cJSON_CreateObject(), *legal = cJSON_CreateArray();
    cJSON_AddStringToObject(o, "name", m->name);
    cJSON_AddStringToObject(o, "sha256", m->sha256);
    cJSON_AddStringToObject(o, "family", info->family);
    cJSON_AddNumberToObject(o, "sample_rate", info->sample_rate);
    cJSON_AddNumberToObject(o, "channels", info->channels);
    cJSON_AddNumberToObject(o, "hop", info->hop);
    cJSON_AddNumberToObject(o, "codebooks", info->codebooks_default);
    for (int k = 1; k <= info->codebooks; k++)
        if (srv_is_rate(info, k)) cJSON_AddItemToArray(legal, cJSON_CreateNumber(k));
    cJSON_AddItemToObject(o, "codebooks_legal", legal);
    cJSON_AddNumberToObject(o, "entries", info->entries);
    cJSON_AddNumberToObject(o, "code_min", info->code_min);
    cJSON_AddStringToObject(o, "encode", capability(info, info->encode));
    cJSON_AddStringToObject(o, "decode", capability(info, info->decode));
    cJSON_AddNumberToObject(o, "encode_delay", info->encode_delay);
    cJSON_AddNumberToObject(o, "decode_delay", info->decode_delay);
    if (info->option[0])
        cJSON_AddNumberToObject(cJSON_AddObjectToObject(o, "options"), info->option,
                                info->option_max);
    cJSON_AddItemToArray(list, o);
}

static char *print(cJSON *object)
{
    char *text = cJSON_PrintUnformatted(object);
    cJSON_Delete(object);
    return text;
}

char *srv_json_ready(const struct srv_server *server)
{
    const struct srv_options *options = &server->options;
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "protocol", TESS_WIRE_PROTOCOL);
    cJSON_AddStringToObject(o, "server", "tesserad " TESS_VERSION);
    cJSON *models = cJSON_AddArrayToObject(o, "models");
    for (int i = 0; i < server->models.n; i++)
        add_model(models, &server->models.item[i]);
    cJSON *limits = cJSON_AddObjectToObject(o, "limits");
    cJSON_AddNumberToObject(limits, "message", (double)options->max_message);
    cJSON_AddNumberToObject(limits, "streams", (double)options->max_client_streams);
    cJSON_AddNumberToObject(limits, "input_ahead_ms", (double)options->input_ms);
    cJSON_AddNumberToObject(limits, "idle_ms", (double)options->idle_ms);
    cJSON_AddBoolToObject(o, "draining", server->draining);
    return print(o);
}

char *srv_json_opened(const struct srv_open *open, const struct srv_stream *stream)
{
    const struct srv_lane_config *c = &open->config;
    const struct tess_model_info *info = &c->model->info;
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "direction",
                            open->encode ? open->decode ? "both" : "encode" : "decode");
    cJSON_AddStringToObject(o, "model", c->model->name);
    cJSON_AddStringToObject(o, "sha256", c->model->sha256);
    cJSON_AddNumberToObject(o, "sample_rate", info->sample_rate);
    cJSON_AddNumberToObject(o, "hop", info->hop);
    cJSON_AddNumberToObject(o, "codebooks", c->codebooks);
    cJSON_AddStringToObject(o, "format", c->format == SRV_S16LE ? "s16le" : "f32le");
    cJSON_AddNumberToObject(o, "rate", c->rate);
    cJSON_AddNumberToObject(o, "channels", c->channels);
    cJSON_AddNumberToObject(o, "encode_delay", info->encode_delay);
    cJSON_AddNumberToObject(o, "decode_delay", info->decode_delay);
    if (info->option[0])
        cJSON_AddNumberToObject(cJSON_AddObjectToObject(o, "options"), info->option, c->option);
    cJSON_AddNumberToObject(o, "credit", (double)srv_stream_window(stream));
    return print(o);
}

char *srv_json_stats(const struct srv_stream *stream)
{
    static const char *const names[] = {"encode", "decode"};
    cJSON *o = cJSON_CreateObject();
    for (int d = 0; d < SRV_N_DIRECTIONS; d++) {
        const struct srv_queue *q = &stream->queue[d];
        if (!q->lane) continue;
        cJSON *lane = cJSON_AddObjectToObject(o, names[d]);
        cJSON_AddNumberToObject(lane, "samples", (double)q->samples);
        cJSON_AddNumberToObject(lane, "frames", (double)q->frames);
        if (d == SRV_DECODE) cJSON_AddNumberToObject(lane, "lost", (double)q->lost);
        double mean = q->n_turns > 0 ? q->latency_sum / (double)q->n_turns : 0;
        cJSON_AddNumberToObject(lane, "latency_mean_ms", round(1e6 * mean) / 1e3);
        cJSON_AddNumberToObject(lane, "latency_max_ms", round(1e6 * q->latency_max) / 1e3);
        cJSON_AddNumberToObject(lane, "late", (double)q->late);
    }
    return print(o);
}
