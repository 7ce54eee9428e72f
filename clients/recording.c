/* Frames in, a .tess file out. The tags have a fixed width, so that the header can be written once
 * more, over the first one, when the end has told what belongs there. */
#include "recording.h"

#include "formats/tess.h"
#include "report.h"

#include <stdio.h>
#include <string.h>

/* Writes a header, and goes on with *writer. */
static int write_header(struct cli_recording *r,
                        struct tess_writer **writer,
                        size_t n_lost,
                        size_t n_skips,
                        struct tess_why *why)
{
    const struct tess_io io = {
        .ctx = &r->out,
        .write = cli_output_write,
        .seek = r->out.seekable ? cli_output_seek : NULL,
    };
    char lost[32], skips[32];
    snprintf(lost, sizeof lost, "%015zu", n_lost);
    snprintf(skips, sizeof skips, "%015zu", n_skips);
    const struct tess_tag tags[] = {
        {"lost-samples",     lost },
        {"device-overflows", skips}
    };
    struct tess_file_info info = fmt_tess_info(r->model, r->codebooks, r->rate);
    info.n_tags = r->out.seekable ? 2 : 0;
    info.tags = tags;
    return tess_writer_create(writer, &io, &info, NULL, why);
}

/* What is there keeps its name, without a trailer, and the recording is over. */
static int keep(struct cli_recording *r)
{
    const int error = r->out.error;
    tess_writer_destroy(r->writer);
    r->writer = NULL;
    if (!r->out.path) return cli_output_fail(&r->out);
    r->out.error = 0;
    if (cli_output_commit(&r->out) != CLI_OK) return CLI_IO;
    return cli_fail(CLI_IO, "%s: %s; kept as far as it got: cat %s | tessera decode - OUT reads it",
                    r->out.name, strerror(error), r->out.name);
}

static int fail(struct cli_recording *r, int error, const char *why)
{
    if (error == TESS_E_IO) return keep(r);
    return cli_fail(CLI_FAILED, "%s: %s", r->out.name, why);
}

int cli_recording_open(struct cli_recording *r,
                       const char *path,
                       bool force,
                       const struct tess_model_info *model,
                       int codebooks,
                       int rate)
{
    *r = (struct cli_recording){.model = model, .codebooks = codebooks, .rate = rate};
    struct tess_why why;
    int exit_code = cli_output_open(&r->out, path, force, NULL);
    if (exit_code) return exit_code;
    int error = write_header(r, &r->writer, 0, 0, &why);
    if (!error) return CLI_OK;
    return r->out.error ? cli_output_fail(&r->out) : fail(r, error, why.text);
}

int cli_recording_put(struct cli_recording *r, const uint16_t *codes, size_t n_frames)
{
    int error = tess_writer_put(r->writer, codes, n_frames);
    if (error) return fail(r, error, tess_strerror(error));
    r->n_frames += (int64_t)n_frames;
    return CLI_OK;
}

int cli_recording_finish(struct cli_recording *r, int64_t n_source, size_t n_lost, size_t n_skips)
{
    const int64_t covered = r->n_frames * r->model->hop * r->rate / r->model->sample_rate;
    struct tess_why why;
    struct tess_writer *again = NULL;
    int error = tess_writer_finish(r->writer, n_source < covered ? n_source : covered, &why);
    if (!error && r->out.seekable && n_lost + n_skips > 0) {
        error = cli_output_seek(&r->out, 0) ? TESS_E_IO
                                            : write_header(r, &again, n_lost, n_skips, &why);
        tess_writer_destroy(again); /* of a file without frames, which it never becomes */
    }
    if (error) return fail(r, error, why.text);
    return cli_output_commit(&r->out);
}

void cli_recording_close(struct cli_recording *r)
{
    tess_writer_destroy(r->writer);
    r->writer = NULL;
    cli_output_close(&r->out);
}
