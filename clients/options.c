/* Words in, a struct cli_options out. Every option is a row: its names, the verbs that take it, the
 * field it fills and the numbers that make sense there; popt splits the words. */
#include "options.h"

#include "report.h"

#include <math.h>
#include <popt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALL = CLI_ENCODE | CLI_DECODE | CLI_INFO | CLI_BENCH | CLI_VERIFY | CLI_MODELS };
enum { WORK = CLI_ENCODE | CLI_DECODE | CLI_BENCH };

enum kind { FLAG, INTEGER, REAL, TEXT };

struct row {
    const char *name;
    char letter;
    enum kind kind;
    int verbs;
    size_t field;
    double low, high; /* of a number */
    const char *value, *help;
};

#define FIELD(name) offsetof(struct cli_options, name)

static const struct row rows[] = {
    {"model",        'm', TEXT,    WORK,                    FIELD(model),        0,    0,      "FILE|NAME",     "the model to use"              },
    {"codebooks",    0,   INTEGER, CLI_ENCODE | CLI_BENCH,  FIELD(codebooks),    1,    64,     "K",
     "codes a frame"                                                                                                                            },
    {"n-quantizers", 0,   INTEGER, CLI_ENCODE,              FIELD(codebooks),    1,    64,     "K",             "the same"                      },
    {"bitrate",      'b', REAL,    CLI_ENCODE,              FIELD(bitrate),      1e-3, 1e6,    "KBPS",          "the same, in kbit/s"           },
    {"format",       0,   TEXT,    CLI_ENCODE,              FIELD(format),       0,    0,      "tess|npy|json", "what to write"                 },
    {"save-hash",    0,   TEXT,    CLI_ENCODE,              FIELD(save_hash),    0,    0,      "FILE",          "hashes of every frame"         },
    {"rate",         0,   TEXT,    CLI_DECODE,              FIELD(rate),         0,    0,      "HZ|source",     "sample rate to write"          },
    {"float",        0,   FLAG,    CLI_DECODE,              FIELD(as_float),     0,    0,      NULL,            "32-bit float, not 16-bit"      },
    {"raw",          0,   FLAG,    CLI_ENCODE | CLI_DECODE, FIELD(raw),          0,    0,      NULL,            "headerless PCM"                },
    {"raw-rate",     0,   INTEGER, CLI_ENCODE,              FIELD(raw_rate),     1,    768000, "HZ",            "of raw input [48000]"          },
    {"raw-chan",     0,   INTEGER, CLI_ENCODE,              FIELD(raw_channels), 1,    1024,   "N",             "of raw input [2]"              },
    {"raw-bits",     0,   INTEGER, CLI_ENCODE,              FIELD(raw_bits),     8,    32,     "N",             "8, 16, 24, 32 = float [16]"    },
    {"seconds",      0,   REAL,    CLI_BENCH,               FIELD(seconds),      1,    3600,   "S",
     "length of the made-up sound [10]"                                                                                                         },
    {"runs",         0,   INTEGER, CLI_BENCH,               FIELD(runs),         1,    1000,   "N",             "runs to take the median of [5]"},
    {"kernel",       0,   TEXT,    WORK,                    FIELD(kernel),       0,    0,      "NAME",          "scalar, avx2, avx512 or neon"  },
    {"threads",      't', INTEGER, WORK,                    FIELD(threads),      1,    64,     "N",             "threads to work with [1]"      },
    {"force",        'f', FLAG,    CLI_ENCODE | CLI_DECODE, FIELD(force),        0,    0,      NULL,            "overwrite files"               },
    {"json",         0,   FLAG,    ALL,                     FIELD(json),         0,    0,      NULL,            "results as JSON"               },
    {"quiet",        'q', FLAG,    ALL,                     FIELD(quiet),        0,    0,      NULL,            "only errors"                   },
    {"verbose",      'v', FLAG,    ALL,                     FIELD(verbose),      0,    0,      NULL,            "say what is used"              },
    {"version",      'V', FLAG,    ALL,                     FIELD(version),      0,    0,      NULL,            "print the version"             },
    {"help",         'h', FLAG,    ALL,                     FIELD(help),         0,    0,      NULL,            "print this"                    },
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
            .argInfo = rows[i].kind == FLAG ? POPT_ARG_NONE : POPT_ARG_STRING,
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
    if (fits && (row->kind == REAL || *value == floor(*value))) return CLI_OK;
    return cli_fail(CLI_USAGE, "--%s %s: not a%s number from %g to %.0f", row->name, text,
                    row->kind == INTEGER ? " whole" : "", row->low, row->high);
}

/* Takes `text`, the option's argument, or NULL of a flag. */
static int take(struct cli_options *options, const struct row *row, char *text)
{
    void *field = (char *)options + row->field;
    double value = 1;
    int exit_code = CLI_OK;
    if (row->kind == TEXT) {
        free(*(char **)field);
        *(char **)field = text;
        return CLI_OK;
    }
    if (text) exit_code = read_number(row, text, &value);
    if (row->kind == REAL)
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
        if (rows[i].kind != TEXT) continue;
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

int cli_options_raw(const struct cli_options *options, struct cli_pcm *pcm)
{
    *pcm = (struct cli_pcm){
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
