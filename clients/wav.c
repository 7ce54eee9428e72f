/* The head of a WAV at the start of any input, which stays as it was: libsndfile cannot look at a pipe's,
 * and waits there for whole blocks. */
#include "wav.h"

bool cli_wav_peek(struct cli_input *in, struct fmt_wav *wav)
{
    const uint8_t *head;
    int64_t want = fmt_wav_read_head(wav, NULL, 0);
    size_t have = 0;
    while (want > (int64_t)have && want <= CLI_PEEK) {
        have = cli_input_peek(in, (size_t)want, &head);
        if (have < (size_t)want) return false; /* the input ends */
        want = fmt_wav_read_head(wav, head, have);
    }
    return want == 0;
}
