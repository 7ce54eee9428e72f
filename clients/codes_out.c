/* Frames in, a file of one of three formats out. .tess streams; .npy has its length in front, so a
 * file is gone back to and a pipe waits for the end; .json has columns first and is held whole. */
#include "codes_out.h"

#include "formats/codes_json.h"
#include "formats/npy.h"
#include "formats/tess.h"
#include "report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int fail_writer(struct cli_codes_out *c, int error, const char *why)
{
    if (c->out->error) return cli_output_fail(c->out);
    return cli_fail(error == TESS_E_IO ? CLI_IO : CLI_FAILED, "%s: %s", c->out->name, why);
}

static int tess_open(struct cli_codes_out *c, int source_rate)
{
    struct tess_io io = {
        .ctx = c->out,
        .write = cli_output_write,
        .seek = c->out->seekable ? cli_output_seek : NULL,
    };
    struct tess_file_info info = fmt_tess_info(c->model, c->codebooks, source_rate);
    struct tess_why why;
    int error = tess_writer_create(&c->writer, &io, &info, NULL, &why);
    return error ? fail_writer(c, error, why.text) : CLI_OK;
}

static int tess_put(struct cli_codes_out *c, const struct cli_frames *f)
{
    int error = tess_writer_put_scaled(c->writer, f->codes, f->n, f->scales, f->n_scales);
    return error ? fail_writer(c, error, tess_strerror(error)) : CLI_OK;
}

static int tess_finish(struct cli_codes_out *c, int64_t n_source, int64_t n_samples)
{
    (void)n_samples;
    struct tess_why why;
    int error = tess_writer_finish(c->writer, n_source, &why);
    return error ? fail_writer(c, error, why.text) : CLI_OK;
}

static int npy_write_head(struct cli_codes_out *c)
{
    uint8_t head[FMT_NPY_HEAD];
    fmt_npy_head(head, c->n_frames, c->codebooks, c->model->code_min < 0);
    return cli_output_write(c->out, head, sizeof head) < 0 ? cli_output_fail(c->out) : CLI_OK;
}

static int npy_open(struct cli_codes_out *c, int source_rate)
{
    (void)source_rate;
    if (c->out->seekable) return npy_write_head(c); /* of no frames, to be written over */
    c->spool = cli_temporary();
    return c->spool < 0 ? cli_fail(CLI_IO, "temporary file: %s", strerror(errno)) : CLI_OK;
}

static int npy_put(struct cli_codes_out *c, const struct cli_frames *f)
{
    char name[] = "temporary file";
    struct cli_output spool = {.name = name, .fd = c->spool};
    struct cli_output *to = c->out->seekable ? c->out : &spool;
    uint8_t block[4096];
    size_t n_values = f->n * (size_t)c->codebooks;
    for (size_t i = 0, fill = 0; i < n_values; i++) {
        block[fill++] = (uint8_t)f->codes[i];
        block[fill++] = (uint8_t)(f->codes[i] >> 8);
        if (fill < sizeof block && i + 1 < n_values) continue;
        if (cli_output_write(to, block, fill) < 0) return cli_output_fail(to);
        fill = 0;
    }
    return CLI_OK;
}

static int npy_finish(struct cli_codes_out *c, int64_t n_source, int64_t n_samples)
{
    (void)n_source, (void)n_samples;
    if (c->out->seekable)
        return cli_output_seek(c->out, 0) < 0 ? cli_output_fail(c->out) : npy_write_head(c);
    int exit_code = npy_write_head(c);
    struct cli_input spool = {.name = "temporary file", .fd = c->spool};
    uint8_t block[4096];
    ptrdiff_t got = cli_input_seek(&spool, 0);
    if (got < 0) return cli_input_fail(&spool);
    while (!exit_code && (got = cli_input_read(&spool, block, sizeof block)) > 0)
        if (cli_output_write(c->out, block, (size_t)got) < 0) exit_code = cli_output_fail(c->out);
    return got < 0 ? cli_input_fail(&spool) : exit_code;
}

static int json_open(struct cli_codes_out *c, int source_rate)
{
    (void)c, (void)source_rate;
    return CLI_OK;
}

static int json_put(struct cli_codes_out *c, const struct cli_frames *f)
{
    size_t width = (size_t)c->codebooks * sizeof *f->codes;
    if (c->n_frames + (int64_t)f->n > c->capacity) {
        c->capacity = 2 * (c->n_frames + (int64_t)f->n);
        uint16_t *more = realloc(c->codes, (size_t)c->capacity * width);
        if (!more) return cli_fail_memory();
        c->codes = more;
    }
    memcpy(c->codes + c->n_frames * c->codebooks, f->codes, f->n * width);
    if (c->n_scales + f->n_scales > c->scale_capacity) {
        c->scale_capacity = 2 * (c->n_scales + f->n_scales);
        float *more = realloc(c->scales, c->scale_capacity * sizeof *more);
        if (!more) return cli_fail_memory();
        c->scales = more;
    }
    for (size_t i = 0; i < f->n_scales; i++)
        c->scales[c->n_scales++] = f->scales[i];
    return CLI_OK;
}

static int json_finish(struct cli_codes_out *c, int64_t n_source, int64_t n_samples)
{
    (void)n_source;
    struct fmt_codes_json json = {
        .sample_rate = c->model->sample_rate,
        .n_samples = n_samples,
        .n_frames = c->n_frames,
        .codebooks = c->codebooks,
        .codes = c->codes,
        .segment_frames = c->model->segment / c->model->hop,
        .scales = c->scales,
        .n_scales = c->n_scales,
    };
    memcpy(json.model, c->model->name, sizeof json.model);
    struct fmt_json_text text;
    char block[4096];
    if (fmt_json_text_start(&text, &json, FMT_KT, c->model->code_min < 0) != 0)
        return cli_fail_memory();
    int exit_code = CLI_OK;
    for (size_t n; !exit_code && (n = fmt_json_text_next(&text, block, sizeof block)) > 0;)
        if (cli_output_write(c->out, block, n) < 0) exit_code = cli_output_fail(c->out);
    fmt_json_text_stop(&text);
    return exit_code;
}

static int rows_open(struct cli_codes_out *c, int source_rate)
{
    (void)source_rate;
    return cli_output_write(c->out, "[", 1) < 0 ? cli_output_fail(c->out) : CLI_OK;
}

static int rows_put(struct cli_codes_out *c, const struct cli_frames *f)
{
    const size_t K = (size_t)c->codebooks;
    char block[4096];
    for (size_t i = 0, fill = 0; i < f->n * K; i++) {
        const int code = c->model->code_min < 0 ? (int16_t)f->codes[i] : f->codes[i];
        const char *before = i % K ? "," : c->n_frames || i ? ",[" : "[";
        fill += (size_t)snprintf(block + fill, sizeof block - fill, "%s%d%s", before, code,
                                 (i + 1) % K ? "" : "]");
        if (fill < sizeof block - FMT_JSON_BLOCK && i + 1 < f->n * K) continue;
        if (cli_output_write(c->out, block, fill) < 0) return cli_output_fail(c->out);
        fill = 0;
    }
    return CLI_OK;
}

static int rows_finish(struct cli_codes_out *c, int64_t n_source, int64_t n_samples)
{
    (void)n_source, (void)n_samples;
    return cli_output_write(c->out, "]", 1) < 0 ? cli_output_fail(c->out) : CLI_OK;
}

const struct cli_codes_format cli_codes_rows = {"rows", ".rows", rows_open, rows_put, rows_finish};

static const struct cli_codes_format formats[] = {
    {"tess", ".tess", tess_open, tess_put, tess_finish},
    {"npy",  ".npy",  npy_open,  npy_put,  npy_finish },
    {"json", ".json", json_open, json_put, json_finish},
};

const struct cli_codes_format *cli_codes_format(const char *name, const char *path)
{
    const char *suffix = path ? strrchr(path, '.') : NULL;
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        if (name && strcmp(formats[i].name, name) == 0) return &formats[i];
        if (!name && suffix && strcmp(formats[i].suffix, suffix) == 0) return &formats[i];
    }
    return name ? NULL : &formats[0];
}

int cli_codes_out_open(struct cli_codes_out *c,
                       const struct cli_codes_format *format,
                       struct cli_output *out,
                       const struct tess_model_info *model,
                       int codebooks,
                       int source_rate)
{
    *c = (struct cli_codes_out){format, out, model, codebooks, .spool = -1};
    return format->open(c, source_rate);
}

int cli_codes_out_put(struct cli_codes_out *c, const struct cli_frames *frames)
{
    int exit_code = frames->n ? c->format->put(c, frames) : CLI_OK;
    c->n_frames += (int64_t)frames->n;
    return exit_code;
}

int cli_codes_out_finish(struct cli_codes_out *c, int64_t n_source, int64_t n_samples)
{
    return c->format->finish(c, n_source, n_samples);
}

void cli_codes_out_close(struct cli_codes_out *c)
{
    tess_writer_destroy(c->writer);
    if (c->format && c->spool >= 0) close(c->spool);
    free(c->codes);
    free(c->scales);
    *c = (struct cli_codes_out){0};
}
