/* A path or "-" in, bytes out. What a peek has read from a pipe is handed out first. */
#include "input.h"

#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int cli_input_open(struct cli_input *in, const char *path)
{
    *in = (struct cli_input){.name = path, .fd = STDIN_FILENO};
    if (strcmp(path, "-") == 0)
        in->name = "standard input";
    else
        in->fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (in->fd < 0 || fstat(in->fd, &st) < 0) return cli_input_fail(in);
    if (S_ISDIR(st.st_mode)) {
        errno = EISDIR;
        return cli_input_fail(in);
    }
    in->seekable = S_ISREG(st.st_mode) && lseek(in->fd, 0, SEEK_CUR) == 0;
    return CLI_OK;
}

void cli_input_close(struct cli_input *in)
{
    if (in->fd > STDIN_FILENO) close(in->fd);
    in->fd = -1;
}

int cli_input_fail(const struct cli_input *in)
{
    return cli_fail(CLI_FAILED, "%s: %s", in->name, strerror(errno));
}

static ptrdiff_t read_some(int fd, void *bytes, size_t n)
{
    ptrdiff_t got;
    do
        got = read(fd, bytes, n < SSIZE_MAX ? n : SSIZE_MAX);
    while (got < 0 && errno == EINTR);
    return got;
}

size_t cli_input_peek(struct cli_input *in, size_t n, const uint8_t **bytes)
{
    while (in->n_head < n) {
        ptrdiff_t got = read_some(in->fd, in->head + in->n_head, n - in->n_head);
        if (got <= 0) break;
        in->n_head += (size_t)got;
    }
    *bytes = in->head;
    return in->n_head < n ? in->n_head : n;
}

ptrdiff_t cli_input_read(void *ctx, void *bytes, size_t n)
{
    struct cli_input *in = ctx;
    ptrdiff_t got = 0;
    if (in->at < in->n_head) {
        size_t left = in->n_head - in->at;
        got = (ptrdiff_t)(n < left ? n : left);
        memcpy(bytes, in->head + in->at, (size_t)got);
        in->at += (size_t)got;
    } else {
        got = read_some(in->fd, bytes, n);
    }
    if (got > 0) in->n_bytes += (uint64_t)got;
    return got;
}

int cli_input_seek(void *ctx, uint64_t offset)
{
    struct cli_input *in = ctx;
    in->at = in->n_head = 0;
    in->n_bytes = offset;
    return lseek(in->fd, (off_t)offset, SEEK_SET) < 0 ? -1 : 0;
}

ptrdiff_t cli_input_read_all(struct cli_input *in, void *bytes, size_t n)
{
    size_t fill = 0;
    while (fill < n) {
        ptrdiff_t got = cli_input_read(in, (char *)bytes + fill, n - fill);
        if (got < 0) return got;
        if (got == 0) break;
        fill += (size_t)got;
    }
    return (ptrdiff_t)fill;
}

int cli_temporary(void)
{
    const char *folder = getenv("TMPDIR");
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/tessera-XXXXXX", folder && *folder ? folder : "/tmp");
    if (n < 0 || (size_t)n >= sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = mkstemp(path);
    if (fd >= 0) unlink(path);
    return fd;
}

static bool write_all(int fd, const uint8_t *bytes, size_t n)
{
    while (n > 0) {
        ptrdiff_t put = write(fd, bytes, n);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return false;
        bytes += put;
        n -= (size_t)put;
    }
    return true;
}

int cli_input_spool(struct cli_input *in)
{
    int fd = cli_temporary();
    if (fd < 0) return cli_fail(CLI_IO, "temporary file: %s", strerror(errno));
    uint8_t block[16384];
    ptrdiff_t got;
    while ((got = cli_input_read(in, block, sizeof block)) > 0) {
        if (write_all(fd, block, (size_t)got)) continue;
        int error = errno;
        close(fd);
        return cli_fail(CLI_IO, "temporary file for %s: %s", in->name, strerror(error));
    }
    if (got < 0 || lseek(fd, 0, SEEK_SET) < 0) {
        close(fd);
        return cli_input_fail(in);
    }
    if (in->fd > STDIN_FILENO) close(in->fd);
    in->fd = fd;
    in->seekable = true;
    in->at = in->n_head = 0;
    return CLI_OK;
}
