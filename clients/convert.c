/* Samples of one shape in, of another out: channels first, where there may be many, then rate. */
#include "convert.h"

#include "report.h"

#include <stdlib.h>
#include <string.h>

int cli_convert_open(struct cli_convert *c,
                     const char *name,
                     int rate_in,
                     int channels_in,
                     int rate_out,
                     int channels_out,
                     size_t n_block)
{
    *c = (struct cli_convert){channels_in, channels_out, .n_block = n_block};
    if (channels_in != channels_out && channels_in != 1 && channels_out != 1)
        return cli_fail(CLI_FAILED, "%s: has %d channels where the model has %d", name, channels_in,
                        channels_out);
    int error = tess_resampler_create(&c->resampler, rate_in, rate_out, channels_out, NULL);
    if (error)
        return cli_fail(CLI_FAILED, "%s: resampling %d Hz to %d Hz: %s", name, rate_in, rate_out,
                        error == TESS_E_ARGUMENT ? "one is over 4096 times the other"
                                                 : tess_strerror(error));
    c->capacity = tess_resampler_bound(c->resampler, n_block);
    c->mixed = malloc(sizeof(float) * n_block * (size_t)channels_out);
    c->out = malloc(sizeof(float) * c->capacity * (size_t)channels_out);
    return c->mixed && c->out ? CLI_OK : cli_fail_memory();
}

void cli_convert_close(struct cli_convert *c)
{
    tess_resampler_destroy(c->resampler);
    free(c->mixed);
    free(c->out);
    *c = (struct cli_convert){0};
}

static void mix(const struct cli_convert *c, const float *in, size_t n)
{
    int n_in = c->channels_in, n_out = c->channels_out;
    for (size_t t = 0; t < n; t++, in += n_in) {
        double sum = 0;
        for (int i = 0; i < n_in; i++)
            sum += (double)in[i];
        for (int i = 0; i < n_out; i++)
            c->mixed[t * (size_t)n_out + (size_t)i] = (float)(sum / n_in);
    }
}

int64_t cli_convert_push(struct cli_convert *c, const float *in, size_t n, const float **out)
{
    *out = c->out;
    if (n == 0) return tess_resampler_flush(c->resampler, c->out, c->capacity);
    if (c->channels_in != c->channels_out) {
        mix(c, in, n);
        in = c->mixed;
    }
    return tess_resampler_push(c->resampler, in, n, c->out, c->capacity);
}
