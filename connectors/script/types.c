/* connectors/script/types.c: shell.Script, shell.Commands, node.Script, node.Commands; the connector. */
#include "base/arena.h"
#include "base/fs.h"
#include "connectors/connectors.h"
#include "connectors/script/script.h"

static const sl_opt commands_opts[] = { SL_SCRIPT_COMMANDS, SL_SCRIPT_OPTS, { 0 } };
static const sl_opt script_opts[] = { SL_SCRIPT_SCRIPT, SL_SCRIPT_OPTS, { 0 } };

static sl_outcome shell_run(sl_task *t, void *cfg, sl_err *err)
{
    static const sl_script_language shell = { .image = "ubuntu" };
    return sl_script_run(t, cfg, &shell, err);
}

static bool node_prepare(sl_task *t, const sl_script_cfg *c, sl_str dir, sl_buf *b, sl_err *err)
{
    sl_arena *a = sl_task_arena(t);
    sl_str folder = sl_script_folder(t, dir), text;
    (void)b;
    return c->script.p == NULL || (sl_fs_mkdirs(folder.p, err) && sl_script_localize(t, c, c->script, &text, err) && sl_fs_write_atomic(sl_fmt(a, "%.*s/script.js", SL_ARG(folder)).p, text, 0600, err));
}

static void node_finish(sl_task *t, sl_str dir, sl_buf *b)
{
    sl_str word = sl_script_word(sl_task_arena(t), sl_script_folder(t, dir));
    sl_buf_fmt(b, "exec node %.*s/script.js\n", SL_ARG(word));
}

static sl_outcome node_run(sl_task *t, void *cfg, sl_err *err)
{
    static const sl_script_language node = { .prepare = node_prepare, .finish = node_finish, .image = "node" };
    return sl_script_run(t, cfg, &node, err);
}

#define TYPE(name, table, function, words) { .type = "io.kestra.plugin.scripts." name, .doc = words, .cfg_size = sizeof(sl_script_cfg), .opts = table, .outs = sl_script_outs, .run = function, .before = sl_script_before, .check = sl_script_check }
static const sl_task_type shell_commands = TYPE("shell.Commands", commands_opts, shell_run, "Runs shell commands.");
static const sl_task_type shell_script = TYPE("shell.Script", script_opts, shell_run, "Runs a shell script.");
static const sl_task_type node_commands = TYPE("node.Commands", commands_opts, node_run, "Runs shell commands, for programs of Node.js.");
static const sl_task_type node_script = TYPE("node.Script", script_opts, node_run, "Runs a script in Node.js.");

static const sl_task_type *const tasks[] = { &shell_commands, &shell_script, &node_commands, &node_script, &sl_python_commands, &sl_python_script, NULL };
const sl_connector sl_connector_script = { .name = "script", .tasks = tasks };
