/* A file's bytes in; a table of tensors that point into them, metadata and SHA-256 out.
 * The file: u64 header length, header (JSON, padded with spaces), data. A tensor is in the table
 * only with all its numbers checked against the file's length. */
#define _DEFAULT_SOURCE /* madvise */
#include "src/safetensors.h"

#include "src/json.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sha2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LENGTH_BYTES = 8,
    MAX_BYTES = INT32_MAX,
    MAX_HEADER = 1 << 20,
    MAX_TENSORS = 4096,
    MAX_RANK = 4,
    MAX_METADATA = 64,
    MAX_KEY = 127,
    MAX_VALUE = 65535,
    HASHED = 1 << 20, /* bytes at a time */
};

static const struct {
    const char *name;
    size_t width;
} dtypes[] = {
#define DTYPE_ROW(name, width) [TESS_##name] = {#name, width},
    TESS_DTYPES(DTYPE_ROW)
#undef DTYPE_ROW
};

/* Gives a mapped file's pages back: they come again from the file if they are read. */
static void forget(const struct tess_safetensors *st, const unsigned char *bytes, size_t n)
{
    if (!st->mapping) return;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), begin = (size_t)(bytes - st->bytes);
    const size_t first = begin / page * page;
    madvise((char *)st->mapping + first, begin + n - first, MADV_DONTNEED);
}

static const char metadata_key[] = "__metadata__";

/* ---- one tensor's entry: {"dtype": "F16", "shape": [..], "data_offsets": [begin, end]} ---- */

static int read_dtype(struct tess_tensor *t, const cJSON *item, struct tess_why *why)
{
    const char *name = cJSON_GetStringValue(item);
    for (size_t i = 0; name && i < sizeof dtypes / sizeof *dtypes; i++)
        if (!strcmp(name, dtypes[i].name)) {
            t->dtype = (enum tess_dtype)i;
            return TESS_OK;
        }
    return tess_base_fail(why, TESS_E_MODEL,
                          "tensor '%s': dtype is none of F16, F32, BF16, I8, I32", t->name);
}

static int read_shape(struct tess_tensor *t, const cJSON *item, struct tess_why *why)
{
    t->rank = tess_json_ints(item, 1, MAX_BYTES, t->dims, MAX_RANK);
    if (t->rank < 1)
        return tess_base_fail(why, TESS_E_MODEL,
                              "tensor '%s': shape is not 1 to %d whole numbers of 1 to %d", t->name,
                              MAX_RANK, MAX_BYTES);
    for (int i = t->rank; i < MAX_RANK; i++)
        t->dims[i] = 1;
    t->n_elements = 1;
    for (int i = 0; i < t->rank; i++) {
        if ((size_t)t->dims[i] > MAX_BYTES / dtypes[t->dtype].width / t->n_elements)
            return tess_base_fail(why, TESS_E_MODEL, "tensor '%s': shape needs more than %d bytes",
                                  t->name, MAX_BYTES);
        t->n_elements *= (size_t)t->dims[i];
    }
    t->n_bytes = t->n_elements * dtypes[t->dtype].width;
    return TESS_OK;
}

static int read_offsets(struct tess_tensor *t,
                        const cJSON *item,
                        const unsigned char *data,
                        size_t n_data,
                        struct tess_why *why)
{
    int offsets[2];
    if (tess_json_ints(item, 0, MAX_BYTES, offsets, 2) != 2 || offsets[0] > offsets[1])
        return tess_base_fail(why, TESS_E_MODEL,
                              "tensor '%s': data_offsets are not two rising numbers of 0 to %d",
                              t->name, MAX_BYTES);
    size_t begin = (size_t)offsets[0], end = (size_t)offsets[1];
    if (end - begin != t->n_bytes)
        return tess_base_fail(why, TESS_E_MODEL,
                              "tensor '%s': data_offsets span %zu bytes, shape and dtype need %zu",
                              t->name, end - begin, t->n_bytes);
    if (end > n_data)
        return tess_base_fail(why, TESS_E_TRUNCATED,
                              "tensor '%s' ends at byte %zu of the data, the file holds %zu",
                              t->name, end, n_data);
    t->data = data + begin;
    return TESS_OK;
}

static int read_tensor(struct tess_tensor *t,
                       const cJSON *entry,
                       const unsigned char *data,
                       size_t n_data,
                       struct tess_why *why)
{
    const cJSON *dtype = NULL, *shape = NULL, *offsets = NULL;
    if (!cJSON_IsObject(entry))
        return tess_base_fail(why, TESS_E_MODEL, "tensor '%s' is not an object", t->name);
    for (const cJSON *field = entry->child; field; field = field->next) {
        const cJSON **slot = !strcmp(field->string, "dtype")          ? &dtype
                             : !strcmp(field->string, "shape")        ? &shape
                             : !strcmp(field->string, "data_offsets") ? &offsets
                                                                      : NULL;
        if (!slot || *slot)
            return tess_base_fail(why, TESS_E_MODEL, "tensor '%s' has a field unknown or twice",
                                  t->name);
        *slot = field;
    }
    int err = read_dtype(t, dtype, why);
    if (!err) err = read_shape(t, shape, why);
    if (!err) err = read_offsets(t, offsets, data, n_data, why);
    return err;
}

/* ---- the whole header ---- */

static int read_metadata(struct tess_safetensors *st, const cJSON *object, struct tess_why *why)
{
    if (st->metadata || !cJSON_IsObject(object) || cJSON_GetArraySize(object) > MAX_METADATA)
        return tess_base_fail(why, TESS_E_MODEL, "%s is not one object of at most %d entries",
                              metadata_key, MAX_METADATA);
    size_t n_bytes = 1;
    for (const cJSON *item = object->child; item; item = item->next) {
        const char *value = cJSON_GetStringValue(item);
        if (!tess_json_printable(item->string, MAX_KEY))
            return tess_base_fail(why, TESS_E_MODEL,
                                  "a key of %s is not 1 to %d characters of printable ASCII",
                                  metadata_key, MAX_KEY);
        if (!value || (*value && !tess_json_printable(value, MAX_VALUE)))
            return tess_base_fail(
                why, TESS_E_MODEL,
                "metadata '%s' is not a string of at most %d characters of printable ASCII",
                item->string, MAX_VALUE);
        n_bytes += strlen(item->string) + strlen(value) + 2;
    }
    st->metadata = tess_base_alloc(&st->allocator, n_bytes);
    if (!st->metadata) return tess_base_fail(why, TESS_E_NOMEM, "no memory for the metadata");
    char *end = st->metadata;
    for (const cJSON *item = object->child; item; item = item->next) {
        if (tess_safetensors_metadata(st, item->string))
            return tess_base_fail(why, TESS_E_MODEL, "metadata '%s' appears twice", item->string);
        size_t n_key = strlen(item->string) + 1, n_value = strlen(item->valuestring) + 1;
        memcpy(end, item->string, n_key);
        memcpy(end + n_key, item->valuestring, n_value);
        end += n_key + n_value;
    }
    return TESS_OK;
}

static int read_header(struct tess_safetensors *st,
                       const cJSON *header,
                       const unsigned char *data,
                       size_t n_data,
                       struct tess_why *why)
{
    int n_items = cJSON_GetArraySize(header);
    if (n_items > MAX_TENSORS + 1)
        return tess_base_fail(why, TESS_E_MODEL, "the header lists more than %d tensors",
                              MAX_TENSORS);
    st->tensors = tess_base_alloc(&st->allocator, (size_t)n_items * sizeof *st->tensors);
    if (!st->tensors) return tess_base_fail(why, TESS_E_NOMEM, "no memory for %d tensors", n_items);
    for (const cJSON *item = header->child; item; item = item->next) {
        int err;
        if (!strcmp(item->string, metadata_key)) {
            err = read_metadata(st, item, why);
        } else {
            struct tess_tensor *t = &st->tensors[st->n_tensors++];
            if (!tess_json_printable(item->string, sizeof t->name - 1))
                return tess_base_fail(
                    why, TESS_E_MODEL,
                    "the name of tensor %d is not 1 to %zu characters of printable ASCII",
                    st->n_tensors, sizeof t->name - 1);
            memcpy(t->name, item->string, strlen(item->string) + 1);
            err = read_tensor(t, item, data, n_data, why);
        }
        if (err) return err;
    }
    return TESS_OK;
}

/* ---- the tensors together ---- */

static int by_data(const void *a, const void *b)
{
    const struct tess_tensor *left = a, *right = b;
    return (left->data > right->data) - (left->data < right->data);
}

static int by_name(const void *a, const void *b)
{
    const struct tess_tensor *left = a, *right = b;
    return strcmp(left->name, right->name);
}

/* Every byte of the data belongs to exactly one tensor. Leaves the tensors sorted by name. */
static int check_tensors(struct tess_safetensors *st,
                         const unsigned char *data,
                         size_t n_data,
                         struct tess_why *why)
{
    const size_t n = (size_t)st->n_tensors;
    const unsigned char *next = data;
    qsort(st->tensors, n, sizeof *st->tensors, by_data);
    for (size_t i = 0; i < n; i++) {
        const struct tess_tensor *t = &st->tensors[i];
        if (t->data != next)
            return tess_base_fail(why, TESS_E_MODEL, "tensor '%s': %s before its data", t->name,
                                  t->data < next ? "an overlap" : "unused bytes");
        next += t->n_bytes;
    }
    if (next != data + n_data)
        return tess_base_fail(why, TESS_E_MODEL, "%td bytes follow the last tensor",
                              data + n_data - next);
    qsort(st->tensors, n, sizeof *st->tensors, by_name);
    for (size_t i = 1; i < n; i++)
        if (!by_name(&st->tensors[i - 1], &st->tensors[i]))
            return tess_base_fail(why, TESS_E_MODEL, "tensor '%s' appears twice",
                                  st->tensors[i].name);
    return TESS_OK;
}

/* st->bytes are there; fills the rest. */
static int read_file(struct tess_safetensors *st, struct tess_why *why)
{
    if (st->n_bytes < LENGTH_BYTES)
        return tess_base_fail(why, TESS_E_TRUNCATED, "%zu bytes are no safetensors file",
                              st->n_bytes);
    uint64_t n_header = tess_le64(st->bytes);
    size_t n_rest = st->n_bytes - LENGTH_BYTES;
    if (n_header > MAX_HEADER)
        return tess_base_fail(why, TESS_E_FORMAT,
                              "not a safetensors file, or one with a header of more than %d bytes",
                              MAX_HEADER);
    if (n_header > n_rest)
        return tess_base_fail(why, TESS_E_TRUNCATED, "the header has %zu of its %zu bytes", n_rest,
                              (size_t)n_header);
    const unsigned char *text = st->bytes + LENGTH_BYTES, *data = text + n_header;
    cJSON *header = tess_json_object("the header", (const char *)text, (size_t)n_header, why);
    if (!header) return TESS_E_FORMAT;
    int err = read_header(st, header, data, n_rest - (size_t)n_header, why);
    cJSON_Delete(header);
    if (!err) err = check_tensors(st, data, n_rest - (size_t)n_header, why);
    if (err) return err;

    SHA2_CTX sha;
    SHA256Init(&sha);
    for (size_t at = 0; at < st->n_bytes; at += HASHED) {
        size_t n = st->n_bytes - at < HASHED ? st->n_bytes - at : HASHED;
        SHA256Update(&sha, st->bytes + at, n);
        forget(st, st->bytes + at, n);
    }
    SHA256Final(st->sha256, &sha);
    return TESS_OK;
}

/* mapping: what close unmaps, also of a failed open, or NULL. */
static int open_bytes(struct tess_safetensors *st,
                      const void *data,
                      size_t n_bytes,
                      void *mapping,
                      const struct tess_allocator *allocator,
                      struct tess_why *why)
{
    *st = (struct tess_safetensors){.bytes = data,
                                    .n_bytes = n_bytes,
                                    .mapping = mapping,
                                    .allocator = tess_base_allocator(allocator)};
    int err = n_bytes > MAX_BYTES
                  ? tess_base_fail(why, TESS_E_MODEL, "the file has more than %d bytes", MAX_BYTES)
                  : read_file(st, why);
    if (err) tess_safetensors_close(st);
    return err;
}

int tess_safetensors_open_memory(struct tess_safetensors *st,
                                 const void *data,
                                 size_t n_bytes,
                                 const struct tess_allocator *allocator,
                                 struct tess_why *why)
{
    return open_bytes(st, data, n_bytes, NULL, allocator, why);
}

static int fail_errno(struct tess_why *why, const char *what)
{
    char text[128] = "";
    if (strerror_r(errno, text, sizeof text)) text[0] = 0;
    return tess_base_fail(why, TESS_E_IO, "%s: %s", what, text);
}

int tess_safetensors_open(struct tess_safetensors *st,
                          const char *path,
                          const struct tess_allocator *allocator,
                          struct tess_why *why)
{
    *st = (struct tess_safetensors){.n_bytes = 0};
    struct stat status;
    void *mapping = NULL;
    size_t n_bytes = 0;
    int err = TESS_OK;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* or a FIFO would make us wait */
    if (fd < 0) return fail_errno(why, "cannot open");
    if (fstat(fd, &status)) {
        err = fail_errno(why, "cannot read");
        goto done;
    }
    if (!S_ISREG(status.st_mode)) {
        err = tess_base_fail(why, TESS_E_IO, "not a regular file");
        goto done;
    }
    /* Nothing to map in an empty file; one too large is not mapped, only refused. */
    n_bytes = status.st_size > MAX_BYTES ? (size_t)MAX_BYTES + 1 : (size_t)status.st_size;
    if (n_bytes > 0 && n_bytes <= MAX_BYTES) {
        mapping = mmap(NULL, n_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
        if (mapping == MAP_FAILED) err = fail_errno(why, "cannot map");
    }
done:
    close(fd);
    return err ? err : open_bytes(st, mapping, n_bytes, mapping, allocator, why);
}

void tess_safetensors_close(struct tess_safetensors *st)
{
    tess_base_free(&st->allocator, st->tensors);
    tess_base_free(&st->allocator, st->metadata);
    if (st->mapping) munmap(st->mapping, st->n_bytes);
    *st = (struct tess_safetensors){.n_bytes = 0};
}

/* ---- use ---- */

const char *tess_safetensors_metadata(const struct tess_safetensors *st, const char *key)
{
    for (const char *k = st->metadata; k && *k;) {
        const char *value = k + strlen(k) + 1;
        if (!strcmp(k, key)) return value;
        k = value + strlen(value) + 1;
    }
    return NULL;
}

static int name_order(const void *name, const void *tensor)
{
    return strcmp(name, ((const struct tess_tensor *)tensor)->name);
}

struct tess_tensor *tess_safetensors_find(const struct tess_safetensors *st, const char *name)
{
    return bsearch(name, st->tensors, (size_t)st->n_tensors, sizeof *st->tensors, name_order);
}

/* IEEE 754 binary16 to binary32: sign 1, exponent 5 (bias 15 -> 127), fraction 10 bits. */
static float widen_half(const unsigned char b[2])
{
    uint32_t half = b[0] | (uint32_t)b[1] << 8;
    uint32_t exponent = half >> 10 & 0x1f, fraction = half & 0x3ff;
    if (exponent == 0x1f) return fraction ? NAN : INFINITY;
    float size;
    if (exponent == 0) {
        size = (float)fraction * 0x1p-24f;
    } else {
        uint32_t bits = (exponent + 127 - 15) << 23 | fraction << 13;
        memcpy(&size, &bits, sizeof size);
    }
    return half >> 15 ? -size : size;
}

static float read_float(const unsigned char b[4])
{
    uint32_t bits = tess_le32(b);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

int tess_safetensors_widen(const struct tess_tensor *tensor, float *out, struct tess_why *why)
{
    if (tensor->dtype != TESS_F16 && tensor->dtype != TESS_F32)
        return tess_base_fail(why, TESS_E_MODEL, "tensor '%s' is %s, not F16 or F32", tensor->name,
                              dtypes[tensor->dtype].name);
    for (size_t i = 0; i < tensor->n_elements; i++) {
        out[i] = tensor->dtype == TESS_F16 ? widen_half(tensor->data + 2 * i)
                                           : read_float(tensor->data + 4 * i);
        if (!isfinite(out[i]))
            return tess_base_fail(why, TESS_E_MODEL, "tensor '%s': element %zu is not finite",
                                  tensor->name, i);
    }
    return TESS_OK;
}

void tess_safetensors_forget(const struct tess_safetensors *st, const struct tess_tensor *tensor)
{
    forget(st, tensor->data, tensor->n_bytes);
}
