/* Bytes in, checked frames [T][K] out. A .tess file's trailer is read first where the file can
 * seek, so that a file cut short fails before anything is written. */
#include "codes_in.h"

#include "codes_json.h"
#include "npy.h"
#include "report.h"

#include <stdlib.h>
#include <string.h>

static int open_tess(struct cli_codes_in *c)
{
    struct tess_io io = {
        .ctx = c->in,
        .read = cli_input_read,
        .seek = c->in->seekable ? cli_input_seek : NULL,
    };
    struct tess_why why;
    int error = tess_reader_create(&c->reader, &io, NULL, &why);
    if (!error && io.seek) error = tess_reader_scan(c->reader, &why);
    if (error) return cli_fail(CLI_FAILED, "%s: %s", c->in->name, why.text);
    const struct tess_file_info *info = tess_reader_info(c->reader);
    memcpy(c->model, info->model, sizeof c->model);
    memcpy(c->fingerprint, info->fingerprint, sizeof c->fingerprint);
    c->has_fingerprint = true;
    c->codebooks = info->codebooks;
    c->segment_frames = info->segment_frames;
    return CLI_OK;
}

static int open_json(struct cli_codes_in *c)
{
    struct cli_codes_json json;
    int exit_code = cli_codes_json_read(&json, c->in);
    c->codes = json.codes;
    c->codebooks = json.codebooks;
    c->n_frames = json.n_frames;
    c->n_json_samples = json.n_samples;
    c->all_scales = json.scales;
    c->segment_frames = json.segment_frames;
    memcpy(c->model, json.model, sizeof c->model);
    return exit_code;
}

int cli_codes_in_open(struct cli_codes_in *c, struct cli_input *in)
{
    *c = (struct cli_codes_in){.in = in, .n_json_samples = -1};
    const uint8_t *head;
    size_t n = cli_input_peek(in, 6, &head);
    bool is_npy = n == 6 && memcmp(head, CLI_NPY_MAGIC, 6) == 0;
    bool is_json = n > 0 && strchr("{ \t\r\n", head[0]) && head[0];
    bool is_tess = n >= 4 && memcmp(head, "TESS", 4) == 0;
    if (is_npy) return cli_npy_read_head(in, &c->n_frames, &c->codebooks);
    if (is_json) return open_json(c);
    if (is_tess) return open_tess(c);
    return cli_fail(CLI_FAILED, "%s: not a .tess, .npy or .json file of codes", in->name);
}

void cli_codes_in_close(struct cli_codes_in *c)
{
    tess_reader_destroy(c->reader);
    free(c->codes);
    free(c->all_scales);
    *c = (struct cli_codes_in){0};
}

static int64_t read_tess(struct cli_codes_in *c, uint16_t *frames, size_t capacity)
{
    struct tess_why why;
    int64_t n = tess_reader_next(c->reader, frames, capacity, &why);
    c->scales = tess_reader_scales(c->reader, &c->n_scales);
    return n < 0 ? -cli_fail(CLI_FAILED, "%s: %s", c->in->name, why.text) : n;
}

static int64_t read_json(struct cli_codes_in *c, uint16_t *frames, size_t n)
{
    const int64_t k = c->codebooks, each = c->segment_frames, end = c->at + (int64_t)n;
    memcpy(frames, c->codes + c->at * k, n * (size_t)k * sizeof *frames);
    if (!c->all_scales) return (int64_t)n;
    const int64_t first = (c->at + each - 1) / each;
    c->scales = c->all_scales + first;
    c->n_scales = (size_t)((end == c->n_frames ? end / each + 1 : (end + each - 1) / each) - first);
    return (int64_t)n;
}

static int64_t read_npy(struct cli_codes_in *c, uint16_t *frames, size_t n)
{
    size_t n_bytes = n * (size_t)c->codebooks * 2;
    uint8_t *bytes = (uint8_t *)frames;
    ptrdiff_t got = cli_input_read_all(c->in, bytes, n_bytes);
    if (got < 0) return -cli_input_fail(c->in);
    if ((size_t)got < n_bytes) return -cli_fail(CLI_FAILED, "%s: ends too early", c->in->name);
    for (size_t i = 0; i < n_bytes / 2; i++) /* in place: the value's bytes are read before it is */
        frames[i] = (uint16_t)(bytes[2 * i] | bytes[2 * i + 1] << 8);
    return (int64_t)n;
}

int64_t cli_codes_in_read(struct cli_codes_in *c, uint16_t *frames, size_t capacity)
{
    int64_t n;
    c->n_scales = 0;
    if (c->reader) {
        n = read_tess(c, frames, capacity);
    } else {
        int64_t left = c->n_frames - c->at;
        n = left < (int64_t)capacity ? left : (int64_t)capacity;
        if (n > 0) {
            n = c->codes ? read_json(c, frames, (size_t)n) : read_npy(c, frames, (size_t)n);
        } else if (!c->codes && cli_input_read(c->in, frames, 1) > 0) {
            return -cli_fail(CLI_FAILED, "%s: bytes after the last frame", c->in->name);
        }
    }
    if (n > 0) c->at += n;
    return n;
}

int64_t cli_codes_in_samples(const struct cli_codes_in *c, const struct tess_model *model)
{
    if (c->reader) return tess_reader_samples(c->reader);
    if (c->n_json_samples >= 0) return c->n_json_samples;
    return tess_model_samples(model, c->n_frames);
}

int64_t cli_codes_in_source(const struct cli_codes_in *c, int *source_rate)
{
    const struct tess_file_info *info = c->reader ? tess_reader_info(c->reader) : NULL;
    *source_rate = info ? info->source_rate : 0;
    return info ? info->n_source : -1;
}
