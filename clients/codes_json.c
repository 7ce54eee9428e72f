/* JSON text in, codes [T][K] out, and back. Numbers are checked before they become codes. */
#include "codes_json.h"

#include "report.h"

#include <cjson/cJSON.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CODEBOOKS = 1024 };  /* as in a .tess file */
enum { MAX_BYTES = 256 << 20 }; /* some ten hours; the parsed tree takes ten times its text */

static int read_text(struct cli_input *in, char **text, size_t *n)
{
    size_t capacity = 1 << 16;
    *n = 0;
    *text = NULL;
    for (;;) {
        char *more = realloc(*text, capacity);
        if (!more) return cli_fail_memory();
        *text = more;
        ptrdiff_t got = cli_input_read_all(in, more + *n, capacity - *n);
        if (got < 0) return cli_input_fail(in);
        *n += (size_t)got;
        if (*n < capacity) return CLI_OK;
        capacity *= 2;
        if (capacity > MAX_BYTES)
            return cli_fail(CLI_FAILED, "%s: JSON of more than %d MB", in->name, MAX_BYTES >> 20);
    }
}

/* A whole number from low to high, else `otherwise`. */
static double whole(const cJSON *item, double low, double high, double otherwise)
{
    if (!cJSON_IsNumber(item)) return otherwise;
    double v = item->valuedouble;
    return v >= low && v <= high && v == floor(v) ? v : otherwise;
}

/* rows [outer][inner] to codes [T][K], transposed where the outer index is K. */
static bool take_rows(struct cli_codes_json *json, const cJSON *rows, bool columns_first)
{
    int64_t n_outer = cJSON_GetArraySize(rows);
    int64_t n_inner = n_outer > 0 ? cJSON_GetArraySize(rows->child) : 0;
    int64_t K = columns_first ? n_outer : n_inner, T = columns_first ? n_inner : n_outer;
    if (K < 1 || K > MAX_CODEBOOKS) return false;
    json->n_frames = T;
    json->codebooks = (int)K;
    json->codes = malloc((size_t)(T * K) * sizeof *json->codes + 1);
    if (!json->codes) return false;
    int64_t o = 0;
    for (const cJSON *row = rows->child; row; row = row->next, o++) {
        if (!cJSON_IsArray(row)) return false;
        int64_t i = 0;
        for (const cJSON *item = row->child; item; item = item->next, i++) {
            double code = whole(item, INT16_MIN, UINT16_MAX, HUGE_VAL);
            if (code > UINT16_MAX || i >= n_inner) return false;
            json->codes[columns_first ? i * K + o : o * K + i] = (uint16_t)(int32_t)code;
        }
        if (i != n_inner) return false;
    }
    return true;
}

/* The scales, one for each segment: see docs/format.md. None is as good as all. */
static bool take_scales(struct cli_codes_json *json, const cJSON *root)
{
    const cJSON *scales = cJSON_GetObjectItemCaseSensitive(root, "audio_scales");
    if (!scales) return true;
    const cJSON *each = cJSON_GetObjectItemCaseSensitive(root, "segment_frames");
    json->segment_frames = (int)whole(each, 1, UINT16_MAX, 0);
    json->n_scales = (size_t)cJSON_GetArraySize(scales);
    if (!cJSON_IsArray(scales) || !json->segment_frames ||
        (int64_t)json->n_scales != (json->n_frames ? json->n_frames / json->segment_frames + 1 : 0))
        return false;
    json->scales = malloc(json->n_scales * sizeof *json->scales + 1);
    if (!json->scales) return false;
    float *at = json->scales;
    for (const cJSON *item = scales->child; item; item = item->next) {
        if (!cJSON_IsNumber(item) || fabs(item->valuedouble) > (double)FLT_MAX) return false;
        *at++ = (float)item->valuedouble;
    }
    return true;
}

static int take(struct cli_codes_json *json, const cJSON *root, const char *name)
{
    const char *model = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(root, "model"));
    if (model) snprintf(json->model, sizeof json->model, "%s", model);
    json->n_samples =
        (int64_t)whole(cJSON_GetObjectItemCaseSensitive(root, "n_samples"), 0, 0x1p53, -1);
    json->sample_rate =
        (int)whole(cJSON_GetObjectItemCaseSensitive(root, "sample_rate"), 1, INT32_MAX, 0);
    const char *layout = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(root, "layout"));
    if (!layout) layout = "KT";
    bool columns_first = strcmp(layout, "KT") == 0;
    if (!columns_first && strcmp(layout, "TK") != 0)
        return cli_fail(CLI_FAILED, "%s: layout \"%s\" is not KT or TK", name, layout);
    const cJSON *rows = cJSON_GetObjectItemCaseSensitive(root, "audio_codes");
    if (!cJSON_IsArray(rows)) return cli_fail(CLI_FAILED, "%s: no audio_codes", name);
    if (!take_rows(json, rows, columns_first))
        return cli_fail(CLI_FAILED,
                        "%s: audio_codes is not a rectangle of whole 16-bit numbers of layout %s",
                        name, layout);
    if (take_scales(json, root)) return CLI_OK;
    return cli_fail(CLI_FAILED, "%s: audio_scales is not a number a segment of segment_frames",
                    name);
}

int cli_codes_json_read(struct cli_codes_json *json, struct cli_input *in)
{
    *json = (struct cli_codes_json){0};
    char *text;
    size_t n;
    int exit_code = read_text(in, &text, &n);
    if (exit_code) goto done;
    const char *end = NULL;
    cJSON *root = cJSON_ParseWithLengthOpts(text, n, &end, 0);
    while (root && end < text + n && strchr(" \t\r\n", *end) && *end)
        end++;
    if (!cJSON_IsObject(root) || end != text + n)
        exit_code = cli_fail(CLI_FAILED, "%s: not a JSON object", in->name);
    else
        exit_code = take(json, root, in->name);
    cJSON_Delete(root);
done:
    free(text);
    return exit_code;
}

static bool add_scales(const struct cli_codes_json *json, cJSON *root)
{
    if (!json->segment_frames) return true;
    cJSON *scales = cJSON_AddArrayToObject(root, "audio_scales");
    bool all = scales && cJSON_AddNumberToObject(root, "segment_frames", json->segment_frames);
    for (size_t i = 0; all && i < json->n_scales; i++)
        all = cJSON_AddItemToArray(scales, cJSON_CreateNumber((double)json->scales[i]));
    return all;
}

/* The object without its codes, as text without the closing brace; NULL without memory. */
static char *head(const struct cli_codes_json *json)
{
    char *text = NULL;
    cJSON *root = cJSON_CreateObject();
    if (root && cJSON_AddStringToObject(root, "model", json->model) &&
        cJSON_AddNumberToObject(root, "sample_rate", json->sample_rate) &&
        cJSON_AddNumberToObject(root, "n_samples", (double)json->n_samples) &&
        cJSON_AddNumberToObject(root, "n_frames", (double)json->n_frames) &&
        cJSON_AddNumberToObject(root, "n_codebooks", json->codebooks) &&
        cJSON_AddStringToObject(root, "layout", "KT") && add_scales(json, root))
        text = cJSON_PrintUnformatted(root);
    cJSON_Delete(root);
    if (text) text[strlen(text) - 1] = 0;
    return text;
}

int cli_codes_json_write(const struct cli_codes_json *json, bool is_signed, struct cli_output *out)
{
    char *text = head(json);
    if (!text) return cli_fail_memory();
    int error = cli_output_write(out, text, strlen(text));
    cJSON_free(text);
    static const char open[] = ",\"audio_codes\":[";
    error |= cli_output_write(out, open, sizeof open - 1);

    char block[4096];
    size_t fill = 0;
    for (int k = 0; k < json->codebooks; k++) {
        if (k > 0) block[fill++] = ',';
        block[fill++] = '[';
        for (int64_t t = 0; t < json->n_frames; t++) {
            uint16_t code = json->codes[t * json->codebooks + k];
            fill += (size_t)snprintf(block + fill, sizeof block - fill, t ? ",%d" : "%d",
                                     is_signed ? (int)(int16_t)code : (int)code);
            if (fill < sizeof block - 16) continue; /* "-32768,", "],[" and "]}\n" fit */
            error |= cli_output_write(out, block, fill);
            fill = 0;
        }
        block[fill++] = ']';
    }
    memcpy(block + fill, "]}\n", 3);
    error |= cli_output_write(out, block, fill + 3);
    return error ? cli_output_fail(out) : CLI_OK;
}
