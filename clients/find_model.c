/* Where models lie: beside the sources for a program that still stands in its build tree, else in
 * share/tessera/models of the prefix that the program was installed to, wherever that was moved. */
#include "find_model.h"

#include "report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

int cli_model_folders(char folders[CLI_MAX_FOLDERS][PATH_MAX])
{
    char self[PATH_MAX];
    ptrdiff_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0) return 0;
    self[n] = 0;
    int count = 0;
    if (strncmp(self, TESS_BUILD_DIR "/", sizeof TESS_BUILD_DIR) == 0)
        strcpy(folders[count++], TESS_SOURCE_WEIGHTS);
    *strrchr(self, '/') = 0;
    if (snprintf(folders[count], PATH_MAX, "%s/" TESS_MODELS_FROM_BIN, self) < PATH_MAX) count++;
    return count;
}

int cli_find_model(const char *name, char path[PATH_MAX])
{
    char folders[CLI_MAX_FOLDERS][PATH_MAX], searched[CLI_MAX_FOLDERS * (PATH_MAX + 2)] = "";
    int n_folders = strchr(name, '/') ? 0 : cli_model_folders(folders);
    for (int i = 0; i < n_folders; i++) {
        int n = snprintf(path, PATH_MAX, "%s/%s" CLI_MODEL_SUFFIX, folders[i], name);
        if (n < PATH_MAX && is_file(path)) return CLI_OK;
        size_t fill = strlen(searched);
        snprintf(searched + fill, sizeof searched - fill, "%s%s", i ? ", " : "", folders[i]);
    }
    if (n_folders > 0 && !is_file(name))
        return cli_fail(CLI_MODEL, "no model '%s' in %s, and no file", name, searched);
    if (snprintf(path, PATH_MAX, "%s", name) < PATH_MAX) return CLI_OK;
    return cli_fail(CLI_MODEL, "the model's path is too long");
}

const char *cli_model_name(const struct cli_options *options)
{
    const char *environment = getenv("TESSERA_MODEL");
    if (options->model) return options->model;
    return environment && *environment ? environment : CLI_DEFAULT_MODEL;
}

static int check_kernel(const char *from, const char *name)
{
    char names[128] = "";
    for (int i = 0; tess_kernel_name(i); i++) {
        if (strcmp(tess_kernel_name(i), name) == 0) return CLI_OK;
        size_t fill = strlen(names);
        snprintf(names + fill, sizeof names - fill, "%s%s", i ? ", " : "", tess_kernel_name(i));
    }
    return cli_fail(CLI_USAGE, "%s %s: this machine has %s", from, name, names);
}

int cli_open_model(const struct cli_options *options,
                   const char *name,
                   enum tess_use use,
                   struct tess_model **model,
                   struct tess_model_info *info)
{
    char path[PATH_MAX];
    *model = NULL;
    const char *environment = getenv("TESSERA_KERNEL");
    int exit_code = CLI_OK;
    if (options->kernel)
        exit_code = check_kernel("--kernel", options->kernel);
    else if (environment && *environment)
        exit_code = check_kernel("TESSERA_KERNEL", environment);
    if (!exit_code) exit_code = cli_find_model(name, path);
    if (exit_code) return exit_code;
    struct tess_model_options how = {.size = sizeof how, .kernel = options->kernel, .use = use};
    struct tess_why why;
    if (tess_model_open(model, path, &how, &why) != TESS_OK)
        return cli_fail(CLI_MODEL, "%s: %s", path, why.text);
    *info = (struct tess_model_info){.size = sizeof *info};
    tess_model_get_info(*model, info);
    if (options->verbose) cli_say("model %s, kernels %s", path, info->kernel);
    return CLI_OK;
}

static void print_hex(char *text, const unsigned char *bytes, int n)
{
    for (int i = 0; i < n; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
}

struct cli_fingerprint cli_fingerprint(const unsigned char bytes[8])
{
    struct cli_fingerprint f;
    print_hex(f.text, bytes, 8);
    return f;
}

struct cli_sha256 cli_sha256(const unsigned char bytes[32])
{
    struct cli_sha256 s;
    print_hex(s.text, bytes, 32);
    return s;
}

int cli_fail_made_by(const struct fmt_codes_in *codes,
                     const char *name,
                     const struct tess_model_info *info)
{
    return cli_fail(CLI_MODEL, "%s: made by model '%s' (%s), not by '%s' (%s)", name, codes->model,
                    codes->has_fingerprint ? cli_fingerprint(codes->fingerprint).text : "?",
                    info->name, cli_fingerprint(info->sha256).text);
}

int cli_open_model_of(const struct cli_options *options,
                      const struct fmt_codes_in *codes,
                      const char *name,
                      enum tess_use use,
                      struct tess_model **model,
                      struct tess_model_info *info)
{
    const char *environment = getenv("TESSERA_MODEL"), *names[2];
    int n = 0;
    if (options->model) {
        names[n++] = options->model;
    } else {
        if (environment && *environment) names[n++] = environment;
        if (codes->model[0]) names[n++] = codes->model;
    }
    if (n == 0) return cli_fail(CLI_USAGE, "%s: does not name its model: use -m", name);
    for (int i = 0; i < n; i++) {
        tess_model_close(*model);
        int exit_code = cli_open_model(options, names[i], use, model, info);
        if (exit_code) return exit_code;
        if (fmt_codes_in_made_by(codes, info)) return CLI_OK;
    }
    return cli_fail_made_by(codes, name, info);
}

double cli_bitrate(const struct tess_model_info *info, int codebooks)
{
    return codebooks * ceil(log2(info->entries)) * info->sample_rate / info->hop / 1000;
}

bool cli_is_rate(const struct tess_model_info *info, int codebooks)
{
    if (!info->codebooks_legal) return codebooks == info->codebooks;
    return codebooks >= 1 && codebooks <= 64 && info->codebooks_legal >> (codebooks - 1) & 1;
}

static int fail_rate(const struct tess_model_info *info)
{
    char legal[512] = "";
    for (int k = 1; k <= info->codebooks; k++) {
        size_t fill = strlen(legal);
        if (cli_is_rate(info, k))
            snprintf(legal + fill, sizeof legal - fill, "%s%d (%g kbit/s)", fill ? ", " : "", k,
                     cli_bitrate(info, k));
    }
    return cli_fail(CLI_USAGE, "%s can have codebooks %s", info->name, legal);
}

int cli_choose_codebooks(const struct cli_options *options,
                         const struct tess_model_info *info,
                         int *codebooks)
{
    int k = options->codebooks;
    if (options->bitrate > 0) {
        double of_one = cli_bitrate(info, 1);
        int wanted = (int)lrint(fmin(options->bitrate / of_one, info->codebooks + 1));
        bool exact = fabs(wanted * of_one - options->bitrate) < 0.005 * of_one;
        if (!exact || (k && k != wanted)) return fail_rate(info);
        k = wanted;
    }
    *codebooks = k ? k : info->codebooks_default;
    return cli_is_rate(info, *codebooks) ? CLI_OK : fail_rate(info);
}
