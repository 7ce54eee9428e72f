/* Samples between two threads. One thread writes, one reads; neither ever waits.
 *
 * `written` and `read` count samples since creation and wrap with size_t, which a power of two
 * divides; written - read is the fill and always within 0..capacity. Each thread stores its own
 * count only, with release after it has copied; the other loads it with acquire before it copies.
 * So a sample is in memory before the reader may see it, and has been read before the writer may
 * overwrite it. The counts lie on cache lines of their own, so that the threads do not take one
 * line from each other at every call. */
#include "src/base.h"

#include <stdatomic.h>
#include <string.h>

#if ATOMIC_LONG_LOCK_FREE != 2 || ATOMIC_INT_LOCK_FREE != 2
#error "an audio callback needs lock-free counters"
#endif

enum { CACHE_LINE = 64 };

struct tess_ring {
    struct tess_allocator allocator;
    size_t capacity; /* a power of two */
    _Alignas(CACHE_LINE) atomic_size_t written;
    _Alignas(CACHE_LINE) atomic_size_t read;
    _Alignas(CACHE_LINE) float samples[]; /* [capacity] */
};

int tess_ring_create(struct tess_ring **ring,
                     size_t capacity,
                     const struct tess_allocator *allocator)
{
    *ring = NULL;
    if (capacity < 1 || capacity > SIZE_MAX / (4 * sizeof(float))) return TESS_E_ARGUMENT;
    size_t rounded = 1;
    while (rounded < capacity)
        rounded *= 2;

    struct tess_allocator a = tess_base_allocator(allocator);
    struct tess_ring *r = tess_base_alloc(&a, sizeof *r + rounded * sizeof *r->samples);
    if (!r) return TESS_E_NOMEM;
    r->allocator = a;
    r->capacity = rounded;
    atomic_init(&r->written, 0);
    atomic_init(&r->read, 0);
    *ring = r;
    return TESS_OK;
}

void tess_ring_destroy(struct tess_ring *ring)
{
    if (!ring) return;
    struct tess_allocator a = ring->allocator;
    tess_base_free(&a, ring);
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t tess_ring_write(struct tess_ring *ring, const float *pcm, size_t n)
{
    const size_t written = atomic_load_explicit(&ring->written, memory_order_relaxed);
    const size_t read = atomic_load_explicit(&ring->read, memory_order_acquire);
    const size_t start = written & (ring->capacity - 1);

    n = smaller(n, ring->capacity - (written - read));
    if (n == 0) return 0;
    const size_t before_end = smaller(n, ring->capacity - start);
    memcpy(ring->samples + start, pcm, before_end * sizeof *pcm);
    memcpy(ring->samples, pcm + before_end, (n - before_end) * sizeof *pcm);

    atomic_store_explicit(&ring->written, written + n, memory_order_release);
    return n;
}

size_t tess_ring_read(struct tess_ring *ring, float *pcm, size_t n)
{
    const size_t read = atomic_load_explicit(&ring->read, memory_order_relaxed);
    const size_t written = atomic_load_explicit(&ring->written, memory_order_acquire);
    const size_t start = read & (ring->capacity - 1);

    n = smaller(n, written - read);
    if (n == 0) return 0;
    const size_t before_end = smaller(n, ring->capacity - start);
    memcpy(pcm, ring->samples + start, before_end * sizeof *pcm);
    memcpy(pcm + before_end, ring->samples, (n - before_end) * sizeof *pcm);

    atomic_store_explicit(&ring->read, read + n, memory_order_release);
    return n;
}

/* `read` first: it never passes the `written` that is loaded after it. */
size_t tess_ring_fill(const struct tess_ring *ring)
{
    const size_t read = atomic_load_explicit(&ring->read, memory_order_acquire);
    const size_t written = atomic_load_explicit(&ring->written, memory_order_acquire);
    return written - read;
}
