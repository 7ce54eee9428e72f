/* Bytes in, a whole file or nothing out. A temporary name is known to the signal handler from
 * before the file exists until it is gone, so that an interrupt leaves nothing behind. */
#define _XOPEN_SOURCE 700 /* realpath */
#include "output.h"

#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { N_SLOTS = 4 }; /* outputs open at once: codes and hashes, and room */

static char slots[N_SLOTS][PATH_MAX]; /* read by the handler; changed with signals blocked */

void cli_output_give_up(int signal_number)
{
    (void)signal_number;
    static const char line[] = "tessera: interrupted\n";
    for (int i = 0; i < N_SLOTS; i++)
        if (slots[i][0]) unlink(slots[i]);
    ptrdiff_t ignored = write(cli_report_fd(), line, sizeof line - 1);
    (void)ignored;
    _exit(CLI_INTERRUPTED);
}

static const int interrupts[] = {SIGINT, SIGTERM, SIGHUP};
enum { N_INTERRUPTS = sizeof interrupts / sizeof interrupts[0] };

void cli_output_on_interrupt(void (*handler)(int signal_number))
{
    const struct sigaction action = {.sa_handler = handler};
    for (int i = 0; i < N_INTERRUPTS; i++) {
        struct sigaction old;
        sigaction(interrupts[i], NULL, &old);
        if (old.sa_handler != SIG_IGN) sigaction(interrupts[i], &action, NULL);
    }
}

void cli_output_catch_signals(void)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    cli_output_on_interrupt(cli_output_give_up);
    sigaction(SIGPIPE, &ignore, NULL);
    sigaction(SIGXFSZ, &ignore, NULL);
}

static void hold_signals(sigset_t *before)
{
    sigset_t set;
    sigemptyset(&set);
    for (int i = 0; i < N_INTERRUPTS; i++)
        sigaddset(&set, interrupts[i]);
    sigprocmask(SIG_BLOCK, &set, before);
}

int cli_output_fail(const struct cli_output *out)
{
    return cli_fail(CLI_IO, "%s: %s", out->name, strerror(out->error ? out->error : EIO));
}

static int fail_now(struct cli_output *out)
{
    out->error = errno;
    return cli_output_fail(out);
}

/* The name through symbolic links, or as it is where nothing exists yet. */
static char *resolve(const char *path)
{
    char *real = realpath(path, NULL);
    return real ? real : strdup(path);
}

/* It is gone, or has its name. */
static void forget_temporary(struct cli_output *out)
{
    if (out->apart)
        free(out->temporary);
    else
        out->temporary[0] = 0;
    out->temporary = NULL;
}

static int open_temporary(struct cli_output *out, mode_t mode)
{
    const char *slash = strrchr(out->path, '/');
    int folder = slash ? (int)(slash - out->path) + 1 : 0;
    sigset_t before;
    hold_signals(&before);
    int slot = 0;
    while (slot < N_SLOTS - 1 && slots[slot][0])
        slot++;
    int n = snprintf(slots[slot], PATH_MAX, "%.*s.tessera-XXXXXX", folder, out->path);
    errno = ENAMETOOLONG;
    out->fd = n < PATH_MAX ? mkstemp(slots[slot]) : -1;
    if (out->fd < 0) slots[slot][0] = 0;
    out->temporary = out->fd < 0 ? NULL : slots[slot];
    int error = errno;
    sigprocmask(SIG_SETMASK, &before, NULL);
    errno = error;
    if (out->fd < 0) return fail_now(out);

    fchmod(out->fd, mode);
    out->seekable = true;
    return CLI_OK;
}

static mode_t usual_mode(void)
{
    mode_t mask = umask(0); /* the only way to ask for it */
    umask(mask);
    return 0666 & ~mask;
}

int cli_output_open(struct cli_output *out,
                    const char *path,
                    bool force,
                    const struct cli_input *in)
{
    bool is_stdout = strcmp(path, "-") == 0;
    *out = (struct cli_output){.fd = STDOUT_FILENO, .force = force, .is_stdout = is_stdout};
    out->name = strdup(is_stdout ? "standard output" : path);
    if (!out->name) return cli_fail_memory();
    if (is_stdout) return CLI_OK;
    struct stat st, source;
    bool exists = stat(path, &st) == 0;
    if (exists && !S_ISREG(st.st_mode)) {
        out->fd = open(path, O_WRONLY | O_CLOEXEC);
        return out->fd < 0 ? fail_now(out) : CLI_OK;
    }
    if (exists && in && fstat(in->fd, &source) == 0 && source.st_dev == st.st_dev &&
        source.st_ino == st.st_ino)
        return cli_fail(CLI_FAILED, "%s: is the input and the output at once", path);
    if (exists && !force) return cli_fail(CLI_FAILED, "%s: exists; -f overwrites it", path);
    out->path = resolve(path);
    if (!out->path) return cli_fail_memory();
    return open_temporary(out, exists ? st.st_mode & 0777 : usual_mode());
}

bool cli_output_is_same(const struct cli_output *a, const struct cli_output *b)
{
    return a->path && b->path && strcmp(a->path, b->path) == 0;
}

int cli_output_make_folders(const char *path)
{
    char folder[PATH_MAX];
    if (snprintf(folder, sizeof folder, "%s", path) >= PATH_MAX) {
        errno = ENAMETOOLONG;
        return -1;
    }
    for (char *slash = folder + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = 0;
        if (mkdir(folder, 0777) < 0 && errno != EEXIST) return -1;
    }
    return 0;
}

int cli_output_open_apart(struct cli_output *out, const char *path, bool force)
{
    const size_t n = strlen(path) + sizeof ".tmp";
    *out = (struct cli_output){.fd = -1, .force = force, .seekable = true, .apart = true};
    out->name = strdup(path);
    out->path = strdup(path);
    out->temporary = malloc(n);
    if (!out->name || !out->path || !out->temporary) return cli_fail_memory();
    snprintf(out->temporary, n, "%s.tmp", path);
    const int flags = O_RDWR | O_CREAT | O_CLOEXEC | (force ? O_TRUNC : O_EXCL);
    out->fd = open(out->temporary, flags, 0666);
    if (out->fd < 0 && errno == ENOENT && cli_output_make_folders(path) == 0)
        out->fd = open(out->temporary, flags, 0666);
    if (out->fd >= 0) return CLI_OK;
    const int exit_code =
        errno == EEXIST ? cli_fail(CLI_FAILED, "%s: exists", out->temporary) : fail_now(out);
    forget_temporary(out); /* what has this name is not ours to remove */
    return exit_code;
}

int cli_output_write(void *ctx, const void *bytes, size_t n)
{
    struct cli_output *out = ctx;
    const char *next = bytes;
    while (n > 0) {
        ptrdiff_t put = write(out->fd, next, n);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) {
            if (!out->error) out->error = errno;
            return -1;
        }
        next += put;
        n -= (size_t)put;
        out->at += (uint64_t)put;
    }
    if (out->at > out->n_bytes) out->n_bytes = out->at;
    return 0;
}

int cli_output_seek(void *ctx, uint64_t offset)
{
    struct cli_output *out = ctx;
    if (lseek(out->fd, (off_t)offset, SEEK_SET) < 0) {
        if (!out->error) out->error = errno;
        return -1;
    }
    out->at = offset;
    return 0;
}

/* A device or pipe has nothing to synchronise and says so with EINVAL or ENOTSUP. */
static bool synchronise(int fd)
{
    return fsync(fd) == 0 || errno == EINVAL || errno == EROFS || errno == ENOTSUP;
}

int cli_output_commit(struct cli_output *out)
{
    if (out->error) return cli_output_fail(out);
    if (!synchronise(out->fd)) return fail_now(out);
    int fd = out->fd;
    out->fd = -1;
    if (close(fd) < 0) return fail_now(out);
    if (!out->temporary) return CLI_OK;

    struct stat st;
    if (!out->force && stat(out->path, &st) == 0)
        return cli_fail(CLI_FAILED, "%s: appeared meanwhile; %s overwrites it", out->name,
                        out->apart ? "--resume" : "-f");
    sigset_t before;
    hold_signals(&before);
    bool done = rename(out->temporary, out->path) == 0;
    if (done) forget_temporary(out);
    int error = errno;
    sigprocmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return done ? CLI_OK : fail_now(out);
}

void cli_output_close(struct cli_output *out)
{
    if (out->fd > STDOUT_FILENO) close(out->fd);
    if (out->temporary) {
        unlink(out->temporary);
        forget_temporary(out);
    }
    free(out->path);
    free(out->name);
    *out = (struct cli_output){.fd = -1};
}
