/* The tables of verbs and options in, a script for a shell out. What is to be given after an option or
 * a verb tells what completes it: words in lower case are those that can stand there, FILE and all
 * else of a verb's arguments are files. */
#include "report.h"
#include "verbs.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* Prints what goes for `text` inside of single quotes: characters of `special` get a backslash. */
static void put_quoted(const char *text, const char *special, const char *quote)
{
    for (; *text; text++) {
        if (*text == '\'') {
            fputs(quote, stdout);
            continue;
        }
        if (strchr(special, *text)) putchar('\\');
        putchar(*text);
    }
}

/* Prints the words in lower case of "bash | zsh" or "HZ|source", each after a blank but the first.
 * Returns whether there are any; without `print` that is all. */
static bool put_choices(const char *value, bool print)
{
    bool any = false;
    for (const char *end; value && *value; value = end) {
        value += strspn(value, " |");
        end = value + strcspn(value, " |");
        if (!islower((unsigned char)*value)) continue;
        if (print) printf("%s%.*s", any ? " " : "", (int)(end - value), value);
        any = true;
    }
    return any;
}

static bool has_choices(const char *value)
{
    return put_choices(value, false);
}

static bool is_file(const char *value)
{
    return strncmp(value, "FILE", 4) == 0 || strcmp(value, "DIR") == 0;
}

/* ---- bash: words, or none for the names of files, which -o default completes ---- */

static void put_bash_verb(const struct cli_verb *verb)
{
    struct cli_option o;
    printf("    %s)\n        case $before in\n", verb->name);
    for (int i = 0; cli_option(verb, i, &o); i++) {
        if (!o.value) continue;
        printf("        --%s", o.name);
        if (o.letter) printf(" | -%c", o.letter);
        fputs(") words='", stdout);
        put_choices(o.value, true);
        fputs("' ;;\n", stdout);
    }
    fputs("        *)\n            words='", stdout);
    put_choices(verb->arguments, true);
    fputs("'\n            [[ $word != -* ]] || words='", stdout);
    for (int i = 0; cli_option(verb, i, &o); i++)
        printf("%s--%s", i ? " " : "", o.name);
    fputs("'\n            ;;\n        esac\n        ;;\n", stdout);
}

static void put_bash(void)
{
    fputs("# Completion of tessera for bash.\n"
          "_tessera()\n"
          "{\n"
          "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}\n"
          "    local verb=${COMP_WORDS[1]} words=\n"
          "    if [[ $word == = ]]; then # --format=npy is three words\n"
          "        word=\n"
          "    elif [[ $before == = ]]; then\n"
          "        before=${COMP_WORDS[COMP_CWORD - 2]}\n"
          "    fi\n"
          "    [[ $COMP_CWORD -gt 1 ]] || verb=\n"
          "    case $verb in\n"
          "    '') words='--help --version",
          stdout);
    for (int i = 0; cli_verb(i); i++)
        printf(" %s", cli_verb(i)->name);
    fputs("' ;;\n", stdout);
    for (int i = 0; cli_verb(i); i++)
        put_bash_verb(cli_verb(i));
    fputs("    esac\n"
          "    COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
          "}\n"
          "complete -o default -F _tessera tessera\n",
          stdout);
}

/* ---- zsh: the arguments of _arguments ---- */

static void put_zsh_option(const struct cli_option *o)
{
    const char *equals = o->value ? "=" : "";
    if (o->letter)
        printf(" \\\n            '(-%c --%s)'{-%c%s,--%s%s}'[", o->letter, o->name, o->letter,
               o->value ? "+" : "", o->name, equals);
    else
        printf(" \\\n            '--%s%s[", o->name, equals);
    put_quoted(o->help, "[]\\", "'\\''");
    putchar(']');
    if (o->value) printf(":%s:", o->value);
    if (has_choices(o->value)) {
        putchar('(');
        put_choices(o->value, true);
        putchar(')');
    } else if (o->value) {
        fputs(is_file(o->value) ? "_files" : " ", stdout);
    }
    putchar('\'');
}

static void put_zsh(void)
{
    fputs("#compdef tessera\n"
          "_tessera()\n"
          "{\n"
          "    local -a verbs=(",
          stdout);
    for (int i = 0; cli_verb(i); i++) {
        printf("\n        '%s:", cli_verb(i)->name);
        put_quoted(cli_verb(i)->summary, ":\\", "'\\''");
        putchar('\'');
    }
    fputs(")\n"
          "    if ((CURRENT == 2)); then\n"
          "        _describe verb verbs\n"
          "        return\n"
          "    fi\n"
          "    local verb=$words[2]\n"
          "    shift words\n"
          "    ((CURRENT--))\n"
          "    case $verb in\n",
          stdout);
    for (int i = 0; cli_verb(i); i++) {
        struct cli_option o;
        printf("    %s)\n        _arguments -s", cli_verb(i)->name);
        for (int k = 0; cli_option(cli_verb(i), k, &o); k++)
            put_zsh_option(&o);
        if (has_choices(cli_verb(i)->arguments)) {
            fputs(" \\\n            '1:what:(", stdout);
            put_choices(cli_verb(i)->arguments, true);
            fputs(")'", stdout);
        }
        fputs(" \\\n            '*:file:_files'\n        ;;\n", stdout);
    }
    fputs("    esac\n"
          "}\n"
          "_tessera \"$@\"\n",
          stdout);
}

/* ---- fish: a line a word ---- */

static void put_fish_start(const struct cli_verb *verb)
{
    printf("complete -c tessera -n '__fish_seen_subcommand_from %s'", verb->name);
}

static void put_fish_verb(const struct cli_verb *verb)
{
    struct cli_option o;
    printf("complete -c tessera -n __fish_use_subcommand -f -a %s -d '", verb->name);
    put_quoted(verb->summary, "\\", "\\'");
    fputs("'\n", stdout);
    if (has_choices(verb->arguments)) {
        put_fish_start(verb);
        fputs(" -a '", stdout);
        put_choices(verb->arguments, true);
        fputs("'\n", stdout);
    }
    for (int i = 0; cli_option(verb, i, &o); i++) {
        put_fish_start(verb);
        printf(" -l %s", o.name);
        if (o.letter) printf(" -s %c", o.letter);
        if (o.value) fputs(is_file(o.value) ? " -r -F" : " -x", stdout);
        if (has_choices(o.value)) {
            fputs(" -a '", stdout);
            put_choices(o.value, true);
            putchar('\'');
        }
        fputs(" -d '", stdout);
        put_quoted(o.help, "\\", "\\'");
        fputs("'\n", stdout);
    }
}

static void put_fish(void)
{
    fputs("# Completion of tessera for fish.\n", stdout);
    for (int i = 0; cli_verb(i); i++)
        put_fish_verb(cli_verb(i));
}

int cli_completion(const struct cli_options *options)
{
    static const struct {
        const char *shell;
        void (*put)(void);
    } shells[] = {
        {"bash", put_bash},
        {"zsh",  put_zsh },
        {"fish", put_fish}
    };
    for (size_t i = 0; i < sizeof shells / sizeof shells[0]; i++) {
        if (strcmp(options->args[0], shells[i].shell) != 0) continue;
        shells[i].put();
        return CLI_OK;
    }
    return cli_fail(CLI_USAGE, "%s: bash, zsh or fish", options->args[0]);
}
