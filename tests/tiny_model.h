/* A model of the family tessera of a few thousand bytes, as a description that a test may change
 * before it is written as a file: hop 4, 14 = 2 x 7 spectrum values, 8 channels, one block a side,
 * 2 groups of 2 layers of 4 entries. Its tensors are halves but for the encoder's biases. */
#ifndef TESS_TESTS_TINY_MODEL_H
#define TESS_TESTS_TINY_MODEL_H

#include "src/base.h"
#include "tests/random.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TINY_TENSORS = 64, TINY_BYTES = 32768, TINY_HOP = 4, TINY_CODEBOOKS = 4, TINY_ENTRIES = 4 };

struct tiny_tensor {
    char name[128];
    const char *dtype; /* "F16", or one of four bytes */
    int rank, dims[4];
};

struct tiny_model {
    const char *format, *family, *name, *licence; /* NULL: not in the file */
    char config[1024];
    int n_tensors;
    struct tiny_tensor tensors[TINY_TENSORS];
};

struct tiny_file {
    size_t n;
    unsigned char bytes[TINY_BYTES];
};

/* Appends a tensor; dims end at the first 0. */
static inline void
tiny_add(struct tiny_model *m, const char *name, const char *dtype, int d0, int d1, int d2)
{
    if (m->n_tensors == TINY_TENSORS) abort();
    struct tiny_tensor *t = &m->tensors[m->n_tensors++];
    *t = (struct tiny_tensor){
        .dtype = dtype, .rank = 1 + (d1 > 0) + (d2 > 0), .dims = {d0, d1, d2}
    };
    snprintf(t->name, sizeof t->name, "%s", name);
}

/* PREFIX.weight and PREFIX.bias [d0]. */
static inline void tiny_add_pair(
    struct tiny_model *m, const char *prefix, const char *bias_dtype, int d0, int d1, int d2)
{
    char name[64];
    snprintf(name, sizeof name, "%.40s.weight", prefix);
    tiny_add(m, name, "F16", d0, d1, d2);
    snprintf(name, sizeof name, "%.40s.bias", prefix);
    tiny_add(m, name, bias_dtype, d0, 0, 0);
}

static inline void tiny_add_side(struct tiny_model *m, const char *side, const char *bias_dtype)
{
    static const struct {
        const char *part;
        int d0, d1;
    } pairs[] = {
        {"in_norm",  8,  0 },
        {"0.norm",   8,  0 },
        {"0.up",     16, 8 },
        {"0.down",   8,  16},
        {"out_norm", 8,  0 }
    };
    char name[64];
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        snprintf(name, sizeof name, "%s.%s", side, pairs[i].part);
        tiny_add_pair(m, name, bias_dtype, pairs[i].d0, pairs[i].d1, 0);
    }
    snprintf(name, sizeof name, "%s.0.dw.weight", side);
    tiny_add(m, name, "F16", 3, 8, 0);
    snprintf(name, sizeof name, "%s.0.dw.bias", side);
    tiny_add(m, name, bias_dtype, 8, 0, 0);
    snprintf(name, sizeof name, "%s.0.gain", side);
    tiny_add(m, name, "F16", 8, 0, 0);
}

static inline struct tiny_model tiny_model(void)
{
    struct tiny_model m = {
        .format = "1", .family = "tessera", .name = "tiny", .licence = "CC0-1.0"};
    snprintf(m.config, sizeof m.config,
             "{\"channels\": 8, \"expansion\": 16, \"kernel\": 3, \"encoder_blocks\": 1, "
             "\"decoder_blocks\": 1, \"groups\": 2, \"layers\": 2, \"entries\": 4, "
             "\"group_width\": 2, \"phase_bins\": 3, \"n_fft\": 12, \"hop\": 4, "
             "\"sample_rate\": 8000, \"arithmetic\": \"fp32\"}");
    tiny_add_pair(&m, "encoder.in", "F32", 8, 7 + 2 * 3, 0);
    tiny_add_side(&m, "encoder", "F32");
    tiny_add_pair(&m, "encoder.to_latent", "F32", 4, 8, 0);
    tiny_add_pair(&m, "decoder.from_latent", "F16", 8, 4, 0);
    tiny_add_side(&m, "decoder", "F16");
    tiny_add_pair(&m, "decoder.head", "F16", 14, 8, 0);
    for (int i = 0; i < 4; i++) {
        char name[32];
        snprintf(name, sizeof name, "quantizer.%d.%d", i / 2, i % 2);
        tiny_add(&m, name, "F16", 4, 2, 0);
    }
    return m;
}

static inline struct tiny_tensor *tiny_find(struct tiny_model *m, const char *name)
{
    for (int i = 0; i < m->n_tensors; i++)
        if (!strcmp(m->tensors[i].name, name)) return &m->tensors[i];
    abort();
}

static inline void tiny_remove(struct tiny_model *m, const char *name)
{
    *tiny_find(m, name) = m->tensors[m->n_tensors - 1];
    m->n_tensors--;
}

/* Replaces `old`, which must be there, in the config. */
static inline void tiny_configure(struct tiny_model *m, const char *old, const char *new)
{
    char rest[sizeof m->config];
    char *at = strstr(m->config, old);
    if (!at) abort();
    snprintf(rest, sizeof rest, "%s", at + strlen(old));
    snprintf(at, (size_t)(m->config + sizeof m->config - at), "%s%s", new, rest);
}

static inline size_t tiny_tensor_bytes(const struct tiny_tensor *t)
{
    size_t n = strcmp(t->dtype, "F16") ? 4 : 2;
    for (int i = 0; i < t->rank; i++)
        n *= (size_t)t->dims[i];
    return n;
}

static inline size_t tiny_metadata(char *json, size_t size, const char *key, const char *value)
{
    size_t n = 0;
    if (!value) return 0;
    n += (size_t)snprintf(json, size, "\"tessera.%s\":\"", key);
    for (; *value; value++)
        n += (size_t)snprintf(json + n, size - n, *value == '"' ? "\\%c" : "%c", *value);
    return n + (size_t)snprintf(json + n, size - n, "\",");
}

static inline size_t tiny_header(const struct tiny_model *m, char *json, size_t size)
{
    size_t n = (size_t)snprintf(json, size, "{\"__metadata__\":{"), offset = 0;
    n += tiny_metadata(json + n, size - n, "format", m->format);
    n += tiny_metadata(json + n, size - n, "family", m->family);
    n += tiny_metadata(json + n, size - n, "name", m->name);
    n += tiny_metadata(json + n, size - n, "licence", m->licence);
    n += tiny_metadata(json + n, size - n, "config", m->config);
    n -= json[n - 1] == ','; /* the next text is written over it */
    n += (size_t)snprintf(json + n, size - n, "}");
    for (int i = 0; i < m->n_tensors; i++) {
        const struct tiny_tensor *t = &m->tensors[i];
        n += (size_t)snprintf(json + n, size - n, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[", t->name,
                              t->dtype);
        for (int d = 0; d < t->rank; d++)
            n += (size_t)snprintf(json + n, size - n, d ? ",%d" : "%d", t->dims[d]);
        n += (size_t)snprintf(json + n, size - n, "],\"data_offsets\":[%zu,%zu]}", offset,
                              offset + tiny_tensor_bytes(t));
        offset += tiny_tensor_bytes(t);
    }
    return n + (size_t)snprintf(json + n, size - n, "}");
}

/* The file, its values random: halves of 2^-5 .. 2 and, of four bytes, floats of the same. */
static inline void tiny_write(const struct tiny_model *m, struct tiny_file *f)
{
    uint64_t seed = 1;
    size_t n_json = tiny_header(m, (char *)f->bytes + 8, sizeof f->bytes - 8);
    tess_put_le64(f->bytes, n_json);
    f->n = 8 + n_json;
    for (int i = 0; i < m->n_tensors; i++) {
        const int wide = strcmp(m->tensors[i].dtype, "F16") != 0;
        size_t n = tiny_tensor_bytes(&m->tensors[i]) / (wide ? 4 : 2);
        if (f->n + tiny_tensor_bytes(&m->tensors[i]) > sizeof f->bytes) abort();
        for (; n > 0; n--) {
            uint32_t sign = (uint32_t)random_below(&seed, 2),
                     exponent = (uint32_t)random_below(&seed, 6);
            uint32_t fraction = (uint32_t)random_below(&seed, 1024);
            uint32_t bits = wide ? sign << 31 | (122 + exponent) << 23 | fraction << 13
                                 : sign << 15 | (10 + exponent) << 10 | fraction;
            for (int b = 0; b < (wide ? 4 : 2); b++)
                f->bytes[f->n++] = (unsigned char)(bits >> 8 * b);
        }
    }
}

#endif
