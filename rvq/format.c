/* A file's description in, bytes out, and back. Every number is held against its range before
 * anything is computed from it, so no product of sizes here can overflow. */
#include "rvq/format.h"

#include <string.h>
#include <zlib.h>

enum {
    MAX_RATE = 768000,
    MAX_HOP = 1 << 20,
    MAX_CODEBOOKS = 1024,
    MAX_CHANNELS = 64,
    MAX_TAG_KEY = 255,
    MAX_TAG_VALUE = 4096,
    MAX_TAGS = 65535,
    MAX_SEGMENT_FRAMES = 65535,
    MAX_CHUNK_SCALES = 65535,
    MAX_CHUNK_CODES = 1 << 20, /* what a reader must hold at once: 2 MiB of codes */
};

/* Byte offsets in the header; the model's name and the tags follow as NUL-terminated texts. */
enum {
    AT_VERSION = 4,
    AT_BYTES = 8,
    AT_FINGERPRINT = 12,
    AT_SAMPLE_RATE = 20,
    AT_HOP = 24,
    AT_CODEBOOKS = 28,
    AT_ENTRIES = 32,
    AT_CODE_MIN = 36,
    AT_CHANNELS = 40,
    AT_SOURCE_RATE = 44,
    AT_N_SOURCE = 48,
    AT_N_TAGS = 56,
    AT_SEGMENT_FRAMES = 58,
    AT_TEXTS = 60,
};

uint32_t tess_format_crc(uint32_t crc, const uint8_t *bytes, size_t n)
{
    return (uint32_t)crc32_z(crc, bytes, n);
}

/* Whether a text is UTF-8 (no overlong form, no surrogate) of low..high bytes. */
static int text_fits(const char *text, size_t low, size_t high)
{
    static const uint32_t smallest[] = {0, 0x80, 0x800, 0x10000};
    size_t length = text ? strnlen(text, high + 1) : 0;
    if (!text || length < low || length > high) return 0;
    const uint8_t *s = (const uint8_t *)text;
    while (*s) {
        uint32_t c = *s++;
        if (c < 0x80) continue;
        if (c < 0xC0 || c > 0xF7) return 0;
        int more = c >= 0xF0 ? 3 : c >= 0xE0 ? 2 : 1;
        uint32_t point = c & (0x3FU >> more);
        for (int i = 0; i < more; i++, s++) {
            if ((*s & 0xC0) != 0x80) return 0;
            point = point << 6 | (*s & 0x3FU);
        }
        int surrogate = point >= 0xD800 && point <= 0xDFFF;
        if (point < smallest[more] || point > 0x10FFFF || surrogate) return 0;
    }
    return 1;
}

/* Checks name and tags and counts the header's bytes. */
static int check_texts(const struct tess_file_info *info,
                       size_t *header_bytes,
                       int error,
                       struct tess_why *why)
{
    if (!text_fits(info->model, 0, sizeof info->model - 1))
        return tess_base_fail(why, error, "the model's name is not UTF-8 of at most %d bytes",
                              (int)sizeof info->model - 1);
    size_t bytes = AT_TEXTS + strlen(info->model) + 1 + TESS_FORMAT_CRC;
    for (int i = 0; i < info->n_tags; i++) {
        if (!text_fits(info->tags[i].key, 1, MAX_TAG_KEY))
            return tess_base_fail(why, error, "the key of tag %d is not UTF-8 of 1 to %d bytes", i,
                                  MAX_TAG_KEY);
        if (!text_fits(info->tags[i].value, 0, MAX_TAG_VALUE))
            return tess_base_fail(why, error,
                                  "the value of tag %d is not UTF-8 of at most %d bytes", i,
                                  MAX_TAG_VALUE);
        bytes += strlen(info->tags[i].key) + strlen(info->tags[i].value) + 2;
        if (bytes > TESS_FORMAT_HEADER_MAX)
            return tess_base_fail(why, error,
                                  "the header with tag %d has %zu bytes; the limit is %d", i, bytes,
                                  TESS_FORMAT_HEADER_MAX);
    }
    *header_bytes = bytes;
    return TESS_OK;
}

int tess_format_check(const struct tess_file_info *info,
                      struct tess_layout *layout,
                      int error,
                      struct tess_why *why)
{
    const struct {
        const char *name;
        int64_t value, low, high;
    } fields[] = {
        {"sample rate",          info->sample_rate,    1,  MAX_RATE          },
        {"hop",                  info->hop,            1,  MAX_HOP           },
        {"number of codebooks",  info->codebooks,      1,  MAX_CODEBOOKS     },
        {"number of channels",   info->channels,       1,  MAX_CHANNELS      },
        {"source's sample rate", info->source_rate,    1,  MAX_RATE          },
        {"number of samples",    info->n_source,       -1, INT64_MAX         },
        {"number of tags",       info->n_tags,         0,  MAX_TAGS          },
        {"frames of a segment",  info->segment_frames, 0,  MAX_SEGMENT_FRAMES},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (fields[i].value < fields[i].low || fields[i].value > fields[i].high)
            return tess_base_fail(why, error, "the %s is %lld; the range is %lld to %lld",
                                  fields[i].name, (long long)fields[i].value,
                                  (long long)fields[i].low, (long long)fields[i].high);
    if (tess_bits_init(&layout->bits, info->entries, info->code_min))
        return tess_base_fail(why, error, "%d codes from %d on do not fit 16 bits", info->entries,
                              info->code_min);
    layout->codebooks = info->codebooks;
    layout->segment_frames = info->segment_frames;
    layout->chunk_frames = (2 * info->sample_rate + info->hop - 1) / info->hop;
    if (info->segment_frames)
        layout->chunk_frames +=
            (info->segment_frames - layout->chunk_frames % info->segment_frames) %
            info->segment_frames;
    if (layout->chunk_frames > MAX_CHUNK_CODES / info->codebooks)
        return tess_base_fail(why, error, "%d frames of %d codes in a chunk; the limit is %d codes",
                              layout->chunk_frames, info->codebooks, MAX_CHUNK_CODES);
    if (tess_format_scales(layout, layout->chunk_frames) + 1 > MAX_CHUNK_SCALES)
        return tess_base_fail(why, error, "%d frames in segments of %d; the limit is %d segments",
                              layout->chunk_frames, info->segment_frames, MAX_CHUNK_SCALES - 1);
    return check_texts(info, &layout->header_bytes, error, why);
}

/* ---- header ------------------------------------------------------------------------------ */

static uint8_t *put_text(uint8_t *at, const char *text)
{
    size_t bytes = strlen(text) + 1;
    memcpy(at, text, bytes);
    return at + bytes;
}

void tess_format_put_header(const struct tess_file_info *info,
                            const struct tess_layout *layout,
                            uint8_t *bytes)
{
    memcpy(bytes, TESS_FORMAT_MAGIC, 4);
    tess_put_le32(bytes + AT_VERSION, TESS_FORMAT_VERSION);
    tess_put_le32(bytes + AT_BYTES, (uint32_t)layout->header_bytes);
    memcpy(bytes + AT_FINGERPRINT, info->fingerprint, sizeof info->fingerprint);
    tess_put_le32(bytes + AT_SAMPLE_RATE, (uint32_t)info->sample_rate);
    tess_put_le32(bytes + AT_HOP, (uint32_t)info->hop);
    tess_put_le32(bytes + AT_CODEBOOKS, (uint32_t)info->codebooks);
    tess_put_le32(bytes + AT_ENTRIES, (uint32_t)info->entries);
    tess_put_le32(bytes + AT_CODE_MIN, (uint32_t)info->code_min);
    tess_put_le32(bytes + AT_CHANNELS, (uint32_t)info->channels);
    tess_put_le32(bytes + AT_SOURCE_RATE, (uint32_t)info->source_rate);
    tess_put_le64(bytes + AT_N_SOURCE, (uint64_t)info->n_source);
    tess_put_le32(bytes + AT_N_TAGS, (uint32_t)info->n_tags | (uint32_t)info->segment_frames << 16);
    uint8_t *at = put_text(bytes + AT_TEXTS, info->model);
    for (int i = 0; i < info->n_tags; i++) {
        at = put_text(at, info->tags[i].key);
        at = put_text(at, info->tags[i].value);
    }
    tess_put_le32(at, tess_format_crc(0, bytes, (size_t)(at - bytes)));
}

int tess_format_header_bytes(const uint8_t *bytes, struct tess_why *why)
{
    if (memcmp(bytes, TESS_FORMAT_MAGIC, 4))
        return tess_base_fail(why, TESS_E_FORMAT, "not a .tess file: it does not start with '%s'",
                              TESS_FORMAT_MAGIC);
    uint32_t version = tess_le32(bytes + AT_VERSION);
    if (version != TESS_FORMAT_VERSION)
        return tess_base_fail(why, TESS_E_FORMAT, "format version %u; only version %d is known",
                              version, TESS_FORMAT_VERSION);
    uint32_t n = tess_le32(bytes + AT_BYTES);
    if (n < TESS_FORMAT_HEADER_MIN || n > TESS_FORMAT_HEADER_MAX)
        return tess_base_fail(why, TESS_E_FORMAT, "a header of %u bytes; the range is %d to %d", n,
                              TESS_FORMAT_HEADER_MIN, TESS_FORMAT_HEADER_MAX);
    return (int)n;
}

/* A 32-bit field as the int it must fit; past 2^31 it turns negative and so fails its range. */
static int get_int(const uint8_t *bytes)
{
    return (int32_t)tess_le32(bytes);
}

static int get_short(const uint8_t *bytes)
{
    return bytes[0] | bytes[1] << 8;
}

int tess_format_count_tags(const uint8_t *bytes, size_t n, struct tess_why *why)
{
    if (tess_format_crc(0, bytes, n - TESS_FORMAT_CRC) != tess_le32(bytes + n - TESS_FORMAT_CRC))
        return tess_base_fail(why, TESS_E_CHECKSUM, "the header's checksum does not match");
    int n_tags = get_short(bytes + AT_N_TAGS);
    if ((size_t)n_tags > n)
        return tess_base_fail(why, TESS_E_FORMAT, "%d tags in a header of %zu bytes", n_tags, n);
    return n_tags;
}

/* The text at *at, and *at past it; NULL if it does not end before `end`. */
static const char *get_text(const uint8_t **at, const uint8_t *end)
{
    const uint8_t *text = *at, *nul = memchr(text, 0, (size_t)(end - text));
    if (!nul) return NULL;
    *at = nul + 1;
    return (const char *)text;
}

int tess_format_get_header(const uint8_t *bytes,
                           size_t n,
                           struct tess_tag *tags,
                           struct tess_file_info *info,
                           struct tess_layout *layout,
                           struct tess_why *why)
{
    *info = (struct tess_file_info){
        .size = sizeof *info,
        .sample_rate = get_int(bytes + AT_SAMPLE_RATE),
        .hop = get_int(bytes + AT_HOP),
        .codebooks = get_int(bytes + AT_CODEBOOKS),
        .entries = get_int(bytes + AT_ENTRIES),
        .code_min = get_int(bytes + AT_CODE_MIN),
        .channels = get_int(bytes + AT_CHANNELS),
        .source_rate = get_int(bytes + AT_SOURCE_RATE),
        .n_source = (int64_t)tess_le64(bytes + AT_N_SOURCE),
        .n_tags = get_short(bytes + AT_N_TAGS),
        .segment_frames = get_short(bytes + AT_SEGMENT_FRAMES),
        .tags = tags,
    };
    memcpy(info->fingerprint, bytes + AT_FINGERPRINT, sizeof info->fingerprint);

    const uint8_t *at = bytes + AT_TEXTS, *end = bytes + n - TESS_FORMAT_CRC;
    const char *name = get_text(&at, end);
    if (!name || strlen(name) >= sizeof info->model)
        return tess_base_fail(why, TESS_E_FORMAT, "the model's name has no end within %zu bytes",
                              sizeof info->model);
    memcpy(info->model, name, strlen(name));
    for (int i = 0; i < info->n_tags; i++) {
        tags[i].key = get_text(&at, end);
        tags[i].value = get_text(&at, end);
        if (!tags[i].value)
            return tess_base_fail(why, TESS_E_FORMAT, "tag %d does not end within the header", i);
    }
    if (at != end)
        return tess_base_fail(why, TESS_E_FORMAT, "%zu bytes too many in the header",
                              (size_t)(end - at));
    return tess_format_check(info, layout, TESS_E_FORMAT, why);
}

/* ---- chunk ------------------------------------------------------------------------------- */

int tess_format_scales(const struct tess_layout *layout, int n_frames)
{
    const int each = layout->segment_frames;
    return each ? (n_frames + each - 1) / each : 0;
}

size_t tess_format_payload_bytes(const struct tess_layout *layout, int n_frames)
{
    return tess_bits_bytes(&layout->bits, (size_t)n_frames * (size_t)layout->codebooks);
}

size_t tess_format_chunk_bytes(const struct tess_layout *layout, int n_frames, int n_scales)
{
    return TESS_FORMAT_CHUNK_HEAD + 4 * (size_t)n_scales +
           tess_format_payload_bytes(layout, n_frames) + TESS_FORMAT_CRC;
}

uint64_t tess_format_chunk_offset(const struct tess_layout *layout, uint64_t i)
{
    const int full = layout->chunk_frames;
    return layout->header_bytes +
           i * tess_format_chunk_bytes(layout, full, tess_format_scales(layout, full));
}

/* Head: mark, frames, payload kind (low 16 bits) and side values (high), payload bytes. Kind 0, bits,
 * is all that this version knows. */
void tess_format_put_chunk_head(const struct tess_layout *layout,
                                int n_frames,
                                int n_scales,
                                uint8_t *bytes)
{
    memcpy(bytes, TESS_FORMAT_CHUNK, 4);
    tess_put_le32(bytes + 4, (uint32_t)n_frames);
    tess_put_le32(bytes + 8, (uint32_t)n_scales << 16);
    tess_put_le32(bytes + 12, (uint32_t)tess_format_payload_bytes(layout, n_frames));
}

int tess_format_get_chunk_head(const struct tess_layout *layout,
                               const uint8_t *bytes,
                               int64_t i,
                               int *n_scales,
                               struct tess_why *why)
{
    long long chunk = i;
    uint32_t n_frames = tess_le32(bytes + 4), kind = tess_le32(bytes + 8) & 0xFFFF;
    uint32_t n_side = tess_le32(bytes + 8) >> 16, n_bytes = tess_le32(bytes + 12);
    if (n_frames < 1 || n_frames > (uint32_t)layout->chunk_frames)
        return tess_base_fail(why, TESS_E_FORMAT, "chunk %lld: %u frames; the range is 1 to %d",
                              chunk, n_frames, layout->chunk_frames);
    if (kind != 0)
        return tess_base_fail(why, TESS_E_FORMAT,
                              "chunk %lld: payload kind %u is not supported by this version", chunk,
                              kind);
    const int each = layout->segment_frames;
    const uint32_t due = (uint32_t)tess_format_scales(layout, (int)n_frames);
    const int may_begin_one_more = each && (int)n_frames % each == 0;
    if (n_side != due && !(may_begin_one_more && n_side == due + 1))
        return tess_base_fail(why, TESS_E_FORMAT,
                              "chunk %lld: %u side values where %u segments begin", chunk, n_side,
                              due);
    size_t expected = tess_format_payload_bytes(layout, (int)n_frames);
    if (n_bytes != expected)
        return tess_base_fail(why, TESS_E_FORMAT,
                              "chunk %lld: %u payload bytes where %u frames take %zu", chunk,
                              n_bytes, n_frames, expected);
    *n_scales = (int)n_side;
    return (int)n_frames;
}

void tess_format_put_scale(float scale, uint8_t *bytes)
{
    uint32_t bits;
    memcpy(&bits, &scale, sizeof bits);
    tess_put_le32(bytes, bits);
}

float tess_format_get_scale(const uint8_t *bytes)
{
    const uint32_t bits = tess_le32(bytes);
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return scale;
}

/* ---- trailer ----------------------------------------------------------------------------- */

/* ceil(n / d) for n >= 0, d >= 1, without a sum that could overflow. */
static int64_t ceil_div(int64_t n, int64_t d)
{
    return n / d + (n % d != 0);
}

int tess_format_totals(const struct tess_file_info *info,
                       int64_t n_source,
                       struct tess_totals *totals)
{
    if (n_source < 0) return TESS_E_ARGUMENT;
    int64_t rate = info->sample_rate, whole = n_source / info->source_rate;
    int64_t part = ceil_div(n_source % info->source_rate * rate, info->source_rate);
    if (whole > (INT64_MAX - part) / rate) return TESS_E_ARGUMENT;
    totals->n_source = n_source;
    totals->n_samples = whole * rate + part;
    totals->n_frames = ceil_div(totals->n_samples, info->hop);
    return TESS_OK;
}

void tess_format_put_trailer_head(const struct tess_totals *totals, uint8_t *bytes)
{
    memcpy(bytes, TESS_FORMAT_TRAILER, 4);
    tess_put_le64(bytes + 4, (uint64_t)totals->n_source);
    tess_put_le64(bytes + 12, (uint64_t)totals->n_samples);
    tess_put_le64(bytes + 20, (uint64_t)totals->n_frames);
    tess_put_le64(bytes + 28, (uint64_t)totals->n_chunks);
}

void tess_format_get_trailer_head(struct tess_totals *totals, const uint8_t *bytes)
{
    totals->n_source = (int64_t)tess_le64(bytes + 4);
    totals->n_samples = (int64_t)tess_le64(bytes + 12);
    totals->n_frames = (int64_t)tess_le64(bytes + 20);
    totals->n_chunks = (int64_t)tess_le64(bytes + 28);
}

void tess_format_put_trailer_tail(const struct tess_totals *totals, uint32_t crc, uint8_t *bytes)
{
    uint64_t index = (uint64_t)totals->n_chunks * 8;
    tess_put_le64(bytes, TESS_FORMAT_TRAILER_HEAD + index + TESS_FORMAT_TRAILER_TAIL);
    tess_put_le32(bytes + 8, tess_format_crc(crc, bytes, 8));
    memcpy(bytes + 12, TESS_FORMAT_END, 4);
}
