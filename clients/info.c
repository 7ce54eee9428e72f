/* `tessera info`: a .tess file in, what it holds and whether it is whole out. The file is read to
 * its end, so every checksum is looked at; a pipe will do. */
#include "find_model.h"
#include "input.h"
#include "json_out.h"
#include "report.h"
#include "verbs.h"

#include <stdlib.h>
#include <sys/stat.h>

struct contents {
    const struct tess_file_info *info;
    int64_t n_frames;  /* that can be read */
    int64_t n_samples; /* of the trailer; -1 = it is not there */
    uint64_t n_bytes;
    bool complete;
    double seconds, kbits;
};

static int read_all(struct tess_reader *reader, const struct cli_input *in, struct contents *c)
{
    const struct tess_file_info *info = tess_reader_info(reader);
    struct tess_why why;
    enum { BLOCK = 256 };
    uint16_t *codes = malloc(sizeof *codes * BLOCK * (size_t)info->codebooks);
    if (!codes) return cli_fail_memory();
    *c = (struct contents){.info = info};
    int64_t n;
    while ((n = tess_reader_next(reader, codes, BLOCK, &why)) > 0)
        c->n_frames += n;
    free(codes);
    c->complete = n == 0;
    c->n_samples = c->complete ? tess_reader_samples(reader) : -1;
    struct stat st;
    c->n_bytes = in->seekable && fstat(in->fd, &st) == 0 ? (uint64_t)st.st_size : in->n_bytes;
    int64_t n_samples = c->complete ? c->n_samples : c->n_frames * info->hop;
    c->seconds = (double)n_samples / info->sample_rate;
    c->kbits = c->complete && c->seconds > 0 ? 8e-3 * (double)c->n_bytes / c->seconds : 0;
    return c->complete ? CLI_OK : cli_fail(CLI_FAILED, "%s: %s", in->name, why.text);
}

static void print_text(const char *name, const struct contents *c)
{
    const struct tess_file_info *i = c->info;
    printf("file         %s\n", name);
    printf("complete     %s\n", c->complete ? "yes" : "no");
    printf("model        %s (%s)\n", i->model, cli_fingerprint(i->fingerprint).text);
    printf("duration     %.3f s\n", c->seconds);
    if (c->complete)
        printf("samples      %lld at %d Hz, hop %d, channels %d\n", (long long)c->n_samples,
               i->sample_rate, i->hop, i->channels);
    if (i->n_source >= 0)
        printf("source       %lld samples at %d Hz\n", (long long)i->n_source, i->source_rate);
    printf("frames       %lld of %d codes from %d to %d\n", (long long)c->n_frames, i->codebooks,
           i->code_min, i->code_min + i->entries - 1);
    if (i->segment_frames)
        printf("segments     of %d frames, each with a scale\n", i->segment_frames);
    printf("size         %llu bytes", (unsigned long long)c->n_bytes);
    if (c->complete) printf(", %.3f kbit/s", c->kbits);
    putchar('\n');
    for (int t = 0; t < i->n_tags; t++)
        printf("tag          %s=%s\n", i->tags[t].key, i->tags[t].value);
}

/* A number, or null where it is below 0: not known. */
static void add(cJSON *root, const char *key, int64_t n)
{
    if (n < 0)
        cJSON_AddNullToObject(root, key);
    else
        cJSON_AddNumberToObject(root, key, (double)n);
}

static void print_json(const char *name, const struct contents *c)
{
    const struct tess_file_info *i = c->info;
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "file", name);
    cJSON_AddBoolToObject(root, "complete", c->complete);
    cJSON_AddStringToObject(root, "model", i->model);
    cJSON_AddStringToObject(root, "fingerprint", cli_fingerprint(i->fingerprint).text);
    cJSON_AddNumberToObject(root, "duration", c->seconds);
    cJSON_AddNumberToObject(root, "sample_rate", i->sample_rate);
    cJSON_AddNumberToObject(root, "hop", i->hop);
    cJSON_AddNumberToObject(root, "channels", i->channels);
    add(root, "n_samples", c->n_samples);
    cJSON_AddNumberToObject(root, "source_rate", i->source_rate);
    add(root, "n_source", i->n_source);
    add(root, "n_frames", c->n_frames);
    cJSON_AddNumberToObject(root, "n_codebooks", i->codebooks);
    cJSON_AddNumberToObject(root, "segment_frames", i->segment_frames);
    cJSON_AddNumberToObject(root, "entries", i->entries);
    cJSON_AddNumberToObject(root, "code_min", i->code_min);
    cJSON_AddNumberToObject(root, "bytes", (double)c->n_bytes);
    if (c->complete)
        cJSON_AddNumberToObject(root, "kbit_per_second", c->kbits);
    else
        cJSON_AddNullToObject(root, "kbit_per_second");
    cJSON *tags = cJSON_AddObjectToObject(root, "tags");
    for (int t = 0; t < i->n_tags; t++)
        cJSON_AddStringToObject(tags, i->tags[t].key, i->tags[t].value);
    cli_json_print(root, stdout);
}

/* A blank line parts one text from the next. */
static int show(const struct cli_options *options, const char *path, bool *is_next)
{
    struct cli_input in;
    struct tess_reader *reader = NULL;
    struct tess_io io = {.ctx = &in, .read = cli_input_read};
    struct tess_why why;
    int exit_code = cli_input_open(&in, path);
    if (!exit_code && tess_reader_create(&reader, &io, NULL, &why) != TESS_OK)
        exit_code = cli_fail(CLI_FAILED, "%s: %s", in.name, why.text);
    if (!exit_code) {
        struct contents c = {0};
        exit_code = read_all(reader, &in, &c);
        if (c.info && options->json)
            print_json(in.name, &c);
        else if (c.info) {
            if (*is_next) putchar('\n');
            print_text(in.name, &c);
            *is_next = true;
        }
    }
    tess_reader_destroy(reader);
    cli_input_close(&in);
    return exit_code;
}

int cli_info(const struct cli_options *options)
{
    int exit_code = CLI_OK;
    bool is_next = false;
    for (int i = 0; i < options->n_args; i++) {
        int of_this = show(options, options->args[i], &is_next);
        if (of_this) exit_code = of_this;
    }
    return exit_code;
}
