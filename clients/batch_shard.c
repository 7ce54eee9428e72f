/* Lines and parts in, a shard out: members of a tar file (POSIX ustar), or lines of JSON. Runs of a
 * shard that was there before are copied from it. */
#include "batch_shard.h"

#include "report.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK = 512, RECORD = 20 * BLOCK }; /* bytes, of tar */

#define CODES ",\"audio_codes\":"

static bool is_tar(const struct cli_layout *l)
{
    return strcmp(l->shard, ".tar") == 0;
}

static int64_t padding(int64_t n, int64_t of)
{
    return (of - n % of) % of;
}

int64_t cli_shard_run(const struct cli_layout *l, const struct cli_entry *e)
{
    if (!is_tar(l)) return e->n_line + (int64_t)strlen(CODES) + e->n_bytes + 1;
    return BLOCK + e->n_bytes + padding(e->n_bytes, BLOCK) + BLOCK + e->n_line +
           padding(e->n_line, BLOCK);
}

int64_t cli_shard_end(const struct cli_layout *l, int64_t n_items)
{
    return is_tar(l) ? 2 * BLOCK + padding(n_items + 2 * BLOCK, RECORD) : 0;
}

static int put(struct cli_output *out, const void *bytes, size_t n)
{
    return cli_output_write(out, bytes, n) < 0 ? cli_output_fail(out) : CLI_OK;
}

static int put_zeros(struct cli_output *out, int64_t n)
{
    static const char zeros[2 * RECORD];
    return n > 0 ? put(out, zeros, (size_t)n) : CLI_OK;
}

/* n bytes of a file from `at` on. */
static int copy(struct cli_output *out, int fd, const char *name, int64_t at, int64_t n)
{
    char block[16384];
    int exit_code = CLI_OK;
    while (n > 0 && !exit_code) {
        errno = EIO; /* what an early end means */
        const size_t want = n < (int64_t)sizeof block ? (size_t)n : sizeof block;
        const ptrdiff_t got = pread(fd, block, want, (off_t)at);
        if (got <= 0) return cli_fail(CLI_IO, "%s: %s", name, strerror(errno));
        exit_code = put(out, block, (size_t)got);
        at += got;
        n -= got;
    }
    return exit_code;
}

static int copy_part(struct cli_output *out, const char *path, int64_t n)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return cli_fail(CLI_IO, "%s: %s", path, strerror(errno));
    const int exit_code = copy(out, fd, path, 0, n);
    close(fd);
    return exit_code;
}

static void make_head(char head[BLOCK], int64_t key, const char *suffix, int64_t n)
{
    memset(head, 0, BLOCK);
    snprintf(head, 100, "%09lld%s", (long long)key, suffix);
    strcpy(head + 100, "0000644");
    strcpy(head + 108, "0000000");
    strcpy(head + 116, "0000000");
    snprintf(head + 124, 12, "%011llo", (unsigned long long)n);
    strcpy(head + 136, "00000000000");
    memset(head + 148, ' ', 8);
    head[156] = '0';
    memcpy(head + 257,
           "ustar\0"
           "00",
           8);
    unsigned sum = 0;
    for (int i = 0; i < BLOCK; i++)
        sum += (unsigned char)head[i];
    snprintf(head + 148, 7, "%06o", sum);
}

static int put_head(struct cli_output *out, int64_t key, const char *suffix, int64_t n)
{
    char head[BLOCK];
    make_head(head, key, suffix, n);
    return put(out, head, sizeof head);
}

static bool has(int fd, int64_t at, const char want[BLOCK])
{
    char block[BLOCK];
    return pread(fd, block, BLOCK, (off_t)at) == BLOCK && memcmp(block, want, BLOCK) == 0;
}

bool cli_shard_holds(const struct cli_layout *l,
                     const char *path,
                     struct cli_entry *const *entries,
                     size_t n)
{
    static const char zeros[BLOCK]; /* which stand behind the last member */
    if (!is_tar(l)) return true;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    int64_t end = 0;
    bool holds = fd >= 0;
    for (size_t i = 0; i < n && holds; i++) {
        char head[BLOCK];
        if (entries[i]->run_at < 0) continue;
        make_head(head, entries[i]->key, ".npy", entries[i]->n_bytes);
        holds = has(fd, entries[i]->run_at, head);
        end = entries[i]->run_at + cli_shard_run(l, entries[i]);
    }
    holds = holds && has(fd, end, zeros);
    if (fd >= 0) close(fd);
    return holds;
}

/* Two members, or one line. */
static int put_item(struct cli_output *out,
                    const struct cli_layout *l,
                    const struct cli_entry *e,
                    const char *line)
{
    const struct cli_path part = cli_layout_item(l, "", e->key);
    int exit_code;
    if (is_tar(l)) {
        exit_code = put_head(out, e->key, ".npy", e->n_bytes);
        if (!exit_code) exit_code = copy_part(out, part.text, e->n_bytes);
        if (!exit_code) exit_code = put_zeros(out, padding(e->n_bytes, BLOCK));
        if (!exit_code) exit_code = put_head(out, e->key, ".json", e->n_line);
        if (!exit_code) exit_code = put(out, line, (size_t)e->n_line);
        if (!exit_code) exit_code = put_zeros(out, padding(e->n_line, BLOCK));
        return exit_code;
    }
    exit_code = put(out, line, (size_t)e->n_line - 1); /* all but its brace */
    if (!exit_code) exit_code = put(out, CODES, strlen(CODES));
    if (!exit_code) exit_code = copy_part(out, part.text, e->n_bytes);
    return exit_code ? exit_code : put(out, "}\n", 2);
}

static int put_items(struct cli_output *out,
                     const struct cli_journal *j,
                     const char *path,
                     const struct cli_entry *entries,
                     int n)
{
    const int before = open(path, O_RDONLY | O_CLOEXEC); /* or none */
    int64_t n_items = 0;
    int exit_code = CLI_OK;
    for (int i = 0; i < n && !exit_code; i++) {
        const struct cli_entry *e = &entries[i];
        const int64_t run = cli_shard_run(j->layout, e);
        n_items += run;
        if (e->run_at >= 0) {
            exit_code = copy(out, before, path, e->run_at, run);
            continue;
        }
        char *line = malloc((size_t)e->n_line + 1);
        exit_code = line ? cli_journal_line(j, e, line) : cli_fail_memory();
        if (!exit_code) exit_code = put_item(out, j->layout, e, line);
        free(line);
    }
    if (before >= 0) close(before);
    return exit_code ? exit_code : put_zeros(out, cli_shard_end(j->layout, n_items));
}

/* All that lies in the folder of parts is ours, what an earlier run left half-done included. */
static void remove_parts(const char *path)
{
    DIR *folder = opendir(path);
    const struct dirent *entry;
    if (!folder) return;
    while ((entry = readdir(folder)))
        unlinkat(dirfd(folder), entry->d_name, 0);
    closedir(folder);
    rmdir(path);
}

int cli_shard_write(const struct cli_journal *j,
                    int64_t shard,
                    const struct cli_entry *entries,
                    int n)
{
    const struct cli_layout *l = j->layout;
    const struct cli_path codes = cli_layout_codes(l, "", shard * l->shard_size);
    const struct cli_path path = cli_layout_file(l, codes.text);
    struct cli_output out = {.fd = -1};
    int exit_code = CLI_OK, n_new = 0;
    for (int i = 0; i < n; i++)
        n_new += entries[i].run_at < 0;
    if (n_new > 0) {
        exit_code = cli_output_open_apart(&out, path.text, true);
        if (!exit_code) exit_code = put_items(&out, j, path.text, entries, n);
        if (!exit_code) exit_code = cli_output_commit(&out);
        cli_output_close(&out);
    }
    if (!exit_code) remove_parts(cli_layout_parts(l, shard).text);
    return exit_code;
}
