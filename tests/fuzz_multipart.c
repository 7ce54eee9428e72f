/* A line as a Content-Type, what follows as a form's body: however the body is cut, the same file comes
 * out of it, no larger than the body. */
#include "server/multipart.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static void check(int holds)
{
    if (!holds) abort();
}

struct file {
    uint8_t *bytes;
    size_t n, most;
};

static void gather(void *ctx, const uint8_t *bytes, size_t n)
{
    struct file *f = ctx;
    check(n > 0 && n <= f->most - f->n);
    memcpy(f->bytes + f->n, bytes, n);
    f->n += n;
}

/* Returns 0 where it is no form, else 1, and 2 where it came whole. */
static int push(const struct srv_multipart *form,
                const uint8_t *body,
                size_t n,
                size_t piece,
                struct file *file)
{
    struct srv_multipart m = *form;
    file->n = 0;
    for (size_t at = 0; at < n; at += piece)
        if (!srv_multipart_push(&m, body + at, n - at < piece ? n - at : piece, gather, file))
            return 0;
    return 1 + srv_multipart_whole(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    char type[128] = "";
    const uint8_t *end = memchr(bytes, '\n', n_bytes);
    size_t n = end ? (size_t)(end - bytes) : n_bytes;
    struct srv_multipart form;
    if (n >= sizeof type) return 0;
    memcpy(type, bytes, n);
    srv_multipart_is(type);
    if (!srv_multipart_init(&form, type) || !end) return 0;
    bytes = end + 1;
    n_bytes -= n + 1;

    struct file whole = {malloc(n_bytes + 1), 0, n_bytes}, cut = {malloc(n_bytes + 1), 0, n_bytes};
    check(whole.bytes && cut.bytes);
    int got = push(&form, bytes, n_bytes, n_bytes + 1, &whole);
    for (size_t piece = 1; piece < 8; piece += 2) {
        check(push(&form, bytes, n_bytes, piece, &cut) == got);
        check(cut.n == whole.n && memcmp(cut.bytes, whole.bytes, cut.n) == 0);
    }
    free(whole.bytes);
    free(cut.bytes);
    return 0;
}
