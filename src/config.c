/* JSON text in; numbers and strings within the family's limits out, each key once. */
#include "src/config.h"

#include "src/json.h"

#include <string.h>

enum { MAX_KEY = 63 };

int tess_config_open(struct tess_config *c, const char *json, struct tess_why *why)
{
    c->unread = NULL;
    if (!json) return tess_base_fail(why, TESS_E_MODEL, "metadata 'tessera.config' is missing");
    cJSON *object = tess_json_object("tessera.config", json, strlen(json), why);
    if (!object) return TESS_E_MODEL;
    for (const cJSON *item = object->child; item; item = item->next)
        if (!tess_json_printable(item->string, MAX_KEY)) {
            cJSON_Delete(object);
            return tess_base_fail(
                why, TESS_E_MODEL,
                "tessera.config: a key is not 1 to %d characters of printable ASCII", MAX_KEY);
        }
    c->unread = object;
    return TESS_OK;
}

void tess_config_close(struct tess_config *c)
{
    cJSON_Delete(c->unread);
    c->unread = NULL;
}

static cJSON *take(const struct tess_config *c, const char *key)
{
    return cJSON_DetachItemFromObjectCaseSensitive(c->unread, key);
}

int tess_config_int(
    const struct tess_config *c, const char *key, int min, int max, int *out, struct tess_why *why)
{
    cJSON *item = take(c, key);
    int found = tess_json_int(item, min, max, out);
    cJSON_Delete(item);
    return found ? TESS_OK
                 : tess_base_fail(why, TESS_E_MODEL,
                                  "tessera.config: '%s' is not a whole number of %d to %d", key,
                                  min, max);
}

int tess_config_keys(const struct tess_config *c,
                     const struct tess_key *keys,
                     size_t n,
                     struct tess_why *why)
{
    int err = 0;
    for (size_t i = 0; i < n && !err; i++)
        err = tess_config_int(c, keys[i].key, keys[i].min, keys[i].max, keys[i].out, why);
    return err;
}

int tess_config_ints(const struct tess_config *c,
                     const char *key,
                     int min,
                     int max,
                     int *out,
                     int capacity,
                     struct tess_why *why)
{
    cJSON *item = take(c, key);
    int n = tess_json_ints(item, min, max, out, capacity);
    cJSON_Delete(item);
    return n > 0 ? n
                 : tess_base_fail(why, TESS_E_MODEL,
                                  "tessera.config: '%s' is not 1 to %d whole numbers of %d to %d",
                                  key, capacity, min, max);
}

int tess_config_string(
    const struct tess_config *c, const char *key, char *out, size_t size, struct tess_why *why)
{
    cJSON *item = take(c, key);
    const char *text = cJSON_GetStringValue(item);
    int found = text && tess_json_printable(text, size - 1);
    if (found) memcpy(out, text, strlen(text) + 1);
    cJSON_Delete(item);
    return found ? TESS_OK
                 : tess_base_fail(
                       why, TESS_E_MODEL,
                       "tessera.config: '%s' is not a string of 1 to %zu printable characters", key,
                       size - 1);
}

int tess_config_finish(const struct tess_config *c, struct tess_why *why)
{
    if (!c->unread->child) return TESS_OK;
    return tess_base_fail(why, TESS_E_MODEL, "tessera.config: '%s' is unknown or stands twice",
                          c->unread->child->string);
}
