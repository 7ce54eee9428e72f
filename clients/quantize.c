/* `tessera quantize`: a model in, the same model with its linear layers in 8 bits out, and what each of
 * them costs, measured on some speech. */
#include "find_model.h"
#include "json_out.h"
#include "output.h"
#include "report.h"
#include "sound.h"
#include "verbs.h"

#include <cjson/cJSON.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    SECONDS = 60,        /* of sound in all: more changes no figure's second digit */
    SECONDS_A_FILE = 10, /* of a folder's files */
};

struct speech {
    const struct tess_model_info *info;
    float *pcm; /* [capacity][channels] */
    size_t n, capacity;
};

/* Up to sample `until` of all. */
static int read_file(struct speech *s, const char *path, size_t until)
{
    const size_t channels = (size_t)s->info->channels;
    struct cli_sound sound;
    const float *pcm;
    int64_t n = 0;
    int exit_code = cli_sound_open(&sound, path, NULL, s->info, false);
    while (!exit_code && s->n < until && (n = cli_sound_next(&sound, &pcm)) > 0) {
        const size_t some = (size_t)n < until - s->n ? (size_t)n : until - s->n;
        memcpy(s->pcm + s->n * channels, pcm, some * channels * sizeof *pcm);
        s->n += some;
    }
    cli_sound_close(&sound);
    return n < 0 ? (int)-n : exit_code;
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* The start of each file, in the order of their names; what is no sound is said and passed over. */
static int read_folder(struct speech *s, const char *folder)
{
    struct dirent **entries;
    const size_t each = (size_t)(SECONDS_A_FILE * s->info->sample_rate);
    int n = scandir(folder, &entries, is_visible, alphasort);
    for (int i = 0; i < n; i++) {
        char path[PATH_MAX];
        struct stat status;
        int length = snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        free(entries[i]);
        if (length >= PATH_MAX || s->n == s->capacity || stat(path, &status) != 0 ||
            !S_ISREG(status.st_mode))
            continue;
        read_file(s, path, s->capacity - s->n < each ? s->capacity : s->n + each);
    }
    if (n >= 0) free(entries);
    return CLI_OK;
}

static int read_speech(struct speech *s, const char *path)
{
    struct stat status;
    s->capacity = (size_t)(SECONDS * s->info->sample_rate);
    s->pcm = malloc(sizeof *s->pcm * s->capacity * (size_t)s->info->channels);
    if (!s->pcm) return cli_fail_memory();
    bool is_folder = stat(path, &status) == 0 && S_ISDIR(status.st_mode);
    int exit_code = is_folder ? read_folder(s, path) : read_file(s, path, s->capacity);
    if (!exit_code && s->n < (size_t)s->info->sample_rate)
        exit_code =
            cli_fail(CLI_FAILED, "%s: holds less than the second of sound to measure with", path);
    return exit_code;
}

struct report {
    const struct cli_options *options;
    FILE *to;
    cJSON *layers; /* where --json asks for it */
    int n_layers, n_int8;
};

static void on_layer(void *ctx, const struct tess_quantized_layer *layer)
{
    struct report *r = ctx;
    r->n_layers++;
    r->n_int8 += layer->int8;
    if (r->layers) {
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "name", layer->name);
        cJSON_AddNumberToObject(item, "error", layer->error);
        cJSON_AddBoolToObject(item, "int8", layer->int8);
        cJSON_AddItemToArray(r->layers, item);
    } else if (!r->options->quiet) {
        fprintf(r->to, "%-24s %7.3f %%  %s\n", layer->name, 100 * layer->error,
                layer->int8 ? "int8" : "as it was");
    }
}

static int quantize(const struct cli_options *options, const char *in, const struct speech *speech)
{
    struct cli_output out;
    struct report report = {.options = options};
    struct cli_input model;
    int exit_code = cli_input_open(&model, in);
    if (exit_code) return exit_code;
    exit_code = cli_output_open(&out, options->args[1], options->force, &model);
    cli_input_close(&model);
    if (exit_code) {
        cli_output_close(&out);
        return exit_code;
    }
    report.to = out.is_stdout ? stderr : stdout;
    cJSON *root = options->json ? cJSON_CreateObject() : NULL;
    if (root) report.layers = cJSON_AddArrayToObject(root, "layers");
    const struct tess_io io = {.ctx = &out, .write = cli_output_write};
    const struct tess_quantize_options how = {.size = sizeof how,
                                              .pcm = speech->pcm,
                                              .n_samples = speech->n,
                                              .max_error = options->max_error / 100,
                                              .report = on_layer,
                                              .ctx = &report};
    struct tess_why why;
    int error = tess_quantize(in, &io, &how, &why);
    if (error == TESS_E_IO && out.error)
        exit_code = cli_output_fail(&out);
    else if (error)
        exit_code = cli_fail(CLI_MODEL, "%s: %s", in, why.text);
    if (!exit_code) exit_code = cli_output_commit(&out);
    if (!exit_code && root)
        cli_json_print(root, report.to);
    else
        cJSON_Delete(root);
    if (!exit_code && !options->quiet && !options->json)
        cli_say("%s: %d of %d layers in 8 bits, %llu bytes", out.name, report.n_int8,
                report.n_layers, (unsigned long long)out.n_bytes);
    cli_output_close(&out);
    return exit_code;
}

int cli_quantize(const struct cli_options *options)
{
    char path[PATH_MAX];
    struct tess_model *model;
    struct tess_model_info info;
    int exit_code = cli_find_model(options->args[0], path);
    if (!exit_code) exit_code = cli_open_model(options, path, TESS_FOR_ENCODING, &model, &info);
    if (exit_code) return exit_code;
    tess_model_close(model);
    struct speech speech = {.info = &info};
    exit_code = read_speech(&speech, options->args[2]);
    if (!exit_code) exit_code = quantize(options, path, &speech);
    free(speech.pcm);
    return exit_code;
}
