/* Samples in, bytes out: a head, then a block of rounded samples after the other. A file's head is
 * written again once the length is known. */
#include "audio_out.h"

#include "formats/wav.h"
#include "report.h"

#include <stdlib.h>

static int write_head(struct cli_audio_out *a, int64_t n_samples)
{
    uint8_t head[FMT_WAV_HEAD];
    size_t n = fmt_wav_head(head, &a->pcm, n_samples, a->has_wide_head);
    return cli_output_write(a->out, head, n) < 0 ? cli_output_fail(a->out) : CLI_OK;
}

int cli_audio_out_open(struct cli_audio_out *a,
                       struct cli_output *out,
                       const struct fmt_pcm *pcm,
                       bool raw,
                       int64_t n_samples)
{
    *a = (struct cli_audio_out){.out = out, .pcm = *pcm, .has_head = !raw, .n_block = 4096};
    bool may_be_long =
        n_samples < 0 || (uint64_t)n_samples >= (UINT32_MAX - FMT_WAV_HEAD) / fmt_pcm_bytes(pcm);
    a->has_wide_head = out->seekable && may_be_long;
    a->bytes = malloc(a->n_block * fmt_pcm_bytes(pcm));
    if (!a->bytes) return cli_fail_memory();
    return raw ? CLI_OK : write_head(a, n_samples);
}

int cli_audio_out_write(struct cli_audio_out *a, const float *samples, size_t n)
{
    while (n > 0) {
        size_t some = n < a->n_block ? n : a->n_block, n_values = some * (size_t)a->pcm.channels;
        fmt_pcm_from_float(&a->pcm, samples, n_values, a->bytes);
        if (cli_output_write(a->out, a->bytes, some * fmt_pcm_bytes(&a->pcm)) < 0)
            return cli_output_fail(a->out);
        a->n_samples += (int64_t)some;
        samples += n_values;
        n -= some;
    }
    return CLI_OK;
}

int cli_audio_out_finish(struct cli_audio_out *a)
{
    if (!a->has_head || !a->out->seekable) return CLI_OK;
    if (cli_output_seek(a->out, 0) < 0) return cli_output_fail(a->out);
    return write_head(a, a->n_samples);
}

void cli_audio_out_close(struct cli_audio_out *a)
{
    free(a->bytes);
    *a = (struct cli_audio_out){0};
}
