/* A model's name or file in, the open model out. */
#ifndef CLI_FIND_MODEL_H
#define CLI_FIND_MODEL_H

#include "formats/codes_in.h"
#include "options.h"
#include "src/tessera.h"

#include <limits.h>
#include <stdbool.h>

#define CLI_DEFAULT_MODEL "tessera-24k-speech-int8"
#define CLI_MODEL_SUFFIX  ".safetensors"

enum { CLI_MAX_FOLDERS = 2 };

/** The folders in which a model's name is looked for, in this order. Returns how many. */
int cli_model_folders(char folders[CLI_MAX_FOLDERS][PATH_MAX]);

/** The file of a model given as -m gives it: a file, or a name to be looked for.
 *  Returns 0 or CLI_MODEL, the reason told. */
int cli_find_model(const char *name, char path[PATH_MAX]);

/** What -m or TESSERA_MODEL or else the default says. */
const char *cli_model_name(const struct cli_options *options);

/** Finds and opens a model for `use`; to be closed with tess_model_close.
 *  Returns 0 or an exit code, the reason told. */
int cli_open_model(const struct cli_options *options,
                   const char *name,
                   enum tess_use use,
                   struct tess_model **model,
                   struct tess_model_info *info);

/** Opens the model that made codes: -m decides; else TESSERA_MODEL if it is the one; else the one that
 *  they name. `name` is of the codes, for messages. As cli_open_model, and CLI_MODEL for another one. */
int cli_open_model_of(const struct cli_options *options,
                      const struct fmt_codes_in *codes,
                      const char *name,
                      enum tess_use use,
                      struct tess_model **model,
                      struct tess_model_info *info);

/** Tells that `name` was made by another model than this one; returns CLI_MODEL. */
int cli_fail_made_by(const struct fmt_codes_in *codes,
                     const char *name,
                     const struct tess_model_info *info);

/** The first 8 bytes of a SHA-256 as 16 hexadecimal digits, as they name a model in messages. */
struct cli_fingerprint {
    char text[17];
};
struct cli_fingerprint cli_fingerprint(const unsigned char bytes[8]);

/** All 32 bytes of one as 64 digits. */
struct cli_sha256 {
    char text[65];
};
struct cli_sha256 cli_sha256(const unsigned char bytes[32]);

/** Kilobits a second of `codebooks` columns. */
double cli_bitrate(const struct tess_model_info *info, int codebooks);

/** Whether `codebooks` columns are a rate of the model. */
bool cli_is_rate(const struct tess_model_info *info, int codebooks);

/** The columns that --codebooks or --bitrate ask for, or the model's default, into *codebooks.
 *  Returns 0 or CLI_USAGE, the reason told. */
int cli_choose_codebooks(const struct cli_options *options,
                         const struct tess_model_info *info,
                         int *codebooks);

#endif
