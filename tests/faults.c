/* Put before the C library by LD_PRELOAD, it makes every n-th call on a socket go as badly as the
 * kernel may let it go at any time:
 *
 *     TESSERA_FAULT=short   one byte is read or written
 *                   intr    the call was interrupted
 *                   again   nothing is there or fits, whatever was said before
 *                   reset   the peer is gone
 *     TESSERA_FAULT_EVERY=n
 *
 * At the process's end it says on standard error how often it did. */
#define _GNU_SOURCE /* for RTLD_NEXT */
#include "preload.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static const char *kind;
static unsigned long every;
static atomic_ulong n_calls, n_faults;

__attribute__((constructor)) static void start(void)
{
    const char *text = getenv("TESSERA_FAULT_EVERY");
    kind = getenv("TESSERA_FAULT");
    every = text ? strtoul(text, NULL, 10) : 0;
}

__attribute__((destructor)) static void tell(void)
{
    fprintf(stderr, "faults: %lu\n", atomic_load(&n_faults));
}

static bool is_due(int fd)
{
    struct stat st;
    if (!kind || every == 0 || fstat(fd, &st) != 0 || !S_ISSOCK(st.st_mode)) return false;
    if (atomic_fetch_add(&n_calls, 1) % every != every - 1) return false;
    atomic_fetch_add(&n_faults, 1);
    return true;
}

static bool is(const char *name)
{
    return strcmp(kind, name) == 0;
}

/* What the call on fd is to fail with, or 0 and *n may have become less. */
static int fault(int fd, size_t *n)
{
    if (!is_due(fd)) return 0;
    if (is("intr")) return EINTR;
    if (is("again")) return EAGAIN;
    if (is("reset")) return ECONNRESET;
    if (*n > 1) *n = 1;
    return 0;
}

#define FAIL_IF_DUE(fd, n)                                                                         \
    int error = fault(fd, n);                                                                      \
    if (error) {                                                                                   \
        errno = error;                                                                             \
        return -1;                                                                                 \
    }

EXPORT ssize_t read(int fd, void *bytes, size_t n)
{
    REAL(read)
    FAIL_IF_DUE(fd, &n)
    return real(fd, bytes, n);
}

EXPORT ssize_t recv(int fd, void *bytes, size_t n, int flags)
{
    REAL(recv)
    FAIL_IF_DUE(fd, &n)
    return real(fd, bytes, n, flags);
}

EXPORT ssize_t write(int fd, const void *bytes, size_t n)
{
    REAL(write)
    FAIL_IF_DUE(fd, &n)
    return real(fd, bytes, n);
}

EXPORT ssize_t send(int fd, const void *bytes, size_t n, int flags)
{
    REAL(send)
    FAIL_IF_DUE(fd, &n)
    return real(fd, bytes, n, flags);
}

EXPORT ssize_t writev(int fd, const struct iovec *parts, int n_parts)
{
    REAL(writev)
    size_t n = SIZE_MAX;
    FAIL_IF_DUE(fd, &n)
    struct iovec first = {parts->iov_base, parts->iov_len > 0};
    return n == 1 ? real(fd, &first, 1) : real(fd, parts, n_parts);
}

EXPORT int accept4(int fd, __SOCKADDR_ARG address, socklen_t *size, int flags)
{
    REAL(accept4)
    size_t n = 1;
    FAIL_IF_DUE(fd, &n)
    return real(fd, address, size, flags);
}
