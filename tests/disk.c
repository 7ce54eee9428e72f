/* Put before the C library by LD_PRELOAD, it is a disk on a bad day. Calls that change files are
 * counted, from 1:
 *
 *     TESSERA_DISK=kill   the process is killed before the n-th
 *                  full   the n-th, if it writes, writes half; all after it find no room
 *     TESSERA_DISK_AT=n
 *
 * At the process's end it says on standard error how many calls there were. */
#define _GNU_SOURCE /* for RTLD_NEXT */
#include "preload.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool kills, fills;
static unsigned long at;
static atomic_ulong n_calls;

__attribute__((constructor)) static void start(void)
{
    const char *what = getenv("TESSERA_DISK"), *text = getenv("TESSERA_DISK_AT");
    kills = what && strcmp(what, "kill") == 0;
    fills = what && strcmp(what, "full") == 0;
    at = text ? strtoul(text, NULL, 10) : 0;
}

__attribute__((destructor)) static void tell(void)
{
    fprintf(stderr, "disk: %lu\n", atomic_load(&n_calls));
}

/* Counts a call. Returns how it stands to the n-th: before (-1), that one (0), after it (1). */
static int count(void)
{
    const unsigned long n = atomic_fetch_add(&n_calls, 1) + 1;
    if (kills && n == at) raise(SIGKILL);
    return n < at || !fills ? -1 : n > at;
}

#define FAIL_AFTER                                                                                 \
    if (count() > 0) {                                                                             \
        errno = ENOSPC;                                                                            \
        return -1;                                                                                 \
    }

EXPORT ssize_t write(int fd, const void *bytes, size_t n)
{
    REAL(write)
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) return real(fd, bytes, n);
    const int when = count();
    errno = ENOSPC;
    return when > 0 ? -1 : real(fd, bytes, when == 0 ? (n + 1) / 2 : n);
}

EXPORT int fsync(int fd)
{
    REAL(fsync)
    FAIL_AFTER
    return real(fd);
}

EXPORT int fdatasync(int fd)
{
    REAL(fdatasync)
    FAIL_AFTER
    return real(fd);
}

EXPORT int rename(const char *from, const char *to)
{
    REAL(rename)
    FAIL_AFTER
    return real(from, to);
}

/* A full disk lets these through. */
EXPORT int unlink(const char *path)
{
    REAL(unlink)
    count();
    return real(path);
}

EXPORT int unlinkat(int folder, const char *path, int flags)
{
    REAL(unlinkat)
    count();
    return real(folder, path, flags);
}

EXPORT int rmdir(const char *path)
{
    REAL(rmdir)
    count();
    return real(path);
}
