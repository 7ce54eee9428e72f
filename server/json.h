/* JSON of messages: read within limits, written from what we know. */
#ifndef SRV_JSON_H
#define SRV_JSON_H

#include "server/server.h"

#include <cjson/cJSON.h>

/** Parses n bytes that must be one object, nested at most 16 deep and nothing after it; NULL
 *  otherwise. Free with cJSON_Delete. */
cJSON *srv_json_parse(const uint8_t *bytes, size_t n);

/** Members of an object. A missing one gives the fallback; one of another type, or out of
 *  least..most, returns false. Texts live as long as the object. */
bool srv_json_text(const cJSON *object, const char *name, const char *fallback, const char **text);
bool srv_json_int(const cJSON *object,
                  const char *name,
                  int64_t fallback,
                  int64_t least,
                  int64_t most,
                  int64_t *value);
bool srv_json_bool(const cJSON *object, const char *name, bool *value);

/* What OPEN asks for, checked against the models. */
struct srv_open {
    bool encode, decode;
    struct srv_lane_config config; /* of both lanes, its direction unset */
    bool limited;
    uint32_t credit;
};

/** Returns 0, or a TESS_WIRE error code with one sentence in why. */
int srv_json_open(const struct srv_models *models,
                  const uint8_t *bytes,
                  size_t n,
                  struct srv_open *open,
                  struct tess_why *why);

/** Payloads, to be freed with cJSON_free; NULL without memory. */
char *srv_json_ready(const struct srv_server *server);
char *srv_json_opened(const struct srv_open *open, const struct srv_stream *stream);
char *srv_json_stats(const struct srv_stream *stream);

#endif
