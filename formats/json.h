/* JSON from elsewhere: one object, and nothing that a small text can blow up. */
#ifndef FMT_JSON_H
#define FMT_JSON_H

#include <cjson/cJSON.h>
#include <stddef.h>

/** Parses n bytes that must be one object, nested at most 16 deep and with nothing after it but white
 *  space; NULL otherwise. Free with cJSON_Delete. */
cJSON *fmt_json_parse(const char *text, size_t n);

#endif
