/* JSON text in, codes [T][K] out, and back. Numbers are checked before they become codes. */
#include "formats/codes_json.h"

#include "formats/json.h"
#include "formats/why.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CODEBOOKS = 1024 }; /* as in a .tess file */
enum {
    MAX_BYTES = 64 << 20
}; /* some twelve hours; the parsed tree takes 15 to 40 times its text */

static const char *const layout_names[] = {
#define LAYOUT_NAME(name, text) text,
    FMT_LAYOUTS(LAYOUT_NAME)
#undef LAYOUT_NAME
};

enum fmt_layout fmt_layout(const char *name)
{
    int i = 0;
    while (i < FMT_N_LAYOUTS && strcmp(layout_names[i], name) != 0)
        i++;
    return (enum fmt_layout)i;
}

/* ---- in ---- */

static int read_text(const struct tess_io *io, char **text, size_t *n, struct tess_why *why)
{
    size_t capacity = 1 << 16;
    *n = 0;
    *text = NULL;
    for (;;) {
        char *more = realloc(*text, capacity);
        if (!more) return fmt_fail(why, TESS_E_NOMEM, "out of memory");
        *text = more;
        int64_t got = fmt_read_all(io, more + *n, capacity - *n, why);
        if (got < 0) return (int)got;
        *n += (size_t)got;
        if (*n < capacity) return 0;
        capacity *= 2;
        if (capacity > MAX_BYTES)
            return fmt_fail(why, TESS_E_FORMAT, "JSON of more than %d MB", MAX_BYTES >> 20);
    }
}

/* A whole number from low to high, else `otherwise`. */
static double whole(const cJSON *item, double low, double high, double otherwise)
{
    if (!cJSON_IsNumber(item)) return otherwise;
    double v = item->valuedouble;
    return v >= low && v <= high && v == floor(v) ? v : otherwise;
}

static bool take_code(const cJSON *item, uint16_t *code)
{
    double v = whole(item, INT16_MIN, UINT16_MAX, HUGE_VAL);
    if (v > UINT16_MAX) return false;
    *code = (uint16_t)(int32_t)v;
    return true;
}

static bool make_room(struct fmt_codes_json *json, int64_t n_frames, int64_t codebooks)
{
    if (codebooks < 1 || codebooks > MAX_CODEBOOKS) return false;
    json->n_frames = n_frames;
    json->codebooks = (int)codebooks;
    json->codes = malloc((size_t)(n_frames * codebooks) * sizeof *json->codes + 1);
    return json->codes != NULL;
}

/* rows [outer][inner] to codes [T][K], transposed where the outer index is K. No rows are no frames of
 * as many codebooks as the file says. */
static bool
take_rows(struct fmt_codes_json *json, const cJSON *rows, bool columns_first, int codebooks)
{
    int64_t n_outer = cJSON_GetArraySize(rows);
    int64_t n_inner = n_outer > 0 ? cJSON_GetArraySize(rows->child) : codebooks;
    int64_t K = columns_first ? n_outer : n_inner, T = columns_first ? n_inner : n_outer;
    if (!make_room(json, T, K)) return false;
    int64_t o = 0;
    for (const cJSON *row = rows->child; row; row = row->next, o++) {
        if (!cJSON_IsArray(row)) return false;
        int64_t i = 0;
        for (const cJSON *item = row->child; item; item = item->next, i++)
            if (i >= n_inner ||
                !take_code(item, &json->codes[columns_first ? i * K + o : o * K + i]))
                return false;
        if (i != n_inner) return false;
    }
    return true;
}

/* One list of frames after frames. */
static bool take_list(struct fmt_codes_json *json, const cJSON *list, int codebooks)
{
    int64_t n = cJSON_GetArraySize(list);
    if (codebooks < 1 || n % codebooks != 0 || !make_room(json, n / codebooks, codebooks))
        return false;
    uint16_t *at = json->codes;
    for (const cJSON *item = list->child; item; item = item->next)
        if (!take_code(item, at++)) return false;
    return true;
}

/* The scales, one for each segment: see docs/format.md. None is as good as all. */
static bool take_scales(struct fmt_codes_json *json, const cJSON *root)
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

/* ---- the members: each may be missing, none may be wrong ---- */

static int take_string(const cJSON *root, const char *name, const char **text, struct tess_why *why)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(root, name);
    if (item && !cJSON_IsString(item))
        return fmt_fail(why, TESS_E_FORMAT, "%s is not a string", name);
    *text = cJSON_GetStringValue(item);
    return 0;
}

/* A whole number from low to high; `missing` where there is none. */
static int take_number(const cJSON *root,
                       const char *name,
                       double low,
                       double high,
                       double missing,
                       double *value,
                       struct tess_why *why)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(root, name);
    *value = item ? whole(item, low, high, HUGE_VAL) : missing;
    if (!item || *value <= high) return 0;
    return fmt_fail(why, TESS_E_FORMAT, "%s is not a whole number from %.0f to %.0f", name, low,
                    high);
}

static int take_codes(struct fmt_codes_json *json,
                      const cJSON *root,
                      enum fmt_layout layout,
                      int codebooks,
                      struct tess_why *why)
{
    const cJSON *codes = cJSON_GetObjectItemCaseSensitive(root, "audio_codes");
    if (!cJSON_IsArray(codes)) return fmt_fail(why, TESS_E_FORMAT, "no audio_codes");
    if (layout == FMT_FLAT && !take_list(json, codes, codebooks))
        return fmt_fail(why, TESS_E_FORMAT,
                        "audio_codes is not a list of whole 16-bit numbers, n_codebooks a frame");
    if (layout != FMT_FLAT && !take_rows(json, codes, layout == FMT_KT, codebooks))
        return fmt_fail(why, TESS_E_FORMAT,
                        "audio_codes is not a rectangle of whole 16-bit numbers of layout %s",
                        layout_names[layout]);
    return 0;
}

static int take(struct fmt_codes_json *json, const cJSON *root, struct tess_why *why)
{
    const char *model = NULL, *layout_name = NULL;
    double n_samples, sample_rate, n_frames, codebooks;
    int error = take_string(root, "model", &model, why);
    if (!error) error = take_string(root, "layout", &layout_name, why);
    if (!error) error = take_number(root, "n_samples", 0, 0x1p53, -1, &n_samples, why);
    if (!error) error = take_number(root, "sample_rate", 1, INT32_MAX, 0, &sample_rate, why);
    if (!error) error = take_number(root, "n_frames", 0, 0x1p53, -1, &n_frames, why);
    if (!error) error = take_number(root, "n_codebooks", 1, MAX_CODEBOOKS, 0, &codebooks, why);
    if (error) return error;
    if (model) snprintf(json->model, sizeof json->model, "%s", model);
    json->n_samples = (int64_t)n_samples;
    json->sample_rate = (int)sample_rate;

    enum fmt_layout layout = fmt_layout(layout_name ? layout_name : "KT");
    if (layout == FMT_N_LAYOUTS)
        return fmt_fail(why, TESS_E_FORMAT, "layout \"%.20s\" is not KT, TK or flat", layout_name);
    error = take_codes(json, root, layout, (int)codebooks, why);
    if (error) return error;
    if ((n_frames >= 0 && n_frames != (double)json->n_frames) ||
        (codebooks > 0 && codebooks != (double)json->codebooks))
        return fmt_fail(why, TESS_E_FORMAT,
                        "audio_codes of %lld frames and %d codebooks, n_frames or n_codebooks says "
                        "otherwise",
                        (long long)json->n_frames, json->codebooks);
    if (take_scales(json, root)) return 0;
    return fmt_fail(why, TESS_E_FORMAT, "audio_scales is not a number a segment of segment_frames");
}

int fmt_codes_json_read(struct fmt_codes_json *json, const struct tess_io *io, struct tess_why *why)
{
    *json = (struct fmt_codes_json){0};
    char *text;
    size_t n;
    int error = read_text(io, &text, &n, why);
    if (error) goto done;
    cJSON *root = fmt_json_parse(text, n);
    error = root ? take(json, root, why) : fmt_fail(why, TESS_E_FORMAT, "not a JSON object");
    cJSON_Delete(root);
done:
    free(text);
    return error;
}

/* ---- out ---- */

static bool add_scales(const struct fmt_codes_json *json, cJSON *root)
{
    if (!json->segment_frames) return true;
    cJSON *scales = cJSON_AddArrayToObject(root, "audio_scales");
    bool all = scales && cJSON_AddNumberToObject(root, "segment_frames", json->segment_frames);
    for (size_t i = 0; all && i < json->n_scales; i++)
        all = cJSON_AddItemToArray(scales, cJSON_CreateNumber((double)json->scales[i]));
    return all;
}

/* A number that is not known, below `least`, is left out. */
static bool add_number(cJSON *root, const char *name, double value, double least)
{
    return value < least || cJSON_AddNumberToObject(root, name, value);
}

/* The object up to its first code; NULL without memory. */
static char *head(const struct fmt_codes_json *json, enum fmt_layout layout)
{
    char *text = NULL;
    cJSON *root = cJSON_CreateObject();
    if (root && cJSON_AddStringToObject(root, "model", json->model) &&
        add_number(root, "sample_rate", json->sample_rate, 1) &&
        add_number(root, "n_samples", (double)json->n_samples, 0) &&
        cJSON_AddNumberToObject(root, "n_frames", (double)json->n_frames) &&
        cJSON_AddNumberToObject(root, "n_codebooks", json->codebooks) &&
        cJSON_AddStringToObject(root, "layout", layout_names[layout]) && add_scales(json, root) &&
        cJSON_AddArrayToObject(root, "audio_codes"))
        text = cJSON_PrintUnformatted(root);
    cJSON_Delete(root);
    if (text) text[strlen(text) - 2] = 0; /* "]}" */
    return text;
}

int fmt_json_text_start(struct fmt_json_text *text,
                        const struct fmt_codes_json *json,
                        enum fmt_layout layout,
                        bool is_signed)
{
    *text = (struct fmt_json_text){.json = json, .layout = layout, .is_signed = is_signed};
    text->head = head(json, layout);
    if (!text->head) return TESS_E_NOMEM;
    text->n_head = strlen(text->head);
    return 0;
}

void fmt_json_text_stop(struct fmt_json_text *text)
{
    cJSON_free(text->head);
    text->head = NULL;
}

size_t fmt_json_text_next(struct fmt_json_text *t, char *block, size_t capacity)
{
    const struct fmt_codes_json *json = t->json;
    const int64_t K = json->codebooks, T = json->n_frames;
    const bool flat = t->layout == FMT_FLAT, columns_first = t->layout == FMT_KT;
    const int64_t n_outer = flat ? 1 : columns_first ? K : T;
    const int64_t n_inner = flat ? T * K : columns_first ? T : K;

    size_t left = t->n_head - t->at_head, fill = left < capacity ? left : capacity;
    memcpy(block, t->head + t->at_head, fill);
    t->at_head += fill;
    while (t->outer < n_outer && capacity - fill >= FMT_JSON_BLOCK) {
        if (t->inner == 0 && t->outer > 0) block[fill++] = ',';
        if (t->inner == 0 && !flat) block[fill++] = '[';
        if (t->inner < n_inner) {
            int64_t i = columns_first ? t->inner * K + t->outer : t->outer * n_inner + t->inner;
            uint16_t code = json->codes[i];
            fill += (size_t)snprintf(block + fill, capacity - fill, t->inner ? ",%d" : "%d",
                                     t->is_signed ? (int)(int16_t)code : (int)code);
            t->inner++;
        }
        if (t->inner < n_inner) continue;
        if (!flat) block[fill++] = ']';
        t->outer++;
        t->inner = 0;
    }
    if (t->outer == n_outer && !t->ended && capacity - fill >= FMT_JSON_BLOCK) {
        memcpy(block + fill, "]}\n", 3);
        fill += 3;
        t->ended = true;
    }
    return fill;
}
