/* Bytes in, checked frames [T][K] out. A .tess file's trailer is read first where the source can
 * seek, so that a file cut short fails before anything is made of it. */
#include "formats/codes_in.h"

#include "formats/codes_json.h"
#include "formats/npy.h"
#include "formats/why.h"

#include <stdlib.h>
#include <string.h>

static int open_tess(struct fmt_codes_in *c, struct tess_why *why)
{
    int error = tess_reader_create(&c->reader, &c->io, NULL, why);
    if (!error && c->io.seek) error = tess_reader_scan(c->reader, why);
    if (error) return error;
    const struct tess_file_info *info = tess_reader_info(c->reader);
    memcpy(c->model, info->model, sizeof c->model);
    memcpy(c->fingerprint, info->fingerprint, sizeof c->fingerprint);
    c->has_fingerprint = true;
    c->codebooks = info->codebooks;
    c->segment_frames = info->segment_frames;
    return 0;
}

static int open_json(struct fmt_codes_in *c, struct tess_why *why)
{
    struct fmt_codes_json json;
    int error = fmt_codes_json_read(&json, &c->io, why);
    c->codes = json.codes;
    c->codebooks = json.codebooks;
    c->n_frames = json.n_frames;
    c->n_json_samples = json.n_samples;
    c->all_scales = json.scales;
    c->segment_frames = json.segment_frames;
    memcpy(c->model, json.model, sizeof c->model);
    return error;
}

bool fmt_codes_in_is_json(const uint8_t *start, size_t n_start)
{
    return n_start > 0 && start[0] && strchr("{ \t\r\n", start[0]);
}

int fmt_codes_in_open(struct fmt_codes_in *c,
                      const struct tess_io *io,
                      const uint8_t *start,
                      size_t n_start,
                      struct tess_why *why)
{
    *c = (struct fmt_codes_in){.io = *io, .n_json_samples = -1};
    bool is_npy = n_start >= 6 && memcmp(start, FMT_NPY_MAGIC, 6) == 0;
    bool is_tess = n_start >= 4 && memcmp(start, "TESS", 4) == 0;
    if (is_npy) return fmt_npy_read_head(io, &c->n_frames, &c->codebooks, why);
    if (fmt_codes_in_is_json(start, n_start)) return open_json(c, why);
    if (is_tess) return open_tess(c, why);
    return fmt_fail(why, TESS_E_FORMAT, "not a .tess, .npy or .json file of codes");
}

void fmt_codes_in_close(struct fmt_codes_in *c)
{
    tess_reader_destroy(c->reader);
    free(c->codes);
    free(c->all_scales);
    *c = (struct fmt_codes_in){0};
}

static int64_t
read_tess(struct fmt_codes_in *c, uint16_t *frames, size_t capacity, struct tess_why *why)
{
    int64_t n = tess_reader_next(c->reader, frames, capacity, why);
    c->scales = tess_reader_scales(c->reader, &c->n_scales);
    return n;
}

static int64_t read_json(struct fmt_codes_in *c, uint16_t *frames, size_t n)
{
    const int64_t k = c->codebooks, each = c->segment_frames, end = c->at + (int64_t)n;
    memcpy(frames, c->codes + c->at * k, n * (size_t)k * sizeof *frames);
    if (!c->all_scales) return (int64_t)n;
    const int64_t first = (c->at + each - 1) / each;
    c->scales = c->all_scales + first;
    c->n_scales = (size_t)((end == c->n_frames ? end / each + 1 : (end + each - 1) / each) - first);
    return (int64_t)n;
}

static int64_t read_npy(struct fmt_codes_in *c, uint16_t *frames, size_t n, struct tess_why *why)
{
    size_t n_bytes = n * (size_t)c->codebooks * 2;
    uint8_t *bytes = (uint8_t *)frames;
    int64_t got = fmt_read_all(&c->io, bytes, n_bytes, why);
    if (got < 0) return got;
    if ((size_t)got < n_bytes) return fmt_fail(why, TESS_E_TRUNCATED, "ends too early");
    for (size_t i = 0; i < n_bytes / 2; i++) /* in place: the value's bytes are read before it is */
        frames[i] = (uint16_t)(bytes[2 * i] | bytes[2 * i + 1] << 8);
    return (int64_t)n;
}

int64_t
fmt_codes_in_read(struct fmt_codes_in *c, uint16_t *frames, size_t capacity, struct tess_why *why)
{
    int64_t n;
    c->n_scales = 0;
    if (c->reader) {
        n = read_tess(c, frames, capacity, why);
    } else {
        int64_t left = c->n_frames - c->at;
        n = left < (int64_t)capacity ? left : (int64_t)capacity;
        if (n > 0) {
            n = c->codes ? read_json(c, frames, (size_t)n) : read_npy(c, frames, (size_t)n, why);
        } else if (!c->codes && c->io.read(c->io.ctx, frames, 1) > 0) {
            return fmt_fail(why, TESS_E_FORMAT, "bytes after the last frame");
        }
    }
    if (n > 0) c->at += n;
    return n;
}

bool fmt_codes_in_made_by(const struct fmt_codes_in *c, const struct tess_model_info *model)
{
    if (c->has_fingerprint)
        return memcmp(c->fingerprint, model->sha256, sizeof c->fingerprint) == 0;
    return !c->model[0] || strcmp(c->model, model->name) == 0;
}

int64_t fmt_codes_in_samples(const struct fmt_codes_in *c, const struct tess_model *model)
{
    if (c->reader) return tess_reader_samples(c->reader);
    if (c->n_json_samples >= 0) return c->n_json_samples;
    return tess_model_samples(model, c->n_frames);
}

int64_t fmt_codes_in_source(const struct fmt_codes_in *c, int *source_rate)
{
    const struct tess_file_info *info = c->reader ? tess_reader_info(c->reader) : NULL;
    *source_rate = info ? info->source_rate : 0;
    return info ? info->n_source : -1;
}
