/*
 * connectors/script/script.c: commands and scripts: the text, the environment, what it prints.
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
#include "connectors/files.h"
#include "connectors/script/container.h"
#include "connectors/script/script.h"

static const char PROCESS[] = "io.kestra.plugin.core.runner.Process";

typedef enum runner_kind { RUNNER_PROCESS, RUNNER_DOCKER, RUNNER_OTHER } runner_kind;

/* runner: `taskRunner`; legacy: `runner`. Without either it is a container, as everywhere. */
static runner_kind kind_of(const sl_val *runner, sl_str legacy, sl_str *ret_type)
{
    sl_str type = *ret_type = sl_is(runner, SL_MAP) ? sl_get_text(runner, "type") : legacy;
    if (sl_str_eqc(type, PROCESS) || sl_str_eqc(type, "core.runner.Process") || sl_str_eqc(type, "io.kestra.core.models.tasks.runners.types.Process") || sl_str_eqc(type, "PROCESS"))
        return RUNNER_PROCESS;
    bool docker = type.n == 0 || sl_str_eqc(type, SL_RUNNER_DOCKER) || sl_str_eqc(type, "io.kestra.plugin.docker.runner.Docker") || sl_str_eqc(type, "io.kestra.plugin.scripts.runner.docker.DockerTaskRunner") || sl_str_eqc(type, "DOCKER");
    return docker ? RUNNER_DOCKER : RUNNER_OTHER;
}

static const sl_opt process_opts[] = {
    { .name = "type", .type = SL_OPT_STR, .flags = SL_REQUIRED | SL_STATIC, .doc = "The runner." },
    { .name = "version", .type = SL_OPT_STR, .flags = SL_STATIC, .doc = "Accepted and ignored: one version of each plugin is built in." },
    { 0 },
};

void sl_script_check(const sl_val *props, sl_str where, sl_problems *problems)
{
    const sl_val *runner = sl_get(props, "taskRunner"), *at = runner ? runner : props;
    sl_str type;
    runner_kind kind = kind_of(runner, sl_get_text(props, "runner"), &type);
    if (kind == RUNNER_OTHER)
        sl_problem_add(problems, at->line, at->column, "%.*s: %.*s is not supported by this version of Sluice; write: taskRunner: {type: %s} or {type: %s}", SL_ARG(where), SL_ARG(type), PROCESS, SL_RUNNER_DOCKER);
    else if (kind == RUNNER_DOCKER && sl_is(runner, SL_MAP))
        sl_container_check(runner, where, problems);
    else if (sl_is(runner, SL_MAP))
        sl_bind_check(process_opts, NULL, runner, sl_fmt(problems->arena, "%.*s: taskRunner Process", SL_ARG(where)), problems);
}

const sl_opt sl_script_outs[] = {
    { .name = "exitCode", .type = SL_OPT_INT, .doc = "Exit code of the shell." },
    { .name = "vars", .type = SL_OPT_MAP, .doc = "What the commands printed as ::{\"outputs\": …}::." },
    { .name = "outputFiles", .type = SL_OPT_MAP, .doc = "Relative path of a file to its URI." },
    { .name = "stdOutLineCount", .type = SL_OPT_INT, .doc = "Lines on the standard output." },
    { .name = "stdErrLineCount", .type = SL_OPT_INT, .doc = "Lines on the standard error." },
    { 0 },
};

sl_str sl_script_folder(sl_task *t, sl_str dir)
{
    return sl_fmt(sl_task_arena(t), "%.*s/.sluice-%.*s", SL_ARG(dir), SL_ARG(sl_task_about(t)->taskrun_id));
}

sl_str sl_script_word(sl_arena *arena, sl_str text)
{
    return sl_fmt(arena, "'%.*s'", SL_ARG(sl_str_replace(arena, text, SL_S("'"), SL_S("'\\''"))));
}

/* ---- folders ---- */

static sl_str output_folder(sl_task *t, sl_str dir)
{
    return sl_fmt(sl_task_arena(t), "%.*s/.sluice-output-%.*s", SL_ARG(dir), SL_ARG(sl_task_about(t)->taskrun_id));
}

/* A file in it: empty folders do not come along into a container. */
static const char *anchor(sl_task *t, sl_str folder)
{
    return sl_fmt(sl_task_arena(t), "%.*s/.sluice", SL_ARG(folder)).p;
}

/* The older form of a runner has one, too. */
bool sl_script_before(sl_task *t, const sl_val *props, sl_err *err)
{
    sl_str dir; /* known as {{ workingDir }} from here on */
    if (!sl_task_workdir(t, &dir, err))
        return false;
    if (!sl_get_bool(props, "outputDirectory", false) && sl_get(props, "runner") == NULL)
        return true;
    sl_str folder = output_folder(t, dir);
    sl_task_set_var(t, "outputDir", sl_val_str(sl_task_arena(t), folder));
    return sl_fs_mkdirs(folder.p, err) && sl_fs_write_atomic(anchor(t, folder), SL_S(""), 0600, err);
}

/* ---- the text ---- */

static bool copy_in(sl_task *t, sl_str path, sl_str *ret, sl_err *err)
{
    sl_arena *a = sl_task_arena(t);
    sl_str dir;
    if (!sl_task_workdir(t, &dir, err))
        return false;
    sl_str folder = sl_fmt(a, "%.*s/files/%.32s", SL_ARG(sl_script_folder(t, dir)), sl_hex(a, sl_digest(a, "SHA256", path)).p);
    *ret = sl_fmt(a, "%.*s/%.*s", SL_ARG(folder), SL_ARG(sl_path_base(path)));
    if (sl_fs_exists(ret->p))
        return true;
    SL_READER in = sl_reader_file(sl_cstr(a, path), err);
    if (in == NULL || !sl_fs_mkdirs(folder.p, err))
        return false;
    SL_WRITER out = sl_writer_file(ret->p, err);
    return out != NULL && sl_io_copy(in, out, sl_task_cancelled, t, NULL, err) && out->finish(out, err);
}

bool sl_script_localize(sl_task *t, const sl_script_cfg *c, sl_str text, sl_str *ret, sl_err *err)
{
    sl_arena *a = sl_task_arena(t);
    sl_buf b = sl_buf_new(a, 16 << 20);
    ptrdiff_t at;
    while ((at = sl_str_find(text, SL_S("kestra:///"))) >= 0) {
        size_t end = (size_t)at;
        while (end < text.n && strchr(" \t\r\n'\"`|<>;&()", text.p[end]) == NULL)
            end++;
        sl_str path;
        if (!sl_task_local_file(t, sl_str_sub(text, (size_t)at, end), &path, err) || (c->container && !copy_in(t, path, &path, err)))
            return false;
        sl_buf_add(&b, sl_str_sub(text, 0, (size_t)at));
        sl_buf_add(&b, path);
        text = sl_str_sub(text, end, text.n);
    }
    sl_buf_add(&b, text);
    *ret = sl_buf_str(&b);
    return !b.overflow || sl_err_set(err, SL_ERR_LIMIT, "script.size", "the script is larger than 16 MiB");
}

static bool build_text(sl_task *t, const sl_script_cfg *c, const sl_script_language *language, sl_str dir, sl_str *ret, sl_err *err)
{
    sl_arena *a = sl_task_arena(t);
    sl_buf b = sl_buf_new(a, 16 << 20);
    if (c->fail_fast)
        sl_buf_addc(&b, "set -e\n");
    if (language->prepare != NULL && !language->prepare(t, c, dir, &b, err))
        return false;
    const sl_val *lists[] = { c->before, c->commands };
    for (size_t k = 0; k < SL_COUNT(lists); k++)
        for (size_t i = 0; i < sl_val_count(lists[k]); i++) {
            sl_buf_add(&b, sl_text(sl_at(lists[k], i)));
            sl_buf_char(&b, '\n');
        }
    if (language->finish != NULL && c->script.p != NULL)
        language->finish(t, dir, &b);
    else
        sl_buf_add(&b, c->script.p ? c->script : SL_S(""));
    sl_buf_char(&b, '\n');
    return sl_script_localize(t, c, sl_buf_str(&b), ret, err);
}

static bool is_plain_shell(const sl_val *interpreter)
{
    sl_str program = sl_path_base(sl_text(sl_at(interpreter, 0)));
    bool shell = sl_str_eqc(program, "sh") || sl_str_eqc(program, "bash") || sl_str_eqc(program, "dash");
    return sl_val_count(interpreter) == 0 || (shell && sl_val_count(interpreter) == 2 && sl_str_eqc(sl_text(sl_at(interpreter, 1)), "-c"));
}

/* argv, and for shells the descriptor (in a container the file) that holds the script. */
static bool build_argv(sl_task *t, const sl_script_cfg *c, sl_str dir, sl_str text, const char ***ret, int *fd, sl_err *err)
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
    if (c->container) {
        sl_str folder = sl_script_folder(t, dir);
        argv[n] = sl_fmt(a, ". '%.*s/script.sh'", SL_ARG(folder)).p;
        return sl_fs_mkdirs(folder.p, err) && sl_fs_write_atomic(sl_fmt(a, "%.*s/script.sh", SL_ARG(folder)).p, text, 0600, err);
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

static bool has_output_folder(const sl_script_cfg *c)
{
    return c->output_directory || c->legacy_runner.n > 0;
}

static const char **build_env(sl_task *t, const sl_script_cfg *c, const sl_script_language *language, sl_str dir)
{
    sl_arena *a = sl_task_arena(t);
    const sl_val *base = sl_task_process_env(t);
    const sl_task_info *info = sl_task_about(t);
    const sl_val *cloud = sl_task_cloud_env(t);
    size_t n = 0, room = sl_val_count(base) + sl_val_count(cloud) + sl_val_count(c->env) + 16;
    const char *const *own = language->env;
    const char **env = SL_ARRAY(a, const char *, room);
    for (size_t i = 0; !c->container && i < sl_val_count(base); i++) {
        sl_str line = sl_text(sl_at(base, i)), rest = line, name;
        (void)sl_str_cut(&rest, '=', &name);
        if (sl_get_str(c->env, name) == NULL && sl_get_str(cloud, name) == NULL)
            env[n++] = line.p;
    }
    /* In a container, too: it may not get there, but it does not get to the real cloud either. */
    for (size_t i = 0; i < sl_val_count(cloud); i++)
        if (sl_get_str(c->env, cloud->map.entries[i].key) == NULL)
            env[n++] = sl_fmt(a, "%.*s=%.*s", SL_ARG(cloud->map.entries[i].key), SL_ARG(sl_text(cloud->map.entries[i].value))).p;
    env[n++] = sl_fmt(a, "WORKING_DIR=%.*s", SL_ARG(dir)).p;
    if (has_output_folder(c))
        env[n++] = sl_fmt(a, "OUTPUT_DIR=%.*s", SL_ARG(output_folder(t, dir))).p;
    env[n++] = sl_fmt(a, "SLUICE_ATTEMPT=%d", info->attempt).p;
    env[n++] = sl_fmt(a, "SLUICE_IDEMPOTENCY_KEY=%.*s", SL_ARG(sl_task_key(t, "script"))).p;
    env[n++] = sl_fmt(a, "SLUICE_EXECUTION_ID=%.*s", SL_ARG(info->execution_id)).p;
    for (; own != NULL && *own != NULL && n + 1 + sl_val_count(c->env) < room; own++)
        env[n++] = *own;
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

typedef struct job {
    sl_task *t;
    sl_script_cfg *c;
    sl_str dir, text;
    const char **argv, **env;
    int fd;
    listener l;
} job;

static bool in_process(job *j, sl_proc_result *ret, sl_err *err)
{
    sl_proc p = { .argv = j->argv, .env = j->env, .cwd = j->dir.p, .pass_fd = j->fd, .grace_ms = 10000, .self = &j->l, .on_line = on_line, .cancelled = sl_task_cancelled, .cancel_self = j->t };
    bool ok = sl_proc_run(&p, ret, err);
    if (j->fd >= 0)
        close(j->fd);
    return ok;
}

/* The older `docker: {image, …}` has the runner's properties, and the image. */
static bool in_container(job *j, const sl_script_language *language, sl_proc_result *ret, sl_err *err)
{
    sl_arena *a = sl_task_arena(j->t);
    const sl_val *runner = j->c->runner;
    sl_str image = j->c->image.n > 0 ? j->c->image : sl_get_text(j->c->legacy_docker, "image");
    if (runner == NULL && j->c->legacy_docker != NULL) {
        sl_val *older = sl_map_shallow(a, j->c->legacy_docker);
        sl_map_setc(a, older, "type", sl_val_c(a, SL_RUNNER_DOCKER));
        runner = older;
    }
    sl_str folder = sl_script_folder(j->t, j->dir);
    sl_container k = { .argv = j->argv, .env = j->env, .dir = j->dir, .skip = sl_str_sub(folder, j->dir.n + 1, folder.n), .runner = runner, .image = image.n > 0 ? image : sl_str_c(language->image),
                       .take = sl_val_count(j->c->output_files) > 0 || has_output_folder(j->c) || sl_task_workdir_shared(j->t), .self = &j->l, .on_line = on_line };
    return sl_container_run(j->t, &k, &ret->exit_code, &ret->lines_out, &ret->lines_err, err);
}

static bool prepare(job *j, const sl_script_language *language, sl_err *err)
{
    sl_task *t = j->t;
    sl_str type;
    j->c->container = kind_of(j->c->runner, j->c->legacy_runner, &type) == RUNNER_DOCKER;
    if (!sl_task_workdir(t, &j->dir, err) || !sl_files_bring(t, j->dir, j->c->namespace_files, err) || !sl_files_put(t, j->dir, j->c->input_files, err) || !build_text(t, j->c, language, j->dir, &j->text, err) || !build_argv(t, j->c, j->dir, j->text, &j->argv, &j->fd, err))
        return false;
    j->env = build_env(t, j->c, language, j->dir);
    return true;
}

/* Those in the output folder first, by their names there; it is gone when the globs are looked for. */
static bool take_files(sl_task *t, const sl_script_cfg *c, sl_str dir, const sl_val **ret, sl_err *err)
{
    sl_arena *a = sl_task_arena(t);
    sl_val *all = sl_map(a), *every = sl_list(a);
    const sl_val *some;
    sl_list_add(a, every, sl_val_c(a, "**"));
    if (has_output_folder(c) && (!sl_fs_remove(anchor(t, output_folder(t, dir)), err) || !sl_files_take(t, output_folder(t, dir), every, &some, err) || !sl_fs_remove(output_folder(t, dir).p, err)))
        return false;
    for (size_t i = 0; has_output_folder(c) && i < sl_val_count(some); i++)
        sl_map_set(a, all, some->map.entries[i].key, some->map.entries[i].value);
    if (!sl_files_take(t, dir, c->output_files, &some, err))
        return false;
    for (size_t i = 0; i < sl_val_count(some); i++)
        sl_map_set(a, all, some->map.entries[i].key, some->map.entries[i].value);
    *ret = all;
    return true;
}

sl_outcome sl_script_run(sl_task *t, sl_script_cfg *c, const sl_script_language *language, sl_err *err)
{
    job j = { .t = t, .c = c, .fd = -1, .l = { t, sl_map(sl_task_arena(t)) } };
    sl_proc_result r = { 0 };
    const sl_val *files;
    if (!prepare(&j, language, err))
        return SL_TASK_FAILED;
    bool ran = c->container ? in_container(&j, language, &r, err) : in_process(&j, &r, err);
    sl_task_out(t, "vars", j.l.vars);
    if (!ran || !sl_fs_remove(sl_script_folder(t, j.dir).p, err))
        return SL_TASK_FAILED;
    sl_task_out_int(t, "exitCode", r.exit_code);
    sl_task_out_int(t, "stdOutLineCount", r.lines_out);
    sl_task_out_int(t, "stdErrLineCount", r.lines_err);
    if (!take_files(t, c, j.dir, &files, err))
        return SL_TASK_FAILED;
    sl_task_out(t, "outputFiles", files);
    if (r.exit_code == 0)
        return SL_TASK_DONE;
    sl_err_set(err, SL_ERR_REMOTE, "script.exit", "Command failed with exit code %d%s", r.exit_code, r.exit_code == 127 ? " (a program was not found; is it installed and on the PATH?)" : "");
    return SL_TASK_FAILED;
}
