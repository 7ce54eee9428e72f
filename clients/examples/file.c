/* A file to codes and back: 16-bit mono PCM at the model's rate -> .tess -> the same sound from its codes.
 *
 *     cc file.c -o file $(pkg-config --cflags --libs tessera) -lm
 *     ./file tessera-24k-speech-int8.safetensors in.pcm codes.tess out.pcm
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tessera/tessera.h>

enum { BLOCK = 24000 }; /* samples at a time */

static struct tess_model *model;
static struct tess_worker *worker;
static struct tess_model_info info = {.size = sizeof info};
static struct tess_why why = {"out of memory, or not a file that can be read or written"};

static int put(void *file, const void *bytes, size_t n)
{
    return fwrite(bytes, 1, n, file) == n ? 0 : -1;
}

static ptrdiff_t get(void *file, void *bytes, size_t n)
{
    return ferror(file) ? -1 : (ptrdiff_t)fread(bytes, 1, n, file);
}

/* Samples from `in`, a file of their codes to `out`. */
static int encode(FILE *in, FILE *out)
{
    static short samples[BLOCK];
    static float pcm[BLOCK];
    const size_t room = (size_t)tess_encoder_bound(model, BLOCK);
    const int k = info.codebooks_default;
    uint16_t *codes = malloc(sizeof *codes * room * (size_t)k);
    struct tess_encoder *encoder;
    struct tess_writer *writer;
    const struct tess_io io = {.ctx = out, .write = put};
    struct tess_file_info head = {.size = sizeof head,
                                  .sample_rate = info.sample_rate,
                                  .hop = info.hop,
                                  .codebooks = k,
                                  .entries = info.entries,
                                  .code_min = info.code_min,
                                  .channels = info.channels,
                                  .source_rate = info.sample_rate,
                                  .n_source = -1};
    memcpy(head.model, info.name, sizeof head.model);
    memcpy(head.fingerprint, info.sha256, sizeof head.fingerprint);
    if (!codes || tess_encoder_create(&encoder, model, NULL) < 0) return -1;
    if (tess_writer_create(&writer, &io, &head, NULL, &why) < 0) return -1;

    int64_t n_samples = 0, frames;
    size_t n;
    while ((n = fread(samples, sizeof *samples, BLOCK, in)) > 0) {
        for (size_t i = 0; i < n; i++)
            pcm[i] = (float)samples[i] / 32768.0f;
        frames = tess_encoder_push(worker, encoder, pcm, n, codes, room);
        if (frames < 0 || tess_writer_put(writer, codes, (size_t)frames) < 0) return -1;
        n_samples += (int64_t)n;
    }
    frames = tess_encoder_flush(worker, encoder, codes, room);
    if (frames < 0 || tess_writer_put(writer, codes, (size_t)frames) < 0) return -1;
    int error = tess_writer_finish(writer, n_samples, &why);
    tess_writer_destroy(writer);
    tess_encoder_destroy(encoder, model);
    free(codes);
    return error;
}

static int write_samples(FILE *out, const float *pcm, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const float s = fminf(fmaxf(pcm[i] * 32768.0f, -32768.0f), 32767.0f);
        const short sample = (short)lrintf(s);
        if (put(out, &sample, sizeof sample) < 0) return -1;
    }
    return 0;
}

/* A file of codes from `in`, their samples to `out`: exactly as many as were encoded. */
static int decode(FILE *in, FILE *out)
{
    const struct tess_io io = {.ctx = in, .read = get};
    struct tess_reader *reader;
    struct tess_decoder *decoder;
    if (tess_reader_create(&reader, &io, NULL, &why) < 0) return -1;
    const struct tess_stream_options options = {.size = sizeof options,
                                                .codebooks = tess_reader_info(reader)->codebooks};
    const size_t frames_at_once = 256, room = (size_t)tess_decoder_bound(model, frames_at_once);
    uint16_t *codes = malloc(sizeof *codes * frames_at_once * (size_t)options.codebooks);
    float *pcm = malloc(sizeof *pcm * room);
    if (!codes || !pcm || tess_decoder_create(&decoder, model, &options) < 0) return -1;

    int64_t written = 0, n, frames;
    while ((frames = tess_reader_next(reader, codes, frames_at_once, &why)) > 0) {
        n = tess_decoder_push(worker, decoder, codes, (size_t)frames, pcm, room);
        if (n < 0 || write_samples(out, pcm, n) < 0) return -1;
        written += n;
    }
    if (frames < 0) return -1;
    n = tess_decoder_flush(worker, decoder, pcm, room);
    if (n > tess_reader_samples(reader) - written) n = tess_reader_samples(reader) - written;
    if (n < 0 || write_samples(out, pcm, n) < 0) return -1;
    tess_decoder_destroy(decoder, model);
    tess_reader_destroy(reader);
    free(codes);
    free(pcm);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 5) return fprintf(stderr, "usage: file MODEL IN.pcm CODES.tess OUT.pcm\n"), 2;
    FILE *in = fopen(argv[2], "rb"), *codes = fopen(argv[3], "w+b"), *out = fopen(argv[4], "wb");
    int error = !in || !codes || !out || tess_model_open(&model, argv[1], NULL, &why) < 0 ||
                tess_worker_create(&worker, model, NULL) < 0;
    if (!error) error = tess_model_get_info(model, &info) < 0 || encode(in, codes) < 0;
    if (!error) rewind(codes);
    if (!error) error = decode(codes, out) < 0 || fclose(out) != 0;
    if (error) fprintf(stderr, "file: %s\n", why.text);
    tess_worker_destroy(worker);
    tess_model_close(model);
    return error;
}
