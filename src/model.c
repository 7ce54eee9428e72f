/* A model file in, a family's tables filled with its weights out. */
#include "src/segments.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *
metadata(const struct tess_safetensors *file, const char *key, struct tess_why *why)
{
    const char *value = tess_safetensors_metadata(file, key);
    if (!value) tess_base_fail(why, TESS_E_MODEL, "the metadata has no '%s'", key);
    return value;
}

static int
copy_text(char *out, size_t size, const char *key, const char *value, struct tess_why *why)
{
    if (!value) return TESS_E_MODEL;
    if (strlen(value) >= size)
        return tess_base_fail(why, TESS_E_MODEL,
                              "the metadata's '%s' is longer than %zu characters", key, size - 1);
    snprintf(out, size, "%s", value);
    return 0;
}

/* Who the file says it is; *family on success. */
static int read_metadata(const struct tess_safetensors *file,
                         struct tess_model_info *info,
                         const struct tess_family **family,
                         struct tess_why *why)
{
    const char *format = metadata(file, "tessera.format", why);
    if (!format) return TESS_E_MODEL;
    if (strcmp(format, "1"))
        return tess_base_fail(why, TESS_E_MODEL, "'tessera.format' is '%.16s' instead of '1'",
                              format);
    int err = copy_text(info->name, sizeof info->name, "tessera.name",
                        metadata(file, "tessera.name", why), why);
    if (!err)
        err = copy_text(info->family, sizeof info->family, "tessera.family",
                        metadata(file, "tessera.family", why), why);
    if (!err)
        err = copy_text(info->licence, sizeof info->licence, "tessera.licence",
                        metadata(file, "tessera.licence", why), why);
    if (err) return err;
    *family = tess_family_find(info->family);
    if (!*family)
        return tess_base_fail(why, TESS_E_FAMILY, "the family '%s' is not one of this version's",
                              info->family);
    return 0;
}

static int describe(const struct tess_safetensors *file,
                    const struct tess_family *family,
                    struct tess_blueprint *blueprint,
                    struct tess_why *why)
{
    struct tess_config config;
    int err = tess_config_open(&config, tess_safetensors_metadata(file, "tessera.config"), why);
    if (err) return err;
    err = family->describe(&config, blueprint, why);
    if (!err) err = tess_config_finish(&config, why);
    tess_config_close(&config);
    const int int8 = !strcmp(blueprint->arithmetic, "int8");
    if (!err && !(int8 && blueprint->int8) && strcmp(blueprint->arithmetic, "fp32"))
        err = tess_base_fail(why, TESS_E_MODEL,
                             "config: the arithmetic '%s' is not one of this version's",
                             blueprint->arithmetic);
    return err;
}

static int load_quantizer(struct tess_model *model,
                          const struct tess_blueprint *b,
                          struct tess_weights *weights)
{
    struct tess_quantizer *q = &model->quantizer;
    int err = tess_quantizer_create(q, b->quantizer, b->n_codebooks, b->latent_width, b->n_entries,
                                    weights->allocator, weights->why);
    for (int k = 0; k < b->n_codebooks && !err; k++) {
        if (b->quantizer[k].scalar) continue;
        const int dims[] = {b->n_entries, b->quantizer[k].width};
        float *entries;
        err = tess_weights_take(weights, b->quantizer[k].tensor, "", 2, dims, &entries);
        if (!err)
            err = tess_quantizer_fill(q, k, entries, weights->isa, model->encoder.runs,
                                      weights->allocator, weights->why);
        tess_base_free(weights->allocator, entries);
    }
    return err;
}

static int
check_ends(const struct tess_model *model, const struct tess_blueprint *b, struct tess_why *why)
{
    const struct tess_graph *e = &model->encoder, *d = &model->decoder;
    if (e->out_channels == b->latent_width && e->out_steps == 1 && d->out_channels == b->channels &&
        d->out_steps == b->hop)
        return 0;
    return tess_base_fail(
        why, TESS_E_MODEL,
        "the networks do not meet: [%d][%d] for a latent of %d, [%d][%d] for a hop of %d",
        e->out_steps, e->out_channels, b->latent_width, d->out_steps, d->out_channels, b->hop);
}

static int
check_clips(const struct tess_model *model, const struct tess_blueprint *b, struct tess_why *why)
{
    if (b->segment) return tess_segments_check(b, why);
    if (!(model->encoder.whole || model->decoder.whole) || b->max_seconds) return 0;
    return tess_base_fail(why, TESS_E_MODEL,
                          "the networks need a whole clip, which in this family has no bounds");
}

static enum tess_capability capability(const struct tess_graph *graph,
                                       const struct tess_blueprint *b)
{
    if (graph->whole && !b->segment) return TESS_WHOLE_CLIP;
    return graph->lag || b->segment ? TESS_DELAYED : TESS_LIVE;
}

static void fill_info(struct tess_model *model,
                      const struct tess_blueprint *b,
                      const struct tess_weights *weights)
{
    struct tess_model_info *info = &model->info;
    double frame_rate = (double)b->sample_rate / b->hop;
    info->size = sizeof *info;
    snprintf(info->arithmetic, sizeof info->arithmetic, "%s", b->arithmetic);
    snprintf(info->kernel, sizeof info->kernel, "%s", tess_base_isa_name(weights->isa));
    memcpy(info->sha256, weights->file->sha256, sizeof info->sha256);
    info->sample_rate = b->sample_rate;
    info->channels = b->channels;
    info->hop = b->hop;
    info->codebooks = b->n_codebooks;
    info->codebooks_default = b->codebooks_default;
    info->codebooks_legal = b->codebooks_legal;
    info->entries = b->n_entries;
    info->code_min = model->quantizer.code_min;
    info->encode = capability(&model->encoder, b);
    info->decode = capability(&model->decoder, b);
    info->encode_delay = b->segment ? b->segment - b->hop : model->encoder.lag * b->hop;
    info->decode_delay = b->segment ? 2 * b->segment - b->segment_stride : model->decoder.lag;
    info->min_samples = b->min_samples;
    info->max_samples = (int64_t)b->max_seconds * b->sample_rate / b->hop * b->hop;
    info->segment = b->segment;
    info->segment_stride = b->segment_stride;
    snprintf(info->option, sizeof info->option, "%s", b->option);
    info->option_max = b->option_max;
    info->drops_partial = b->drops_partial;
    info->parameters = weights->n_parameters;
    info->encode_flops = model->encoder.flops * frame_rate;
    info->decode_flops = model->decoder.flops * frame_rate;
}

/* One that will not run goes first: its weights have gone when the others come. */
static int load_networks(struct tess_model *model,
                         const struct tess_blueprint *b,
                         enum tess_use use,
                         struct tess_weights *weights)
{
    const int encodes = use != TESS_FOR_DECODING, decodes = use != TESS_FOR_ENCODING;
    int err = 0;
    for (int pass = 0; pass < 2 && !err; pass++) {
        if (pass == encodes)
            err = tess_graph_create(&model->encoder, &b->encoder, b->channels, b->hop, encodes,
                                    weights);
        else
            err = tess_graph_create(&model->decoder, &b->decoder, b->latent_width, 1, decodes,
                                    weights);
    }
    return err;
}

static int load(struct tess_model *model, struct tess_weights *weights, enum tess_use use)
{
    const struct tess_family *family = NULL;
    int err = read_metadata(weights->file, &model->info, &family, weights->why);
    if (err) return err;
    /* Tables of hundreds of rows: too large for a small thread's stack. */
    struct tess_blueprint *b = tess_base_alloc(weights->allocator, sizeof *b);
    if (!b) return TESS_E_NOMEM;
    err = describe(weights->file, family, b, weights->why);
    weights->int8 = !strcmp(b->arithmetic, "int8");
    model->latent_width = b->latent_width;
    model->int8 = b->int8;
    model->pad_last = b->pad_last;
    if (!err) err = load_networks(model, b, use, weights);
    if (!err) err = load_quantizer(model, b, weights);
    if (!err) err = tess_weights_finish(weights);
    if (!err) err = check_ends(model, b, weights->why);
    if (!err) err = check_clips(model, b, weights->why);
    if (!err) fill_info(model, b, weights);
    tess_base_free(weights->allocator, b);
    return err;
}

/* The kernels asked for by the options, else by TESSERA_KERNEL, else the fastest. */
static int choose_isa(const struct tess_model_options *options, struct tess_why *why)
{
    const char *name = options ? options->kernel : NULL, *from = "kernel";
    if (!name) {
        name = getenv("TESSERA_KERNEL");
        from = "TESSERA_KERNEL";
        if (name && !*name) name = NULL;
    }
    int isa = tess_base_isa(name);
    if (isa >= 0) return isa;
    char known[64] = "";
    for (int i = 0; tess_kernel_name(i); i++) {
        size_t at = strlen(known);
        snprintf(known + at, sizeof known - at, "%s%s", i ? ", " : "", tess_kernel_name(i));
    }
    return tess_base_fail(why, TESS_E_UNSUPPORTED, "%s '%.32s': this machine runs %s", from, name,
                          known);
}

static int open_file(struct tess_model **out,
                     struct tess_safetensors *file,
                     int isa,
                     enum tess_use use,
                     const struct tess_allocator *allocator,
                     struct tess_why *why)
{
    struct tess_model *model = tess_base_alloc(allocator, sizeof *model);
    if (!model) return tess_base_fail(why, TESS_E_NOMEM, "out of memory");
    model->allocator = *allocator;
    struct tess_weights weights = {
        .file = file, .allocator = allocator, .isa = (enum tess_isa)isa, .why = why};
    int err = load(model, &weights, use);
    if (err == TESS_E_NOMEM) tess_base_fail(why, err, "out of memory");
    if (err)
        tess_model_close(model);
    else
        *out = model;
    return err;
}

static int check_options(const struct tess_model_options *options, struct tess_why *why)
{
    if (options && options->size != sizeof *options)
        return tess_base_fail(why, TESS_E_ARGUMENT, "options of another version of the library");
    if (options && (options->use < TESS_FOR_BOTH || options->use > TESS_FOR_DECODING))
        return tess_base_fail(why, TESS_E_ARGUMENT, "options: the use %d is none",
                              (int)options->use);
    return choose_isa(options, why);
}

int tess_model_open(struct tess_model **model,
                    const char *path,
                    const struct tess_model_options *options,
                    struct tess_why *why)
{
    *model = NULL;
    int isa = check_options(options, why);
    if (isa < 0) return isa;
    struct tess_allocator allocator = tess_base_allocator(options ? options->allocator : NULL);
    struct tess_safetensors file;
    int err = tess_safetensors_open(&file, path, &allocator, why);
    if (err) return err;
    err = open_file(model, &file, isa, options ? options->use : TESS_FOR_BOTH, &allocator, why);
    tess_safetensors_close(&file);
    return err;
}

int tess_model_open_memory(struct tess_model **model,
                           const void *data,
                           size_t n_bytes,
                           const struct tess_model_options *options,
                           struct tess_why *why)
{
    *model = NULL;
    int isa = check_options(options, why);
    if (isa < 0) return isa;
    struct tess_allocator allocator = tess_base_allocator(options ? options->allocator : NULL);
    struct tess_safetensors file;
    int err = tess_safetensors_open_memory(&file, data, n_bytes, &allocator, why);
    if (err) return err;
    err = open_file(model, &file, isa, options ? options->use : TESS_FOR_BOTH, &allocator, why);
    tess_safetensors_close(&file);
    return err;
}

void tess_model_close(struct tess_model *model)
{
    if (!model) return;
    tess_graph_destroy(&model->encoder);
    tess_quantizer_destroy(&model->quantizer, &model->allocator);
    tess_graph_destroy(&model->decoder);
    struct tess_allocator allocator = model->allocator;
    tess_base_free(&allocator, model);
}

int tess_model_get_info(const struct tess_model *model, struct tess_model_info *info)
{
    if (info->size != sizeof *info) return TESS_E_ARGUMENT;
    *info = model->info;
    return 0;
}

int tess_model_codebooks(const struct tess_model *model, int n)
{
    if (n == 0) n = model->info.codebooks_default;
    const uint64_t legal = model->info.codebooks_legal;
    int is_rate = n == model->info.codebooks; /* all there are, where no others are named */
    if (legal) is_rate = n >= 1 && n <= 64 && legal >> (n - 1) & 1;
    return is_rate ? n : TESS_E_ARGUMENT;
}
