/* Samples in, bytes out. Rounding to integers is ours (pcm.c) for files and pipes alike; libsndfile
 * writes the heads of files, through the output that notices a full disk. */
#include "audio_out.h"

#include "report.h"
#include "wav.h"

#include <stdlib.h>
#include <string.h>

static sf_count_t file_length(void *ctx)
{
    struct cli_audio_out *a = ctx;
    return (sf_count_t)a->n_file;
}

static sf_count_t file_seek(sf_count_t offset, int whence, void *ctx)
{
    struct cli_audio_out *a = ctx;
    if (whence == SEEK_CUR) offset += (sf_count_t)a->at;
    if (whence == SEEK_END) offset += (sf_count_t)a->n_file;
    if (offset < 0 || cli_output_seek(a->out, (uint64_t)offset) < 0) return -1;
    a->at = (uint64_t)offset;
    return offset;
}

static sf_count_t file_write(const void *bytes, sf_count_t n, void *ctx)
{
    struct cli_audio_out *a = ctx;
    if (cli_output_write(a->out, bytes, (size_t)n) < 0) return 0;
    a->at += (uint64_t)n;
    if (a->at > a->n_file) a->n_file = a->at;
    return n;
}

static sf_count_t file_tell(void *ctx)
{
    struct cli_audio_out *a = ctx;
    return (sf_count_t)a->at;
}

static int open_file(struct cli_audio_out *a, int64_t n_samples)
{
    SF_VIRTUAL_IO io = {file_length, file_seek, NULL, file_write, file_tell};
    /* RF64 is WAV with 64-bit sizes. It is asked for only where those may be needed, and comes
     * out as plain WAV when they were not. */
    uint64_t n_bytes = (uint64_t)n_samples * cli_pcm_bytes(&a->pcm);
    bool small = n_samples >= 0 && n_bytes < UINT32_MAX - 4096;
    SF_INFO info = {
        .samplerate = a->pcm.rate,
        .channels = a->pcm.channels,
        .format = (small ? SF_FORMAT_WAV : SF_FORMAT_RF64) |
                  (a->pcm.is_float ? SF_FORMAT_FLOAT : SF_FORMAT_PCM_16),
    };
    a->file = sf_open_virtual(&io, SFM_WRITE, &info, a);
    if (!a->file && a->out->error) return cli_output_fail(a->out);
    if (!a->file) return cli_fail(CLI_FAILED, "%s: %s", a->out->name, sf_strerror(NULL));
    if (!small) sf_command(a->file, SFC_RF64_AUTO_DOWNGRADE, NULL, SF_TRUE);
    sf_command(a->file, SFC_SET_ADD_PEAK_CHUNK, NULL, SF_FALSE); /* it would hold the time of day */
    return CLI_OK;
}

int cli_audio_out_open(struct cli_audio_out *a,
                       struct cli_output *out,
                       const struct cli_pcm *pcm,
                       bool raw,
                       int64_t n_samples)
{
    *a = (struct cli_audio_out){.out = out, .pcm = *pcm, .n_block = 4096};
    a->bytes = malloc(a->n_block * cli_pcm_bytes(pcm));
    if (!a->bytes) return cli_fail_memory();
    if (raw) return CLI_OK;
    if (out->seekable) return open_file(a, n_samples);
    uint8_t head[58];
    size_t n = cli_wav_head(head, pcm, n_samples);
    return cli_output_write(out, head, n) < 0 ? cli_output_fail(out) : CLI_OK;
}

int cli_audio_out_write(struct cli_audio_out *a, const float *samples, size_t n)
{
    for (size_t done = 0; done < n;) {
        size_t some = n - done < a->n_block ? n - done : a->n_block;
        size_t n_bytes = some * cli_pcm_bytes(&a->pcm);
        cli_pcm_from_float(&a->pcm, samples + done * (size_t)a->pcm.channels,
                           some * (size_t)a->pcm.channels, a->bytes);
        bool written =
            a->file ? sf_write_raw(a->file, a->bytes, (sf_count_t)n_bytes) == (sf_count_t)n_bytes
                    : cli_output_write(a->out, a->bytes, n_bytes) == 0;
        if (!written) return cli_output_fail(a->out);
        done += some;
    }
    return CLI_OK;
}

int cli_audio_out_finish(struct cli_audio_out *a)
{
    if (!a->file) return CLI_OK;
    int error = sf_close(a->file);
    a->file = NULL;
    return error || a->out->error ? cli_output_fail(a->out) : CLI_OK;
}

void cli_audio_out_close(struct cli_audio_out *a)
{
    if (a->file) sf_close(a->file);
    free(a->bytes);
    *a = (struct cli_audio_out){0};
}
