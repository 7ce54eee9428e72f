/* Codes in, a .tess file out. Holds one chunk of codes and one of bytes, whatever the length of
 * the recording: all chunks but the last have the same size, so the index is computed. */
#include "rvq/format.h"

#include <math.h>
#include <string.h>

struct tess_writer {
    struct tess_allocator allocator;
    struct tess_io io;
    struct tess_file_info info; /* without the tags, which the header has taken */
    struct tess_layout layout;
    uint16_t *codes; /* [chunk_frames][K], of which n_held frames wait for their chunk */
    float *scales; /* of the segments that begin in them, and one for the recording's last frame */
    uint8_t *chunk;
    int n_held, n_scales;
    int is_whole; /* the last segment has begun with its last frame: none can follow */
    int64_t n_frames, n_chunks; /* put; written */
    uint64_t n_bytes;
    int closed; /* 0, or what every further call returns: ENDED or IO */
};

static int emit(struct tess_writer *w, const uint8_t *bytes, size_t n)
{
    if (w->io.write(w->io.ctx, bytes, n)) {
        w->closed = TESS_E_IO;
        return TESS_E_IO;
    }
    w->n_bytes += n;
    return TESS_OK;
}

static int write_header(struct tess_writer *w, const struct tess_file_info *info)
{
    uint8_t *header = tess_base_alloc(&w->allocator, w->layout.header_bytes);
    if (!header) return TESS_E_NOMEM;
    tess_format_put_header(info, &w->layout, header);
    int err = emit(w, header, w->layout.header_bytes);
    tess_base_free(&w->allocator, header);
    return err;
}

int tess_writer_create(struct tess_writer **writer,
                       const struct tess_io *io,
                       const struct tess_file_info *info,
                       const struct tess_allocator *allocator,
                       struct tess_why *why)
{
    *writer = NULL;
    if (info->size != sizeof *info)
        return tess_base_fail(why, TESS_E_ARGUMENT, "tess_file_info of %zu bytes; %zu are known",
                              info->size, sizeof *info);
    struct tess_layout layout;
    int err = tess_format_check(info, &layout, TESS_E_ARGUMENT, why);
    if (err) return err;

    struct tess_allocator memory = tess_base_allocator(allocator);
    struct tess_writer *w = tess_base_alloc(&memory, sizeof *w);
    err = TESS_E_NOMEM;
    if (!w) goto failed;
    *w = (struct tess_writer){.allocator = memory, .io = *io, .info = *info, .layout = layout};
    w->info.tags = NULL;
    size_t n_codes = (size_t)layout.chunk_frames * (size_t)layout.codebooks;
    w->codes = tess_base_alloc(&memory, n_codes * sizeof *w->codes);
    size_t n_scales = (size_t)tess_format_scales(&layout, layout.chunk_frames) + 1;
    w->scales = tess_base_alloc(&memory, n_scales * sizeof *w->scales);
    w->chunk = tess_base_alloc(
        &memory, tess_format_chunk_bytes(&layout, layout.chunk_frames, (int)n_scales));
    if (!w->codes || !w->scales || !w->chunk) goto failed;
    err = write_header(w, info);
    if (err) goto failed;
    *writer = w;
    return TESS_OK;
failed:
    tess_writer_destroy(w);
    return tess_base_fail(why, err, "the header: %s", tess_strerror(err));
}

void tess_writer_destroy(struct tess_writer *writer)
{
    if (!writer) return;
    struct tess_allocator memory = writer->allocator;
    tess_base_free(&memory, writer->codes);
    tess_base_free(&memory, writer->scales);
    tess_base_free(&memory, writer->chunk);
    tess_base_free(&memory, writer);
}

uint64_t tess_writer_bytes(const struct tess_writer *writer)
{
    return writer->n_bytes;
}

static int write_chunk(struct tess_writer *w)
{
    size_t bytes = tess_format_chunk_bytes(&w->layout, w->n_held, w->n_scales);
    size_t n_codes = (size_t)w->n_held * (size_t)w->layout.codebooks, end = bytes - TESS_FORMAT_CRC;
    uint8_t *at = w->chunk + TESS_FORMAT_CHUNK_HEAD;
    tess_format_put_chunk_head(&w->layout, w->n_held, w->n_scales, w->chunk);
    for (int i = 0; i < w->n_scales; i++, at += 4)
        tess_format_put_scale(w->scales[i], at);
    tess_bits_pack(&w->layout.bits, w->codes, n_codes, at);
    tess_put_le32(w->chunk + end, tess_format_crc(0, w->chunk, end));
    w->n_held = w->n_scales = 0;
    w->n_chunks++;
    return emit(w, w->chunk, bytes);
}

int tess_writer_put(struct tess_writer *writer, const uint16_t *codes, size_t n_frames)
{
    return tess_writer_put_scaled(writer, codes, n_frames, NULL, 0);
}

/* One for each segment that begins in the next n frames, and maybe one that their last frame is. */
static int
check_scales(const struct tess_writer *w, size_t n_frames, const float *scales, size_t n_scales)
{
    const uint64_t each = (uint64_t)w->layout.segment_frames, before = (uint64_t)w->n_frames;
    if (!each) return n_scales ? TESS_E_ARGUMENT : TESS_OK;
    const uint64_t after = before + n_frames;
    const uint64_t due = (after + each - 1) / each - (before + each - 1) / each;
    const int may_be_whole = n_frames > 0 && after % each == 0;
    if (n_scales != due && !(may_be_whole && n_scales == due + 1)) return TESS_E_ARGUMENT;
    for (size_t i = 0; i < n_scales; i++)
        if (!isfinite(scales[i])) return TESS_E_NONFINITE;
    return w->is_whole && n_frames ? TESS_E_ARGUMENT : TESS_OK;
}

/* A full chunk of segments waits for what follows: it might be the last, with one scale more. */
int tess_writer_put_scaled(struct tess_writer *w,
                           const uint16_t *codes,
                           size_t n_frames,
                           const float *scales,
                           size_t n_scales)
{
    if (w->closed) return w->closed;
    const size_t columns = (size_t)w->layout.codebooks;
    const float *end = n_scales ? scales + n_scales : scales;
    const int full = w->layout.chunk_frames, has_segments = w->layout.segment_frames > 0;
    if (tess_bits_check(&w->layout.bits, codes, n_frames * columns)) return TESS_E_CODE;
    int err = check_scales(w, n_frames, scales, n_scales);
    while (n_frames > 0 && !err) {
        if (w->n_held == full) err = write_chunk(w);
        if (err) break;
        size_t held = (size_t)w->n_held, n = (size_t)full - held;
        if (n > n_frames) n = n_frames;
        memcpy(w->codes + held * columns, codes, n * columns * sizeof *codes);
        codes += n * columns;
        n_frames -= n;
        w->n_held += (int)n;
        w->n_frames += (int64_t)n;
        while (w->n_scales < tess_format_scales(&w->layout, w->n_held))
            w->scales[w->n_scales++] = *scales++;
        if (w->n_held == full && !has_segments) err = write_chunk(w);
    }
    if (!err && scales != end) {
        w->scales[w->n_scales++] = *scales;
        w->is_whole = 1;
    }
    return err;
}

static int write_trailer(struct tess_writer *w, const struct tess_totals *totals)
{
    uint8_t bytes[TESS_FORMAT_TRAILER_HEAD];
    tess_format_put_trailer_head(totals, bytes);
    uint32_t crc = tess_format_crc(0, bytes, sizeof bytes);
    int err = emit(w, bytes, sizeof bytes);
    for (int64_t i = 0; i < totals->n_chunks && !err; i++) {
        tess_put_le64(bytes, tess_format_chunk_offset(&w->layout, (uint64_t)i));
        crc = tess_format_crc(crc, bytes, 8);
        err = emit(w, bytes, 8);
    }
    if (err) return err;
    tess_format_put_trailer_tail(totals, crc, bytes);
    return emit(w, bytes, TESS_FORMAT_TRAILER_TAIL);
}

int tess_writer_finish(struct tess_writer *writer, int64_t n_source, struct tess_why *why)
{
    if (writer->closed)
        return tess_base_fail(why, writer->closed, "the file: %s", tess_strerror(writer->closed));
    if (writer->info.n_source >= 0 && n_source != writer->info.n_source)
        return tess_base_fail(why, TESS_E_ARGUMENT, "%lld samples where the header promised %lld",
                              (long long)n_source, (long long)writer->info.n_source);
    struct tess_totals totals;
    if (tess_format_totals(&writer->info, n_source, &totals))
        return tess_base_fail(why, TESS_E_ARGUMENT, "%lld samples are outside the format's range",
                              (long long)n_source);
    if (totals.n_frames > writer->n_frames)
        return tess_base_fail(why, TESS_E_ARGUMENT, "%lld frames where %lld samples take %lld",
                              (long long)writer->n_frames, (long long)n_source,
                              (long long)totals.n_frames);
    if (writer->layout.segment_frames && !writer->is_whole && writer->n_frames &&
        writer->n_frames % writer->layout.segment_frames == 0)
        return tess_base_fail(why, TESS_E_ARGUMENT, "the last segment, of one frame, has no scale");
    int err = writer->n_held > 0 ? write_chunk(writer) : TESS_OK;
    totals.n_frames = writer->n_frames;
    totals.n_chunks = writer->n_chunks;
    if (!err) err = write_trailer(writer, &totals);
    if (err)
        return tess_base_fail(why, err, "after %llu bytes: %s", (unsigned long long)writer->n_bytes,
                              tess_strerror(err));
    writer->closed = TESS_E_ENDED;
    return TESS_OK;
}
