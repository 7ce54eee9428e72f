/* Any bytes as a file of codes, .tess, .npy or JSON: frames or an error, as many frames as were
 * announced. What JSON holds is printed in every layout and read again the same. */
#include "formats/codes_in.h"
#include "formats/codes_json.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static void check(int holds)
{
    if (!holds) abort();
}

struct memory {
    const uint8_t *bytes;
    size_t n, at;
};

static ptrdiff_t memory_read(void *ctx, void *bytes, size_t n)
{
    struct memory *m = ctx;
    if (n > m->n - m->at) n = m->n - m->at;
    if (n > 0) memcpy(bytes, m->bytes + m->at, n);
    m->at += n;
    return (ptrdiff_t)n;
}

static int memory_seek(void *ctx, uint64_t offset)
{
    struct memory *m = ctx;
    if (offset > m->n) return -1;
    m->at = (size_t)offset;
    return 0;
}

static struct tess_io source(struct memory *m)
{
    return (struct tess_io){.ctx = m, .read = memory_read, .seek = memory_seek};
}

static void read_frames(const uint8_t *bytes, size_t n_bytes)
{
    enum { BLOCK = 64 };
    struct memory m = {bytes, n_bytes, 0};
    struct tess_io io = source(&m);
    struct fmt_codes_in c;
    struct tess_why why = {""};
    int error = fmt_codes_in_open(&c, &io, bytes, n_bytes < 6 ? n_bytes : 6, &why);
    if (error) {
        check(error < 0 && why.text[0]);
    } else {
        uint16_t *frames = malloc(BLOCK * (size_t)c.codebooks * sizeof *frames);
        check(frames != NULL);
        int64_t n, n_all = 0;
        while ((n = fmt_codes_in_read(&c, frames, BLOCK, &why)) > 0)
            n_all += n;
        check(n < 0 ? why.text[0] != 0 : c.reader || n_all == c.n_frames);
        free(frames);
    }
    fmt_codes_in_close(&c);
}

/* Blocks of `capacity` bytes make the text, whatever that is. */
static char *
print(const struct fmt_codes_json *json, enum fmt_layout layout, size_t capacity, size_t *n_text)
{
    struct fmt_json_text text;
    char *all = NULL;
    check(fmt_json_text_start(&text, json, layout, false) == 0);
    *n_text = 0;
    for (size_t n = 1; n > 0; *n_text += n) {
        all = realloc(all, *n_text + capacity);
        check(all != NULL);
        n = fmt_json_text_next(&text, all + *n_text, capacity);
    }
    fmt_json_text_stop(&text);
    return all;
}

static void print_and_read(const uint8_t *bytes, size_t n_bytes)
{
    struct memory m = {bytes, n_bytes, 0};
    struct tess_io io = source(&m);
    struct fmt_codes_json first, again;
    struct tess_why why;
    int error = fmt_codes_json_read(&first, &io, &why);
    for (int layout = 0; layout < FMT_N_LAYOUTS && !error; layout++) {
        size_t n;
        char *text = print(&first, (enum fmt_layout)layout, n_bytes % 100 + FMT_JSON_BLOCK, &n);
        struct memory printed = {(const uint8_t *)text, n, 0};
        io = source(&printed);
        check(fmt_codes_json_read(&again, &io, &why) == 0);
        check(again.n_frames == first.n_frames && again.codebooks == first.codebooks);
        check(memcmp(again.codes, first.codes,
                     (size_t)(first.n_frames * first.codebooks) * sizeof *first.codes) == 0);
        check(again.n_scales == first.n_scales);
        free(again.codes);
        free(again.scales);
        free(text);
    }
    free(first.codes);
    free(first.scales);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    if (n_bytes == 0) return 0;
    read_frames(bytes, n_bytes);
    print_and_read(bytes, n_bytes);
    return 0;
}
