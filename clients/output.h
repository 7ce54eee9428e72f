/* Bytes out, to a pipe or to a file that has its name only when it is whole. */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include "input.h"

struct cli_output {
    char *name;      /* for messages */
    char *path;      /* the file's name to be; NULL for a pipe or device */
    char *temporary; /* its name until the commit: of output.c, or if `apart` of this struct */
    int fd;
    bool force, seekable, is_stdout, apart;
    uint64_t at, n_bytes; /* position, and the length so far */
    int error;            /* errno of the first failure */
};

/** Opens `path`, "-" being standard output. A file goes to a temporary name in the same folder
 *  until it is committed; an existing one is refused without `force`, else keeps its mode, and `in`
 *  itself is always refused.
 *  Pipes and devices are written as they are. Returns 0 or an exit code, the reason told. */
int cli_output_open(struct cli_output *out,
                    const char *path,
                    bool force,
                    const struct cli_input *in);

/** Opens a file among many that are written at once, by any thread: its temporary name is
 *  `path`.tmp, in a folder that is made if need be, and an interrupt does not remove it. What has
 *  these names is overwritten, without `force` refused. Returns 0 or an exit code, the reason told. */
int cli_output_open_apart(struct cli_output *out, const char *path, bool force);

/** Would both be the same file? Cannot fail. */
bool cli_output_is_same(const struct cli_output *a, const struct cli_output *b);

/** Makes all folders that lead to `path`. Returns 0 or -1 with errno. */
int cli_output_make_folders(const char *path);

/** The callbacks of struct tess_io, ctx being a struct cli_output. */
int cli_output_write(void *ctx, const void *bytes, size_t n);
int cli_output_seek(void *ctx, uint64_t offset);

/** Makes the output final: on disk and under its name. Returns 0, CLI_IO, or CLI_FAILED where without
 *  `force` a file of this name has appeared; the reason told. */
int cli_output_commit(struct cli_output *out);

/** Removes what was not committed and frees; a second call does nothing. */
void cli_output_close(struct cli_output *out);

/** Tells why writing failed; returns CLI_IO. */
int cli_output_fail(const struct cli_output *out);

/** From here on an interrupt removes the temporary files and exits with CLI_INTERRUPTED, and a
 *  closed pipe or a limit of the file's size is an error of write. */
void cli_output_catch_signals(void);

/** From here on an interrupt (SIGINT, SIGTERM, SIGHUP, where they are not ignored) calls the handler
 *  instead. */
void cli_output_on_interrupt(void (*handler)(int signal_number));

/** What an interrupt does where no other handler was given; such a one may call it. Does not return. */
void cli_output_give_up(int signal_number);

#endif
