/* Words, environment and a file in, one struct of values out; a row remembers who set it. The three
 * are read by one function over one table, which is why no option library stands here. */
#include "server/options.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum kind { KIND_LIST, KIND_TEXT, KIND_NUMBER, KIND_FLAG };

static const struct row {
    const char *name;
    enum kind kind;
    size_t offset;
    const char *fallback;
    int64_t least, most;
    const char *value, *help;
} rows[SRV_N_OPTIONS] = {
#define ROW(kind, field, name, fallback, least, most, value, help)                                 \
    {name, KIND_##kind, offsetof(struct srv_options, field), fallback, least, most, value, help},
    SRV_OPTIONS(ROW)
#undef ROW
};

static const char *const source_names[] = {"default", "file", "environment", "command line"};

static int fail(const char *where, const char *name, const char *why)
{
    fprintf(stderr, "tesserad: %s%s: %s\n", where, name, why);
    return 2;
}

static void *field(struct srv_options *o, const struct row *row)
{
    return (char *)o + row->offset;
}

static int set_number(int64_t *to, const struct row *row, const char *text)
{
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (end == text || *end || errno || v < row->least || v > row->most) return -1;
    *to = v;
    return 0;
}

static int set_text(char **to, const char *text)
{
    char *copy = strdup(text);
    if (!copy) return -1;
    free(*to);
    *to = copy;
    return 0;
}

static int add_to_list(struct srv_list *list, const struct row *row, const char *text)
{
    if (!*text) return 0;
    if (list->n >= row->most || (list->item[list->n] = strdup(text)) == NULL) return -1;
    list->n++;
    return 0;
}

static void empty_list(struct srv_list *list)
{
    for (int i = 0; i < list->n; i++)
        free(list->item[i]);
    list->n = 0;
}

/* Sets a row unless a stronger source has spoken. A list begins anew with each source. */
static int set(struct srv_options *o, int i, const char *text, enum srv_option_source source)
{
    const struct row *row = &rows[i];
    if (o->source[i] > source) return 0;
    if (row->kind == KIND_LIST && o->source[i] != source) empty_list(field(o, row));
    o->source[i] = source;
    switch (row->kind) {
    case KIND_LIST: return add_to_list(field(o, row), row, text);
    case KIND_TEXT: return set_text(field(o, row), text);
    case KIND_NUMBER:
    case KIND_FLAG: return set_number(field(o, row), row, text);
    }
    return -1;
}

static int set_or_tell(struct srv_options *o,
                       int i,
                       const char *text,
                       enum srv_option_source source,
                       const char *where)
{
    if (set(o, i, text, source) == 0) return 0;
    char why[128];
    if (rows[i].kind == KIND_NUMBER || rows[i].kind == KIND_FLAG)
        snprintf(why, sizeof why, "'%.40s' is not a number from %lld to %lld", text,
                 (long long)rows[i].least, (long long)rows[i].most);
    else
        snprintf(why, sizeof why, "cannot take '%.40s'", text);
    return fail(where, rows[i].name, why);
}

static int find(const char *name, size_t length)
{
    for (int i = 0; i < SRV_N_OPTIONS; i++)
        if (strlen(rows[i].name) == length && memcmp(rows[i].name, name, length) == 0) return i;
    return -1;
}

static int read_environment(struct srv_options *o)
{
    for (int i = 0; i < SRV_N_OPTIONS; i++) {
        char name[64] = "TESSERA_";
        size_t n = strlen(name);
        for (const char *c = rows[i].name; *c; c++)
            name[n++] = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
        name[n] = 0;
        const char *text = getenv(name);
        strcpy(name + n, ", ");
        if (text && set_or_tell(o, i, text, SRV_ENVIRONMENT, name) != 0) return 2;
    }
    return 0;
}

/* A comment begins the line or follows a blank: a # inside a word is the word's. */
static void cut_comment(char *line)
{
    for (char *c = line; (c = strchr(c, '#')); c++)
        if (c == line || isspace((unsigned char)c[-1])) {
            *c = 0;
            return;
        }
}

/* "key = value # comment", as --print-config writes it. */
static int read_line(struct srv_options *o, char *line, const char *where)
{
    line[strcspn(line, "\r\n")] = 0;
    cut_comment(line);
    char *key = line + strspn(line, " \t");
    if (!*key) return 0;
    char *equals = strchr(key, '=');
    if (!equals) return fail(where, key, "a line is KEY = VALUE");
    size_t n_key = (size_t)(equals - key);
    while (n_key > 0 && isspace((unsigned char)key[n_key - 1]))
        n_key--;
    char *value = equals + 1 + strspn(equals + 1, " \t");
    size_t n = strlen(value);
    while (n > 0 && isspace((unsigned char)value[n - 1]))
        value[--n] = 0;
    int i = find(key, n_key);
    key[n_key] = 0;
    return i < 0 ? fail(where, key, "no such key") : set_or_tell(o, i, value, SRV_FILE, where);
}

static int read_file(struct srv_options *o, const char *path)
{
    FILE *file = fopen(path, "re");
    if (!file) return fail("--config ", path, strerror(errno));
    char line[4096], where[4096];
    int error = 0;
    for (int n = 1; !error && fgets(line, sizeof line, file); n++) {
        snprintf(where, sizeof where, "--config %.4000s, line %d: ", path, n);
        if (strlen(line) == sizeof line - 1 && line[sizeof line - 2] != '\n')
            error = fail(where, "the line", "is longer than 4094 bytes");
        else
            error = read_line(o, line, where);
    }
    if (ferror(file)) error = fail("--config ", path, strerror(errno)); /* a folder is one */
    fclose(file);
    return error;
}

/* --name VALUE or --name=VALUE; a FLAG's value may be left out. */
static int read_words(struct srv_options *o, int argc, char **argv, const char **config)
{
    for (int a = 1; a < argc; a++) {
        const char *word = argv[a];
        bool *alone = strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0      ? &o->help
                      : strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0 ? &o->version
                      : strcmp(word, "--print-config") == 0                       ? &o->print_config
                                                                                  : NULL;
        if (alone) {
            *alone = true;
            continue;
        }
        if (strncmp(word, "--", 2) != 0) return fail("", word, "not an option (--help lists them)");
        size_t length = strcspn(word + 2, "=");
        const char *value = word[2 + length] ? word + 3 + length : NULL;
        bool is_config = length == 6 && memcmp(word + 2, "config", 6) == 0;
        int i = find(word + 2, length);
        if (i < 0 && !is_config) return fail("", word, "no such option (--help lists them)");
        if (!value && !is_config && rows[i].kind == KIND_FLAG) value = "1";
        if (!value && ++a == argc) return fail("", word, "needs a value");
        if (!value) value = argv[a];
        if (is_config)
            *config = value;
        else if (set_or_tell(o, i, value, SRV_COMMAND_LINE, "--") != 0)
            return 2;
    }
    return 0;
}

int srv_options_read(struct srv_options *o, int argc, char **argv)
{
    *o = (struct srv_options){0};
    for (int i = 0; i < SRV_N_OPTIONS; i++)
        if (set(o, i, rows[i].fallback, SRV_DEFAULT) != 0)
            return fail("", "options", "out of memory");
    const char *config = getenv("TESSERA_CONFIG");
    int error = read_words(o, argc, argv, &config);
    if (!error) error = read_environment(o);
    if (!error && config) error = read_file(o, config);
    if (!error && strcmp(o->log_format, "text") != 0 && strcmp(o->log_format, "json") != 0)
        error = fail("--", "log-format", "is text or json");
    return error;
}

void srv_options_free(struct srv_options *o)
{
    for (int i = 0; i < SRV_N_OPTIONS; i++) {
        if (rows[i].kind == KIND_TEXT) free(*(char **)field(o, &rows[i]));
        if (rows[i].kind == KIND_LIST) empty_list(field(o, &rows[i]));
    }
}

void srv_options_print(const struct srv_options *o, FILE *to)
{
    for (int i = 0; i < SRV_N_OPTIONS; i++) {
        const struct row *row = &rows[i];
        const void *value = (const char *)o + row->offset;
        const char *source = source_names[o->source[i]];
        const struct srv_list *list = value;
        if (row->kind == KIND_TEXT)
            fprintf(to, "%s = %s  # %s\n", row->name, *(char *const *)value, source);
        else if (row->kind != KIND_LIST)
            fprintf(to, "%s = %lld  # %s\n", row->name, (long long)*(const int64_t *)value, source);
        else
            for (int k = 0; k < list->n || k == 0; k++)
                fprintf(to, "%s = %s  # %s\n", row->name, k < list->n ? list->item[k] : "", source);
    }
}

void srv_options_help(FILE *to)
{
    fputs("usage: tesserad [OPTION...]\n\n"
          "Each option is also a variable (--max-clients: TESSERA_MAX_CLIENTS) and a key of the\n"
          "configuration file; the command line counts first, then the environment, then the "
          "file.\n\n",
          to);
    for (int i = 0; i < SRV_N_OPTIONS; i++)
        fprintf(to, "  --%s %s\n        %s [%s]\n", rows[i].name, rows[i].value, rows[i].help,
                rows[i].fallback);
    fputs("  --config FILE\n        configuration file: KEY = VALUE lines\n"
          "  --print-config\n        print each value and where it is from, and end\n"
          "  -V, --version\n  -h, --help\n",
          to);
}
