/* Any bytes as the start of a pipe: a WAV head that is found makes sense and ends within them, and nothing
 * is taken. */
#include "clients/wav.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static const uint8_t *pipe_bytes;
static size_t n_pipe;

/* That of clients/input.c, of memory in place of a descriptor. */
size_t cli_input_peek(struct cli_input *in, size_t n, const uint8_t **bytes)
{
    if (n > sizeof in->head) abort();
    if (n > n_pipe) n = n_pipe;
    if (in->n_head < n) memcpy(in->head, pipe_bytes, in->n_head = n);
    *bytes = in->head;
    return n;
}

static void check(bool holds)
{
    if (!holds) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    struct cli_input *in = calloc(1, sizeof *in); /* of its own, so that a sanitizer sees its end */
    struct fmt_wav wav = {0};
    if (!in) return 0;
    pipe_bytes = bytes;
    n_pipe = n_bytes;
    if (cli_wav_peek(in, &wav)) {
        const struct fmt_pcm *pcm = &wav.pcm;
        check(wav.start >= 44 && wav.start <= in->n_head &&
              memcmp(in->head + wav.start - 8, "data", 4) == 0);
        check(pcm->rate >= 1 && pcm->channels >= 1 && pcm->channels <= UINT16_MAX);
        check(pcm->bits % 8 == 0 && pcm->bits >= 8 && pcm->bits <= 32 &&
              (!pcm->is_float || pcm->bits == 32));
        check(wav.n_bytes > 0);
    }
    check(in->at == 0);
    free(in);
    return 0;
}
