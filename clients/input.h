/* Bytes in, from a file or a pipe, with a look ahead that costs a pipe nothing. */
#ifndef CLI_INPUT_H
#define CLI_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CLI_PEEK = 4096 };

struct cli_input {
    const char *name; /* for messages; borrowed */
    int fd;
    bool seekable;
    uint64_t n_bytes;       /* position: bytes handed out, where nothing was skipped */
    uint8_t head[CLI_PEEK]; /* read from a pipe but not yet handed out: [at, n_head) */
    size_t at, n_head;
};

/** Opens `path`, "-" being standard input. Returns 0 or an exit code, the reason told. */
int cli_input_open(struct cli_input *in, const char *path);
void cli_input_close(struct cli_input *in);

/** Makes the first n (at most CLI_PEEK) bytes visible at *bytes without taking them; to be called
 *  before anything is read. Returns how many there are: fewer than n where the input ends. */
size_t cli_input_peek(struct cli_input *in, size_t n, const uint8_t **bytes);

/** The callbacks of struct tess_io, ctx being a struct cli_input. A read from a pipe returns what
 *  has arrived, without waiting for all n bytes; it retries when a signal comes. */
ptrdiff_t cli_input_read(void *ctx, void *bytes, size_t n);
int cli_input_seek(void *ctx, uint64_t offset);

/** Reads until n bytes are there or the input ends. Returns how many, or -1. */
ptrdiff_t cli_input_read_all(struct cli_input *in, void *bytes, size_t n);

/** Turns a pipe into a seekable file: everything goes to a temporary file that has no name any
 *  more. Returns 0 or an exit code, the reason told. */
int cli_input_spool(struct cli_input *in);

/** A temporary file without a name in TMPDIR or /tmp. Returns a descriptor or -1 with errno. */
int cli_temporary(void);

/** Tells why reading failed, from errno; returns CLI_FAILED. */
int cli_input_fail(const struct cli_input *in);

#endif
