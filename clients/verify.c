/* `tessera verify A B`: two files of hashes, or two .tess files, in; the first frame that differs
 * out. Nothing but one line or block of each is held. */
#define _GNU_SOURCE /* fopencookie */
#include "hashes.h"
#include "input.h"
#include "json_out.h"
#include "report.h"
#include "verbs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What was found. */
struct difference {
    int64_t frame;    /* the first that differs; without one, the frames of both */
    const char *what; /* "tokens", "state", "length", "header"; NULL = nothing differs */
};

/* One of the two. */
struct side {
    struct cli_input in;
    FILE *lines;                /* hashes */
    struct tess_reader *reader; /* .tess */
    uint16_t *frame;            /* its next frame [K] */
};

/* ---- hashes, a line at a time ---- */

enum { HASH = 16, LINE = 96 };

struct line {
    char text[LINE], tokens[HASH + 1], state[HASH + 1];
};

static ssize_t read_cookie(void *in, char *bytes, size_t n)
{
    return cli_input_read(in, bytes, n);
}

static int no_hashes(const struct side *s)
{
    return cli_fail(CLI_FAILED, "%s: not a file of hashes", s->in.name);
}

static int open_hashes(struct side *s, struct line *first)
{
    s->lines = fopencookie(&s->in, "r", (cookie_io_functions_t){.read = read_cookie});
    if (!s->lines) return cli_fail_memory();
    if (fgets(first->text, LINE, s->lines) &&
        strncmp(first->text, CLI_HASHES_START, sizeof CLI_HASHES_START - 1) == 0)
        return CLI_OK;
    return no_hashes(s);
}

/* Returns 1, 0 at the end, or -1 (told) if the line is not one of ours. */
static int next_line(struct side *s, struct line *l)
{
    long long frame;
    if (!fgets(l->text, LINE, s->lines)) return 0;
    if (sscanf(l->text, "%lld %16[0-9a-f] %16[0-9a-f]", &frame, l->tokens, l->state) == 3) return 1;
    no_hashes(s);
    return -1;
}

static int compare_hashes(struct side s[2], struct difference *d)
{
    struct line line[2];
    for (int i = 0; i < 2; i++) {
        int exit_code = open_hashes(&s[i], &line[i]);
        if (exit_code) return exit_code;
    }
    if (strcmp(line[0].text, line[1].text) != 0) d->what = "header";
    while (!d->what) {
        int got[2];
        for (int i = 0; i < 2; i++)
            got[i] = next_line(&s[i], &line[i]);
        if (got[0] < 0 || got[1] < 0) return CLI_FAILED;
        if (got[0] != got[1])
            d->what = "length";
        else if (got[0] == 0)
            break;
        else if (strcmp(line[0].tokens, line[1].tokens) != 0)
            d->what = "tokens";
        else if (strcmp(line[0].state, line[1].state) != 0)
            d->what = "state";
        else
            d->frame++;
    }
    return CLI_OK;
}

/* ---- .tess files, a frame at a time ---- */

static int open_tess(struct side *s)
{
    struct tess_io io = {.ctx = &s->in, .read = cli_input_read};
    struct tess_why why;
    if (tess_reader_create(&s->reader, &io, NULL, &why) != TESS_OK)
        return cli_fail(CLI_FAILED, "%s: %s", s->in.name, why.text);
    s->frame = malloc(sizeof *s->frame * (size_t)tess_reader_info(s->reader)->codebooks);
    return s->frame ? CLI_OK : cli_fail_memory();
}

static bool same_header(const struct side s[2])
{
    const struct tess_file_info *a = tess_reader_info(s[0].reader);
    const struct tess_file_info *b = tess_reader_info(s[1].reader);
    return memcmp(a->fingerprint, b->fingerprint, sizeof a->fingerprint) == 0 &&
           a->codebooks == b->codebooks;
}

static int compare_tess(struct side s[2], struct difference *d)
{
    for (int i = 0; i < 2; i++) {
        int exit_code = open_tess(&s[i]);
        if (exit_code) return exit_code;
    }
    if (!same_header(s)) d->what = "header";
    while (!d->what) {
        int64_t got[2];
        for (int i = 0; i < 2; i++) {
            struct tess_why why;
            got[i] = tess_reader_next(s[i].reader, s[i].frame, 1, &why);
            if (got[i] < 0) return cli_fail(CLI_FAILED, "%s: %s", s[i].in.name, why.text);
        }
        size_t width = sizeof *s[0].frame * (size_t)tess_reader_info(s[0].reader)->codebooks;
        if (got[0] != got[1])
            d->what = "length";
        else if (got[0] == 0)
            break;
        else if (memcmp(s[0].frame, s[1].frame, width) != 0)
            d->what = "tokens";
        else
            d->frame++;
    }
    if (!d->what && tess_reader_samples(s[0].reader) != tess_reader_samples(s[1].reader))
        d->what = "length";
    return CLI_OK;
}

/* ---- either ---- */

static int compare(const struct cli_options *options, struct side s[2], struct difference *d)
{
    bool is_tess[2];
    for (int i = 0; i < 2; i++) {
        const uint8_t *head;
        int exit_code = cli_input_open(&s[i].in, options->args[i]);
        if (exit_code) return exit_code;
        is_tess[i] = cli_input_peek(&s[i].in, 4, &head) == 4 && memcmp(head, "TESS", 4) == 0;
    }
    if (is_tess[0] != is_tess[1])
        return cli_fail(CLI_FAILED, "%s, %s: only one of them is a .tess file", s[0].in.name,
                        s[1].in.name);
    return is_tess[0] ? compare_tess(s, d) : compare_hashes(s, d);
}

static int report(const struct cli_options *options, const struct difference *d)
{
    const char *a = options->args[0], *b = options->args[1];
    if (options->json) {
        cJSON *root = cJSON_CreateObject();
        cJSON_AddBoolToObject(root, "same", !d->what);
        cJSON_AddNumberToObject(root, d->what ? "frame" : "n_frames", (double)d->frame);
        if (d->what) cJSON_AddStringToObject(root, "differs", d->what);
        cli_json_print(root, stdout);
    } else if (!d->what && !options->quiet) {
        printf("same: %lld frames\n", (long long)d->frame);
    }
    if (!d->what) return CLI_OK;
    if (strcmp(d->what, "header") == 0)
        return cli_fail(CLI_FAILED, "%s, %s: of other models or codebooks", a, b);
    return cli_fail(CLI_FAILED, "%s, %s: frame %lld is the first that differs (%s)", a, b,
                    (long long)d->frame, d->what);
}

int cli_verify(const struct cli_options *options)
{
    if (strcmp(options->args[0], "-") == 0 && strcmp(options->args[1], "-") == 0)
        return cli_fail(CLI_USAGE, "standard input cannot be both A and B");
    struct side s[2] = {{.in.fd = -1}, {.in.fd = -1}};
    struct difference d = {0};
    int exit_code = compare(options, s, &d);
    for (int i = 0; i < 2; i++) {
        if (s[i].lines) fclose(s[i].lines);
        tess_reader_destroy(s[i].reader);
        free(s[i].frame);
        cli_input_close(&s[i].in);
    }
    return exit_code ? exit_code : report(options, &d);
}
