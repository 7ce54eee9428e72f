/* A .tess file in, codes out. Holds the header and one chunk, whatever the length of the file;
 * no code leaves before its chunk's checksum has matched. */
#include "rvq/format.h"

#include <math.h>
#include <string.h>

struct tess_reader {
    struct tess_allocator allocator;
    struct tess_io io;
    struct tess_file_info info;
    struct tess_layout layout;
    uint8_t *header; /* the tags point into it */
    struct tess_tag *tags;
    uint16_t *codes;     /* [chunk_frames][K], the chunk read last */
    float *scales;       /* [n_scales], its segments' */
    uint8_t *chunk;      /* its bytes */
    int n_held, n_given; /* its frames, and how many have been handed out */
    int n_scales;
    int scales_from, scales_to; /* those of the frames handed out last */
    int is_whole;               /* the last segment has begun with its last frame */
    int64_t n_chunks;           /* before the next record */
    int64_t n_frames;           /* in them */
    struct tess_totals totals;
    int known, ended; /* totals are; the trailer has just been passed */
    int error;        /* 0, or what every further tess_reader_next returns, until a seek */
    struct tess_why why;
};

static int fail_short(struct tess_reader *r, struct tess_why *why, const char *where)
{
    return tess_base_fail(why, TESS_E_TRUNCATED, "the file ends within %s, after %lld whole frames",
                          where, (long long)r->n_frames);
}

/* Exactly n bytes, however few the source gives at a time. Returns 0, IO or TRUNCATED. */
static int
read_all(struct tess_reader *r, void *bytes, size_t n, const char *where, struct tess_why *why)
{
    uint8_t *at = bytes;
    while (n > 0) {
        ptrdiff_t got = r->io.read(r->io.ctx, at, n);
        if (got == 0) return fail_short(r, why, where);
        if (got < 0 || (size_t)got > n)
            return tess_base_fail(why, TESS_E_IO, "reading %s failed", where);
        at += got;
        n -= (size_t)got;
    }
    return TESS_OK;
}

/* ---- header ------------------------------------------------------------------------------ */

static int read_header(struct tess_reader *r, struct tess_why *why)
{
    uint8_t prologue[TESS_FORMAT_PROLOGUE];
    int err = read_all(r, prologue, sizeof prologue, "the header", why);
    if (err) return err;
    int bytes = tess_format_header_bytes(prologue, why);
    if (bytes < 0) return bytes;
    size_t n = (size_t)bytes;
    r->header = tess_base_alloc(&r->allocator, n);
    if (!r->header) return TESS_E_NOMEM;
    memcpy(r->header, prologue, sizeof prologue);
    err = read_all(r, r->header + sizeof prologue, n - sizeof prologue, "the header", why);
    if (err) return err;
    int n_tags = tess_format_count_tags(r->header, n, why);
    if (n_tags < 0) return n_tags;
    r->tags = tess_base_alloc(&r->allocator, (size_t)n_tags * sizeof *r->tags);
    if (!r->tags) return TESS_E_NOMEM;
    return tess_format_get_header(r->header, n, r->tags, &r->info, &r->layout, why);
}

int tess_reader_create(struct tess_reader **reader,
                       const struct tess_io *io,
                       const struct tess_allocator *allocator,
                       struct tess_why *why)
{
    *reader = NULL;
    struct tess_allocator memory = tess_base_allocator(allocator);
    struct tess_reader *r = tess_base_alloc(&memory, sizeof *r);
    if (!r) return tess_base_fail(why, TESS_E_NOMEM, "no memory for a reader");
    r->allocator = memory;
    r->io = *io;
    int err = read_header(r, why);
    if (err) goto failed;
    int full = r->layout.chunk_frames;
    err = TESS_E_NOMEM;
    r->codes =
        tess_base_alloc(&memory, (size_t)full * (size_t)r->layout.codebooks * sizeof *r->codes);
    int n_scales = tess_format_scales(&r->layout, full) + 1;
    r->scales = tess_base_alloc(&memory, (size_t)n_scales * sizeof *r->scales);
    r->chunk = tess_base_alloc(&memory, tess_format_chunk_bytes(&r->layout, full, n_scales));
    if (!r->codes || !r->scales || !r->chunk) goto failed;
    *reader = r;
    return TESS_OK;
failed:
    tess_reader_destroy(r);
    return err == TESS_E_NOMEM ? tess_base_fail(why, err, "no memory for a reader") : err;
}

void tess_reader_destroy(struct tess_reader *reader)
{
    if (!reader) return;
    struct tess_allocator memory = reader->allocator;
    tess_base_free(&memory, reader->header);
    tess_base_free(&memory, reader->tags);
    tess_base_free(&memory, reader->codes);
    tess_base_free(&memory, reader->scales);
    tess_base_free(&memory, reader->chunk);
    tess_base_free(&memory, reader);
}

const struct tess_file_info *tess_reader_info(const struct tess_reader *reader)
{
    return &reader->info;
}

int64_t tess_reader_samples(const struct tess_reader *reader)
{
    return reader->known ? reader->totals.n_samples : -1;
}

int64_t tess_reader_frames(const struct tess_reader *reader)
{
    return reader->known ? reader->totals.n_frames : -1;
}

/* ---- records: chunks, then the trailer --------------------------------------------------- */

/* The rest of a chunk's head, the mark being read: its frames are counted and returned. */
static int read_chunk_head(struct tess_reader *r, struct tess_why *why)
{
    if (r->n_frames != r->n_chunks * r->layout.chunk_frames || r->is_whole)
        return tess_base_fail(why, TESS_E_FORMAT, "chunk %lld follows one that must be the last",
                              (long long)r->n_chunks);
    int err = read_all(r, r->chunk + 4, TESS_FORMAT_CHUNK_HEAD - 4, "a chunk", why);
    if (err) return err;
    int n = tess_format_get_chunk_head(&r->layout, r->chunk, r->n_chunks, &r->n_scales, why);
    r->is_whole = n > 0 && r->n_scales > tess_format_scales(&r->layout, n);
    return n;
}

static int read_chunk(struct tess_reader *r, struct tess_why *why)
{
    int n = read_chunk_head(r, why);
    if (n < 0) return n;
    size_t bytes = tess_format_chunk_bytes(&r->layout, n, r->n_scales);
    size_t payload = tess_format_payload_bytes(&r->layout, n), end = bytes - TESS_FORMAT_CRC;
    uint8_t *at = r->chunk + TESS_FORMAT_CHUNK_HEAD;
    int err = read_all(r, at, bytes - TESS_FORMAT_CHUNK_HEAD, "a chunk", why);
    if (err) return err;
    if (tess_format_crc(0, r->chunk, end) != tess_le32(r->chunk + end))
        return tess_base_fail(why, TESS_E_CHECKSUM, "chunk %lld: the checksum does not match",
                              (long long)r->n_chunks);
    for (int i = 0; i < r->n_scales; i++, at += 4) {
        r->scales[i] = tess_format_get_scale(at);
        if (!isfinite(r->scales[i]))
            return tess_base_fail(why, TESS_E_FORMAT, "chunk %lld: a side value is not finite",
                                  (long long)r->n_chunks);
    }
    size_t n_codes = (size_t)n * (size_t)r->layout.codebooks;
    err = tess_bits_unpack(&r->layout.bits, at, payload, r->codes, n_codes);
    if (err)
        return tess_base_fail(why, err, "chunk %lld: %s", (long long)r->n_chunks,
                              err == TESS_E_CODE ? tess_strerror(err)
                                                 : "padding bits are not zero");
    r->n_held = n;
    r->n_given = 0;
    r->n_chunks++;
    r->n_frames += n;
    return TESS_OK;
}

/* Whether the trailer agrees with the header and with the chunks before it. */
static int check_totals(struct tess_reader *r, const struct tess_totals *said, struct tess_why *why)
{
    struct tess_totals due;
    int64_t promised = r->info.n_source;
    if (tess_format_totals(&r->info, said->n_source, &due) || said->n_samples != due.n_samples ||
        said->n_frames < due.n_frames)
        return tess_base_fail(why, TESS_E_FORMAT,
                              "trailer: %lld samples, %lld at the model's rate and %lld frames do "
                              "not agree",
                              (long long)said->n_source, (long long)said->n_samples,
                              (long long)said->n_frames);
    if (said->n_frames != r->n_frames || said->n_chunks != r->n_chunks)
        return tess_base_fail(why, TESS_E_FORMAT,
                              "trailer: %lld frames in %lld chunks where %lld in %lld came before",
                              (long long)said->n_frames, (long long)said->n_chunks,
                              (long long)r->n_frames, (long long)r->n_chunks);
    if (r->layout.segment_frames && r->n_frames && !r->is_whole &&
        r->n_frames % r->layout.segment_frames == 0)
        return tess_base_fail(why, TESS_E_FORMAT,
                              "trailer: the last segment, of one frame, has no side value");
    if (promised >= 0 && said->n_source != promised)
        return tess_base_fail(why, TESS_E_FORMAT, "trailer: %lld samples where the header has %lld",
                              (long long)said->n_source, (long long)promised);
    return TESS_OK;
}

/* The rest of the trailer, the mark being read, and the end of the file. */
static int read_trailer(struct tess_reader *r, struct tess_why *why)
{
    static const char where[] = "the trailer";
    uint8_t bytes[TESS_FORMAT_TRAILER_HEAD], tail[TESS_FORMAT_TRAILER_TAIL];
    memcpy(bytes, TESS_FORMAT_TRAILER, 4);
    int err = read_all(r, bytes + 4, sizeof bytes - 4, where, why);
    if (err) return err;
    struct tess_totals said;
    tess_format_get_trailer_head(&said, bytes);
    err = check_totals(r, &said, why);
    if (err) return err;

    uint32_t crc = tess_format_crc(0, bytes, sizeof bytes);
    for (int64_t i = 0; i < said.n_chunks; i++) {
        err = read_all(r, bytes, 8, where, why);
        if (err) return err;
        if (tess_le64(bytes) != tess_format_chunk_offset(&r->layout, (uint64_t)i))
            return tess_base_fail(why, TESS_E_FORMAT, "trailer: chunk %lld is not at byte %llu",
                                  (long long)i, (unsigned long long)tess_le64(bytes));
        crc = tess_format_crc(crc, bytes, 8);
    }
    err = read_all(r, bytes, sizeof tail, where, why);
    if (err) return err;
    tess_format_put_trailer_tail(&said, crc, tail);
    if (memcmp(bytes, tail, 8) || memcmp(bytes + 12, tail + 12, 4))
        return tess_base_fail(why, TESS_E_FORMAT, "trailer: its length or end mark is wrong");
    if (memcmp(bytes + 8, tail + 8, 4))
        return tess_base_fail(why, TESS_E_CHECKSUM, "trailer: the checksum does not match");
    ptrdiff_t more = r->io.read(r->io.ctx, bytes, 1);
    if (more < 0) return tess_base_fail(why, TESS_E_IO, "reading past the trailer failed");
    if (more > 0) return tess_base_fail(why, TESS_E_FORMAT, "bytes follow the trailer");
    r->totals = said;
    r->info.n_source = said.n_source;
    r->known = r->ended = 1;
    return TESS_OK;
}

enum record { CHUNK, TRAILER };

/* Reads the next record's mark into r->chunk. Returns a record or an error. */
static int read_mark(struct tess_reader *r, struct tess_why *why)
{
    int err = read_all(r, r->chunk, 4, "a record's mark", why);
    if (err) return err;
    if (!memcmp(r->chunk, TESS_FORMAT_CHUNK, 4)) return CHUNK;
    if (!memcmp(r->chunk, TESS_FORMAT_TRAILER, 4)) return TRAILER;
    return tess_base_fail(why, TESS_E_FORMAT, "neither a chunk nor the trailer follows %lld chunks",
                          (long long)r->n_chunks);
}

static int read_record(struct tess_reader *r, struct tess_why *why)
{
    int record = read_mark(r, why);
    if (record < 0) return record;
    return record == CHUNK ? read_chunk(r, why) : read_trailer(r, why);
}

int64_t
tess_reader_next(struct tess_reader *reader, uint16_t *codes, size_t capacity, struct tess_why *why)
{
    if (capacity == 0) return tess_base_fail(why, TESS_E_ARGUMENT, "room for no frame");
    if (reader->n_given == reader->n_held && !reader->ended && !reader->error)
        reader->error = read_record(reader, &reader->why);
    if (reader->error) {
        reader->scales_from = reader->scales_to;
        return tess_base_fail(why, reader->error, "%s", reader->why.text);
    }
    size_t columns = (size_t)reader->layout.codebooks, given = (size_t)reader->n_given;
    size_t n = (size_t)reader->n_held - given;
    if (n > capacity) n = capacity;
    memcpy(codes, reader->codes + given * columns, n * columns * sizeof *codes);
    reader->n_given += (int)n;
    reader->scales_from = n ? tess_format_scales(&reader->layout, (int)given) : reader->n_scales;
    reader->scales_to = reader->n_given == reader->n_held
                            ? reader->n_scales
                            : tess_format_scales(&reader->layout, reader->n_given);
    return (int64_t)n;
}

const float *tess_reader_scales(const struct tess_reader *reader, size_t *n)
{
    *n = (size_t)(reader->scales_to - reader->scales_from);
    return reader->scales + reader->scales_from;
}

/* ---- sources that can seek --------------------------------------------------------------- */

static int go_to(struct tess_reader *r, uint64_t offset, struct tess_why *why)
{
    if (r->io.seek(r->io.ctx, offset))
        return tess_base_fail(why, TESS_E_IO, "seeking to byte %llu failed",
                              (unsigned long long)offset);
    return TESS_OK;
}

/* Stands before chunk i, all chunks before it being full. */
static int go_to_chunk(struct tess_reader *r, int64_t i, struct tess_why *why)
{
    r->n_held = r->n_given = 0;
    r->n_scales = r->scales_from = r->scales_to = 0;
    r->is_whole = 0;
    r->n_chunks = i;
    r->n_frames = i * r->layout.chunk_frames;
    r->ended = 0;
    r->error = go_to(r, tess_format_chunk_offset(&r->layout, (uint64_t)i), &r->why);
    return r->error ? tess_base_fail(why, r->error, "%s", r->why.text) : TESS_OK;
}

/* From the first chunk's head to the next until the trailer has been read. */
static int walk(struct tess_reader *r, struct tess_why *why)
{
    int err = go_to_chunk(r, 0, why);
    if (err) return err;
    uint64_t offset = r->layout.header_bytes;
    for (;;) {
        int record = read_mark(r, why);
        if (record < 0) return record;
        if (record == TRAILER) return read_trailer(r, why);
        int n = read_chunk_head(r, why);
        if (n < 0) return n;
        offset += tess_format_chunk_bytes(&r->layout, n, r->n_scales);
        uint8_t last; /* a seek goes past a file's end without a word */
        err = go_to(r, offset - 1, why);
        if (!err) err = read_all(r, &last, 1, "a chunk", why);
        if (err) return err;
        r->n_chunks++;
        r->n_frames += n;
    }
}

int tess_reader_scan(struct tess_reader *reader, struct tess_why *why)
{
    if (!reader->io.seek) return tess_base_fail(why, TESS_E_UNSUPPORTED, "the source cannot seek");
    int err = walk(reader, why);
    /* A damaged file remains readable up to the damage. */
    int back = go_to_chunk(reader, 0, err ? NULL : why);
    return err ? err : back;
}

int tess_reader_seek(struct tess_reader *reader, int64_t frame, struct tess_why *why)
{
    if (!reader->io.seek) return tess_base_fail(why, TESS_E_UNSUPPORTED, "the source cannot seek");
    if (!reader->known) return tess_base_fail(why, TESS_E_ARGUMENT, "seeking needs a scan first");
    if (frame < 0 || frame > reader->totals.n_frames)
        return tess_base_fail(why, TESS_E_ARGUMENT, "frame %lld of %lld", (long long)frame,
                              (long long)reader->totals.n_frames);
    const int full = reader->layout.chunk_frames;
    int64_t chunk = frame / full;
    int within = (int)(frame % full);
    if (within == 0 && frame > 0 && frame == reader->totals.n_frames) { /* with segments it is the
                                              last chunk that says where the trailer is */
        chunk--;
        within = full;
    }
    int err = go_to_chunk(reader, chunk, why);
    if (err || within == 0) return err;
    err = read_record(reader, &reader->why);
    if (!err && reader->n_held < within)
        err = tess_base_fail(&reader->why, TESS_E_FORMAT,
                             "frame %lld is not where the trailer has it", (long long)frame);
    reader->error = err;
    if (err) return tess_base_fail(why, err, "%s", reader->why.text);
    reader->n_given = within;
    return TESS_OK;
}
