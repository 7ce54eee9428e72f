/* Words in, a struct cli_options out. Every option is a row: its names, the verbs that take it, the
 * field it fills and the numbers that make sense there; popt splits the words. */
#include "options.h"

#include "report.h"

#include <math.h>
#include <popt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIVE = CLI_MIC | CLI_PLAY };
enum { CODE = CLI_ENCODE | CLI_DECODE };
enum { WORK = CODE | LIVE | CLI_BENCH };
enum { TOKENS = CLI_ENCODE | CLI_MIC | CLI_BATCH };
enum {
    ALL = WORK | CLI_BATCH | CLI_COMPLETION | CLI_INFO | CLI_VERIFY | CLI_MODELS | CLI_QUANTIZE
};

struct row {
    const char *name;
    char letter;
    enum { IS_FLAG, IS_WHOLE, IS_REAL, IS_TEXT } kind;
    int verbs;
    size_t field;
    const char *value, *help;
    double low, high; /* of a number */
};

#define FIELD(name) offsetof(struct cli_options, name)
#define FLAG(name, letter, verbs, field, help)                                                     \
    {                                                                                              \
        name, letter, IS_FLAG, verbs, FIELD(field), NULL, help, 0, 0                               \
    }
#define TEXT(name, letter, verbs, field, value, help)                                              \
    {                                                                                              \
        name, letter, IS_TEXT, verbs, FIELD(field), value, help, 0, 0                              \
    }
#define WHOLE(name, letter, verbs, field, value, help, low, high)                                  \
    {                                                                                              \
        name, letter, IS_WHOLE, verbs, FIELD(field), value, help, low, high                        \
    }
#define REAL(name, letter, verbs, field, value, help, low, high)                                   \
    {                                                                                              \
        name, letter, IS_REAL, verbs, FIELD(field), value, help, low, high                         \
    }

static const struct row rows[] = {
    TEXT("model", 'm', WORK | CLI_BATCH, model, "FILE|NAME", "the model to use"),
    WHOLE("codebooks", 0, TOKENS | CLI_BENCH, codebooks, "K", "codes a frame", 1, 1024),
    WHOLE("n-quantizers", 0, TOKENS, codebooks, "K", "the same", 1, 1024),
    REAL("bitrate", 'b', TOKENS, bitrate, "KBPS", "the same, in kbit/s", 1e-3, 1e6),
    TEXT("option",
         0,
         CODE | LIVE | CLI_BATCH,
         option,
         "NAME=VALUE",
         "an option of the model's family"),
    TEXT("format", 0, CLI_ENCODE, format, "tess|npy|json", "what to write [by OUT's suffix]"),
    TEXT("format", 0, CLI_BATCH, format, "tess|npy|webdataset|jsonl", "what to write [tess]"),
    TEXT("out", 0, CLI_BATCH, out, "DIR", "the folder to write to"),
    TEXT("manifest", 0, CLI_BATCH, manifest, "FILE", "take recordings from lines of JSON"),
    WHOLE("workers", 0, CLI_BATCH, workers, "N", "files at once [one a core]", 1, 1024),
    FLAG("resume", 0, CLI_BATCH, resume, "go on with what is in --out"),
    WHOLE("shard-size", 0, CLI_BATCH, shard_size, "N", "recordings a shard [4096]", 1, 1000000),
    TEXT("save-hash", 0, CLI_ENCODE, save_hash, "FILE", "hashes of every frame"),
    TEXT("rate", 0, CLI_DECODE, rate, "HZ|source", "sample rate to write [the model's]"),
    FLAG("float", 0, CLI_DECODE, as_float, "32-bit float, not 16-bit"),
    REAL("packet-loss",
         0,
         CLI_DECODE,
         packet_loss,
         "PERCENT",
         "frames that get lost, to hear it [0]",
         0,
         100),
    FLAG("raw", 0, CODE, raw, "headerless PCM"),
    WHOLE("raw-rate", 0, CLI_ENCODE, raw_rate, "HZ", "of raw input [48000]", 1, 768000),
    WHOLE("raw-chan", 0, CLI_ENCODE, raw_channels, "N", "of raw input [2]", 1, 1024),
    WHOLE("raw-bits", 0, CLI_ENCODE, raw_bits, "N", "8, 16, 24, 32 = float [16]", 8, 32),
    REAL("seconds", 0, CLI_BENCH, seconds, "S", "length of the made-up sound [10]", 1, 3600),
    REAL("seconds", 0, CLI_MIC, seconds, "S", "end after so much sound", 1e-3, 1e6),
    FLAG("list-devices", 0, CLI_MIC, list_devices, "show microphones and speakers"),
    TEXT("capture", 'c', CLI_MIC, capture, "ID", "microphone: its number or a part of its name"),
    TEXT("device", 0, LIVE, device, "ID", "speaker: its number or a part of its name"),
    FLAG("loopback", 0, CLI_MIC, loopback, "back to the speaker: hear the codec"),
    TEXT("save", 0, CLI_MIC, save, "FILE", "the microphone's sound as WAV"),
    TEXT("connect", 0, LIVE, connect, "URI", "let a tesserad work: tcp:HOST[:PORT] or unix:PATH"),
    TEXT("api-key-file", 0, LIVE, api_key_file, "FILE", "a key for it"),
    WHOLE("runs", 0, CLI_BENCH, runs, "N", "runs to take the median of [5]", 1, 1000),
    TEXT("kernel", 0, WORK | CLI_BATCH, kernel, "NAME", "scalar, avx2, avx512 or neon"),
    WHOLE("threads", 't', WORK, threads, "N", "threads to work with [1]", 1, 64),
    REAL("max-error",
         0,
         CLI_QUANTIZE,
         max_error,
         "PERCENT",
         "layers above it stay as they are [10]",
         1e-6,
         100),
    FLAG("force", 'f', CODE | CLI_MIC | CLI_QUANTIZE, force, "overwrite files"),
    FLAG("json", 0, ALL, json, "results as JSON"),
    FLAG("quiet", 'q', ALL, quiet, "only errors"),
    FLAG("verbose", 'v', ALL, verbose, "say what is used"),
    FLAG("version", 'V', ALL, version, "print the version"),
    FLAG("help", 'h', ALL, help, "print this"),
};
enum { N_ROWS = sizeof rows / sizeof rows[0] };

static poptContext context(const struct cli_verb *verb,
                           struct poptOption table[N_ROWS + 1],
                           int argc,
                           const char **argv)
{
    int n = 0;
    for (int i = 0; i < N_ROWS; i++) {
        if (!(rows[i].verbs & (int)verb->bit)) continue;
        table[n++] = (struct poptOption){
            .longName = rows[i].name,
            .shortName = rows[i].letter,
            .argInfo = rows[i].kind == IS_FLAG ? POPT_ARG_NONE : POPT_ARG_STRING,
            .val = i + 1,
            .descrip = rows[i].help,
            .argDescrip = rows[i].value,
        };
    }
    table[n] = (struct poptOption)POPT_TABLEEND;
    return poptGetContext("tessera", argc, argv, table, 0);
}

static int read_number(const struct row *row, const char *text, double *value)
{
    char *end;
    *value = strtod(text, &end);
    bool fits = end != text && *end == 0 && *value >= row->low && *value <= row->high;
    if (fits && (row->kind == IS_REAL || *value == floor(*value))) return CLI_OK;
    return cli_fail(CLI_USAGE, "--%s %s: not a%s number from %g to %.0f", row->name, text,
                    row->kind == IS_WHOLE ? " whole" : "", row->low, row->high);
}

/* Takes `text`, the option's argument, or NULL of a flag. */
static int take(struct cli_options *options, const struct row *row, char *text)
{
    void *field = (char *)options + row->field;
    double value = 1;
    int exit_code = CLI_OK;
    if (row->kind != IS_FLAG && !text) return cli_fail_memory();
    if (row->kind == IS_TEXT) {
        free(*(char **)field);
        *(char **)field = text;
        return CLI_OK;
    }
    if (text) exit_code = read_number(row, text, &value);
    if (row->kind == IS_REAL)
        *(double *)field = value;
    else if (!exit_code)
        *(int *)field = (int)value;
    free(text);
    return exit_code;
}

static int take_args(struct cli_options *options, const struct cli_verb *verb, const char **args)
{
    int n = 0;
    while (args && args[n])
        n++;
    options->args = calloc((size_t)n + 1, sizeof *options->args);
    if (!options->args) return cli_fail_memory();
    for (; options->n_args < n; options->n_args++)
        if (!(options->args[options->n_args] = strdup(args[options->n_args])))
            return cli_fail_memory();
    if (options->help || options->version) return CLI_OK;
    if (n < verb->min_args || n > verb->max_args)
        return cli_fail(CLI_USAGE, "usage: tessera %s %s", verb->name, verb->arguments);
    return CLI_OK;
}

int cli_options_read(struct cli_options *options,
                     const struct cli_verb *verb,
                     int argc,
                     const char **argv)
{
    *options = (struct cli_options){0};
    struct poptOption table[N_ROWS + 1];
    poptContext popt = context(verb, table, argc, argv);
    if (!popt) return cli_fail_memory();
    int exit_code = CLI_OK, val;
    while (!exit_code && (val = poptGetNextOpt(popt)) > 0)
        exit_code = take(options, &rows[val - 1], poptGetOptArg(popt));
    if (!exit_code && val < -1)
        exit_code =
            cli_fail(CLI_USAGE, "%s: %s (tessera %s --help lists the options)",
                     poptBadOption(popt, POPT_BADOPTION_NOALIAS), poptStrerror(val), verb->name);
    if (!exit_code) exit_code = take_args(options, verb, poptGetArgs(popt));
    poptFreeContext(popt);
    return exit_code;
}

void cli_options_free(struct cli_options *options)
{
    for (int i = 0; i < N_ROWS; i++) {
        char **field = (char **)(void *)((char *)options + rows[i].field);
        if (rows[i].kind != IS_TEXT) continue;
        free(*field);
        *field = NULL;
    }
    for (int i = 0; i < options->n_args; i++)
        free(options->args[i]);
    free(options->args);
    *options = (struct cli_options){0};
}

void cli_options_help(const struct cli_verb *verb)
{
    char name[64], usage[128];
    snprintf(name, sizeof name, "tessera %s", verb->name);
    snprintf(usage, sizeof usage, "[OPTION...] %s", verb->arguments);
    const char *argv[] = {name, NULL};
    struct poptOption table[N_ROWS + 1];
    poptContext popt = context(verb, table, 1, argv);
    if (!popt) return;
    poptSetOtherOptionHelp(popt, usage);
    poptPrintHelp(popt, stdout, 0);
    poptFreeContext(popt);
    printf("\n%s. See man tessera.\n", verb->summary);
}

bool cli_option(const struct cli_verb *verb, int i, struct cli_option *option)
{
    int row = 0;
    while (row < N_ROWS && (!(rows[row].verbs & (int)verb->bit) || i-- > 0))
        row++;
    if (row == N_ROWS) return false;
    const struct row *r = &rows[row];
    *option = (struct cli_option){r->name, r->letter, r->value, r->help};
    return true;
}

int cli_options_family(const struct cli_options *options,
                       const struct tess_model_info *info,
                       int *value)
{
    const char *text = options->option;
    const size_t n = strlen(info->option);
    *value = 0;
    if (!text) return CLI_OK;
    if (n == 0) return cli_fail(CLI_USAGE, "--option %s: %s has no options", text, info->name);
    char *end = NULL;
    long number = -1;
    if (strncmp(text, info->option, n) == 0 && text[n] == '=')
        number = strtol(text + n + 1, &end, 10);
    if (!end || end == text + n + 1 || *end || number < 0 || number > info->option_max)
        return cli_fail(CLI_USAGE, "--option %s: %s has %s=0 to %s=%d", text, info->name,
                        info->option, info->option, info->option_max);
    *value = (int)number;
    return CLI_OK;
}

struct cli_family_text cli_options_family_text(const struct tess_model_info *info, int value)
{
    struct cli_family_text of = {""};
    if (info->option[0]) snprintf(of.text, sizeof of.text, "%s=%d", info->option, value);
    return of;
}

int cli_options_raw(const struct cli_options *options, struct fmt_pcm *pcm)
{
    *pcm = (struct fmt_pcm){
        .rate = options->raw_rate ? options->raw_rate : 48000,
        .channels = options->raw_channels ? options->raw_channels : 2,
        .bits = options->raw_bits ? options->raw_bits : 16,
        .is_float = options->raw_bits == 32,
    };
    if (!options->raw && (options->raw_rate || options->raw_channels || options->raw_bits))
        return cli_fail(CLI_USAGE, "--raw-rate, --raw-chan and --raw-bits need --raw");
    if (pcm->bits % 8) return cli_fail(CLI_USAGE, "--raw-bits %d: 8, 16, 24 or 32", pcm->bits);
    return CLI_OK;
}

int cli_options_live(const struct cli_options *options)
{
    if (options->api_key_file && !options->connect)
        return cli_fail(CLI_USAGE, "--api-key-file needs --connect");
    return CLI_OK;
}

char *cli_options_output(const char *in, const char *suffix)
{
    size_t n = strlen(in);
    const char *slash = strrchr(in, '/'), *base = slash ? slash + 1 : in;
    const char *dot = strrchr(base, '.');
    char *out = malloc(n + strlen(suffix) + 1);
    if (!out || strcmp(in, "-") == 0) return out ? strcpy(out, "-") : NULL;
    if (dot && dot > base) n = (size_t)(dot - in);
    memcpy(out, in, n);
    strcpy(out + n, suffix);
    return out;
}
