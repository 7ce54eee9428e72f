/* `tessera VERB ...`: words in, the verb's row out, its exit code home. */
#include "formats/standard_files.h"
#include "output.h"
#include "report.h"
#include "src/tessera.h"
#include "verbs.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct cli_verb verbs[] = {
    {"encode",     CLI_ENCODE,     1, 2,       cli_encode,     "IN [OUT]",          "Sound to codes"               },
    {"decode",     CLI_DECODE,     1, 2,       cli_decode,     "IN [OUT]",          "Codes to sound"               },
    {"info",       CLI_INFO,       1, INT_MAX, cli_info,       "FILE...",           "What .tess files hold"        },
    {"verify",     CLI_VERIFY,     2, 2,       cli_verify,     "A B",               "First frame that differs"     },
    {"bench",      CLI_BENCH,      0, 1,       cli_bench,      "[FILE]",            "How fast this machine is"     },
    {"batch",      CLI_BATCH,      0, 1,       cli_batch,      "[DIR] --out DIR",   "Many recordings to codes"     },
    {"quantize",   CLI_QUANTIZE,   3, 3,       cli_quantize,   "IN OUT SOUND",      "A model in 8 bits"            },
    {"mic",        CLI_MIC,        0, 1,       cli_mic,        "[OUT]",             "A microphone's sound to codes"},
    {"play",       CLI_PLAY,       1, 1,       cli_play,       "IN",                "Codes to the speaker"         },
    {"models",     CLI_MODELS,     1, 2,       cli_models,     "list | show MODEL", "Which models there are"       },
    {"completion", CLI_COMPLETION, 1, 1,       cli_completion, "bash | zsh | fish",
     "What a shell needs to complete words"                                                                        },
};
enum { N_VERBS = sizeof verbs / sizeof verbs[0] };

const struct cli_verb *cli_verb(int i)
{
    return i < N_VERBS ? &verbs[i] : NULL;
}

static void print_usage(FILE *to)
{
    fputs("usage: tessera VERB [OPTION...] ...\n\n", to);
    for (int i = 0; i < N_VERBS; i++)
        fprintf(to, "  %-10s %-18s %s\n", verbs[i].name, verbs[i].arguments, verbs[i].summary);
    fputs("\n- is standard input or output. tessera VERB --help lists a verb's options.\n", to);
}

static void print_version(void)
{
    printf("tessera %s\n", tess_version());
}

static int run(const struct cli_verb *verb, int argc, const char **argv)
{
    struct cli_options options;
    int exit_code = cli_options_read(&options, verb, argc, argv);
    if (!exit_code && options.help)
        cli_options_help(verb);
    else if (!exit_code && options.version)
        print_version();
    else if (!exit_code)
        exit_code = verb->run(&options);
    cli_options_free(&options);
    return exit_code;
}

static int dispatch(int argc, const char **argv)
{
    const char *word = argc > 1 ? argv[1] : NULL;
    if (!word) {
        print_usage(stderr);
        return CLI_USAGE;
    }
    for (int i = 0; i < N_VERBS; i++)
        if (strcmp(word, verbs[i].name) == 0) return run(&verbs[i], argc - 1, argv + 1);
    if (strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0) {
        print_usage(stdout);
        return CLI_OK;
    }
    if (strcmp(word, "-V") == 0 || strcmp(word, "--version") == 0) {
        print_version();
        return CLI_OK;
    }
    return cli_fail(CLI_USAGE, "%s: no such verb (tessera --help lists them)", word);
}

int main(int argc, char **argv)
{
    const char **words = calloc((size_t)argc + 1, sizeof *words);
    if (!words) return cli_fail_memory();
    memcpy(words, argv, (size_t)argc * sizeof *words);
    fmt_standard_files();
    cli_output_catch_signals();
    int exit_code = dispatch(argc, words);
    free(words);
    if ((fflush(stdout) != 0 || ferror(stdout)) && !exit_code)
        exit_code = cli_fail(CLI_IO, "standard output: %s", strerror(errno));
    return exit_code;
}
