/* Errors as sentences, memory from the caller's allocator. Holds no state. */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS, madvise */
#include "base.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#ifdef TESS_HAVE_AVX2
#include <cpuid.h>
#endif

enum { ALIGN = 64 };

const char *tess_version(void)
{
    return TESS_VERSION;
}

int tess_abi(void)
{
    return TESS_ABI;
}

const char *tess_strerror(int error)
{
    switch (error) {
    case TESS_OK: return "success";
#define TEXT(name, number, text)                                                                   \
    case number: return text;
        TESS_ERRORS(TEXT)
#undef TEXT
    default: return "unknown error";
    }
}

static const char *const isa_names[TESS_N_ISAS] = {"scalar", "avx2", "avx512", "neon"};

#ifdef TESS_HAVE_AVX2
/* __builtin_cpu_supports does not know "f16c" in clang 14. */
static int has_f16c(void)
{
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}
#endif

static int isa_runs(enum tess_isa isa)
{
    switch (isa) {
    case TESS_SCALAR: return 1;
#ifdef TESS_HAVE_AVX2
    case TESS_AVX2:
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
#endif
#ifdef TESS_HAVE_AVX512
    case TESS_AVX512:
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#endif
#ifdef TESS_HAVE_NEON
    case TESS_NEON: return 1;
#endif
    default: return 0;
    }
}

int tess_base_isa(const char *name)
{
    int found = TESS_E_UNSUPPORTED;
    for (int isa = 0; isa < TESS_N_ISAS; isa++)
        if (isa_runs((enum tess_isa)isa) && (!name || !strcmp(name, isa_names[isa]))) found = isa;
    return found;
}

const char *tess_base_isa_name(enum tess_isa isa)
{
    return isa_names[isa];
}

const char *tess_kernel_name(int i)
{
    for (int isa = 0; isa < TESS_N_ISAS; isa++)
        if (isa_runs((enum tess_isa)isa) && i-- == 0) return isa_names[isa];
    return NULL;
}

/* What stands before a block of our own: its mapping's size, or 0 where malloc gave it. */
union head {
    size_t mapped;
    max_align_t align;
};

#ifdef TESS_SANITIZED
static const size_t LARGE = SIZE_MAX; /* a sanitizer looks after malloc's blocks alone */
#else
static const size_t LARGE = (size_t)2 << 20; /* bytes of a large page */
#endif

/* Weights that do not fit the caches come a sixth faster from large pages: fetching ahead ends where a
 * page does. The last part of one stays small, so no memory is wasted. malloc would not do: blocks that
 * begin where a large page does leave holes in its heap that the next ones do not fit. */
static union head *map(size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), n = (bytes + page - 1) / page * page;
    char *room = mmap(NULL, n + LARGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED) return NULL;
    const size_t before = (LARGE - (uintptr_t)room % LARGE) % LARGE;
    if (before) munmap(room, before);
    if (before < LARGE) munmap(room + before + n, LARGE - before);
#ifdef MADV_HUGEPAGE
    (void)madvise(room + before, n / LARGE * LARGE, MADV_HUGEPAGE); /* a wish */
#endif
    union head *head = (void *)(room + before);
    head->mapped = n;
    return head;
}

static void *default_alloc(void *ctx, size_t bytes)
{
    (void)ctx;
    if (bytes > SIZE_MAX / 2) return NULL;
    bytes += sizeof(union head);
    if (bytes >= LARGE) {
        union head *head = map(bytes);
        return head ? head + 1 : NULL;
    }
    union head *head = malloc(bytes);
    if (!head) return NULL;
    head->mapped = 0;
    return head + 1;
}

static void default_release(void *ctx, void *ptr)
{
    (void)ctx;
    if (!ptr) return;
    union head *head = (union head *)ptr - 1;
    if (head->mapped)
        munmap(head, head->mapped);
    else
        free(head);
}

struct tess_allocator tess_base_allocator(const struct tess_allocator *allocator)
{
    if (allocator) return *allocator;
    return (struct tess_allocator){.alloc = default_alloc, .release = default_release};
}

/* The pointer that the allocator gave stands just below the aligned block. */
void *tess_base_alloc(const struct tess_allocator *allocator, size_t bytes)
{
    if (bytes > SIZE_MAX - ALIGN - sizeof(void *)) return NULL;
    char *raw = allocator->alloc(allocator->ctx, bytes + ALIGN + sizeof(void *));
    if (!raw) return NULL;
    uintptr_t start = ((uintptr_t)raw + sizeof(void *) + ALIGN - 1) & ~(uintptr_t)(ALIGN - 1);
    void *ptr = raw + (start - (uintptr_t)raw);
    memcpy((char *)ptr - sizeof raw, &raw, sizeof raw);
    memset(ptr, 0, bytes);
    return ptr;
}

void tess_base_free(const struct tess_allocator *allocator, void *ptr)
{
    if (!ptr) return;
    void *raw;
    memcpy(&raw, (char *)ptr - sizeof raw, sizeof raw);
    allocator->release(allocator->ctx, raw);
}

int tess_base_fail(struct tess_why *why, int error, const char *format, ...)
{
    if (why) {
        va_list args;
        va_start(args, format);
        vsnprintf(why->text, sizeof why->text, format, args);
        va_end(args);
    }
    return error;
}
