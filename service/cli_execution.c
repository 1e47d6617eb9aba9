/* service/cli_execution.c: `execution create|list|get|logs|kill|pause|resume|restart|replay|delete`, against a server. */
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "service/cli_client.h"

static int print_json(sl_cli *c, const sl_val *v)
{
    sl_str text = sl_json(c->arena, v ? v : &sl_null_val);
    sl_cli_print("%.*s\n", SL_ARG(text));
    return 0;
}

static sl_str state_of(const sl_val *x)
{
    return sl_get_text(sl_get(x, "state"), "current");
}

static int exit_code(const sl_val *x)
{
    sl_str s = state_of(x);
    return sl_str_eqc(s, "FAILED") || sl_str_eqc(s, "KILLED") || sl_str_eqc(s, "CANCELLED");
}

static void print_execution(const sl_val *x)
{
    const sl_val *runs = sl_get(x, "taskRunList");
    sl_cli_print("%.*s  %.*s.%.*s  %.*s  %.*s\n", SL_ARG(sl_get_text(x, "id")), SL_ARG(sl_get_text(x, "namespace")), SL_ARG(sl_get_text(x, "flowId")), SL_ARG(state_of(x)),
                 SL_ARG(sl_get_text(sl_get(x, "state"), "duration")));
    for (size_t i = 0; i < sl_val_count(runs); i++) {
        const sl_val *r = sl_at(runs, i);
        sl_str value = sl_get_text(r, "value");
        sl_cli_print("  %-32.*s %-10.*s %.*s%s%.*s\n", SL_ARG(sl_get_text(r, "taskId")), SL_ARG(state_of(r)), SL_ARG(sl_get_text(sl_get(r, "state"), "duration")), value.n ? "  " : "", SL_ARG(value));
    }
}

/* ---- following ---- */

static bool log_line(void *self, sl_str line)
{
    sl_cli *c = self;
    sl_err ignored;
    if (!sl_str_starts(line, SL_S("data: ")))
        return true;
    const sl_val *e = sl_json_parse(c->arena, sl_str_sub(line, 6, line.n), &ignored);
    if (sl_get(e, "message") == NULL)
        return true;
    if (c->json)
        sl_cli_print("%.*s\n", SL_ARG(sl_json(c->arena, e)));
    else
        sl_cli_print("%.*s %-5.*s %.*s%s%.*s\n", SL_ARG(sl_get_text(e, "timestamp")), SL_ARG(sl_get_text(e, "level")), SL_ARG(sl_get_text(e, "taskId")), sl_get(e, "taskId") ? ": " : "",
                     SL_ARG(sl_get_text(e, "message")));
    (void)fflush(stdout);
    return true;
}

static int follow_logs(sl_cli *c, sl_client *k, const char *id)
{
    sl_str level = sl_cli_text(c, "--level"), path = sl_client_path(c, "/logs/%s/follow?minLevel=%s", id, level.n ? level.p : "INFO");
    return sl_client_stream(k, path, log_line, c) ? 0 : 1;
}

/* ---- commands ---- */

/* Inputs as parts of a form; @FILE and paths given to -f are files. */
static bool form_of(sl_cli *c, sl_str boundary, sl_str *ret)
{
    const sl_val *inputs, *files = sl_get(c->options, "--file");
    sl_buf b = sl_buf_new(c->arena, 256 << 20);
    sl_err err;
    if (!sl_cli_inputs(c, &inputs))
        return false;
    for (size_t i = 0; i < sl_val_count(inputs); i++)
        sl_buf_fmt(&b, "--%.*s\r\nContent-Disposition: form-data; name=\"%.*s\"\r\n\r\n%.*s\r\n", SL_ARG(boundary), SL_ARG(inputs->map.entries[i].key),
                   SL_ARG(sl_val_text(c->arena, inputs->map.entries[i].value)));
    for (size_t i = 0; i < sl_val_count(files); i++) {
        sl_str rest = sl_text(sl_at(files, i)), key, data;
        (void)sl_str_cut(&rest, '=', &key);
        if (rest.p == NULL || !sl_fs_read(c->arena, rest.p, 64U << 20, &data, &err))
            return sl_cli_fail(2, "a file is given as --file input=PATH%s%s", rest.p ? ": " : "", rest.p ? err.message : "") == 0;
        sl_buf_fmt(&b, "--%.*s\r\nContent-Disposition: form-data; name=\"%.*s\"; filename=\"%.*s\"\r\n\r\n", SL_ARG(boundary), SL_ARG(key), SL_ARG(sl_path_base(rest)));
        sl_buf_add(&b, data);
        sl_buf_addc(&b, "\r\n");
    }
    sl_buf_fmt(&b, "--%.*s--\r\n", SL_ARG(boundary));
    *ret = sl_buf_str(&b);
    return true;
}

static bool post_form(sl_cli *c, sl_client *k, sl_str path, const sl_val **ret, int *status)
{
    char id[23];
    sl_random_id(id);
    sl_str form, boundary = sl_fmt(c->arena, "sluice%s", id);
    return form_of(c, boundary, &form) && sl_client_call(k, "POST", path, sl_fmt(c->arena, "multipart/form-data; boundary=%.*s", SL_ARG(boundary)).p, form, ret, status);
}

static int create(sl_cli *c)
{
    sl_client *k = sl_client_open(c);
    const sl_val *x, *labels = sl_get(c->options, "--label");
    int status;
    if (k == NULL)
        return 1;
    sl_buf path = sl_buf_new(c->arena, 1 << 16);
    sl_buf_add(&path, sl_client_path(c, "/executions/%s/%s?wait=%s", c->words[0], c->words[1], sl_cli_has(c, "--wait") ? "true" : "false"));
    for (size_t i = 0; i < sl_val_count(labels); i++) {
        sl_str rest = sl_text(sl_at(labels, i)), key;
        (void)sl_str_cut(&rest, '=', &key);
        sl_buf_add(&path, sl_client_path(c, "&labels=%s:%s", sl_cstr(c->arena, key), rest.p ? rest.p : ""));
    }
    if (!post_form(c, k, sl_buf_str(&path), &x, &status))
        return 2;
    if (sl_cli_has(c, "--follow")) {
        const char *id = sl_cstr(c->arena, sl_get_text(x, "id"));
        if (follow_logs(c, k, id) != 0 || !sl_client_call(k, "GET", sl_client_path(c, "/executions/%s", id), NULL, (sl_str){ NULL, 0 }, &x, &status))
            return 1;
    }
    if (c->json)
        (void)print_json(c, x);
    else
        print_execution(x);
    return exit_code(x);
}

static int list(sl_cli *c)
{
    sl_client *k = sl_client_open(c);
    const sl_val *page;
    int status;
    sl_str ns = sl_cli_text(c, "--namespace"), flow = sl_cli_text(c, "--flow"), state = sl_cli_text(c, "--state"), size = sl_cli_text(c, "--size");
    if (k == NULL)
        return 1;
    sl_str path = sl_client_path(c, "/executions/search?size=%s&namespace=%s&flowId=%s%s", size.n ? size.p : "25", ns.p ? ns.p : "", flow.p ? flow.p : "", "");
    if (state.n > 0)
        path = sl_fmt(c->arena, "%.*s&state=%.*s", SL_ARG(path), SL_ARG(sl_percent(c->arena, state, NULL)));
    if (!sl_client_call(k, "GET", path, NULL, (sl_str){ NULL, 0 }, &page, &status))
        return 1;
    if (c->json)
        return print_json(c, page);
    const sl_val *rows = sl_get(page, "results");
    for (size_t i = 0; i < sl_val_count(rows); i++) {
        const sl_val *x = sl_at(rows, i);
        sl_cli_print("%-22.*s  %-10.*s %-24.*s %12.*s  %.*s.%.*s\n", SL_ARG(sl_get_text(x, "id")), SL_ARG(state_of(x)), SL_ARG(sl_get_text(sl_get(x, "state"), "startDate")),
                     SL_ARG(sl_get_text(sl_get(x, "state"), "duration")), SL_ARG(sl_get_text(x, "namespace")), SL_ARG(sl_get_text(x, "flowId")));
    }
    sl_cli_print("%zu of %lld\n", sl_val_count(rows), (long long)sl_get_int(page, "total", 0));
    return 0;
}

static int get(sl_cli *c)
{
    sl_client *k = sl_client_open(c);
    const sl_val *x;
    int status;
    if (k == NULL || !sl_client_call(k, "GET", sl_client_path(c, "/executions/%s", c->words[0]), NULL, (sl_str){ NULL, 0 }, &x, &status))
        return 1;
    if (c->json)
        return print_json(c, x);
    print_execution(x);
    return 0;
}

static int logs(sl_cli *c)
{
    sl_client *k = sl_client_open(c);
    const sl_val *text;
    int status;
    if (k == NULL)
        return 1;
    if (sl_cli_has(c, "--follow"))
        return follow_logs(c, k, c->words[0]);
    sl_str level = sl_cli_text(c, "--level");
    if (!sl_client_call(k, "GET", sl_client_path(c, "/logs/%s?minLevel=%s", c->words[0], level.n ? level.p : "INFO"), NULL, (sl_str){ NULL, 0 }, &text, &status))
        return 1;
    if (c->json)
        return print_json(c, text);
    for (size_t i = 0; i < sl_val_count(text); i++)
        (void)log_line(c, sl_fmt(c->arena, "data: %.*s", SL_ARG(sl_json(c->arena, sl_at(text, i)))));
    return 0;
}

static int act(sl_cli *c, const char *method, const char *verb)
{
    sl_client *k = sl_client_open(c);
    const sl_val *x;
    int status;
    sl_str run = sl_cli_text(c, "--task-run"), revision = sl_cli_text(c, "--revision");
    if (k == NULL)
        return 1;
    sl_str path = verb[0] ? sl_client_path(c, "/executions/%s/%s", c->words[0], verb) : sl_client_path(c, "/executions/%s", c->words[0]);
    if (run.n > 0)
        path = sl_fmt(c->arena, "%.*s?taskRunId=%.*s", SL_ARG(path), SL_ARG(sl_percent(c->arena, run, NULL)));
    if (revision.n > 0)
        path = sl_fmt(c->arena, "%.*s%crevision=%.*s", SL_ARG(path), run.n > 0 ? '&' : '?', SL_ARG(sl_percent(c->arena, revision, NULL)));
    bool form = strcmp(verb, "resume") == 0;
    if (form ? !post_form(c, k, path, &x, &status) : !sl_client_call(k, method, path, NULL, (sl_str){ NULL, 0 }, &x, &status))
        return 1;
    if (c->json && x != NULL)
        return print_json(c, x);
    if (x != NULL)
        print_execution(x);
    return 0;
}

static int kill_one(sl_cli *c) { return act(c, "DELETE", "kill"); }
static int pause_one(sl_cli *c) { return act(c, "POST", "pause"); }
static int resume_one(sl_cli *c) { return act(c, "POST", "resume"); }
static int restart_one(sl_cli *c) { return act(c, "POST", "restart"); }
static int replay_one(sl_cli *c) { return act(c, "POST", "replay"); }
static int delete_one(sl_cli *c) { return act(c, "DELETE", ""); }

#define INPUT_OPTS { "--input", "-i", "KEY=VALUE", true, "value of an input" }, { "--input-json", NULL, "FILE", false, "inputs as a JSON map" }, { "--file", NULL, "INPUT=PATH", true, "file for an input of type FILE" }

static const sl_cli_opt create_opts[] = { INPUT_OPTS, { "--label", NULL, "KEY=VALUE", true, "label of the execution" }, { "--wait", NULL, NULL, false, "until it has ended" },
                                          { "--follow", "-f", NULL, false, "show its log until it has ended" }, { "--level", NULL, "LEVEL", false, "least level of the log (INFO)" }, { 0 } };
static const sl_cli_opt list_opts[] = { { "--namespace", "-n", "NAMESPACE", false, "only of this namespace and below" }, { "--flow", NULL, "FLOW", false, "only of this flow" },
                                        { "--state", NULL, "STATE", false, "only in this state" }, { "--size", NULL, "N", false, "how many (25)" }, { 0 } };
static const sl_cli_opt logs_opts[] = { { "--follow", "-f", NULL, false, "go on until the execution has ended" }, { "--level", NULL, "LEVEL", false, "least level (INFO)" }, { 0 } };
static const sl_cli_opt resume_opts[] = { INPUT_OPTS, { 0 } };
#define REVISION_OPT { "--revision", NULL, "N", false, "with this revision of the flow, not the one it ran with" }
static const sl_cli_opt restart_opts[] = { REVISION_OPT, { 0 } };
static const sl_cli_opt replay_opts[] = { { "--task-run", NULL, "ID", false, "from this task run on; from the start without it" }, REVISION_OPT, { 0 } };
static const sl_cli_opt no_opts[] = { { 0 } };

const sl_command sl_command_execution_create = { "execution create", "NAMESPACE FLOW [-i key=value]... [--wait|--follow]", "Makes an execution on a server.", create_opts, 2, 2, create };
const sl_command sl_command_execution_list = { "execution list", "[-n NAMESPACE] [--flow FLOW] [--state STATE]", "Lists executions, newest first.", list_opts, 0, 0, list };
const sl_command sl_command_execution_get = { "execution get", "ID", "Shows an execution with its task runs.", no_opts, 1, 1, get };
const sl_command sl_command_execution_logs = { "execution logs", "ID [-f]", "Shows the log of an execution.", logs_opts, 1, 1, logs };
const sl_command sl_command_execution_kill = { "execution kill", "ID", "Ends an execution as KILLED.", no_opts, 1, 1, kill_one };
const sl_command sl_command_execution_pause = { "execution pause", "ID", "Lets what runs end and starts nothing new.", no_opts, 1, 1, pause_one };
const sl_command sl_command_execution_resume = { "execution resume", "ID [-i key=value]...", "Goes on after a pause.", resume_opts, 1, 1, resume_one };
const sl_command sl_command_execution_restart = { "execution restart", "ID [--revision N]", "Runs what has failed again.", restart_opts, 1, 1, restart_one };
const sl_command sl_command_execution_replay = { "execution replay", "ID [--task-run ID] [--revision N]", "Makes a new execution from an old one.", replay_opts, 1, 1, replay_one };
const sl_command sl_command_execution_delete = { "execution delete", "ID", "Removes an execution that has ended.", no_opts, 1, 1, delete_one };
