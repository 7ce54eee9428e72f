/* Any bytes as a .tess file, read through a pipe and through a source that can seek; then once
 * more with all checksums made right, so that what lies behind them is reached too. */
#include "src/base.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

struct input {
    const uint8_t *bytes;
    size_t size, at;
    size_t most; /* bytes a read gives at most */
};

static ptrdiff_t input_read(void *ctx, void *bytes, size_t n)
{
    struct input *in = ctx;
    size_t left = in->at < in->size ? in->size - in->at : 0;
    if (n > left) n = left;
    if (n > in->most) n = in->most;
    memcpy(bytes, in->bytes + in->at, n);
    in->at += n;
    return (ptrdiff_t)n;
}

static int input_seek(void *ctx, uint64_t offset)
{
    struct input *in = ctx;
    in->at = offset < in->size ? (size_t)offset : in->size;
    return 0;
}

static void check(int promise)
{
    if (!promise) abort();
}

/* Reads to the end or the first error; returns the frames. What was read must be in range. */
static int64_t drain(struct tess_reader *r, uint16_t *codes, int *error)
{
    const struct tess_file_info *info = tess_reader_info(r);
    int64_t n, n_frames = 0;
    while ((n = tess_reader_next(r, codes, 7, NULL)) > 0) {
        check(n <= 7);
        size_t n_scales;
        const float *scales = tess_reader_scales(r, &n_scales);
        check(n_scales <= 8 && (!n_scales || info->segment_frames));
        for (size_t i = 0; i < n_scales; i++)
            check(isfinite(scales[i]));
        for (int64_t i = 0; i < n * info->codebooks; i++)
            check((uint16_t)(codes[i] - info->code_min) < info->entries);
        n_frames += n;
    }
    *error = (int)n;
    return n_frames;
}

static void read_both_ways(const uint8_t *bytes, size_t n_bytes)
{
    struct input in = {bytes, n_bytes, 0, 13};
    struct tess_io pipe = {.ctx = &in, .read = input_read};
    struct tess_io file = {.ctx = &in, .read = input_read, .seek = input_seek};
    struct tess_reader *r;
    struct tess_why why;
    int error;
    if (tess_reader_create(&r, &pipe, NULL, &why)) return;
    size_t columns = (size_t)tess_reader_info(r)->codebooks;
    uint16_t *codes = malloc(7 * columns * sizeof *codes);
    check(codes != NULL);
    int64_t n_frames = drain(r, codes, &error);
    check(error != 0 || tess_reader_frames(r) == n_frames);
    tess_reader_destroy(r);

    in = (struct input){bytes, n_bytes, 0, n_bytes};
    check(!tess_reader_create(&r, &file, NULL, &why));
    int scan = tess_reader_scan(r, &why), again;
    check(scan == 0 || error < 0); /* a scan may miss damage, never invent it */
    check(drain(r, codes, &again) == n_frames && again == error);
    for (int64_t frame = 0; scan == 0 && frame <= n_frames; frame += 1 + n_frames / 5)
        if (!tess_reader_seek(r, frame, &why)) {
            int64_t left = drain(r, codes, &again);
            check(error != 0 || (again == 0 && left == n_frames - frame));
        }
    tess_reader_destroy(r);
    free(codes);
}

static void sign(uint8_t *bytes, size_t n)
{
    tess_put_le32(bytes + n, (uint32_t)crc32_z(0, bytes, n));
}

/* Makes the checksums right of header, chunks and trailer, as far as their lengths lead. */
static void sign_all(uint8_t *bytes, size_t n_bytes)
{
    enum { SHORTEST_HEADER = 65 };
    if (n_bytes < SHORTEST_HEADER) return;
    uint64_t at = tess_le32(bytes + 8);
    if (at < SHORTEST_HEADER || at > n_bytes) return;
    sign(bytes, (size_t)at - 4);
    while (n_bytes - at >= 36) {
        uint8_t *record = bytes + at;
        int is_chunk = !memcmp(record, "CHNK", 4);
        uint64_t side = 4 * (uint64_t)(tess_le32(record + 8) >> 16);
        uint64_t n = is_chunk ? 16 + side + tess_le32(record + 12)
                              : 36 + (tess_le64(record + 28) & 0xFFFFFF) * 8 + 8;
        if (n_bytes - at < n + 4) return;
        sign(record, (size_t)n);
        at += n + 4;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    read_both_ways(bytes, n_bytes);
    uint8_t *copy = malloc(n_bytes + 1);
    check(copy != NULL);
    memcpy(copy, bytes, n_bytes);
    sign_all(copy, n_bytes);
    read_both_ways(copy, n_bytes);
    free(copy);
    return 0;
}
