/* A format, an id and a place in, names of files out. */
#include "batch_layout.h"

#include "report.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MAX_FOLDER = PATH_MAX - 2048 }; /* so that all names below it fit */

static const struct {
    const char *name, *codes, *shard;
} formats[] = {
    {"tess",       "tess", NULL    },
    {"npy",        "npy",  NULL    },
    {"webdataset", "npy",  ".tar"  },
    {"jsonl",      "rows", ".jsonl"},
};
enum { N_FORMATS = sizeof formats / sizeof formats[0] };

static const struct cli_codes_format *codes_of(int format)
{
    const struct cli_codes_format *codes = cli_codes_format(formats[format].codes, NULL);
    return codes ? codes : &cli_codes_rows;
}

int cli_layout(struct cli_layout *l, const char *format, const char *folder, int shard_size)
{
    int i = 0;
    while (format && i < N_FORMATS && strcmp(formats[i].name, format) != 0)
        i++;
    if (i == N_FORMATS)
        return cli_fail(CLI_USAGE, "--format %s: tess, npy, webdataset or jsonl", format);
    if (!*folder) return cli_fail(CLI_USAGE, "--out: a folder's name is missing");
    if (strlen(folder) > MAX_FOLDER) return cli_fail(CLI_USAGE, "--out: too long a name");
    *l = (struct cli_layout){folder, formats[i].name, codes_of(i), formats[i].shard,
                             shard_size ? shard_size : 4096};
    return CLI_OK;
}

const char *cli_layout_format_of(const char *codes)
{
    const char *suffix = strrchr(codes, '.');
    for (int i = 0; i < N_FORMATS && suffix; i++)
        if (strcmp(suffix, formats[i].shard ? formats[i].shard : codes_of(i)->suffix) == 0)
            return formats[i].name;
    return NULL;
}

bool cli_layout_is_taken(const char *id)
{
    static const char *const names[] = {"manifest.jsonl/", "manifest.sorted.jsonl/",
                                        "manifest.sorted.jsonl.tmp/", "errors.jsonl/"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strncmp(id, names[i], strlen(names[i])) == 0) return true;
    return false;
}

static struct cli_path print(const char *format, ...) __attribute__((format(printf, 1, 2)));

static struct cli_path print(const char *format, ...)
{
    struct cli_path path;
    va_list args;
    va_start(args, format);
    vsnprintf(path.text, sizeof path.text, format, args);
    va_end(args);
    return path;
}

struct cli_path cli_layout_codes(const struct cli_layout *l, const char *id, int64_t place)
{
    if (!l->shard) return print("%s%s", id, l->codes->suffix);
    return print("out-%06" PRId64 "%s", place / l->shard_size, l->shard);
}

struct cli_path cli_layout_file(const struct cli_layout *l, const char *name)
{
    return print("%s/%s", l->folder, name);
}

struct cli_path cli_layout_parts(const struct cli_layout *l, int64_t shard)
{
    return print("%s/out-%06" PRId64 ".parts", l->folder, shard);
}

struct cli_path cli_layout_item(const struct cli_layout *l, const char *id, int64_t place)
{
    if (!l->shard) return cli_layout_file(l, cli_layout_codes(l, id, place).text);
    const struct cli_path parts = cli_layout_parts(l, place / l->shard_size);
    return print("%s/%09" PRId64 "%s", parts.text, place, l->codes->suffix);
}
