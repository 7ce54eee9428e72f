/* A manifest and a folder in, the entries that count out. Files of their own are looked at when their
 * items are claimed; shards and parts here, because only all of a shard's lines together tell whether
 * it is whole. */
#include "batch_resume.h"

#include "batch_shard.h"
#include "find_model.h"
#include "formats/json.h"
#include "options.h"
#include "report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What codes depend on, and where they lie: a resumed batch has the same. */
struct settings {
    const struct cli_layout *layout;
    const struct tess_model_info *model;
    int codebooks;
    struct cli_family_text option;
};

struct line {
    const char *id, *codes, *model, *sha256, *option;
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
    line->model = text_of(root, "model");
    line->sha256 = text_of(root, "model_sha256");
    line->option = text_of(root, "option");
    line->n_bytes = number_of(root, "n_bytes");
    line->codebooks = number_of(root, "n_codebooks");
    const bool is_key = key && strlen(key) < 16 && strspn(key, "0123456789") == strlen(key);
    line->key = is_key ? strtoll(key, NULL, 10) : -1;
    return line->id && line->codes && line->model && line->sha256 && line->n_bytes >= 0;
}

struct value {
    char text[128];
};

static struct value model_value(const char *name, const char *sha256)
{
    struct value v;
    snprintf(v.text, sizeof v.text, "%.64s (%.16s)", name, sha256);
    return v;
}

static struct value rate_value(const struct tess_model_info *model, double codebooks)
{
    struct value v;
    snprintf(v.text, sizeof v.text, "%.0f (%g kbit/s)", codebooks,
             codebooks * cli_bitrate(model, 1));
    return v;
}

static int refuse(const struct settings *s, const char *option, const char *before, const char *now)
{
    return cli_fail(CLI_USAGE, "%s was begun with --%s %s, not %s: --resume needs the same",
                    s->layout->folder, option, before, now);
}

static int check(const struct settings *s, const struct line *line)
{
    const struct cli_layout *l = s->layout;
    const struct cli_sha256 sha256 = cli_sha256(s->model->sha256);
    const char *option = line->option ? line->option : "";
    const char *format = cli_layout_format_of(line->codes);
    if (strcmp(line->sha256, sha256.text) != 0)
        return refuse(s, "model", model_value(line->model, line->sha256).text,
                      model_value(s->model->name, sha256.text).text);
    if (line->codebooks != (double)s->codebooks)
        return refuse(s, "codebooks", rate_value(s->model, line->codebooks).text,
                      rate_value(s->model, s->codebooks).text);
    if (strcmp(option, s->option.text) != 0)
        return refuse(s, "option", *option ? option : "unknown", s->option.text);
    if (!format || strcmp(format, l->format) != 0)
        return refuse(s, "format", format ? format : "of another kind", l->format);
    const struct cli_path codes = cli_layout_codes(l, line->id, line->key);
    if ((line->key >= 0) == (l->shard != NULL) && strcmp(line->codes, codes.text) == 0)
        return CLI_OK;
    return cli_fail(CLI_USAGE,
                    "%s has the codes of %s in %s, and --shard-size %d would put them into %s: "
                    "--resume needs the same",
                    l->folder, line->id, line->codes, l->shard_size, codes.text);
}

/* A line that makes no sense does not count; one of another batch ends it all. */
static int take_line(struct cli_journal *j, const struct settings *s, const char *text, size_t n)
{
    struct line line;
    int exit_code = CLI_OK;
    cJSON *root = fmt_json_parse(text, n);
    if (root && read_members(root, &line) && !(exit_code = check(s, &line))) {
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
 * stopped between the new shard's name and the removal of its parts is both. Returns whether there is
 * a shard that is like that. */
static bool settle(const struct cli_layout *l, struct cli_entry **entries, size_t n, bool *is_part)
{
    if (n == 0) return false;
    if (lay_out(l, entries, n, NULL)) return true;
    for (size_t i = 0; i < n; i++) {
        const struct cli_path part = cli_layout_item(l, "", entries[i]->key);
        is_part[i] = size_of(part.text) == entries[i]->n_bytes;
    }
    const bool adds_up = lay_out(l, entries, n, is_part);
    for (size_t i = 0; i < n; i++)
        if (!is_part[i] && !adds_up) entries[i]->line_at = entries[i]->run_at = -1;
    return adds_up;
}

static int refuse_item(const struct cli_journal *j, const struct cli_entry *entry)
{
    const struct cli_path codes = cli_layout_codes(j->layout, "", entry->key);
    char *text = malloc((size_t)entry->n_line + 1);
    int exit_code = text ? cli_journal_line(j, entry, text) : cli_fail_memory();
    cJSON *root = exit_code ? NULL : fmt_json_parse(text, (size_t)entry->n_line);
    if (!exit_code)
        exit_code =
            cli_fail(CLI_USAGE,
                     "%s has the codes of %s in %s, and at its place, %lld, the input has it "
                     "no more: what is new goes to the end",
                     j->layout->folder, text_of(root, "id"), codes.text, (long long)entry->key);
    cJSON_Delete(root);
    free(text);
    return exit_code;
}

/* The entries of one shard. What is not in its place must not have codes there: they would stay, or
 * pass for another item's. */
static int settle_shard(const struct cli_journal *j,
                        struct cli_entry **entries,
                        size_t n,
                        struct cli_entry **in_place,
                        bool *is_part)
{
    const struct cli_layout *l = j->layout;
    const struct cli_path shard = cli_layout_file(l, cli_layout_codes(l, "", entries[0]->key).text);
    size_t n_in_place = 0;
    for (size_t i = 0; i < n; i++)
        if (entries[i]->is_in_place) in_place[n_in_place++] = entries[i];
    const bool is_clean = settle(l, in_place, n_in_place, is_part) || size_of(shard.text) < 0;
    for (size_t i = 0; i < n; i++) {
        if (entries[i]->is_in_place) continue;
        const struct cli_path part = cli_layout_item(l, "", entries[i]->key);
        if (!is_clean || size_of(part.text) == entries[i]->n_bytes)
            return refuse_item(j, entries[i]);
        entries[i]->line_at = -1;
    }
    return CLI_OK;
}

/* Marks the entries whose items are at the places that their lines tell. What cannot be an item is
 * told of when its turn comes. */
static int compare(struct cli_journal *j, struct cli_items *items)
{
    struct cli_told told;
    struct cli_item item;
    int got, exit_code = CLI_OK;
    cli_report_to(&told);
    while (!exit_code && (got = cli_items_next(items, &item)) != 0) {
        struct cli_entry *entry = got > 0 ? cli_journal_entry(j, item.id) : NULL;
        if (got > 0 && !entry) exit_code = CLI_FAILED;
        if (entry && !entry->is_seen) entry->is_in_place = entry->key == item.place;
        if (entry) entry->is_seen = true;
        cli_item_free(&item);
    }
    cli_report_to(NULL);
    return exit_code ? cli_fail_memory() : cli_items_again(items);
}

static int settle_all(struct cli_journal *j)
{
    struct cli_entry **sorted = malloc(2 * j->n_entries * sizeof *sorted + 1);
    bool *is_part = malloc(j->n_entries + 1);
    int exit_code = sorted && is_part ? CLI_OK : cli_fail_memory();
    const int64_t shard_size = j->layout->shard_size;
    size_t n_lines = 0, n = 0;
    if (exit_code) goto done;
    for (size_t i = 0; i < j->n_entries; i++)
        if (j->entries[i].line_at >= 0) sorted[n_lines++] = &j->entries[i];
    qsort(sorted, n_lines, sizeof *sorted, by_key);
    for (size_t i = 0; i < n_lines; i++) { /* of a place the last line counts */
        if (n > 0 && sorted[n - 1]->key == sorted[i]->key) sorted[--n]->line_at = -1;
        sorted[n++] = sorted[i];
    }
    for (size_t from = 0, to = 0; from < n && !exit_code; from = to) {
        const int64_t shard = sorted[from]->key / shard_size;
        while (to < n && sorted[to]->key / shard_size == shard)
            to++;
        exit_code = settle_shard(j, sorted + from, to - from, sorted + n_lines, is_part);
    }
done:
    free(sorted);
    free(is_part);
    return exit_code;
}

static int fail(const struct cli_journal *j)
{
    return cli_fail(CLI_IO, "%s: %s", cli_layout_file(j->layout, "manifest.jsonl").text,
                    strerror(errno));
}

int cli_resume(struct cli_journal *j,
               struct cli_items *items,
               const struct tess_model_info *model,
               int codebooks,
               int option)
{
    const struct settings settings = {j->layout, model, codebooks,
                                      cli_options_family_text(model, option)};
    char *line = NULL;
    size_t capacity = 0;
    int exit_code = CLI_OK;
    ptrdiff_t n;
    while (!exit_code && (n = getline(&line, &capacity, j->manifest)) > 0 && line[n - 1] == '\n') {
        exit_code = take_line(j, &settings, line, (size_t)n - 1);
        j->n_manifest += n;
    }
    free(line);
    if (!exit_code && ferror(j->manifest)) exit_code = fail(j);
    if (!exit_code && j->layout->shard && j->n_entries) exit_code = compare(j, items);
    if (!exit_code && j->layout->shard) exit_code = settle_all(j);
    if (!exit_code && ftruncate(fileno(j->manifest), j->n_manifest) < 0) exit_code = fail(j);
    return exit_code;
}
