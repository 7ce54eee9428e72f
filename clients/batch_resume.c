/* A manifest and a folder in, the entries that count out. Files of their own are looked at when their
 * items are claimed; shards and parts here, because only all of a shard's lines together tell whether
 * it is whole. */
#include "batch_resume.h"

#include "batch_shard.h"
#include "find_model.h"
#include "formats/json.h"
#include "report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct line {
    const char *id, *codes, *model;
    double n_bytes, codebooks;
    int64_t key;
};

static const char *text_of(const cJSON *root, const char *member)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(root, member));
}

/* -1 where there is no whole number. */
static double number_of(const cJSON *root, const char *member)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(root, member);
    const double v = cJSON_IsNumber(value) ? value->valuedouble : -1;
    return v >= 0 && v < 0x1p53 && v == (double)(int64_t)v ? v : -1;
}

static bool read_members(const cJSON *root, struct line *line)
{
    const char *key = text_of(root, "key");
    line->id = text_of(root, "id");
    line->codes = text_of(root, "codes");
    line->model = text_of(root, "model_sha256");
    line->n_bytes = number_of(root, "n_bytes");
    line->codebooks = number_of(root, "n_codebooks");
    const bool is_key = key && strlen(key) < 16 && strspn(key, "0123456789") == strlen(key);
    line->key = is_key ? strtoll(key, NULL, 10) : -1;
    return line->id && line->codes && line->model && line->n_bytes >= 0;
}

static int check(const struct cli_layout *l,
                 const struct line *line,
                 const struct tess_model_info *model,
                 int codebooks)
{
    if (strcmp(line->model, cli_sha256(model->sha256).text) != 0 ||
        line->codebooks != (double)codebooks)
        return cli_fail(CLI_USAGE, "%s: --resume needs the same model and --codebooks", l->folder);
    const bool same = (line->key >= 0) == (l->shard != NULL) &&
                      strcmp(line->codes, cli_layout_codes(l, line->id, line->key).text) == 0;
    if (same) return CLI_OK;
    return cli_fail(CLI_USAGE, "%s: --resume needs the same --format and --shard-size", l->folder);
}

/* A line that makes no sense does not count; one of another batch ends it all. */
static int take_line(struct cli_journal *j,
                     const char *text,
                     size_t n,
                     const struct tess_model_info *model,
                     int codebooks)
{
    struct line line;
    int exit_code = CLI_OK;
    cJSON *root = fmt_json_parse(text, n);
    if (root && read_members(root, &line) &&
        !(exit_code = check(j->layout, &line, model, codebooks))) {
        struct cli_entry *entry = cli_journal_entry(j, line.id);
        if (entry) {
            entry->key = line.key;
            entry->line_at = j->n_manifest;
            entry->n_line = (int32_t)n;
            entry->n_bytes = (int64_t)line.n_bytes;
        } else {
            exit_code = cli_fail_memory();
        }
    }
    cJSON_Delete(root);
    return exit_code;
}

static int by_key(const void *a, const void *b)
{
    const struct cli_entry *x = *(struct cli_entry *const *)a, *y = *(struct cli_entry *const *)b;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    return x->line_at < y->line_at ? -1 : x->line_at > y->line_at;
}

static int64_t size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? st.st_size : -1;
}

/* Notes where runs begin in a shard: of all entries, or only of those that are not marked as parts.
 * Returns whether the shard is like that. */
static bool
lay_out(const struct cli_layout *l, struct cli_entry **entries, size_t n, const bool *is_part)
{
    const struct cli_path path = cli_layout_file(l, cli_layout_codes(l, "", entries[0]->key).text);
    int64_t at = 0;
    for (size_t i = 0; i < n; i++) {
        const bool is_in = !is_part || !is_part[i];
        entries[i]->run_at = is_in ? at : -1;
        if (is_in) at += cli_shard_run(l, entries[i]);
    }
    return at + cli_shard_end(l, at) == size_of(path.text) &&
           cli_shard_holds(l, path.text, entries, n);
}

/* Each entry of a shard is in it, or has come later and is a part; the bytes must add up. What was
 * stopped between the new shard's name and the removal of its parts is both. */
static void settle(const struct cli_layout *l, struct cli_entry **entries, size_t n, bool *is_part)
{
    if (lay_out(l, entries, n, NULL)) return;
    for (size_t i = 0; i < n; i++) {
        const struct cli_path part = cli_layout_item(l, "", entries[i]->key);
        is_part[i] = size_of(part.text) == entries[i]->n_bytes;
    }
    const bool adds_up = lay_out(l, entries, n, is_part);
    for (size_t i = 0; i < n; i++)
        if (!is_part[i] && !adds_up) entries[i]->line_at = entries[i]->run_at = -1;
}

static int settle_all(struct cli_journal *j)
{
    struct cli_entry **sorted = malloc(j->n_entries * sizeof *sorted + 1);
    bool *is_part = malloc(j->n_entries + 1);
    const int exit_code = sorted && is_part ? CLI_OK : cli_fail_memory();
    const int64_t shard_size = j->layout->shard_size;
    size_t n = 0;
    if (exit_code) goto done;
    for (size_t i = 0; i < j->n_entries; i++)
        sorted[i] = &j->entries[i];
    qsort(sorted, j->n_entries, sizeof *sorted, by_key);
    for (size_t i = 0; i < j->n_entries; i++) { /* of a place the last line counts */
        if (n > 0 && sorted[n - 1]->key == sorted[i]->key) sorted[--n]->line_at = -1;
        sorted[n++] = sorted[i];
    }
    for (size_t from = 0, to = 0; from < n; from = to) {
        const int64_t shard = sorted[from]->key / shard_size;
        while (to < n && sorted[to]->key / shard_size == shard)
            to++;
        settle(j->layout, sorted + from, to - from, is_part);
    }
done:
    free(sorted);
    free(is_part);
    return exit_code;
}

int cli_resume(struct cli_journal *j, const struct tess_model_info *model, int codebooks)
{
    char *line = NULL;
    size_t capacity = 0;
    int exit_code = CLI_OK;
    ptrdiff_t n;
    while (!exit_code && (n = getline(&line, &capacity, j->manifest)) > 0 && line[n - 1] == '\n') {
        exit_code = take_line(j, line, (size_t)n - 1, model, codebooks);
        j->n_manifest += n;
    }
    free(line);
    if (!exit_code && (ferror(j->manifest) || ftruncate(fileno(j->manifest), j->n_manifest) < 0))
        exit_code = cli_fail(CLI_IO, "%s: %s", cli_layout_file(j->layout, "manifest.jsonl").text,
                             strerror(errno));
    return exit_code || !j->layout->shard || !j->n_entries ? exit_code : settle_all(j);
}
