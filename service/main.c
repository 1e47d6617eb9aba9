/* service/main.c: finds the command, reads its options, runs it. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/fault.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/secret.h"
#include "service/cli.h"
#include "service/secret_env.h"

const sl_command *const sl_all_commands[] = {
    &sl_command_run, &sl_command_server, &sl_command_validate, &sl_command_flow_apply,
    &sl_command_flow_list, &sl_command_flow_get, &sl_command_flow_delete, &sl_command_flow_diff,
    &sl_command_flow_sync, &sl_command_execution_create, &sl_command_execution_list, &sl_command_execution_get,
    &sl_command_execution_logs, &sl_command_execution_kill, &sl_command_execution_pause, &sl_command_execution_resume,
    &sl_command_execution_restart, &sl_command_execution_replay, &sl_command_execution_delete, &sl_command_trigger_next,
    &sl_command_trigger_list, &sl_command_trigger_why, &sl_command_trigger_enable, &sl_command_trigger_disable,
    &sl_command_trigger_backfill, &sl_command_kv, &sl_command_secret, &sl_command_user_add,
    &sl_command_user_list, &sl_command_user_delete, &sl_command_token_create, &sl_command_token_list,
    &sl_command_token_revoke, &sl_command_local, &sl_command_render, &sl_command_schema,
    &sl_command_plugins, &sl_command_auth, &sl_command_doctor, &sl_command_verify,
    &sl_command_version,
    &sl_command_completion, &sl_command_man, NULL,
};

const sl_cli_opt sl_common_options[] = {
    { "--data-dir", NULL, "DIR", false, "where state, values and files are kept ($SLUICE_DATA_DIR)" },
    { "--output", NULL, "json|text", false, "form of the answer" },
    { "--verbose", "-v", NULL, false, "show what happens inside" },
    { "--trace", NULL, NULL, false, "show every HTTP request, without secrets" },
    { "--help", "-h", NULL, false, "this text" },
    { 0 },
};

static int lost;                  /* errno of the first output that could not be written; 0 = all was */

void sl_cli_print(const char *fmt, ...)
{
    SL_ARENA a = sl_arena_new();
    va_list ap;
    va_start(ap, fmt);
    sl_str s = sl_redact(a, sl_vfmt(a, fmt, ap));
    va_end(ap);
    if (fwrite(s.p, 1, s.n, stdout) < s.n && lost == 0)
        lost = errno;
}

int sl_cli_fail(int code, const char *fmt, ...)
{
    SL_ARENA a = sl_arena_new();
    va_list ap;
    va_start(ap, fmt);
    sl_str s = sl_redact(a, sl_vfmt(a, fmt, ap));
    va_end(ap);
    (void)fflush(stdout);
    (void)fprintf(stderr, "sluice: %.*s\n", SL_ARG(s));
    return code;
}

int sl_cli_error(int code, const sl_err *err)
{
    return sl_cli_fail(code, "%s", err->message);
}

sl_str sl_cli_text(const sl_cli *c, const char *name)
{
    return sl_get_text(c->options, name);
}

bool sl_cli_has(const sl_cli *c, const char *name)
{
    return sl_get(c->options, name) != NULL;
}

static void print_problems(const char *file, const char *before, const sl_problems *problems)
{
    SL_ARENA a = sl_arena_new();
    for (const sl_problem *p = problems->first; p != NULL; p = p->next) {
        sl_str m = sl_redact(a, p->message);
        if (p->line > 0)
            (void)fprintf(stderr, "%s:%u:%u: %s%.*s\n", file, p->line, p->column, before, SL_ARG(m));
        else
            (void)fprintf(stderr, "%s: %s%.*s\n", file, before, SL_ARG(m));
    }
}

void sl_cli_problems(const char *file, const sl_problems *problems)
{
    print_problems(file, "", problems);
}

void sl_cli_hints(const char *file, const sl_problems *hints)
{
    print_problems(file, "hint: ", hints);
}

/* ---- help ---- */

static void print_options(const sl_cli_opt *opts)
{
    for (const sl_cli_opt *o = opts; o != NULL && o->name != NULL; o++)
        (void)printf("  %s%s%s%s%s\n        %s%s\n", o->short_name ? o->short_name : "", o->short_name ? ", " : "", o->name, o->value ? " " : "", o->value ? o->value : "", o->doc,
                     o->many ? " (may be given several times)" : "");
}

static void print_help(const sl_command *c)
{
    if (c != NULL) {
        (void)printf("sluice %s %s\n\n%s\n\n", c->name, c->usage, c->doc);
        print_options(c->opts);
        print_options(sl_common_options);
        return;
    }
    (void)printf("sluice: runs Kestra's YAML flows: extract, land in cloud storage, merge into a warehouse.\n\n");
    for (const sl_command *const *p = sl_all_commands; *p != NULL; p++)
        (void)printf("  %-18s %s\n", (*p)->name, (*p)->doc);
    (void)printf("\n`sluice COMMAND --help` tells more. A first run: sluice run examples/flows/hello.yaml\n");
}

/* ---- parsing ---- */

static const sl_cli_opt *find_opt(const sl_cli_opt *opts, const char *word, size_t n)
{
    for (const sl_cli_opt *o = opts; o != NULL && o->name != NULL; o++)
        if ((strlen(o->name) == n && strncmp(o->name, word, n) == 0) || (o->short_name != NULL && strlen(o->short_name) == n && strncmp(o->short_name, word, n) == 0))
            return o;
    return NULL;
}

static int unknown_option(const sl_command *cmd, const char *word)
{
    const char *best = NULL;
    size_t least = 4;
    const sl_cli_opt *tables[] = { cmd->opts, sl_common_options };
    for (size_t t = 0; t < SL_COUNT(tables); t++)
        for (const sl_cli_opt *o = tables[t]; o != NULL && o->name != NULL; o++) {
            size_t d = sl_str_distance(sl_str_c(word), sl_str_c(o->name), 3);
            if (d < least) {
                least = d;
                best = o->name;
            }
        }
    return sl_cli_fail(2, "unknown option '%s'%s%s; see `sluice %s --help`", word, best ? ", did you mean " : "", best ? best : "", cmd->name);
}

static void put_option(sl_cli *c, const sl_cli_opt *o, const char *value)
{
    sl_val *map = (sl_val *)(uintptr_t)c->options, *text = sl_val_c(c->arena, value ? value : "true");
    if (!o->many) {
        sl_map_setc(c->arena, map, o->name, text);
        return;
    }
    sl_val *list = (sl_val *)(uintptr_t)sl_get(map, o->name);
    if (list == NULL) {
        list = sl_list(c->arena);
        sl_map_setc(c->arena, map, o->name, list);
    }
    sl_list_add(c->arena, list, text);
}

static int parse(sl_cli *c, const sl_command *cmd, int argc, char **argv)
{
    bool only_words = false;
    for (int i = 0; i < argc; i++) {
        const char *w = argv[i];
        if (!only_words && strcmp(w, "--") == 0) {
            only_words = true;
            continue;
        }
        if (only_words || w[0] != '-' || w[1] == '\0') {
            if (c->word_count == (int)SL_COUNT(c->words))
                return sl_cli_fail(2, "too many arguments");
            c->words[c->word_count++] = w;
            continue;
        }
        const char *equals = strncmp(w, "--", 2) == 0 ? strchr(w, '=') : NULL;
        size_t n = equals ? (size_t)(equals - w) : strlen(w);
        const sl_cli_opt *o = find_opt(cmd->opts, w, n);
        if (o == NULL)
            o = find_opt(sl_common_options, w, n);
        if (o == NULL)
            return unknown_option(cmd, w);
        const char *value = equals ? equals + 1 : NULL;
        if (o->value != NULL && value == NULL && (i + 1 >= argc || (value = argv[++i]) == NULL))
            return sl_cli_fail(2, "the option %s needs a value (%s)", o->name, o->value);
        put_option(c, o, value);
    }
    if (c->word_count < cmd->words_min || c->word_count > cmd->words_max)
        return sl_cli_has(c, "--help") ? 0 : sl_cli_fail(2, "usage: sluice %s %s", cmd->name, cmd->usage);
    return 0;
}

static const char *default_data_dir(sl_arena *a)
{
    const char *own = getenv("SLUICE_DATA_DIR"), *xdg = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    if (own != NULL && *own != '\0')
        return own;
    return xdg && *xdg ? sl_fmt(a, "%s/sluice", xdg).p : sl_fmt(a, "%s/.local/share/sluice", home ? home : "/root").p;
}

static const sl_command *find_command(int argc, char **argv, int *used)
{
    for (int words = 2; words >= 1; words--) {
        if (argc <= words)
            continue;
        char name[64];
        (void)snprintf(name, sizeof name, words == 2 ? "%s %s" : "%s", argv[1], words == 2 ? argv[2] : "");
        for (const sl_command *const *p = sl_all_commands; *p != NULL; p++)
            if (strcmp((*p)->name, name) == 0) {
                *used = words;
                return *p;
            }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    (void)signal(SIGPIPE, SIG_IGN);
    sl_fault_init();
    sl_secret_harden();
    sl_secret_env_take();
    (void)umask(077);
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        print_help(NULL);
        return argc < 2 ? 2 : 0;
    }
    int used = 1;
    const sl_command *cmd = strcmp(argv[1], "--version") == 0 ? &sl_command_version : find_command(argc, argv, &used);
    if (cmd == NULL)
        return sl_cli_fail(2, "there is no command '%s'; `sluice --help` lists them", argv[1]);
    SL_ARENA arena = sl_arena_new();
    sl_cli c = { .arena = arena, .options = sl_map(arena) };
    int rc = parse(&c, cmd, argc - 1 - used, argv + 1 + used);
    if (rc == 0 && sl_cli_has(&c, "--help")) {
        print_help(cmd);
        return 0;
    }
    if (rc != 0)
        return rc;
    sl_str output = sl_cli_text(&c, "--output");
    if (output.n > 0 && !sl_str_eqc(output, "json") && !sl_str_eqc(output, "text"))
        return sl_cli_fail(2, "--output must be json or text");
    c.json = sl_str_eqc(output, "json");
    sl_log_init(sl_cli_has(&c, "--trace") ? SL_TRACE : sl_cli_has(&c, "--verbose") ? SL_DEBUG : SL_WARN, false);
    c.data_dir = sl_fs_absolute(arena, sl_cli_has(&c, "--data-dir") ? sl_cli_text(&c, "--data-dir").p : default_data_dir(arena)).p;
    rc = cmd->run(&c);
    if (fflush(stdout) != 0 && lost == 0)
        lost = errno;
    if (lost == 0)
        return rc;
    errno = lost;
    sl_err err;
    sl_err_errno(&err, "write to", "the standard output");
    return lost == EPIPE ? 1 : sl_cli_error(1, &err); /* EPIPE: who reads has seen enough */
}
