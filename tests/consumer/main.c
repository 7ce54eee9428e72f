/* A stranger's program: one second of a sine to codes and back, with nothing but the installed
 * header and library. Usage: consumer MODEL */
#include <math.h>
#include <stdio.h>
#include <tessera/tessera.h>

#define RATE   24000
#define HOP    320
#define FRAMES (RATE / HOP)

int main(int argc, char **argv)
{
    static float pcm[RATE], back[RATE];
    static uint16_t codes[FRAMES * 4];
    struct tess_model *model;
    struct tess_worker *worker;
    struct tess_encoder *encoder;
    struct tess_decoder *decoder;
    struct tess_model_info info = {.size = sizeof info};
    struct tess_worker_options work = {.size = sizeof work};
    struct tess_stream_options options = {.size = sizeof options, .codebooks = 4};
    struct tess_why why;

    if (argc != 2 || tess_abi() != TESS_ABI) return 2;
    if (tess_model_open(&model, argv[1], NULL, &why) < 0) return puts(why.text), 1;
    if (tess_model_get_info(model, &info) < 0 || info.sample_rate != RATE || info.hop != HOP)
        return 1;
    if (tess_worker_create(&worker, model, &work) < 0) return 1;
    if (tess_encoder_create(&encoder, model, &options) < 0) return 1;
    if (tess_decoder_create(&decoder, model, &options) < 0) return 1;

    for (int i = 0; i < RATE; i++)
        pcm[i] = 0.3f * sinf(0.06f * (float)i);
    int64_t frames = tess_encoder_push(worker, encoder, pcm, RATE, codes, FRAMES);
    int64_t ended = tess_encoder_flush(worker, encoder, codes, FRAMES);
    int64_t samples = tess_decoder_push(worker, decoder, codes, FRAMES, back, RATE);
    if (samples < 0) return 1;
    int64_t tail = tess_decoder_flush(worker, decoder, back + samples, (size_t)(RATE - samples));

    tess_encoder_destroy(encoder, model);
    tess_decoder_destroy(decoder, model);
    tess_worker_destroy(worker);
    tess_model_close(model);
    printf("tessera %s: %d frames, %d samples\n", tess_version(), (int)frames,
           (int)(samples + tail));
    return !(frames == FRAMES && ended == 0 && samples + tail == RATE);
}
