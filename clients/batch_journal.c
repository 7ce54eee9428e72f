/* Items and their lines in, files that survive an end at any moment out. A line stands in the manifest
 * only after its codes are under their name, lines are appended whole, and one that did not fit is
 * taken back. For each item some 60 bytes are held. */
#include "batch_journal.h"

#include "batch_resume.h"
#include "formats/utf8.h"
#include "json_out.h"
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <sha2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MANIFEST "manifest.jsonl"

static int fail(const struct cli_journal *j, const char *name)
{
    return cli_fail(CLI_IO, "%s/%s: %s", j->layout->folder, name, strerror(errno));
}

/* ---- entries ---- */

static uint32_t *slot(const struct cli_journal *j, const uint8_t id[16])
{
    uint64_t i;
    memcpy(&i, id, sizeof i);
    for (;; i++) {
        uint32_t *at = &j->table[i & (j->n_table - 1)];
        if (!*at || memcmp(j->entries[*at - 1].id, id, 16) == 0) return at;
    }
}

/* Room for one more, half of the table free. */
static bool grow(struct cli_journal *j)
{
    if (j->n_entries < j->entry_capacity) return true;
    const uint32_t capacity = j->entry_capacity ? 2 * j->entry_capacity : 1024;
    struct cli_entry *entries = realloc(j->entries, capacity * sizeof *entries);
    if (!entries) return false;
    j->entries = entries;
    uint32_t *table = calloc(2 * (size_t)capacity, sizeof *table);
    if (!table) return false;
    free(j->table);
    j->table = table;
    j->n_table = 2 * capacity;
    j->entry_capacity = capacity;
    for (uint32_t i = 0; i < j->n_entries; i++)
        *slot(j, entries[i].id) = i + 1;
    return true;
}

struct cli_entry *cli_journal_entry(struct cli_journal *j, const char *id)
{
    if (!grow(j)) return NULL;
    SHA2_CTX sha;
    uint8_t digest[SHA256_DIGEST_LENGTH];
    SHA256Init(&sha);
    SHA256Update(&sha, (const uint8_t *)id, strlen(id));
    SHA256Final(digest, &sha);
    uint32_t *at = slot(j, digest);
    if (!*at) {
        *at = ++j->n_entries;
        struct cli_entry fresh = {.key = -1, .line_at = -1, .run_at = -1};
        memcpy(fresh.id, digest, sizeof fresh.id);
        j->entries[*at - 1] = fresh;
    }
    return &j->entries[*at - 1];
}

static bool note_place(struct cli_journal *j, int64_t place, uint32_t entry)
{
    if (place >= j->place_capacity) {
        const int64_t capacity = 2 * place + 1024;
        uint32_t *places = realloc(j->places, (size_t)capacity * sizeof *places);
        if (!places) return false;
        j->places = places;
        j->place_capacity = capacity;
    }
    for (; j->n_places <= place; j->n_places++)
        j->places[j->n_places] = 0;
    j->places[place] = entry + 1;
    return true;
}

/* Whether a line that counted when the manifest was read is this item's. */
static bool
is_done(const struct cli_journal *j, const struct cli_entry *entry, const struct cli_item *item)
{
    if (entry->line_at < 0) return false;
    if (j->layout->shard) return true;
    struct stat st;
    return stat(cli_layout_item(j->layout, item->id, item->place).text, &st) == 0 &&
           st.st_size == entry->n_bytes;
}

int cli_journal_claim(struct cli_journal *j, const struct cli_item *item, uint32_t *index)
{
    struct cli_entry *entry = cli_journal_entry(j, item->id);
    if (!entry) return -cli_fail_memory();
    if (entry->is_claimed)
        return -cli_fail(CLI_FAILED, "%s: another recording has the id \"%s\"", item->path,
                         item->id);
    if (j->layout->shard && entry->line_at >= 0 && entry->key != item->place)
        return -cli_fail(CLI_USAGE, "%s: is at another place than when the batch began",
                         item->path);
    *index = (uint32_t)(entry - j->entries);
    if (!note_place(j, item->place, *index)) return -cli_fail_memory();
    entry->is_claimed = true;
    if (is_done(j, entry, item)) return 1;
    entry->line_at = entry->run_at = -1;
    entry->key = item->place;
    return 0;
}

int cli_journal_done(const struct cli_journal *j,
                     int64_t first,
                     int64_t n,
                     struct cli_entry *entries)
{
    int n_done = 0;
    for (int64_t place = first; place < first + n && place < j->n_places; place++) {
        const uint32_t entry = j->places[place];
        if (entry && j->entries[entry - 1].line_at >= 0) entries[n_done++] = j->entries[entry - 1];
    }
    return n_done;
}

/* ---- files ---- */

/* Without a manifest nothing may be there that it would lead to be overwritten. */
static int make_manifest(const struct cli_layout *l, int *fd)
{
    static const char *const others[] = {"errors.jsonl", "manifest.sorted.jsonl"};
    struct stat st;
    for (int i = 0; i < 2; i++) {
        const struct cli_path path = cli_layout_file(l, others[i]);
        if (lstat(path.text, &st) == 0)
            return cli_fail(CLI_FAILED, "%s: exists, but no " MANIFEST, path.text);
    }
    *fd = open(cli_layout_file(l, MANIFEST).text, O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC,
               0666);
    return CLI_OK;
}

int cli_journal_open(struct cli_journal *j,
                     const struct cli_layout *layout,
                     bool resume,
                     struct cli_items *items,
                     const struct tess_model_info *model,
                     int codebooks,
                     int option)
{
    *j = (struct cli_journal){.layout = layout};
    const struct cli_path path = cli_layout_file(layout, MANIFEST);
    if (cli_output_make_folders(path.text) < 0) return fail(j, MANIFEST);
    int fd = open(path.text, O_RDWR | O_APPEND | O_CLOEXEC), exit_code = CLI_OK;
    j->is_taken_up = fd >= 0;
    if (fd < 0 && errno == ENOENT) exit_code = make_manifest(layout, &fd);
    if (exit_code) return exit_code;
    j->manifest = fd < 0 ? NULL : fdopen(fd, "r+");
    if (!j->manifest) return fail(j, MANIFEST);
    if (j->is_taken_up && !resume)
        return cli_fail(CLI_FAILED, "%s: exists; --resume goes on with it", path.text);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_SETLK, &lock) < 0 && (errno == EACCES || errno == EAGAIN))
        return cli_fail(CLI_FAILED, "%s: another batch is at work on it", path.text);
    exit_code = cli_resume(j, items, model, codebooks, option);
    if (!exit_code) unlink(cli_layout_file(layout, "errors.jsonl").text);
    return exit_code;
}

void cli_journal_close(struct cli_journal *j)
{
    if (j->manifest) fclose(j->manifest);
    if (j->errors) fclose(j->errors);
    free(j->entries);
    free(j->table);
    free(j->places);
    *j = (struct cli_journal){0};
}

void cli_journal_forget(const struct cli_journal *j)
{
    if (!j->is_taken_up && j->n_manifest == 0) unlink(cli_layout_file(j->layout, MANIFEST).text);
}

int cli_journal_put(
    struct cli_journal *j, uint32_t entry, const char *line, size_t n, int64_t n_bytes)
{
    const int fd = fileno(j->manifest);
    size_t at = 0; /* the call after a part of a line tells why it was one */
    for (ptrdiff_t put; at < n && (put = write(fd, line + at, n - at)) > 0;)
        at += (size_t)put;
    if (at < n) {
        const int error = errno;
        if (ftruncate(fd, j->n_manifest) == 0) errno = error;
        return fail(j, MANIFEST);
    }
    struct cli_entry *e = &j->entries[entry];
    e->line_at = j->n_manifest;
    e->n_line = (int32_t)n - 1;
    e->n_bytes = n_bytes;
    j->n_manifest += (int64_t)n;
    return CLI_OK;
}

int cli_journal_sync(const struct cli_journal *j)
{
    return fdatasync(fileno(j->manifest)) == 0 ? CLI_OK : fail(j, MANIFEST);
}

static bool add_text(cJSON *root, const char *member, const char *text)
{
    char *clean = text ? fmt_as_utf8(text) : NULL;
    const bool added = !text || (clean && cJSON_AddStringToObject(root, member, clean));
    free(clean);
    return added;
}

int cli_journal_error(struct cli_journal *j, const struct cli_item *item, const char *why)
{
    const char *name = "errors.jsonl";
    if (!j->errors) j->errors = fopen(cli_layout_file(j->layout, name).text, "a");
    if (!j->errors) return fail(j, name);
    cJSON *root = cJSON_CreateObject();
    bool all = root != NULL;
    if (all && item->line) all = cJSON_AddNumberToObject(root, "line", (double)item->line);
    all = all && add_text(root, "id", item->id) && add_text(root, "audio", item->audio) &&
          add_text(root, "error", why);
    if (!all) {
        cJSON_Delete(root);
        return cli_fail_memory();
    }
    cli_json_print(root, j->errors);
    return fflush(j->errors) == 0 ? CLI_OK : fail(j, name);
}

int cli_journal_line(const struct cli_journal *j, const struct cli_entry *entry, char *line)
{
    errno = EIO;
    const ptrdiff_t n =
        pread(fileno(j->manifest), line, (size_t)entry->n_line, (off_t)entry->line_at);
    return n == entry->n_line ? CLI_OK : fail(j, MANIFEST);
}

static int
put_line(const struct cli_journal *j, const struct cli_entry *entry, struct cli_output *out)
{
    char *line = malloc((size_t)entry->n_line + 1);
    if (!line) return cli_fail_memory();
    int exit_code = cli_journal_line(j, entry, line);
    line[entry->n_line] = '\n';
    if (!exit_code && cli_output_write(out, line, (size_t)entry->n_line + 1) < 0)
        exit_code = cli_output_fail(out);
    free(line);
    return exit_code;
}

int cli_journal_sort(const struct cli_journal *j)
{
    struct cli_output out;
    struct cli_entry entry;
    int exit_code =
        cli_output_open_apart(&out, cli_layout_file(j->layout, "manifest.sorted.jsonl").text, true);
    for (int64_t place = 0; place < j->n_places && !exit_code; place++)
        if (cli_journal_done(j, place, 1, &entry)) exit_code = put_line(j, &entry, &out);
    if (!exit_code) exit_code = cli_output_commit(&out);
    cli_output_close(&out);
    return exit_code;
}
