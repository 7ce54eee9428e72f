/* Where a model's time goes: microseconds a frame of each kind of layer and what its matrix products
 * reach, in pushes of a whole batch and hop by hop, on one thread. Lower quartiles over pushes, so that
 * those which other programs cut into do not count. For models that stream.
 * Usage: bench_layers MODEL [KERNEL] */
#include "src/worker.h"
#include "tests/codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { SECONDS = 20, ROUNDS = 4, MAX_KINDS = 64 };

/* Layers that do the same at the same widths; the last kind is what a push does beside layers. */
struct kind {
    const char *name;
    int in, out;
    double operations; /* of a push: products and sums of its matrix products */
    double now;        /* seconds of this push so far */
    double *seconds;   /* [n_pushes] */
};

struct profile {
    double last; /* when the layer before had ended, or the push began */
    int n_kinds;
    size_t n_pushes, room;
    struct kind kind[MAX_KINDS];
};

struct bench {
    struct codec codec;
    float *pcm, *out;
    uint16_t *codes;
    size_t n_frames;
    struct tess_encoder *encoder;
    struct tess_decoder *decoder;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static struct kind *kind_of(struct profile *p, const char *name, int in, int out)
{
    for (int i = 0; i < p->n_kinds; i++)
        if (p->kind[i].name == name && p->kind[i].in == in && p->kind[i].out == out)
            return &p->kind[i];
    if (p->n_kinds == MAX_KINDS) abort();
    struct kind *kind = &p->kind[p->n_kinds++];
    *kind = (struct kind){
        .name = name, .in = in, .out = out, .seconds = zeros(p->room, sizeof(double))};
    return kind;
}

static void after_layer(void *ctx, const struct tess_layer *layer, const struct tess_batch *batch)
{
    struct profile *p = ctx;
    const double at = now();
    const char *name = tess_operators[layer->row.op]->name;
    struct kind *kind = kind_of(p, name, layer->in_channels, layer->channels);
    kind->now += at - p->last;
    if (p->n_pushes == 0) {
        const int in = batch->start[layer->source][batch->n_streams];
        const int out = batch->start[layer->target][batch->n_streams];
        kind->operations += 2.0 * layer->matrix.n * layer->matrix.k * (in < out ? in : out);
    }
    p->last = now(); /* what this function takes counts for nobody */
}

static int64_t push(struct bench *b, int decodes, size_t t, size_t n)
{
    const size_t hop = (size_t)b->codec.info.hop, k = (size_t)b->codec.info.codebooks_default;
    if (decodes)
        return tess_decoder_push(b->codec.worker, b->decoder, b->codes + t * k, n, b->out, n * hop);
    return tess_encoder_push(b->codec.worker, b->encoder, b->pcm + t * hop, n * hop,
                             b->codes + t * k, n);
}

static void end_push(struct profile *p)
{
    static const char rest[] = "(rest)";
    kind_of(p, rest, 0, 0)->now += now() - p->last;
    for (int i = 0; i < p->n_kinds; i++) {
        p->kind[i].seconds[p->n_pushes] = p->kind[i].now;
        p->kind[i].now = 0.0;
    }
    p->n_pushes++;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print(struct profile *p, const char *what, size_t step)
{
    double sum = 0.0;
    for (int i = 0; i < p->n_kinds; i++) {
        struct kind *k = &p->kind[i];
        qsort(k->seconds, p->n_pushes, sizeof *k->seconds, by_value);
        sum += k->now = k->seconds[p->n_pushes / 4];
    }
    printf("%s, frames a push %zu: %.2f us a frame\n", what, step, 1e6 * sum / (double)step);
    for (int i = 0; i < p->n_kinds; i++) {
        struct kind *k = &p->kind[i];
        printf("  %-11s %4d -> %-4d %7.2f us %5.1f %%", k->name, k->in, k->out,
               1e6 * k->now / (double)step, 100.0 * k->now / sum);
        if (k->operations > 0.0) printf(" %6.0f Gop/s", 1e-9 * k->operations / k->now);
        printf("\n");
        free(k->seconds);
    }
}

static void measure(struct bench *b, int decodes, size_t step)
{
    struct tess_graph *graph = decodes ? &b->codec.model->decoder : &b->codec.model->encoder;
    struct profile p = {.room = ROUNDS * (b->n_frames / step)};
    graph->watch = after_layer;
    graph->watch_ctx = &p;
    for (int round = 0; round < ROUNDS; round++)
        for (size_t t = 0; t + step <= b->n_frames; t += step) {
            p.last = now();
            if (push(b, decodes, t, step) < 0) abort();
            end_push(&p);
        }
    graph->watch = NULL;
    print(&p, decodes ? "decode" : "encode", step);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: bench_layers MODEL [KERNEL]\n");
        return 2;
    }
    struct bench b = {.codec = codec_open_model(argv[1], argv[2], 1, 1)};
    const struct tess_model_info *info = &b.codec.info;
    size_t n = (size_t)SECONDS * (size_t)info->sample_rate;
    b.pcm = read_speech(&n);
    b.n_frames = n / (size_t)info->hop;
    b.codes = zeros(b.n_frames * (size_t)info->codebooks_default, sizeof *b.codes);
    b.out = zeros(TESS_BATCH_FRAMES * (size_t)info->hop, sizeof *b.out);
    b.encoder = codec_encoder(&b.codec, 0);
    b.decoder = codec_decoder(&b.codec, 0);
    for (int decodes = 0; decodes < 2; decodes++) {
        measure(&b, decodes, TESS_BATCH_FRAMES);
        measure(&b, decodes, 1);
    }
    tess_encoder_destroy(b.encoder, b.codec.model);
    tess_decoder_destroy(b.decoder, b.codec.model);
    free(b.pcm);
    free(b.codes);
    free(b.out);
    codec_close(&b.codec);
    return 0;
}
