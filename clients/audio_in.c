/* Bytes in, finite float samples out, at the sound's own rate and channels. Of the sound only one
 * block is held, however long it is. */
#include "audio_in.h"

#include "report.h"
#include "wav.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER; /* libsndfile has one error for all */

enum { BLOCK_BYTES = 65536 }; /* what a pipe holds */

static int fail_inside(const struct cli_audio_in *a)
{
    return cli_fail(CLI_FAILED, "%s: ends inside a sample", a->in->name);
}

static int open_bytes(struct cli_audio_in *a)
{
    size_t width = fmt_pcm_bytes(&a->pcm);
    a->n_block = width < BLOCK_BYTES ? BLOCK_BYTES / width : 1;
    a->bytes = malloc(a->n_block * width);
    return a->bytes ? CLI_OK : cli_fail_memory();
}

static int open_file(struct cli_audio_in *a)
{
    SF_INFO info = {0};
    int exit_code = CLI_OK;
    pthread_mutex_lock(&opening);
    /* A twin: libsndfile closes what it cannot read, whatever it is told. */
    a->file = sf_open_fd(dup(a->in->fd), SFM_READ, &info, SF_TRUE);
    if (!a->file)
        exit_code =
            cli_fail(CLI_FAILED, "%s: not a sound file: %s", a->in->name, sf_strerror(NULL));
    pthread_mutex_unlock(&opening);
    if (exit_code) return exit_code;
    a->pcm = (struct fmt_pcm){.rate = info.samplerate, .channels = info.channels};
    a->n_samples = info.frames >= 0 && info.frames < SF_COUNT_MAX ? info.frames : -1;
    return CLI_OK;
}

/* A WAV file's head may announce more than the file has, of which libsndfile says nothing. */
static int open_sound(struct cli_audio_in *a)
{
    struct fmt_wav wav;
    const int64_t announced = cli_wav_peek(a->in, &wav) ? fmt_wav_samples(&wav) : -1;
    if (cli_input_seek(a->in, 0) < 0) return cli_input_fail(a->in);
    int exit_code = open_file(a);
    if (announced > a->n_samples) a->n_samples = announced;
    return exit_code;
}

/* A WAV that comes through a pipe is read as it comes. */
static int open_stream(struct cli_audio_in *a, const struct fmt_wav *wav)
{
    a->in->at = (size_t)wav->start;
    a->pcm = wav->pcm;
    a->bytes_left = wav->n_bytes;
    a->n_samples = fmt_wav_samples(wav);
    return open_bytes(a);
}

int cli_audio_in_open(struct cli_audio_in *a, struct cli_input *in, const struct fmt_pcm *raw)
{
    *a = (struct cli_audio_in){
        .in = in, .n_samples = -1, .end = INT64_MAX, .bytes_left = UINT64_MAX};
    if (raw) {
        a->pcm = *raw;
        off_t n = in->seekable ? lseek(in->fd, 0, SEEK_END) : -1;
        if (in->seekable && cli_input_seek(in, 0) < 0) return cli_input_fail(in);
        const int64_t width = (int64_t)fmt_pcm_bytes(raw);
        if (n > 0 && n % width) return fail_inside(a);
        if (n >= 0) a->n_samples = n / width;
        return open_bytes(a);
    }
    struct fmt_wav wav;
    if (!in->seekable && cli_wav_peek(in, &wav)) return open_stream(a, &wav);
    int exit_code = in->seekable ? CLI_OK : cli_input_spool(in);
    return exit_code ? exit_code : open_sound(a);
}

int cli_audio_in_part(struct cli_audio_in *a, int64_t first, int64_t n)
{
    const int64_t all = a->n_samples < 0 ? INT64_MAX : a->n_samples;
    if (first > all || sf_seek(a->file, first, SEEK_SET) != first)
        return cli_fail(CLI_FAILED, "%s: has %lld samples, none at %lld", a->in->name,
                        (long long)all, (long long)first);
    a->first = first;
    a->end = n;
    if (a->n_samples >= 0) a->n_samples = all - first < n ? all - first : n;
    return CLI_OK;
}

void cli_audio_in_close(struct cli_audio_in *a)
{
    if (a->file) sf_close(a->file);
    free(a->bytes);
    *a = (struct cli_audio_in){0};
}

/* Other chunks may follow a WAV stream's sound: its writer shall not see a closed pipe. */
static void drain(struct cli_input *in)
{
    uint8_t rest[4096];
    while (cli_input_read(in, rest, sizeof rest) > 0)
        continue;
}

static int64_t read_bytes(struct cli_audio_in *a, float *pcm, size_t capacity)
{
    size_t width = fmt_pcm_bytes(&a->pcm);
    size_t want = (capacity < a->n_block ? capacity : a->n_block) * width;
    while (a->n_fill < width) {
        size_t n = want - a->n_fill;
        if (n > a->bytes_left) n = (size_t)a->bytes_left;
        ptrdiff_t got = n ? cli_input_read(a->in, a->bytes + a->n_fill, n) : 0;
        if (got < 0) return -cli_input_fail(a->in);
        if (n == 0 && !a->in->seekable) drain(a->in);
        if (got == 0 && a->n_fill > 0 && a->n_samples < 0) return -fail_inside(a);
        if (got == 0) return 0;
        a->n_fill += (size_t)got;
        if (a->bytes_left != UINT64_MAX) a->bytes_left -= (uint64_t)got;
    }
    size_t n = a->n_fill / width;
    fmt_pcm_to_float(&a->pcm, a->bytes, n * (size_t)a->pcm.channels, pcm);
    a->n_fill -= n * width;
    memmove(a->bytes, a->bytes + n * width, a->n_fill);
    return (int64_t)n;
}

static int64_t read_file(struct cli_audio_in *a, float *pcm, size_t capacity)
{
    sf_count_t n = sf_readf_float(a->file, pcm, (sf_count_t)capacity);
    if (n <= 0 && sf_error(a->file))
        return -cli_fail(CLI_FAILED, "%s: %s", a->in->name, sf_strerror(a->file));
    return n;
}

int64_t cli_audio_in_read(struct cli_audio_in *a, float *pcm, size_t capacity)
{
    if ((int64_t)capacity > a->end - a->at) capacity = (size_t)(a->end - a->at);
    int64_t n = a->file ? read_file(a, pcm, capacity) : read_bytes(a, pcm, capacity);
    for (int64_t i = 0; i < n * a->pcm.channels; i++) {
        if (isfinite(pcm[i])) continue;
        return -cli_fail(CLI_FAILED, "%s: sample %lld, channel %d is %s", a->in->name,
                         (long long)(a->first + a->at + i / a->pcm.channels),
                         (int)(i % a->pcm.channels), isnan(pcm[i]) ? "NaN" : "infinite");
    }
    if (n > 0) a->at += n;
    return n;
}
