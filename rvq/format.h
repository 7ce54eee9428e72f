/* The bytes of a .tess file, header to trailer: docs/format.md as constants and functions that the
 * writer and the reader share. Nothing here reads or writes a file. */
#ifndef TESS_FORMAT_H
#define TESS_FORMAT_H

#include "rvq/bits.h"

#define TESS_FORMAT_MAGIC   "TESS"
#define TESS_FORMAT_CHUNK   "CHNK"
#define TESS_FORMAT_TRAILER "TEND"
#define TESS_FORMAT_END     "SSET"

enum {
    TESS_FORMAT_VERSION = 1,
    TESS_FORMAT_PROLOGUE = 12, /* magic, version, header bytes: the same in every version */
    TESS_FORMAT_HEADER_MIN = 60 + 1 + 4,
    TESS_FORMAT_HEADER_MAX = 65536,
    TESS_FORMAT_CHUNK_HEAD = 16,
    TESS_FORMAT_TRAILER_HEAD = 36,
    TESS_FORMAT_TRAILER_TAIL = 16,
    TESS_FORMAT_CRC = 4,
};

/** What a header fixes for the rest of its file. */
struct tess_layout {
    struct tess_bits bits;
    int codebooks;
    int chunk_frames;   /* of every chunk but the last, which may have fewer */
    int segment_frames; /* of which the first has a scale: 0 = there are no segments */
    size_t header_bytes;
};

/** Checks every field and fills the layout. Returns 0 or `error` (ARGUMENT for a writer, FORMAT
 *  for a reader); why names the field, its value and its range. */
int tess_format_check(const struct tess_file_info *info,
                      struct tess_layout *layout,
                      int error,
                      struct tess_why *why);

/** Writes the header of a checked info, checksum included: layout->header_bytes bytes. */
void tess_format_put_header(const struct tess_file_info *info,
                            const struct tess_layout *layout,
                            uint8_t *bytes);

/** Bytes of the whole header, from its first TESS_FORMAT_PROLOGUE bytes. Errors: FORMAT. */
int tess_format_header_bytes(const uint8_t *bytes, struct tess_why *why);

/** Number of tags that the header of n bytes holds. Errors: CHECKSUM, FORMAT. */
int tess_format_count_tags(const uint8_t *bytes, size_t n, struct tess_why *why);

/** Reads and checks the header of n bytes whose tags were counted; info's tags [n_tags] point
 *  into `bytes`. Errors: FORMAT. */
int tess_format_get_header(const uint8_t *bytes,
                           size_t n,
                           struct tess_tag *tags,
                           struct tess_file_info *info,
                           struct tess_layout *layout,
                           struct tess_why *why);

/** Segments that begin in the first n frames of a chunk, each with a scale. The last frame of the
 *  recording may begin one more: see docs/format.md. Cannot fail. */
int tess_format_scales(const struct tess_layout *layout, int n_frames);

/** Bytes of a chunk of that many frames: its payload alone; and, with its scales, head to checksum.
 *  Cannot fail. */
size_t tess_format_payload_bytes(const struct tess_layout *layout, int n_frames);
size_t tess_format_chunk_bytes(const struct tess_layout *layout, int n_frames, int n_scales);

/** Where chunk i starts, all chunks before it being full. Cannot fail. */
uint64_t tess_format_chunk_offset(const struct tess_layout *layout, uint64_t i);

void tess_format_put_chunk_head(const struct tess_layout *layout,
                                int n_frames,
                                int n_scales,
                                uint8_t *bytes);

/** Frames of chunk `i`, which starts with these TESS_FORMAT_CHUNK_HEAD bytes. Errors: FORMAT. */
int tess_format_get_chunk_head(const struct tess_layout *layout,
                               const uint8_t *bytes,
                               int64_t i,
                               int *n_scales,
                               struct tess_why *why);

/** A scale's four bytes. Cannot fail. */
void tess_format_put_scale(float scale, uint8_t *bytes);
float tess_format_get_scale(const uint8_t *bytes);

/** How much was written, as the trailer says it. */
struct tess_totals {
    int64_t n_source;  /* samples per channel at the source's rate */
    int64_t n_samples; /* and at the model's: ceil(n_source * sample_rate / source_rate) */
    int64_t n_frames;  /* at least ceil(n_samples / hop): a model may pad or overlap */
    int64_t n_chunks;  /* ceil(n_frames / chunk_frames) */
};

/** What follows from n_source, which is all but n_chunks; n_frames is the least there may be. Errors:
 *  ARGUMENT (negative, or n_samples passes 2^63). */
int tess_format_totals(const struct tess_file_info *info,
                       int64_t n_source,
                       struct tess_totals *totals);

/** The trailer is a head, the index of chunk offsets (8 bytes each) and a tail of its length,
 *  checksum and end mark. `crc` is that of head and index. Cannot fail. */
void tess_format_put_trailer_head(const struct tess_totals *totals, uint8_t *bytes);
void tess_format_get_trailer_head(struct tess_totals *totals, const uint8_t *bytes);
void tess_format_put_trailer_tail(const struct tess_totals *totals, uint32_t crc, uint8_t *bytes);

/** CRC-32 (zlib's) of n bytes that follow those summed up in `crc`, 0 at first. Cannot fail. */
uint32_t tess_format_crc(uint32_t crc, const uint8_t *bytes, size_t n);

#endif
