/* What the server knows of itself in, JSON out. */
#include "server/http_client.h"

#include <cjson/cJSON.h>
#include <time.h>

static char *print(cJSON *object)
{
    char *text = cJSON_PrintUnformatted(object);
    cJSON_Delete(object);
    return text;
}

static double uptime(const struct srv_server *server)
{
    return (double)(((int64_t)uv_hrtime() - server->started) / 1000000) / 1e3;
}

char *srv_page_health(const struct srv_server *server)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "status", server->draining ? "draining" : "ok");
    return print(o);
}

char *srv_page_version(const struct srv_server *server)
{
    cJSON *o = cJSON_CreateObject(), *models;
    cJSON_AddStringToObject(o, "version", tess_version());
    cJSON_AddNumberToObject(o, "abi", TESS_ABI);
    cJSON_AddNumberToObject(o, "protocol", TESS_WIRE_PROTOCOL);
    cJSON_AddStringToObject(o, "kernels", server->models.item[0].info.kernel);
    models = cJSON_AddObjectToObject(o, "models");
    for (int i = 0; i < server->models.n; i++)
        cJSON_AddStringToObject(models, server->models.item[i].name, server->models.item[i].sha256);
    return print(o);
}

static int bits_of(int entries)
{
    int bits = 0;
    while (INT64_C(1) << bits < entries)
        bits++;
    return bits;
}

static void add_meta(cJSON *to, const struct srv_model *m)
{
    const struct tess_model_info *info = &m->info;
    cJSON *o = cJSON_AddObjectToObject(to, "meta");
    cJSON_AddStringToObject(o, "family", info->family);
    cJSON_AddNumberToObject(o, "sample_rate", info->sample_rate);
    cJSON_AddNumberToObject(o, "channels", info->channels);
    cJSON_AddNumberToObject(o, "hop", info->hop);
    cJSON_AddNumberToObject(o, "frame_rate", srv_frame_rate(info));
    cJSON_AddNumberToObject(o, "codebooks", info->codebooks_default);
    cJSON_AddNumberToObject(o, "codebook_size", info->entries);
    cJSON_AddNumberToObject(o, "vocab_size", (double)info->codebooks_default * info->entries);
    cJSON *offsets = cJSON_AddArrayToObject(o, "offsets");
    for (int k = 0; k < info->codebooks_default; k++)
        cJSON_AddItemToArray(offsets, cJSON_CreateNumber((double)k * info->entries));
    cJSON_AddNumberToObject(o, "bits_per_frame",
                            (double)info->codebooks_default * bits_of(info->entries));
    cJSON_AddNumberToObject(o, "delay_samples", (double)info->encode_delay + info->decode_delay);
    cJSON_AddBoolToObject(o, "causal", info->encode == TESS_LIVE);
    cJSON_AddStringToObject(o, "sha256", m->sha256);
    cJSON_AddStringToObject(o, "license", info->licence);
    cJSON_AddBoolToObject(o, "loaded", true);
}

/* The envelope that clients of other servers know. */
char *srv_page_models(const struct srv_server *server)
{
    double created = (double)time(NULL) - uptime(server);
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "object", "list");
    cJSON *data = cJSON_AddArrayToObject(o, "data");
    for (int i = 0; i < server->models.n; i++) {
        cJSON *model = cJSON_CreateObject();
        cJSON_AddStringToObject(model, "id", server->models.item[i].name);
        cJSON_AddStringToObject(model, "object", "model");
        cJSON_AddNumberToObject(model, "created", (double)(int64_t)created);
        cJSON_AddStringToObject(model, "owned_by", "tessera");
        add_meta(model, &server->models.item[i]);
        cJSON_AddItemToArray(data, model);
    }
    return print(o);
}

char *srv_page_status(const struct srv_server *server)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "streams_active", server->n_streams);
    cJSON_AddNumberToObject(o, "streams_max", (double)server->options.max_streams);
    cJSON_AddNumberToObject(o, "queue", server->jobs.n_waiting);
    cJSON_AddNumberToObject(o, "connections", server->n_sessions + srv_http_count(server, NULL));
    cJSON_AddNumberToObject(o, "connections_max", (double)server->max_clients);
    cJSON_AddBoolToObject(o, "draining", server->draining);
    cJSON_AddNumberToObject(o, "uptime_s", uptime(server));
    return print(o);
}
