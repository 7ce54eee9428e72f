/* The command line, as a value. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include "formats/pcm.h"
#include "src/tessera.h"

/* Which verbs take an option; rows of options.c name several. */
enum cli_verb_bit {
    CLI_ENCODE = 1,
    CLI_DECODE = 2,
    CLI_INFO = 4,
    CLI_BENCH = 8,
    CLI_VERIFY = 16,
    CLI_MODELS = 32,
    CLI_MIC = 64,
    CLI_PLAY = 128,
    CLI_BATCH = 256,
    CLI_COMPLETION = 512,
    CLI_QUANTIZE = 1024,
};

struct cli_options {
    int quiet, verbose, json, force, help, version; /* flags: 0 or 1 */
    char *model; /* strings belong to this struct; NULL = not given */
    char *kernel;
    int threads; /* numbers: 0 = not given */
    int codebooks;
    double bitrate; /* kbit/s */
    char *option;   /* NAME=VALUE */
    char *format;
    char *save_hash;
    int raw, as_float;
    int raw_rate, raw_channels, raw_bits;
    char *rate;         /* "source" or Hz */
    double packet_loss; /* percent */
    double seconds;
    double max_error; /* percent */
    int list_devices, loopback;
    char *capture, *device; /* a number or a part of a name */
    char *save;
    char *connect, *api_key_file;
    int runs;
    char *out, *manifest;
    int workers, resume, shard_size;
    char **args; /* [n_args], then NULL */
    int n_args;
};

struct cli_verb {
    const char *name;
    enum cli_verb_bit bit;
    int min_args, max_args;
    int (*run)(const struct cli_options *options); /* returns an exit code, the reason told */
    const char *arguments, *summary;
};

/** Reads the words after the verb. Returns 0 or CLI_USAGE, the reason told. --help and --version
 *  only set their flags. */
int cli_options_read(struct cli_options *options,
                     const struct cli_verb *verb,
                     int argc,
                     const char **argv);
void cli_options_free(struct cli_options *options);

/** Prints the verb's usage and options to standard output. */
void cli_options_help(const struct cli_verb *verb);

/** Option i of a verb, i = 0, 1, ..., as people see it. False past the last. */
struct cli_option {
    const char *name;
    char letter;              /* 0 = none */
    const char *value, *help; /* value: what is to be given, NULL = nothing */
};
bool cli_option(const struct cli_verb *verb, int i, struct cli_option *option);

/** The raw format that the options ask for: defaults 48000 Hz, 2 channels, 16 bits, as opusenc.
 *  Returns 0 or CLI_USAGE, the reason told. */
int cli_options_raw(const struct cli_options *options, struct fmt_pcm *pcm);

/** The value of the model's own option that --option gives, else 0. Returns 0 or CLI_USAGE, the
 *  reason told. */
int cli_options_family(const struct cli_options *options,
                       const struct tess_model_info *info,
                       int *value);

/** That value as text, as --option gives it; "" of a model without options. */
struct cli_family_text {
    char text[64];
};
struct cli_family_text cli_options_family_text(const struct tess_model_info *info, int value);

/** Do the options of live sound go together? Returns 0, or CLI_USAGE, the reason told. */
int cli_options_live(const struct cli_options *options);

/** IN with its suffix changed, to be freed; "-" for "-". NULL without memory. */
char *cli_options_output(const char *in, const char *suffix);

#endif
