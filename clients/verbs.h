/* The verbs, one file each: a command line in, an exit code out, the reason told. */
#ifndef CLI_VERBS_H
#define CLI_VERBS_H

#include "options.h"

/** Verb i of the command, i = 0, 1, ...; NULL past the last. */
const struct cli_verb *cli_verb(int i);

int cli_encode(const struct cli_options *options);
int cli_decode(const struct cli_options *options);
int cli_info(const struct cli_options *options);
int cli_bench(const struct cli_options *options);
int cli_verify(const struct cli_options *options);
int cli_models(const struct cli_options *options);
int cli_completion(const struct cli_options *options);
int cli_mic(const struct cli_options *options);
int cli_play(const struct cli_options *options);
int cli_batch(const struct cli_options *options);
int cli_quantize(const struct cli_options *options);

#endif
