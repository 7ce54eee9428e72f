/* `tessera models list` and `tessera models show MODEL`: model files in, what they are out. */
#include "find_model.h"
#include "json_out.h"
#include "report.h"
#include "verbs.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *capability(enum tess_capability c)
{
    static const char *const names[] = {"live", "delayed", "whole-clip"};
    return names[c];
}

static cJSON *to_json(const struct tess_model_info *i)
{
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "name", i->name);
    cJSON_AddStringToObject(root, "family", i->family);
    cJSON_AddStringToObject(root, "licence", i->licence);
    cJSON_AddStringToObject(root, "arithmetic", i->arithmetic);
    cJSON_AddStringToObject(root, "kernel", i->kernel);
    cJSON_AddStringToObject(root, "sha256", cli_sha256(i->sha256).text);
    cJSON_AddStringToObject(root, "fingerprint", cli_fingerprint(i->sha256).text);
    cJSON_AddNumberToObject(root, "sample_rate", i->sample_rate);
    cJSON_AddNumberToObject(root, "channels", i->channels);
    cJSON_AddNumberToObject(root, "hop", i->hop);
    cJSON_AddNumberToObject(root, "frame_rate", (double)i->sample_rate / i->hop);
    cJSON_AddNumberToObject(root, "codebooks", i->codebooks);
    cJSON_AddNumberToObject(root, "codebooks_default", i->codebooks_default);
    cJSON *rates = cJSON_AddArrayToObject(root, "rates");
    for (int k = 1; k <= i->codebooks; k++) {
        if (!cli_is_rate(i, k)) continue;
        cJSON *rate = cJSON_CreateObject();
        cJSON_AddNumberToObject(rate, "codebooks", k);
        cJSON_AddNumberToObject(rate, "kbit_per_second", cli_bitrate(i, k));
        cJSON_AddItemToArray(rates, rate);
    }
    cJSON_AddNumberToObject(root, "entries", i->entries);
    cJSON_AddNumberToObject(root, "code_min", i->code_min);
    cJSON_AddStringToObject(root, "encode", capability(i->encode));
    cJSON_AddStringToObject(root, "decode", capability(i->decode));
    cJSON_AddNumberToObject(root, "encode_delay", i->encode_delay);
    cJSON_AddNumberToObject(root, "decode_delay", i->decode_delay);
    cJSON_AddNumberToObject(root, "segment", i->segment);
    cJSON_AddNumberToObject(root, "segment_stride", i->segment_stride);
    cJSON_AddNumberToObject(root, "parameters", (double)i->parameters);
    cJSON_AddNumberToObject(root, "encode_flops", i->encode_flops);
    cJSON_AddNumberToObject(root, "decode_flops", i->decode_flops);
    return root;
}

static void print_text(const struct tess_model_info *i)
{
    printf("name         %s\n", i->name);
    printf("family       %s\n", i->family);
    printf("licence      %s\n", i->licence);
    printf("sha256       %s\n", cli_sha256(i->sha256).text);
    printf("fingerprint  %s\n", cli_fingerprint(i->sha256).text);
    printf("sound        %d Hz, channels %d\n", i->sample_rate, i->channels);
    printf("frames       %g a second, hop %d\n", (double)i->sample_rate / i->hop, i->hop);
    printf("codes        from %d to %d\n", i->code_min, i->code_min + i->entries - 1);
    for (int k = 1; k <= i->codebooks; k++)
        if (cli_is_rate(i, k))
            printf("codebooks    %d: %g kbit/s%s\n", k, cli_bitrate(i, k),
                   k == i->codebooks_default ? " (default)" : "");
    printf("encode       %s, delay %d samples, %.3f Gflop a second of sound\n",
           capability(i->encode), i->encode_delay, i->encode_flops / 1e9);
    printf("decode       %s, delay %d samples, %.3f Gflop a second of sound\n",
           capability(i->decode), i->decode_delay, i->decode_flops / 1e9);
    if (i->segment)
        printf("segments     of %d samples every %d, each with a scale\n", i->segment,
               i->segment_stride);
    printf("parameters   %llu\n", (unsigned long long)i->parameters);
    printf("arithmetic   %s, kernels %s\n", i->arithmetic, i->kernel);
}

static int show(const struct cli_options *options, const char *name)
{
    struct tess_model *model;
    struct tess_model_info info;
    int exit_code = cli_open_model(options, name, TESS_FOR_BOTH, &model, &info);
    if (exit_code) return exit_code;
    if (options->json)
        cli_json_print(to_json(&info), stdout);
    else
        print_text(&info);
    tess_model_close(model);
    return CLI_OK;
}

static int is_model(const struct dirent *entry)
{
    size_t n = strlen(entry->d_name), suffix = strlen(CLI_MODEL_SUFFIX);
    return n > suffix && strcmp(entry->d_name + n - suffix, CLI_MODEL_SUFFIX) == 0;
}

static int list_folder(const struct cli_options *options, const char *folder, cJSON *models)
{
    struct dirent **entries;
    int n = scandir(folder, &entries, is_model, alphasort), exit_code = CLI_OK;
    for (int i = 0; i < n; i++) {
        char path[PATH_MAX];
        struct tess_model *model;
        struct tess_model_info info;
        int length = snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        free(entries[i]);
        if (length >= PATH_MAX) continue;
        int of_this = cli_open_model(options, path, TESS_FOR_BOTH, &model, &info);
        if (of_this) {
            exit_code = of_this;
            continue;
        }
        if (options->json) {
            cJSON *item = to_json(&info);
            cJSON_AddStringToObject(item, "file", path);
            cJSON_AddItemToArray(models, item);
        } else {
            printf("%-24s %6d Hz  %g kbit/s  %s\n", info.name, info.sample_rate,
                   cli_bitrate(&info, info.codebooks_default), path);
        }
        tess_model_close(model);
    }
    if (n >= 0) free(entries);
    return exit_code;
}

static int list(const struct cli_options *options)
{
    char folders[CLI_MAX_FOLDERS][PATH_MAX];
    int n = cli_model_folders(folders), exit_code = CLI_OK;
    cJSON *root = cJSON_CreateObject();
    cJSON *searched = cJSON_AddArrayToObject(root, "folders");
    cJSON *models = cJSON_AddArrayToObject(root, "models");
    for (int i = 0; i < n; i++) {
        cJSON_AddItemToArray(searched, cJSON_CreateString(folders[i]));
        int of_this = list_folder(options, folders[i], models);
        if (of_this) exit_code = of_this;
        if (!options->json && !options->quiet) printf("searched %s\n", folders[i]);
    }
    if (options->json)
        cli_json_print(root, stdout);
    else
        cJSON_Delete(root);
    return exit_code;
}

int cli_models(const struct cli_options *options)
{
    const char *what = options->args[0];
    bool is_list = strcmp(what, "list") == 0 && options->n_args == 1;
    bool is_show = strcmp(what, "show") == 0 && options->n_args == 2;
    if (is_list) return list(options);
    if (is_show) return show(options, options->args[1]);
    return cli_fail(CLI_USAGE, "usage: tessera models list | tessera models show FILE|NAME");
}
