/* JSON for machines, one object a line. */
#ifndef CLI_JSON_OUT_H
#define CLI_JSON_OUT_H

#include <cjson/cJSON.h>
#include <stdio.h>

/** Prints *root and a newline, U+FFFD for bytes that are not UTF-8, and deletes it. A failure stays in
 *  the stream's error flag. */
void cli_json_print(cJSON *root, FILE *to);

#endif
