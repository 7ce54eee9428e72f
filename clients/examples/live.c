/* Speech through tokens, live: 16-bit mono PCM at the model's rate on standard input, the same sound
 * from its tokens on standard output, a hop at a time.
 *
 *     cc live.c -o live $(pkg-config --cflags --libs tessera)
 *     arecord -q -t raw -f S16_LE -r 24000 | ./live tessera-24k-speech.safetensors |
 *         aplay -q -t raw -f S16_LE -r 24000
 */
#include <math.h>
#include <stdio.h>
#include <tessera/tessera.h>

enum { HOP = 320, TAIL = 1024, CODEBOOKS = 4 };

static int fail(const char *why)
{
    fprintf(stderr, "live: %s\n", why);
    return 1;
}

static void play(const float *pcm, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const float s = fminf(fmaxf(pcm[i] * 32768.0f, -32768.0f), 32767.0f);
        const short sample = (short)lrintf(s);
        fwrite(&sample, sizeof sample, 1, stdout);
    }
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct tess_model *model;
    struct tess_worker *worker;
    struct tess_encoder *encoder;
    struct tess_decoder *decoder;
    struct tess_model_info info = {.size = sizeof info};
    struct tess_why why;
    short in[HOP];
    float pcm[HOP], out[HOP + TAIL];
    uint16_t codes[2][CODEBOOKS];

    if (argc != 2) return fail("usage: live MODEL <PCM >PCM");
    if (tess_model_open(&model, argv[1], NULL, &why) < 0) return fail(why.text);
    tess_model_get_info(model, &info);
    if (info.hop != HOP || info.codebooks != CODEBOOKS || info.channels != 1)
        return fail("written for models like tessera-24k-speech");
    if (tess_worker_create(&worker, model, NULL) < 0 ||
        tess_encoder_create(&encoder, model, NULL) < 0 ||
        tess_decoder_create(&decoder, model, NULL) < 0)
        return fail("out of memory");

    size_t n;
    while ((n = fread(in, sizeof *in, HOP, stdin)) > 0) {
        for (size_t i = 0; i < n; i++)
            pcm[i] = (float)in[i] / 32768.0f;
        const int64_t frames = tess_encoder_push(worker, encoder, pcm, n, codes[0], 2);
        /* Here a frame's 4 codes could be stored, sent or given to a language model. */
        play(out, tess_decoder_push(worker, decoder, codes[0], (size_t)frames, out, HOP + TAIL));
    }
    const int64_t frames = tess_encoder_flush(worker, encoder, codes[0], 2);
    play(out, tess_decoder_push(worker, decoder, codes[0], (size_t)frames, out, HOP + TAIL));
    play(out, tess_decoder_flush(worker, decoder, out, HOP + TAIL));

    tess_decoder_destroy(decoder, model);
    tess_encoder_destroy(encoder, model);
    tess_worker_destroy(worker);
    tess_model_close(model);
    return 0;
}
