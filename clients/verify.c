/* `tessera verify A B`: two files of hashes, or two .tess files, in; the first frame that differs
 * out. Nothing but one line or block of each is held. */
#include "find_model.h"
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

enum { HASH = 16, LINE = 96 };

/* One line without its end. Returns 1, 0 at the end, or -1 (told) if it is not one of ours. */
static int
next_line(FILE *f, const char *name, char line[LINE], char tokens[HASH + 1], char state[HASH + 1])
{
    long long frame;
    if (!fgets(line, LINE, f)) return 0;
    if (sscanf(line, "%lld %16[0-9a-f] %16[0-9a-f]", &frame, tokens, state) == 3) return 1;
    cli_fail(CLI_FAILED, "%s: not a file of hashes", name);
    return -1;
}

static int compare_hashes(const char *const names[2], struct difference *d)
{
    char line[2][LINE], tokens[2][HASH + 1], state[2][HASH + 1];
    FILE *f[2] = {NULL, NULL};
    int exit_code = CLI_OK;
    for (int i = 0; i < 2 && !exit_code; i++) {
        f[i] = fopen(names[i], "r");
        bool ours = f[i] && fgets(line[i], LINE, f[i]) &&
                    strncmp(line[i], CLI_HASHES_START, sizeof CLI_HASHES_START - 1) == 0;
        if (!ours) exit_code = cli_fail(CLI_FAILED, "%s: not a file of hashes", names[i]);
    }
    if (!exit_code && strcmp(line[0], line[1]) != 0) d->what = "header";
    while (!exit_code && !d->what) {
        int got[2];
        for (int i = 0; i < 2; i++)
            got[i] = next_line(f[i], names[i], line[i], tokens[i], state[i]);
        if (got[0] < 0 || got[1] < 0)
            exit_code = CLI_FAILED;
        else if (got[0] != got[1])
            d->what = "length";
        else if (got[0] == 0)
            break;
        else if (strcmp(tokens[0], tokens[1]) != 0)
            d->what = "tokens";
        else if (strcmp(state[0], state[1]) != 0)
            d->what = "state";
        else
            d->frame++;
    }
    for (int i = 0; i < 2; i++)
        if (f[i]) fclose(f[i]);
    return exit_code;
}

/* One side: a .tess file, a frame at a time. */
struct side {
    struct cli_input in;
    struct tess_reader *reader;
    uint16_t *frame; /* [K] */
};

static int open_side(struct side *s, const char *path)
{
    int exit_code = cli_input_open(&s->in, path);
    if (exit_code) return exit_code;
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

static int compare_frames(struct side s[2], struct difference *d)
{
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

static int compare_tess(const char *const names[2], struct difference *d)
{
    struct side s[2] = {{.in.fd = -1}, {.in.fd = -1}};
    int exit_code = open_side(&s[0], names[0]);
    if (!exit_code) exit_code = open_side(&s[1], names[1]);
    if (!exit_code) exit_code = compare_frames(s, d);
    for (int i = 0; i < 2; i++) {
        tess_reader_destroy(s[i].reader);
        free(s[i].frame);
        cli_input_close(&s[i].in);
    }
    return exit_code;
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
    const char *const names[2] = {options->args[0], options->args[1]};
    struct cli_input first;
    const uint8_t *head;
    int exit_code = cli_input_open(&first, names[0]);
    bool is_tess =
        !exit_code && cli_input_peek(&first, 4, &head) == 4 && memcmp(head, "TESS", 4) == 0;
    cli_input_close(&first);
    if (exit_code) return exit_code;

    struct difference d = {0};
    exit_code = is_tess ? compare_tess(names, &d) : compare_hashes(names, &d);
    return exit_code ? exit_code : report(options, &d);
}
