/* bytes -> samples -> the model's channels and rate, a block at a time. */
#include "sound.h"

#include "report.h"

#include <stdlib.h>

enum { BLOCK = 65536 }; /* values of all channels: enough frames at once for the full speed */

int cli_sound_open(struct cli_sound *s,
                   const char *path,
                   const struct fmt_pcm *raw,
                   const struct tess_model_info *info,
                   bool tells)
{
    *s = (struct cli_sound){.in.fd = -1};
    int exit_code = cli_input_open(&s->in, path);
    if (!exit_code) exit_code = cli_audio_in_open(&s->audio, &s->in, raw);
    if (exit_code) return exit_code;

    const struct fmt_pcm *pcm = &s->audio.pcm;
    s->n_block = pcm->channels < BLOCK / 256 ? (size_t)(BLOCK / pcm->channels) : 256;
    s->pcm = malloc(sizeof(float) * s->n_block * (size_t)pcm->channels);
    if (!s->pcm) return cli_fail_memory();
    if (tells && pcm->channels > info->channels)
        cli_say("mixing %d channels down to %d", pcm->channels, info->channels);
    if (tells && pcm->rate != info->sample_rate)
        cli_say("resampling %d Hz to %d Hz", pcm->rate, info->sample_rate);
    return cli_convert_open(&s->convert, s->in.name, pcm->rate, pcm->channels, info->sample_rate,
                            info->channels, s->n_block);
}

int64_t cli_sound_next(struct cli_sound *s, const float **pcm)
{
    int64_t n = 0;
    do { /* the end takes as many turns as the resampler has blocks left */
        const int64_t n_read = s->ended ? 0 : cli_audio_in_read(&s->audio, s->pcm, s->n_block);
        if (n_read < 0) return n_read;
        s->ended = n_read == 0;
        n = cli_convert_push(&s->convert, s->pcm, (size_t)n_read, pcm);
        if (n < 0) return -cli_fail(CLI_FAILED, "%s: %s", s->in.name, tess_strerror((int)n));
    } while (n == 0 && !s->ended);
    return n;
}

void cli_sound_close(struct cli_sound *s)
{
    cli_convert_close(&s->convert);
    cli_audio_in_close(&s->audio);
    cli_input_close(&s->in);
    free(s->pcm);
    s->pcm = NULL;
}
