/* A folder or a manifest in, items out in the order of their places. Held are the names of the
 * folders that are open, or one line: memory does not grow with the number of items. */
#include "batch_items.h"

#include "formats/json.h"
#include "formats/utf8.h"
#include "input.h"
#include "options.h"
#include "report.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { MAX_LINE = 1 << 20, MAX_ID = 1024, MAX_PART = 200 };

/* A folder on the way down. Names of folders end with a slash, as they do in paths: so sorted, all
 * paths come out in the order of their bytes. */
struct level {
    char *prefix; /* the path below the first folder, with a slash, or "" */
    char **names;
    size_t n_names, capacity, at;
};

struct cli_items {
    const char *name; /* the first folder or the manifest; borrowed */
    int64_t place;
    struct level *levels; /* [n_levels] */
    size_t n_levels, capacity;
    FILE *manifest;
    bool is_over; /* the manifest */
    char *line;   /* [MAX_LINE + 1] */
};

void cli_item_free(struct cli_item *item)
{
    free(item->id);
    free(item->audio);
    free(item->path);
    free(item->text);
    free(item->speaker);
    *item = (struct cli_item){0};
}

/* "a" "b" to "ab", to be freed. NULL without memory. */
static char *join(const char *a, const char *b)
{
    char *both = malloc(strlen(a) + strlen(b) + 1);
    return both ? strcat(strcpy(both, a), b) : NULL;
}

/* With a slash between them, unless there is nothing to part. */
static char *join_path(const char *folder, const char *name)
{
    const size_t n = strlen(folder);
    if (!*name || (n > 0 && folder[n - 1] == '/')) return join(folder, name);
    char *start = join(folder, "/"), *path = start ? join(start, name) : NULL;
    free(start);
    return path;
}

static bool is_good_id(const char *id)
{
    if (!*id || strlen(id) > MAX_ID) return false;
    for (;;) {
        const size_t n = strcspn(id, "/");
        const bool dots = n <= 2 && strncmp(id, "..", n) == 0;
        if (n > MAX_PART || dots) return false; /* of no bytes, too */
        if (!id[n]) return true;
        id += n + 1;
    }
}

/* What holds for both kinds of items. */
static int check(const struct cli_item *item)
{
    if (!fmt_is_utf8(item->audio))
        return cli_fail(CLI_FAILED, "%s: its name is not UTF-8, which the manifest is",
                        item->audio);
    if (is_good_id(item->id)) return CLI_OK;
    return cli_fail(CLI_FAILED, "%s: \"%s\" cannot be an id: it names no file below a folder",
                    item->path, item->id);
}

/* ---- a folder ---- */

static bool is_sound(const char *name)
{
    static const char *const suffixes[] = {"aif", "aiff", "au",   "caf", "flac", "mp3", "oga",
                                           "ogg", "opus", "rf64", "snd", "sph",  "w64", "wav"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < sizeof suffixes / sizeof suffixes[0]; i++)
        if (strcasecmp(dot + 1, suffixes[i]) == 0) return true;
    return false;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool add_name(struct level *level, const char *name, const char *end)
{
    if (level->n_names == level->capacity) {
        level->capacity = 2 * level->capacity + 16;
        char **more = realloc(level->names, level->capacity * sizeof *more);
        if (!more) return false;
        level->names = more;
    }
    level->names[level->n_names] = join(name, end);
    return level->names[level->n_names] && ++level->n_names;
}

static int read_names(struct level *level, const char *path)
{
    DIR *folder = opendir(path);
    if (!folder) return cli_fail(CLI_FAILED, "%s: %s", path, strerror(errno));
    bool fits = true;
    const struct dirent *entry;
    while (fits && (errno = 0, entry = readdir(folder))) {
        struct stat st;
        const char *name = entry->d_name;
        if (*name == '.') continue;
        const bool is_there = fstatat(dirfd(folder), name, &st, AT_SYMLINK_NOFOLLOW) == 0;
        if (is_there && S_ISDIR(st.st_mode))
            fits = add_name(level, name, "/");
        else if (is_there && is_sound(name))
            fits = add_name(level, name, "");
    }
    const int error = errno;
    closedir(folder);
    if (!fits) return cli_fail_memory();
    if (error) return cli_fail(CLI_FAILED, "%s: %s", path, strerror(error));
    if (level->n_names) qsort(level->names, level->n_names, sizeof *level->names, by_bytes);
    return CLI_OK;
}

/* Goes down into the folder prefix, which it takes. A folder that can be read only in part keeps that
 * part. */
static int enter(struct cli_items *items, char *prefix)
{
    if (items->n_levels == items->capacity) {
        items->capacity = 2 * items->capacity + 8;
        struct level *more = realloc(items->levels, items->capacity * sizeof *more);
        if (!more) {
            free(prefix);
            return cli_fail_memory();
        }
        items->levels = more;
    }
    struct level *level = &items->levels[items->n_levels++];
    *level = (struct level){.prefix = prefix};
    char *path = join_path(items->name, prefix);
    const int exit_code = path ? read_names(level, path) : cli_fail_memory();
    free(path);
    return exit_code;
}

static void leave(struct cli_items *items)
{
    struct level *level = &items->levels[--items->n_levels];
    while (level->n_names > 0)
        free(level->names[--level->n_names]);
    free(level->names);
    free(level->prefix);
}

static int next_file(struct cli_items *items, struct cli_item *item)
{
    while (items->n_levels > 0) {
        struct level *level = &items->levels[items->n_levels - 1];
        if (level->at == level->n_names) {
            leave(items);
            continue;
        }
        char *path = join(level->prefix, level->names[level->at++]);
        if (!path) return -cli_fail_memory();
        if (path[strlen(path) - 1] != '/') {
            item->place = items->place++;
            item->audio = path;
            item->id = cli_options_output(path, "");
            item->path = join_path(items->name, path);
            if (!item->id || !item->path) return -cli_fail_memory();
            const int exit_code = check(item);
            return exit_code ? -exit_code : 1;
        }
        item->audio = strdup(path); /* in case that it cannot be entered */
        const int exit_code = enter(items, path);
        if (exit_code) return -exit_code;
        free(item->audio);
        item->audio = NULL;
    }
    return 0;
}

/* ---- a manifest ---- */

/* Returns the line's bytes, MAX_LINE + 1 if it has more than MAX_LINE, or -1 at the end. */
static int read_line(FILE *file, char line[MAX_LINE + 1])
{
    int n = 0, c;
    while ((c = getc(file)) != EOF && c != '\n') {
        if (n < MAX_LINE) line[n] = (char)c;
        if (n <= MAX_LINE) n++;
    }
    line[n < MAX_LINE ? n : MAX_LINE] = 0;
    return n == 0 && c == EOF ? -1 : n;
}

/* The member's text, to be freed, into *text; stays NULL where there is none. */
static int
take_text(const struct cli_items *items, const cJSON *root, const char *member, char **text)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(root, member);
    if (!value) return CLI_OK;
    if (!cJSON_IsString(value))
        return cli_fail(CLI_FAILED, "%s:%lld: \"%s\" is not text", items->name,
                        (long long)items->place, member);
    *text = strdup(value->valuestring);
    return *text ? CLI_OK : cli_fail_memory();
}

static int
take_seconds(const struct cli_items *items, const cJSON *root, const char *member, double *seconds)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(root, member);
    if (!value) return CLI_OK;
    if (!cJSON_IsNumber(value) || !(value->valuedouble >= 0 && value->valuedouble < 1e9))
        return cli_fail(CLI_FAILED, "%s:%lld: \"%s\" is not a number of seconds", items->name,
                        (long long)items->place, member);
    *seconds = value->valuedouble;
    return CLI_OK;
}

static int take_members(const struct cli_items *items, const cJSON *root, struct cli_item *item)
{
    int exit_code = take_text(items, root, "id", &item->id);
    if (!exit_code) exit_code = take_text(items, root, "audio", &item->audio);
    if (!exit_code) exit_code = take_text(items, root, "text", &item->text);
    if (!exit_code) exit_code = take_text(items, root, "speaker", &item->speaker);
    if (!exit_code) exit_code = take_seconds(items, root, "offset", &item->offset);
    if (!exit_code && cJSON_GetObjectItemCaseSensitive(root, "offset"))
        exit_code = take_seconds(items, root, "duration", &item->duration);
    if (exit_code) return exit_code;
    if (!item->audio || !*item->audio)
        return cli_fail(CLI_FAILED, "%s:%lld: no \"audio\"", items->name, (long long)items->place);

    const char *audio = item->audio, *slash = strrchr(items->name, '/');
    if (!item->id) item->id = cli_options_output(audio + strspn(audio, "/"), "");
    char *folder = slash && *audio != '/' ? strdup(items->name) : strdup("");
    if (folder && *folder) folder[slash - items->name + 1] = 0;
    item->path = folder ? join(folder, audio) : NULL;
    free(folder);
    return item->id && item->path ? check(item) : cli_fail_memory();
}

/* Said once if it is no real end. */
static int end_of_lines(struct cli_items *items)
{
    const int error = ferror(items->manifest) ? errno : 0;
    items->is_over = true;
    return error ? -cli_fail(CLI_FAILED, "%s: %s", items->name, strerror(error)) : 0;
}

static int next_line(struct cli_items *items, struct cli_item *item)
{
    int n;
    do {
        n = read_line(items->manifest, items->line);
        if (n >= 0) items->place++;
    } while (n >= 0 && n == (int)strspn(items->line, " \t\r"));
    item->line = items->place;
    item->place = items->place - 1;
    item->duration = -1;
    if (n < 0) return end_of_lines(items);
    const char *why = n > MAX_LINE                      ? "longer than 1 MiB"
                      : strlen(items->line) < (size_t)n ? "not text"
                      : !fmt_is_utf8(items->line)       ? "not UTF-8"
                      : strstr(items->line, "\\u0000")  ? "text with a zero byte"
                                                        : NULL;
    cJSON *root = why ? NULL : fmt_json_parse(items->line, (size_t)n);
    if (!root)
        return -cli_fail(CLI_FAILED, "%s:%lld: %s", items->name, (long long)items->place,
                         why ? why : "not a JSON object");
    const int exit_code = take_members(items, root, item);
    cJSON_Delete(root);
    return exit_code ? -exit_code : 1;
}

static int open_manifest(struct cli_items *items, bool twice)
{
    struct stat st;
    struct cli_input in = {.name = items->name, .fd = open(items->name, O_RDONLY | O_CLOEXEC)};
    int exit_code = in.fd < 0 || fstat(in.fd, &st) < 0 ? cli_input_fail(&in) : CLI_OK;
    if (!exit_code && S_ISDIR(st.st_mode))
        exit_code = cli_fail(CLI_FAILED, "%s: a folder, not a manifest", items->name);
    if (!exit_code && twice && !S_ISREG(st.st_mode)) exit_code = cli_input_spool(&in);
    if (!exit_code && !(items->manifest = fdopen(in.fd, "r"))) exit_code = cli_input_fail(&in);
    if (exit_code) cli_input_close(&in);
    return exit_code;
}

/* ---- either ---- */

int cli_items_open(struct cli_items **to, const char *folder, const char *manifest, bool twice)
{
    struct cli_items *items = *to = calloc(1, sizeof *items);
    if (!items) return cli_fail_memory();
    items->name = folder ? folder : manifest;
    if (folder) return cli_items_again(items);
    items->line = malloc(MAX_LINE + 1);
    return items->line ? open_manifest(items, twice) : cli_fail_memory();
}

int cli_items_again(struct cli_items *items)
{
    items->place = 0;
    items->is_over = false;
    if (items->manifest) {
        rewind(items->manifest);
        return CLI_OK;
    }
    while (items->n_levels > 0)
        leave(items);
    char *prefix = strdup("");
    return prefix ? enter(items, prefix) : cli_fail_memory();
}

void cli_items_close(struct cli_items *items)
{
    if (!items) return;
    while (items->n_levels > 0)
        leave(items);
    free(items->levels);
    if (items->manifest) fclose(items->manifest);
    free(items->line);
    free(items);
}

int cli_items_next(struct cli_items *items, struct cli_item *item)
{
    *item = (struct cli_item){.duration = -1};
    if (items->is_over) return 0;
    return items->manifest ? next_line(items, item) : next_file(items, item);
}

int64_t cli_items_count(const char *folder, const char *manifest)
{
    struct cli_items *items;
    struct cli_item item;
    struct stat st;
    int64_t n = 0;
    if (manifest && (stat(manifest, &st) < 0 || !S_ISREG(st.st_mode))) return 0;
    int more = cli_items_open(&items, folder, manifest, false) == CLI_OK;
    while (more && items->manifest && read_line(items->manifest, items->line) >= 0)
        n++;
    while (more && !items->manifest && (more = cli_items_next(items, &item)) != 0) {
        cli_item_free(&item);
        n++;
    }
    cli_items_close(items);
    return n;
}
