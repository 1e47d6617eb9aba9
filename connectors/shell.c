/*
 * connectors/shell.c: io.kestra.plugin.scripts.shell.Commands and Script with the Process runner.
 *
 * The commands are one text for one shell. It is handed over in an anonymous file, not on the command line, because
 * rendered secrets would show in /proc there. The child sees PATH, the task's `env` and a few variables of ours.
 * A run that was cut off by a crash starts again: scripts are at least once (SLUICE_ATTEMPT, SLUICE_IDEMPOTENCY_KEY).
 */
#include <sys/mman.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/proc.h"
#include "connectors/connectors.h"
#include "connectors/files.h"

typedef struct shell_cfg {
    const sl_val *commands, *before, *env, *input_files, *output_files, *runner, *interpreter;
    sl_str script, legacy_runner, image, target_os;
    bool fail_fast, warning_on_stderr;
} shell_cfg;

static const char PROCESS[] = "io.kestra.plugin.core.runner.Process";

#define SHARED                                                                                                                                                                                     \
    { .name = "taskRunner", .type = SL_OPT_ANY, .offset = SL_FIELD(shell_cfg, runner), .doc = "Where the commands run; only " "io.kestra.plugin.core.runner.Process is supported." },              \
    { .name = "beforeCommands", .type = SL_OPT_STRS, .offset = SL_FIELD(shell_cfg, before), .doc = "Commands before them, in the same shell." },                                                     \
    { .name = "env", .type = SL_OPT_MAP, .offset = SL_FIELD(shell_cfg, env), .doc = "Environment variables." },                                                                                     \
    { .name = "interpreter", .type = SL_OPT_STRS, .offset = SL_FIELD(shell_cfg, interpreter), .doc = "Program that gets the text (/bin/sh -c)." },                                                  \
    { .name = "failFast", .type = SL_OPT_BOOL, .offset = SL_FIELD(shell_cfg, fail_fast), .fallback = "true", .doc = "Stop at the first failing command (set -e)." },                                \
    { .name = "inputFiles", .type = SL_OPT_ANY, .offset = SL_FIELD(shell_cfg, input_files), .doc = "Files to put into the working folder: name to content or kestra:// URI." },                     \
    { .name = "outputFiles", .type = SL_OPT_STRS, .offset = SL_FIELD(shell_cfg, output_files), .doc = "Globs of files to keep." },                                                                  \
    { .name = "containerImage", .type = SL_OPT_STR, .flags = SL_LATE, .offset = SL_FIELD(shell_cfg, image), .doc = "Used by container runners only." },                                                                       \
    { .name = "targetOS", .type = SL_OPT_STR, .flags = SL_STATIC, .offset = SL_FIELD(shell_cfg, target_os), .doc = "Accepted and ignored." },                                                                                     \
    { .name = "warningOnStdErr", .type = SL_OPT_BOOL, .flags = SL_STATIC, .offset = SL_FIELD(shell_cfg, warning_on_stderr), .doc = "Accepted; the state depends on the exit code only." },         \
    { .name = "runner", .type = SL_OPT_STR, .flags = SL_STATIC | SL_DEPRECATED, .offset = SL_FIELD(shell_cfg, legacy_runner), .doc = "Older form of taskRunner: PROCESS." }

static const sl_opt commands_opts[] = {
    { .name = "commands", .type = SL_OPT_STRS, .offset = SL_FIELD(shell_cfg, commands), .flags = SL_REQUIRED, .doc = "The commands." },
    SHARED,
    { 0 },
};

static const sl_opt script_opts[] = {
    { .name = "script", .type = SL_OPT_STR, .offset = SL_FIELD(shell_cfg, script), .flags = SL_REQUIRED, .doc = "The script." },
    SHARED,
    { 0 },
};

static const sl_opt outs[] = {
    { .name = "exitCode", .type = SL_OPT_INT, .doc = "Exit code of the shell." },
    { .name = "vars", .type = SL_OPT_MAP, .doc = "What the commands printed as ::{\"outputs\": …}::." },
    { .name = "outputFiles", .type = SL_OPT_MAP, .doc = "Relative path of a file to its URI." },
    { .name = "stdOutLineCount", .type = SL_OPT_INT, .doc = "Lines on the standard output." },
    { .name = "stdErrLineCount", .type = SL_OPT_INT, .doc = "Lines on the standard error." },
    { 0 },
};

static void check(const sl_val *props, sl_str where, sl_problems *problems)
{
    const sl_val *runner = sl_get(props, "taskRunner");
    sl_str type = sl_is(runner, SL_MAP) ? sl_get_text(runner, "type") : sl_get_text(props, "runner");
    if (sl_str_eqc(type, PROCESS) || sl_str_eqc(type, "core.runner.Process") || sl_str_eqc(type, "PROCESS"))
        return;
    const sl_val *at = runner ? runner : props;
    sl_problem_add(problems, at->line, at->column, "%.*s: %.*s%s not supported by this version of Sluice; write: taskRunner: {type: %s}", SL_ARG(where), SL_ARG(type),
                   type.n ? " is" : "the default Docker task runner is", PROCESS);
}

/* ---- the text ---- */

/* Every kestra:/// URI in the text becomes the path of the file. */
static bool localize(sl_task *t, sl_str text, sl_str *ret, sl_err *err)
{
    sl_arena *a = sl_task_arena(t);
    sl_buf b = sl_buf_new(a, 16 << 20);
    ptrdiff_t at;
    while ((at = sl_str_find(text, SL_S("kestra:///"))) >= 0) {
        size_t end = (size_t)at;
        while (end < text.n && strchr(" \t\r\n'\"`|<>;&()", text.p[end]) == NULL)
            end++;
        sl_str path;
        if (!sl_task_local_file(t, sl_str_sub(text, (size_t)at, end), &path, err))
            return false;
        sl_buf_add(&b, sl_str_sub(text, 0, (size_t)at));
        sl_buf_add(&b, path);
        text = sl_str_sub(text, end, text.n);
    }
    sl_buf_add(&b, text);
    *ret = sl_buf_str(&b);
    return !b.overflow || sl_err_set(err, SL_ERR_LIMIT, "script.size", "the script is larger than 16 MiB");
}

static bool build_text(sl_task *t, const shell_cfg *c, sl_str *ret, sl_err *err)
{
    sl_arena *a = sl_task_arena(t);
    sl_buf b = sl_buf_new(a, 16 << 20);
    if (c->fail_fast)
        sl_buf_addc(&b, "set -e\n");
    const sl_val *lists[] = { c->before, c->commands };
    for (size_t k = 0; k < SL_COUNT(lists); k++)
        for (size_t i = 0; i < sl_val_count(lists[k]); i++) {
            sl_buf_add(&b, sl_text(sl_at(lists[k], i)));
            sl_buf_char(&b, '\n');
        }
    sl_buf_add(&b, c->script.p ? c->script : SL_S(""));
    sl_buf_char(&b, '\n');
    return localize(t, sl_buf_str(&b), ret, err);
}

static bool is_plain_shell(const sl_val *interpreter)
{
    sl_str program = sl_path_base(sl_text(sl_at(interpreter, 0)));
    bool shell = sl_str_eqc(program, "sh") || sl_str_eqc(program, "bash") || sl_str_eqc(program, "dash");
    return sl_val_count(interpreter) == 0 || (shell && sl_val_count(interpreter) == 2 && sl_str_eqc(sl_text(sl_at(interpreter, 1)), "-c"));
}

/* argv, and for shells the descriptor that holds the script. */
static bool build_argv(sl_task *t, const shell_cfg *c, sl_str text, const char ***ret, int *fd, sl_err *err)
{
    sl_arena *a = sl_task_arena(t);
    size_t n = sl_val_count(c->interpreter);
    const char **argv = SL_ARRAY(a, const char *, n + 4);
    *fd = -1;
    *ret = argv;
    for (size_t i = 0; i < n; i++)
        argv[i] = sl_cstr(a, sl_text(sl_at(c->interpreter, i)));
    if (n == 0) {
        argv[n++] = "/bin/sh";
        argv[n++] = "-c";
    }
    if (!is_plain_shell(c->interpreter)) {
        argv[n] = sl_cstr(a, text);
        return true;
    }
    /* The shell reads descriptor 9 and closes it first, so that no command inherits it. */
    sl_str body = sl_fmt(a, "exec 9<&-\n%.*s", SL_ARG(text));
    *fd = memfd_create("script", MFD_CLOEXEC);
    if (*fd < 0)
        return sl_err_errno(err, "make room for", "the script");
    argv[n] = ". /dev/fd/9";
    if (sl_fs_pwrite(*fd, body.p, body.n, 0, "script", err))
        return true;
    close(*fd);
    return false;
}

static const char **build_env(sl_task *t, const shell_cfg *c, sl_str dir)
{
    sl_arena *a = sl_task_arena(t);
    const sl_val *base = sl_task_process_env(t);
    const sl_task_info *info = sl_task_about(t);
    size_t n = 0, room = sl_val_count(base) + sl_val_count(c->env) + 8;
    const char **env = SL_ARRAY(a, const char *, room);
    for (size_t i = 0; i < sl_val_count(base); i++) {
        sl_str line = sl_text(sl_at(base, i)), rest = line, name;
        (void)sl_str_cut(&rest, '=', &name);
        if (sl_get_str(c->env, name) == NULL)
            env[n++] = line.p;
    }
    env[n++] = sl_fmt(a, "WORKING_DIR=%.*s", SL_ARG(dir)).p;
    env[n++] = sl_fmt(a, "SLUICE_ATTEMPT=%d", info->attempt).p;
    env[n++] = sl_fmt(a, "SLUICE_IDEMPOTENCY_KEY=%.*s", SL_ARG(sl_task_key(t, "script"))).p;
    env[n++] = sl_fmt(a, "SLUICE_EXECUTION_ID=%.*s", SL_ARG(info->execution_id)).p;
    for (size_t i = 0; i < sl_val_count(c->env); i++)
        env[n++] = sl_fmt(a, "%.*s=%.*s", SL_ARG(c->env->map.entries[i].key), SL_ARG(sl_val_text(a, c->env->map.entries[i].value))).p;
    return env;
}

/* ---- the output protocol ---- */

typedef struct listener {
    sl_task *t;
    sl_val *vars;
} listener;

static void take_metrics(listener *l, const sl_val *metrics)
{
    for (size_t i = 0; i < sl_val_count(metrics); i++) {
        const sl_val *m = sl_at(metrics, i);
        sl_str text = sl_get(m, "value") ? sl_val_text(sl_task_arena(l->t), sl_get(m, "value")) : SL_S("0");
        double value = 0;
        int64_t ms;
        if (!sl_parse_double(text, &value) && sl_duration_parse(text, &ms))
            value = (double)ms / 1000;
        const char *name = sl_cstr(sl_task_arena(l->t), sl_get_text(m, "name"));
        if (sl_str_eqc(sl_get_text(m, "type"), "timer"))
            sl_task_timer(l->t, name, value);
        else
            sl_task_counter(l->t, name, value);
    }
}

static bool take_protocol(listener *l, sl_str line)
{
    if (!sl_str_starts(line, SL_S("::{")) || !sl_str_ends(line, SL_S("}::")))
        return false;
    sl_arena *a = sl_task_arena(l->t);
    sl_err err;
    const sl_val *doc = sl_json_parse(a, sl_str_sub(line, 2, line.n - 2), &err);
    if (!sl_is(doc, SL_MAP)) {
        sl_task_log(l->t, SL_WARN, "Invalid outputs '%.*s': %s", (int)(line.n < 200 ? line.n : 200), line.p, err.message);
        return true;
    }
    const sl_val *outputs = sl_get(doc, "outputs"), *logs = sl_get(doc, "logs");
    for (size_t i = 0; sl_is(outputs, SL_MAP) && i < outputs->map.n; i++)
        sl_map_set(a, l->vars, outputs->map.entries[i].key, outputs->map.entries[i].value);
    take_metrics(l, sl_get(doc, "metrics"));
    for (size_t i = 0; i < sl_val_count(logs); i++) {
        sl_level level = SL_INFO;
        (void)sl_level_parse(sl_get_text(sl_at(logs, i), "level"), &level);
        sl_task_log_str(l->t, level, sl_get_text(sl_at(logs, i), "message"));
    }
    return true;
}

static void on_line(void *self, bool is_stderr, sl_str line)
{
    listener *l = self;
    if (!take_protocol(l, line))
        sl_task_log_str(l->t, is_stderr ? SL_ERROR : SL_INFO, line);
}

static sl_outcome shell_run(sl_task *t, void *cfg, sl_err *err)
{
    const shell_cfg *c = cfg;
    sl_arena *a = sl_task_arena(t);
    sl_str dir, text;
    const char **argv;
    int fd;
    listener l = { t, sl_map(a) };
    if (!sl_task_workdir(t, &dir, err) || !sl_files_put(t, dir, c->input_files, err))
        return SL_TASK_FAILED;
    if (!build_text(t, c, &text, err) || !build_argv(t, c, text, &argv, &fd, err))
        return SL_TASK_FAILED;
    sl_proc p = { .argv = argv, .env = build_env(t, c, dir), .cwd = dir.p, .pass_fd = fd, .grace_ms = 10000, .self = &l, .on_line = on_line,
                  .cancelled = sl_task_cancelled, .cancel_self = t };
    sl_proc_result r;
    bool ran = sl_proc_run(&p, &r, err);
    if (fd >= 0)
        close(fd);
    sl_task_out(t, "vars", l.vars);
    if (!ran)
        return SL_TASK_FAILED;
    const sl_val *files;
    sl_task_out_int(t, "exitCode", r.exit_code);
    sl_task_out_int(t, "stdOutLineCount", r.lines_out);
    sl_task_out_int(t, "stdErrLineCount", r.lines_err);
    if (!sl_files_take(t, dir, c->output_files, &files, err))
        return SL_TASK_FAILED;
    sl_task_out(t, "outputFiles", files);
    if (r.exit_code == 0)
        return SL_TASK_DONE;
    sl_err_set(err, SL_ERR_REMOTE, "script.exit", "Command failed with exit code %d%s", r.exit_code, r.exit_code == 127 ? " (a program was not found; is it installed and on the PATH?)" : "");
    return SL_TASK_FAILED;
}

static const sl_task_type commands = {
    .type = "io.kestra.plugin.scripts.shell.Commands", .doc = "Runs shell commands.", .cfg_size = sizeof(shell_cfg), .opts = commands_opts, .outs = outs, .run = shell_run, .check = check,
};
static const sl_task_type script = {
    .type = "io.kestra.plugin.scripts.shell.Script", .doc = "Runs a shell script.", .cfg_size = sizeof(shell_cfg), .opts = script_opts, .outs = outs, .run = shell_run, .check = check,
};

static const sl_task_type *const tasks[] = { &commands, &script, NULL };
const sl_connector sl_connector_shell = { .name = "shell", .tasks = tasks };
