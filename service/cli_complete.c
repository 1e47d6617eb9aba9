/* service/cli_complete.c: `completion` and `man`: made from the table of commands. */
#include "base/arena.h"
#include "base/clock.h"
#include "service/cli.h"

static const sl_cli_opt no_opts[] = { { 0 } };

/* The first words of all commands, or the second ones behind `first`; each once. */
static const sl_val *words(sl_arena *a, sl_str first)
{
    sl_val *all = sl_map(a);
    for (const sl_command *const *p = sl_all_commands; *p != NULL; p++) {
        sl_str rest = sl_str_c((*p)->name), head;
        (void)sl_str_cut(&rest, ' ', &head);
        if (first.n == 0)
            sl_map_set(a, all, head, &sl_true_val);
        else if (sl_str_eq(head, first) && rest.p != NULL)
            sl_map_set(a, all, rest, &sl_true_val);
    }
    return all;
}

static sl_str joined(sl_arena *a, const sl_val *map)
{
    sl_buf b = sl_buf_new(a, 1 << 16);
    for (size_t i = 0; i < sl_val_count(map); i++)
        sl_buf_fmt(&b, "%s%.*s", i ? " " : "", SL_ARG(map->map.entries[i].key));
    return sl_buf_str(&b);
}

static sl_str options_of(sl_arena *a, const sl_command *c)
{
    sl_buf b = sl_buf_new(a, 1 << 16);
    const sl_cli_opt *tables[] = { c->opts, sl_common_options };
    for (size_t t = 0; t < SL_COUNT(tables); t++)
        for (const sl_cli_opt *o = tables[t]; o->name != NULL; o++)
            sl_buf_fmt(&b, "%s%s", b.n ? " " : "", o->name);
    return sl_buf_str(&b);
}

/* zsh reads the same function through bashcompinit. */
static void bash(sl_arena *a, bool zsh)
{
    const sl_val *first = words(a, SL_S(""));
    sl_str names = joined(a, first);
    if (zsh)
        sl_cli_print("#compdef sluice\nautoload -U +X bashcompinit && bashcompinit\n");
    sl_cli_print("# sluice: completion; put it where your shell looks, or: source <(sluice completion %s)\n_sluice() {\n    local cur=\"${COMP_WORDS[COMP_CWORD]}\" words=\"\"\n", zsh ? "zsh" : "bash");
    sl_cli_print("    if [ \"$COMP_CWORD\" -eq 1 ]; then words=\"%.*s\"; else\n    case \"${COMP_WORDS[1]} ${COMP_WORDS[2]}\" in\n", SL_ARG(names));
    for (const sl_command *const *p = sl_all_commands; *p != NULL; p++) {
        sl_str options = options_of(a, *p);
        sl_cli_print("    \"%s\"*) words=\"%.*s\" ;;\n", (*p)->name, SL_ARG(options));
    }
    for (size_t i = 0; i < sl_val_count(first); i++) {
        sl_str second = joined(a, words(a, first->map.entries[i].key));
        if (second.n > 0)
            sl_cli_print("    \"%.*s \"*) [ \"$COMP_CWORD\" -eq 2 ] && words=\"%.*s\" ;;\n", SL_ARG(first->map.entries[i].key), SL_ARG(second));
    }
    sl_cli_print("    esac; fi\n    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n    [ \"${#COMPREPLY[@]}\" -gt 0 ] || COMPREPLY=($(compgen -f -- \"$cur\"))\n}\ncomplete -F _sluice sluice\n");
}

static sl_str quoted(sl_arena *a, const char *text)
{
    return sl_str_replace(a, sl_str_c(text), SL_S("'"), SL_S("\\'"));
}

static void fish(sl_arena *a)
{
    sl_val *seen = sl_map(a);
    sl_cli_print("# sluice: completion; put it into ~/.config/fish/completions/sluice.fish\n");
    for (const sl_command *const *p = sl_all_commands; *p != NULL; p++) {
        sl_str rest = sl_str_c((*p)->name), head, doc = quoted(a, (*p)->doc);
        (void)sl_str_cut(&rest, ' ', &head);
        if (sl_get_str(seen, head) == NULL)
            sl_cli_print("complete -c sluice -n __fish_use_subcommand -a %.*s -d '%.*s'\n", SL_ARG(head), SL_ARG(rest.p ? SL_S("…") : doc));
        sl_map_set(a, seen, head, &sl_true_val);
        if (rest.p != NULL)
            sl_cli_print("complete -c sluice -n '__fish_seen_subcommand_from %.*s' -a %.*s -d '%.*s'\n", SL_ARG(head), SL_ARG(rest), SL_ARG(doc));
        for (const sl_cli_opt *o = (*p)->opts; o->name != NULL; o++) {
            sl_str text = quoted(a, o->doc);
            sl_cli_print("complete -c sluice -n '__fish_seen_subcommand_from %.*s' -l %s -d '%.*s'\n", SL_ARG(head), o->name + 2, SL_ARG(text));
        }
    }
}

static int completion(sl_cli *c)
{
    const char *shell = c->words[0];
    if (strcmp(shell, "fish") == 0)
        fish(c->arena);
    else if (strcmp(shell, "bash") == 0 || strcmp(shell, "zsh") == 0)
        bash(c->arena, shell[0] == 'z');
    else
        return sl_cli_fail(2, "there is completion for bash, zsh and fish, not for '%s'", shell);
    return 0;
}

const sl_command sl_command_completion = { "completion", "bash|zsh|fish", "Prints what a shell needs to complete the commands.", no_opts, 1, 1, completion };

/* ---- man ---- */

/* roff: a backslash, and a dot or quote at the start of a line, mean something. */
static sl_str roff(sl_arena *a, const char *text)
{
    sl_str s = sl_str_replace(a, sl_str_replace(a, sl_str_c(text), SL_S("\\"), SL_S("\\e")), SL_S("-"), SL_S("\\-"));
    return s.n > 0 && (s.p[0] == '.' || s.p[0] == '\'') ? sl_fmt(a, "\\&%.*s", SL_ARG(s)) : s;
}

static void man_options(sl_arena *a, const sl_cli_opt *opts)
{
    for (const sl_cli_opt *o = opts; o->name != NULL; o++) {
        sl_str name = roff(a, o->name), value = roff(a, o->value ? o->value : ""), doc = roff(a, o->doc);
        sl_cli_print(".TP\n\\fB%.*s\\fR%s%.*s%s\n%.*s\n", SL_ARG(name), o->value ? " \\fI" : "", SL_ARG(value), o->value ? "\\fR" : "", SL_ARG(doc));
    }
}

static int man(sl_cli *c)
{
    sl_arena *a = c->arena;
    sl_cli_print(".TH SLUICE 1 \"\" \"Sluice %s\" \"User Commands\"\n.SH NAME\nsluice \\- runs Kestra's YAML flows: extract, land in cloud storage, merge into a warehouse\n", SL_VERSION);
    sl_cli_print(".SH SYNOPSIS\n\\fBsluice\\fR \\fICOMMAND\\fR [\\fIOPTION\\fR]...\n.SH OPTIONS OF ALL COMMANDS\n");
    man_options(a, sl_common_options);
    sl_cli_print(".SH COMMANDS\n");
    for (const sl_command *const *p = sl_all_commands; *p != NULL; p++) {
        sl_str name = roff(a, (*p)->name), usage = roff(a, (*p)->usage), doc = roff(a, (*p)->doc);
        sl_cli_print(".SS sluice %.*s %.*s\n%.*s\n", SL_ARG(name), SL_ARG(usage), SL_ARG(doc));
        man_options(a, (*p)->opts);
    }
    sl_cli_print(".SH EXIT STATUS\n0 done (SUCCESS, WARNING); 1 failed; 2 bad usage or invalid input, nothing was started.\n"
                 ".SH ENVIRONMENT\n.TP\n\\fBSLUICE_DATA_DIR\\fR\nwhere state, values and files are kept\n.TP\n\\fBSLUICE_URL\\fR, \\fBSLUICE_TOKEN\\fR\na server to talk to\n.TP\n\\fBSLUICE_CONFIG\\fR\n"
                 "the server's configuration\n");
    return 0;
}

const sl_command sl_command_man = { "man", "", "Prints the manual page: sluice man > sluice.1", no_opts, 0, 0, man };
