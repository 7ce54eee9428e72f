/* Put before the C library by LD_PRELOAD, it is a machine whose memory is at its end for a moment: the
 * n-th call for some, n being TESSERA_MEMORY_AT, gets none. At the process's end it says on standard error
 * how many calls there were. The C library's own names are used, since dlsym asks for memory too. */
#include "preload.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *block, size_t size);

static unsigned long at;
static atomic_ulong n_calls;

__attribute__((constructor)) static void start(void)
{
    const char *text = getenv("TESSERA_MEMORY_AT");
    at = text ? strtoul(text, NULL, 10) : 0;
    atomic_store(&n_calls, 0);
}

__attribute__((destructor)) static void tell(void)
{
    const unsigned long n = atomic_load(&n_calls);
    fprintf(stderr, "memory: %lu\n", n);
}

static bool fails(void)
{
    if (atomic_fetch_add(&n_calls, 1) + 1 != at) return false;
    errno = ENOMEM;
    return true;
}

EXPORT void *malloc(size_t size)
{
    return fails() ? NULL : __libc_malloc(size);
}

EXPORT void *calloc(size_t n, size_t size)
{
    return fails() ? NULL : __libc_calloc(n, size);
}

EXPORT void *realloc(void *block, size_t size)
{
    return fails() ? NULL : __libc_realloc(block, size);
}
