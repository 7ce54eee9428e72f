/* `tessera bench`: how fast this machine encodes and decodes, whole files and one hop at a time,
 * beside what its core can do at most, measured in between. That fraction is of the time which
 * cores worked for us, so it stays where neighbours or heat make the times longer. */
#include "audio_in.h"
#include "convert.h"
#include "find_model.h"
#include "json_out.h"
#include "machine.h"
#include "report.h"
#include "verbs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WHOLE_FRAMES = 204 }; /* a push of `tessera encode`: 65536 samples */

struct bench {
    const struct cli_options *options;
    struct tess_model *model;
    struct tess_model_info info;
    struct tess_worker *worker;
    struct tess_encoder *encoder;
    struct tess_decoder *decoder;
    int codebooks;
    float *pcm;      /* [n_frames * hop][channels]: whole frames of sound */
    float *out;      /* [n_out][channels]: the same, decoded */
    uint16_t *codes; /* [n_room][codebooks], of which n_codes have been encoded */
    size_t n_frames, n_out, n_room, n_codes;
    double open_seconds; /* what opening the model took */
};

/* Both walk through the whole sound in pushes of `step` frames, and what is held back comes out in a
 * later one or at the end; return 0 or a library error. */
static int encode(struct bench *b, struct tess_worker *worker, size_t step)
{
    size_t hop = (size_t)b->info.hop, width = hop * (size_t)b->info.channels, done = 0;
    tess_encoder_reset(b->encoder);
    for (size_t t = 0; t < b->n_frames; t += step) {
        size_t n = b->n_frames - t < step ? b->n_frames - t : step;
        int64_t got = tess_encoder_push(worker, b->encoder, b->pcm + t * width, n * hop,
                                        b->codes + done * (size_t)b->codebooks, b->n_room - done);
        if (got < 0) return (int)got;
        done += (size_t)got;
    }
    int64_t got = tess_encoder_flush(worker, b->encoder, b->codes + done * (size_t)b->codebooks,
                                     b->n_room - done);
    b->n_codes = done + (size_t)(got < 0 ? 0 : got);
    return got < 0 ? (int)got : 0;
}

static int decode(struct bench *b, struct tess_worker *worker, size_t step)
{
    size_t channels = (size_t)b->info.channels, left = b->n_out;
    float *out = b->out;
    tess_decoder_reset(b->decoder);
    for (size_t t = 0; t < b->n_codes; t += step) {
        size_t n = b->n_codes - t < step ? b->n_codes - t : step;
        int64_t got = tess_decoder_push(worker, b->decoder, b->codes + t * (size_t)b->codebooks, n,
                                        out, left);
        if (got < 0) return (int)got;
        out += (size_t)got * channels;
        left -= (size_t)got;
    }
    int64_t got = tess_decoder_flush(worker, b->decoder, out, left);
    return got < 0 ? (int)got : 0;
}

static const struct row {
    const char *key, *name;
    int (*run)(struct bench *b, struct tess_worker *worker, size_t step);
    size_t step;
} rows[] = {
    {"encode",        "encode, whole file", encode, WHOLE_FRAMES},
    {"decode",        "decode, whole file", decode, WHOLE_FRAMES},
    {"encode_stream", "encode, hop by hop", encode, 1           },
    {"decode_stream", "decode, hop by hop", decode, 1           },
};
enum { N_ROWS = sizeof rows / sizeof rows[0] };

static const struct stage {
    const char *name;
    size_t field;
} stages[] = {
    {"analysis",  offsetof(struct tess_profile, analysis) },
    {"encoder",   offsetof(struct tess_profile, encoder)  },
    {"quantizer", offsetof(struct tess_profile, quantizer)},
    {"lookup",    offsetof(struct tess_profile, lookup)   },
    {"decoder",   offsetof(struct tess_profile, decoder)  },
    {"synthesis", offsetof(struct tess_profile, synthesis)},
};
enum { N_STAGES = sizeof stages / sizeof stages[0] };

struct results {
    double speed[N_ROWS];    /* times real time */
    double fraction[N_ROWS]; /* of the peak in the model's arithmetic */
    double peak[2];          /* of one core: GFLOP/s, and Gop/s in 8 bits */
    double stage[N_STAGES];  /* microseconds a frame, in large pushes */
};

/* Voiced-like noise: a low-passed random walk under a syllable's rhythm, the same every time. */
static void make_up(struct bench *b)
{
    uint32_t seed = 1;
    float low = 0;
    size_t n = b->n_frames * (size_t)b->info.hop, channels = (size_t)b->info.channels;
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        low += 0.2f * ((float)(int32_t)seed * 0x1p-31f - low);
        double beat = sin(2 * 3.14159265358979 * 4 * (double)i / b->info.sample_rate);
        for (size_t c = 0; c < channels; c++)
            b->pcm[i * channels + c] = low * (float)(beat * beat);
    }
}

static int load(struct bench *b, struct cli_audio_in *audio, struct cli_convert *convert)
{
    enum { BLOCK = 4096 };
    size_t channels = (size_t)b->info.channels, n = 0, capacity = 0;
    float *block = malloc(sizeof(float) * BLOCK * (size_t)audio->pcm.channels);
    int64_t n_read = 1, got = 0;
    if (!block) return cli_fail_memory();
    while (n_read > 0 || got > 0) {
        const float *pcm;
        if (n_read > 0) n_read = cli_audio_in_read(audio, block, BLOCK);
        got = n_read < 0 ? 0 : cli_convert_push(convert, block, (size_t)n_read, &pcm);
        if (n_read < 0 || got < 0) break;
        if (n + (size_t)got > capacity) {
            capacity = 2 * (n + (size_t)got);
            float *more = realloc(b->pcm, sizeof(float) * capacity * channels);
            if (!more) break;
            b->pcm = more;
        }
        if (got > 0) memcpy(b->pcm + n * channels, pcm, sizeof(float) * (size_t)got * channels);
        n += (size_t)got;
    }
    free(block);
    b->n_frames = n / (size_t)b->info.hop;
    if (n_read < 0) return (int)-n_read;
    if (got != 0) return cli_fail_memory();
    return b->n_frames ? CLI_OK : cli_fail(CLI_FAILED, "%s: less than a frame", audio->in->name);
}

static int open_sound(struct bench *b)
{
    const char *path = b->options->args[0];
    if (!path) {
        double seconds = b->options->seconds > 0 ? b->options->seconds : 10;
        b->n_frames = (size_t)(seconds * b->info.sample_rate / b->info.hop);
        size_t n = b->n_frames * (size_t)b->info.hop * (size_t)b->info.channels;
        b->pcm = malloc(sizeof(float) * n);
        if (!b->pcm) return cli_fail_memory();
        make_up(b);
        return CLI_OK;
    }
    struct cli_input in;
    struct cli_audio_in audio = {0};
    struct cli_convert convert = {0};
    int exit_code = cli_input_open(&in, path);
    if (!exit_code) exit_code = cli_audio_in_open(&audio, &in, NULL);
    if (!exit_code)
        exit_code = cli_convert_open(&convert, in.name, audio.pcm.rate, audio.pcm.channels,
                                     b->info.sample_rate, b->info.channels, 4096);
    if (!exit_code) exit_code = load(b, &audio, &convert);
    cli_convert_close(&convert);
    cli_audio_in_close(&audio);
    cli_input_close(&in);
    return exit_code;
}

static int open_streams(struct bench *b)
{
    struct tess_worker_options how = {.size = sizeof how, .threads = b->options->threads};
    struct tess_stream_options what = {.size = sizeof what, .codebooks = b->codebooks};
    if (b->info.encode == TESS_WHOLE_CLIP || b->info.decode == TESS_WHOLE_CLIP)
        return cli_fail(CLI_FAILED,
                        "bench: %s needs a whole sound at once, and streams are measured",
                        b->info.name);
    int error = tess_worker_create(&b->worker, b->model, &how);
    if (!error) error = tess_encoder_create(&b->encoder, b->model, &what);
    if (!error) error = tess_decoder_create(&b->decoder, b->model, &what);
    if (error) return cli_fail(CLI_FAILED, "bench: %s", tess_strerror(error));
    b->n_room = (size_t)tess_encoder_bound(b->model, b->n_frames * (size_t)b->info.hop);
    b->n_out = (size_t)tess_model_samples(b->model, (int64_t)b->n_room);
    b->codes = malloc(sizeof(uint16_t) * b->n_room * (size_t)b->codebooks);
    b->out = malloc(sizeof(float) * b->n_out * (size_t)b->info.channels);
    return b->codes && b->out ? CLI_OK : cli_fail_memory();
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int n)
{
    qsort(values, (size_t)n, sizeof *values, by_value);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

static double flops(const struct bench *b, const struct row *row)
{
    return row->run == encode ? b->info.encode_flops : b->info.decode_flops;
}

/* Every run measures every row right after the core's peaks; one more goes before, to warm up. */
static int measure(struct bench *b, int n_runs, struct results *r)
{
    const double seconds = (double)b->n_frames * b->info.hop / b->info.sample_rate;
    const int n = n_runs * N_ROWS, in_8_bits = strcmp(b->info.arithmetic, "int8") == 0;
    double *values = malloc(sizeof *values * (size_t)n * 4);
    if (!values) return cli_fail_memory();
    double *speed = values, *fraction = speed + n, *peak[2] = {fraction + n, fraction + 2 * n};
    int error = 0;
    for (int run = -1; run < n_runs && !error; run++) {
        for (int i = 0; i < N_ROWS && !error; i++) {
            const double limit[2] = {cli_peak_gflops(b->info.kernel),
                                     cli_peak_int8_gops(b->info.kernel)};
            double start = cli_clock(), cpu_start = cli_cpu_clock();
            error = rows[i].run(b, b->worker, rows[i].step);
            double spent = cli_clock() - start, cpu_spent = cli_cpu_clock() - cpu_start;
            if (run < 0) continue;
            const int at = i * n_runs + run;
            speed[at] = seconds / spent;
            fraction[at] = seconds * flops(b, &rows[i]) / cpu_spent / (limit[in_8_bits] * 1e9);
            peak[0][at] = limit[0];
            peak[1][at] = limit[1];
        }
    }
    for (int i = 0; i < N_ROWS && !error; i++) {
        r->speed[i] = median(speed + i * n_runs, n_runs);
        r->fraction[i] = median(fraction + i * n_runs, n_runs);
    }
    for (int i = 0; i < 2 && !error; i++)
        r->peak[i] = median(peak[i], n);
    free(values);
    return error ? cli_fail(CLI_FAILED, "bench: %s", tess_strerror(error)) : CLI_OK;
}

static int measure_stages(struct bench *b, struct results *r)
{
    struct tess_worker_options how = {
        .size = sizeof how, .threads = b->options->threads, .profile = 1};
    struct tess_worker *worker = NULL;
    int error = tess_worker_create(&worker, b->model, &how);
    if (!error) error = encode(b, worker, WHOLE_FRAMES);
    if (!error) error = decode(b, worker, WHOLE_FRAMES);
    if (error) {
        tess_worker_destroy(worker);
        return cli_fail(CLI_FAILED, "bench: %s", tess_strerror(error));
    }
    struct tess_profile profile;
    tess_worker_get_profile(worker, &profile);
    tess_worker_destroy(worker);
    for (int i = 0; i < N_STAGES; i++) {
        double spent;
        memcpy(&spent, (const char *)&profile + stages[i].field, sizeof spent);
        r->stage[i] = 1e6 * spent / (double)b->n_frames;
    }
    return CLI_OK;
}

static void print_text(const struct bench *b, const struct results *r)
{
    printf("tessera %s, %s, %d thread(s) on %s, kernels %s, %s\n", tess_version(), b->info.name,
           b->options->threads ? b->options->threads : 1, cli_cpu_name(), b->info.kernel,
           b->options->args[0] ? b->options->args[0] : "made-up sound");
    printf("peak of a core       %8.1f GFLOP/s, in 8 bits %.1f Gop/s\n\n", r->peak[0], r->peak[1]);
    printf("                     x real time  of peak in %s\n", b->info.arithmetic);
    for (int i = 0; i < N_ROWS; i++)
        printf("%-20s %11.1f  %7.2f\n", rows[i].name, r->speed[i], r->fraction[i]);
    printf("\nmicroseconds a frame of %.2f ms, in large pushes:\n",
           1e3 * b->info.hop / b->info.sample_rate);
    for (int i = 0; i < N_STAGES; i++)
        printf("%-20s %11.1f\n", stages[i].name, r->stage[i]);
    printf("\nmodel opened in      %11.1f ms\n", 1e3 * b->open_seconds);
    printf("peak memory          %11.1f MB\n", (double)cli_peak_memory() / 1e6);
}

static void print_json(const struct bench *b, const struct results *r)
{
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "version", tess_version());
    cJSON_AddStringToObject(root, "model", b->info.name);
    cJSON_AddStringToObject(root, "cpu", cli_cpu_name());
    cJSON_AddStringToObject(root, "kernel", b->info.kernel);
    cJSON_AddNumberToObject(root, "threads", b->options->threads ? b->options->threads : 1);
    cJSON_AddNumberToObject(root, "seconds",
                            (double)b->n_frames * b->info.hop / b->info.sample_rate);
    cJSON_AddStringToObject(root, "arithmetic", b->info.arithmetic);
    cJSON_AddNumberToObject(root, "peak_gflops", r->peak[0]);
    cJSON_AddNumberToObject(root, "peak_int8_gops", r->peak[1]);
    for (int i = 0; i < N_ROWS; i++) {
        cJSON *row = cJSON_AddObjectToObject(root, rows[i].key);
        cJSON_AddNumberToObject(row, "times_real_time", r->speed[i]);
        cJSON_AddNumberToObject(row, "of_peak", r->fraction[i]);
    }
    cJSON *us = cJSON_AddObjectToObject(root, "microseconds_a_frame");
    for (int i = 0; i < N_STAGES; i++)
        cJSON_AddNumberToObject(us, stages[i].name, r->stage[i]);
    cJSON_AddNumberToObject(root, "open_seconds", b->open_seconds);
    cJSON_AddNumberToObject(root, "peak_memory_bytes", (double)cli_peak_memory());
    cli_json_print(root, stdout);
}

int cli_bench(const struct cli_options *options)
{
    struct bench b = {.options = options};
    struct results results = {0};
    double start = cli_clock();
    int exit_code =
        cli_open_model(options, cli_model_name(options), TESS_FOR_BOTH, &b.model, &b.info);
    b.open_seconds = cli_clock() - start;
    if (!exit_code) exit_code = cli_choose_codebooks(options, &b.info, &b.codebooks);
    if (!exit_code) exit_code = open_sound(&b);
    if (!exit_code) exit_code = open_streams(&b);
    if (!exit_code) exit_code = measure(&b, options->runs ? options->runs : 5, &results);
    if (!exit_code) exit_code = measure_stages(&b, &results);
    if (!exit_code && options->json)
        print_json(&b, &results);
    else if (!exit_code)
        print_text(&b, &results);
    if (b.encoder) tess_encoder_destroy(b.encoder, b.model);
    if (b.decoder) tess_decoder_destroy(b.decoder, b.model);
    tess_worker_destroy(b.worker);
    tess_model_close(b.model);
    free(b.pcm);
    free(b.out);
    free(b.codes);
    return exit_code;
}
