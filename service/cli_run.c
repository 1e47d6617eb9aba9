/* service/cli_run.c: `sluice run`: one execution in this process, to its end. */
#include <signal.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/secret.h"
#include "flows/input.h"
#include "local/cloud.h"
#include "service/cli.h"
#include "service/execution.h"

static sl_engine *engine; /* for the signal handler */
static volatile sig_atomic_t interrupts;

static void on_signal(int number)
{
    (void)number;
    if (++interrupts > 1)
        _exit(130); /* asked twice: at once; the execution can be continued */
    if (engine != NULL)
        sl_engine_kill_all(engine);
}

typedef struct screen {
    bool terminal, quiet, line_open;
    int64_t last_ms, last_done, started_ms;
} screen;

static void clear_line(screen *s)
{
    if (s->line_open)
        (void)fputs("\r\033[K", stderr);
    s->line_open = false;
}

static void on_log(void *self, const sl_log_entry *e)
{
    screen *s = self;
    if (s->quiet || e->level < SL_INFO)
        return;
    clear_line(s);
    int64_t second = e->at_ms / 1000;
    sl_civil c = sl_civil_from_seconds(second + sl_tz_offset(sl_tz_local(), second, NULL));
    (void)fprintf(stderr, "%02d:%02d:%02d %-5s %.*s%s%.*s\n", c.hour, c.minute, c.second, sl_level_name(e->level), SL_ARG(e->task_id), e->task_id.n ? ": " : "", SL_ARG(e->message));
}

static void on_progress(void *self, sl_str task, int64_t done, int64_t total)
{
    screen *s = self;
    int64_t now = sl_mono_ms();
    if (!s->terminal || s->quiet || now - s->last_ms < 200)
        return;
    double rate = s->last_ms > 0 && now > s->last_ms && done >= s->last_done ? (double)(done - s->last_done) / (double)(now - s->last_ms) / 1000 : 0;
    s->last_ms = now;
    s->last_done = done;
    s->line_open = true;
    if (total > 0)
        (void)fprintf(stderr, "\r\033[K%.*s: %.1f of %.1f MB, %.0f MB/s, %lld s left", SL_ARG(task), (double)done / 1e6, (double)total / 1e6, rate,
                      (long long)(rate > 0 ? (double)(total - done) / 1e6 / rate : 0));
    else
        (void)fprintf(stderr, "\r\033[K%.*s: %.1f MB, %.0f MB/s", SL_ARG(task), (double)done / 1e6, rate);
    (void)fflush(stderr);
}

/* ---- the end ---- */

/* What came of a task, in a few words. Tasks name their numbers alike, and mean rows or bytes by `size`: what stands beside it tells. */
static const char *size_text(sl_arena *a, const sl_val *outputs)
{
    static const struct {
        const char *key, *beside, *unit;
    } known[] = { { "size", "sourceSize", " bytes" }, { "count", "size", " objects" }, { "size", "", " rows" }, { "rows", "", " rows" }, { "length", "", " bytes" }, { "contentLength", "", " bytes" }, { "count", "", "" }, { "stdOutLineCount", "", " lines" } };
    for (size_t i = 0; i < SL_COUNT(known); i++)
        if (sl_is(sl_get(outputs, known[i].key), SL_INT) && (*known[i].beside == '\0' || sl_is(sl_get(outputs, known[i].beside), SL_INT)))
            return sl_fmt(a, "%lld%s", (long long)sl_get_int(outputs, known[i].key, 0), known[i].unit).p;
    return "";
}

static void print_table(const sl_exec *x)
{
    SL_ARENA a = sl_arena_new();
    int width = 4;
    for (const sl_taskrun *r = x->first; r != NULL; r = r->next)
        width = (int)r->def->id.n > width ? (int)r->def->id.n : width;
    sl_cli_print("\n%-*s  %-8s  %10s  %s\n", width, "TASK", "STATE", "DURATION", "RESULT");
    for (const sl_taskrun *r = x->first; r != NULL; r = r->next) {
        int64_t end = r->ended_ms ? r->ended_ms : sl_now_ms();
        sl_cli_print("%-*.*s  %-8s  %8.3f s  %s\n", width, SL_ARG(r->def->id), sl_state_name(r->state), (double)(end - r->created_ms) / 1000, size_text(a, r->outputs));
    }
    sl_cli_print("\n%.*s.%.*s %s in %.3f s (execution %.*s)\n", SL_ARG(x->flow->ns), SL_ARG(x->flow->id), sl_state_name(x->state),
                 (double)((x->ended_ms ? x->ended_ms : sl_now_ms()) - x->created_ms) / 1000, SL_ARG(x->id));
    if (sl_val_count(x->outputs) > 0)
        sl_cli_print("outputs: %.*s\n", SL_ARG(sl_json(a, x->outputs)));
}

/* With --quiet no log has said why. */
static void print_errors(const sl_exec *x)
{
    for (const sl_taskrun *r = x->first; r != NULL; r = r->next)
        if (r->error.n > 0 && r->state != SL_SUCCESS)
            (void)fprintf(stderr, "%.*s: %.*s\n", SL_ARG(r->def->id), SL_ARG(r->error));
}

static void print_json(const sl_exec *x)
{
    SL_ARENA a = sl_arena_new();
    sl_val *doc = sl_map(a), *runs = sl_list(a);
    sl_map_set_str(a, doc, "executionId", x->id);
    sl_map_set_str(a, doc, "state", sl_str_c(sl_state_name(x->state)));
    sl_map_set_int(a, doc, "durationMs", (x->ended_ms ? x->ended_ms : sl_now_ms()) - x->created_ms);
    sl_map_setc(a, doc, "outputs", x->outputs ? x->outputs : sl_map(a));
    sl_map_setc(a, doc, "labels", x->labels);
    for (const sl_taskrun *r = x->first; r != NULL; r = r->next) {
        sl_val *one = sl_map(a);
        sl_map_set_str(a, one, "id", r->def->id);
        sl_map_set_str(a, one, "state", sl_str_c(sl_state_name(r->state)));
        sl_map_set_int(a, one, "attempts", r->attempt);
        sl_map_set_int(a, one, "durationMs", r->ended_ms ? r->ended_ms - r->created_ms : 0);
        sl_map_setc(a, one, "outputs", r->outputs ? r->outputs : sl_map(a));
        if (r->error.n > 0)
            sl_map_set_str(a, one, "error", r->error);
        sl_list_add(a, runs, one);
    }
    sl_map_setc(a, doc, "taskRuns", runs);
    sl_cli_print("%.*s\n", SL_ARG(sl_json(a, doc)));
}

/* ---- inputs ---- */

bool sl_cli_inputs(sl_cli *c, const sl_val **ret)
{
    sl_val *inputs = sl_map(c->arena);
    sl_err err;
    sl_str file = sl_cli_text(c, "--input-json"), text;
    if (file.n > 0) {
        if (!sl_fs_read(c->arena, file.p, 16U << 20, &text, &err))
            return sl_cli_error(2, &err) == 0;
        const sl_val *doc = sl_json_parse(c->arena, text, &err);
        if (!sl_is(doc, SL_MAP))
            return sl_cli_fail(2, "%s must hold a JSON map of inputs%s%s", file.p, doc ? "" : ": ", doc ? "" : err.message) == 0;
        for (size_t i = 0; i < doc->map.n; i++)
            sl_map_set(c->arena, inputs, doc->map.entries[i].key, doc->map.entries[i].value);
    }
    const sl_val *given = sl_get(c->options, "--input");
    for (size_t i = 0; i < sl_val_count(given); i++) {
        sl_str rest = sl_text(sl_at(given, i)), key;
        (void)sl_str_cut(&rest, '=', &key);
        if (rest.p == NULL || key.n == 0)
            return sl_cli_fail(2, "an input is given as -i key=value, not '%.*s'", SL_ARG(sl_text(sl_at(given, i)))) == 0;
        sl_map_set(c->arena, inputs, key, sl_val_str(c->arena, sl_str_dup(c->arena, rest)));
    }
    *ret = inputs;
    return true;
}

/* Is it one, a part of one, or does it hold some? Ids have dots. */
static bool meets(sl_str id, sl_str key)
{
    size_t n = id.n < key.n ? id.n : key.n;
    const sl_str longer = id.n > key.n ? id : key;
    return memcmp(id.p, key.p, n) == 0 && (longer.n == n || longer.p[n] == '.');
}

void sl_cli_unused_inputs(sl_cli *c, const sl_flow *flow, const sl_val *given)
{
    enum { NEAR = 2 };
    const sl_val *inputs = sl_inputs_flat(c->arena, flow->inputs);
    for (size_t i = 0; sl_is(given, SL_MAP) && i < given->map.n; i++) {
        sl_str key = given->map.entries[i].key, near = { NULL, 0 };
        bool known = false;
        for (size_t k = 0; k < sl_val_count(inputs) && !known; k++) {
            sl_str id = sl_get_text(sl_at(inputs, k), "id");
            known = meets(id, key);
            near = sl_str_distance(id, key, NEAR) <= NEAR ? id : near;
        }
        if (!known)
            (void)sl_cli_fail(0, "warning: the flow has no input '%.*s', its value is not used%s%.*s%s", SL_ARG(key), near.n ? "; did you mean '" : "", SL_ARG(near), near.n ? "'?" : "");
    }
}

static bool labels_of(sl_cli *c, const sl_val **ret)
{
    sl_val *labels = sl_map(c->arena);
    const sl_val *given = sl_get(c->options, "--label");
    for (size_t i = 0; i < sl_val_count(given); i++) {
        sl_str rest = sl_text(sl_at(given, i)), key;
        (void)sl_str_cut(&rest, '=', &key);
        if (rest.p == NULL)
            return sl_cli_fail(2, "a label is given as --label key=value") == 0;
        sl_map_set(c->arena, labels, key, sl_val_str(c->arena, sl_str_dup(c->arena, rest)));
    }
    *ret = labels;
    return true;
}

static void catch_signals(void)
{
    struct sigaction act = { .sa_handler = on_signal };
    (void)sigaction(SIGINT, &act, NULL);
    (void)sigaction(SIGTERM, &act, NULL);
}

/* FILE inputs are given as paths (with @ or without); a URI of the storage stays what it is. */
static bool files_of(sl_cli *c, const sl_flow *flow, const sl_val **inputs, const sl_val **ret)
{
    sl_val *rest = sl_map_shallow(c->arena, *inputs), *files = sl_map(c->arena);
    for (size_t i = 0; flow != NULL && i < sl_val_count(flow->inputs); i++) {
        const sl_val *input = sl_at(flow->inputs, i), *allowed = sl_get(input, "allowedFileExtensions");
        sl_str id = sl_get_text(input, "id"), path = sl_text(sl_get_str(rest, id));
        if (!sl_str_eqc(sl_get_text(input, "type"), "FILE") || path.n == 0 || sl_str_find(path, SL_S("://")) > 0)
            continue;
        path = sl_str_starts(path, SL_S("@")) ? sl_str_sub(path, 1, path.n) : path;
        bool good = allowed == NULL;
        for (size_t k = 0; k < sl_val_count(allowed); k++)
            good |= sl_str_ieq(sl_text(sl_at(allowed, k)), sl_path_extension(path));
        if (!good)
            return sl_cli_fail(2, "the input '%.*s' takes files of the kinds %.*s, not '%.*s'", SL_ARG(id), SL_ARG(sl_json(c->arena, allowed)), SL_ARG(path)) == 0;
        (void)sl_map_remove(rest, id);
        sl_map_set(c->arena, files, id, sl_val_str(c->arena, path));
    }
    *inputs = rest;
    *ret = files;
    return true;
}

/* Opens everything, runs, prints. flow NULL: continue `id`. */
static int run_engine(sl_cli *c, const sl_engine_options *o, const sl_flow *flow, const char *file, const sl_val *inputs, const sl_val *labels, sl_str id)
{
    sl_err err;
    sl_problems problems = { .arena = c->arena };
    const sl_val *files;
    if (!files_of(c, flow, &inputs, &files))
        return 2;
    engine = sl_engine_open(o, &err);
    if (engine == NULL)
        return sl_cli_error(1, &err);
    catch_signals();
    sl_new_execution n;
    sl_exec *x = NULL;
    if (flow == NULL)
        x = sl_execution_continue(engine, id, &err);
    else if (sl_execution_prepare(engine, c->arena, flow, SL_S(""), inputs, files, labels, NULL, &n, &problems))
        x = sl_execution_create_kept(engine, &n);
    int rc = 0;
    if (x == NULL && flow != NULL) {
        sl_cli_problems(file, &problems);
        rc = 2;
    } else if (x == NULL)
        rc = sl_cli_error(err.kind == SL_ERR_NOT_FOUND || err.kind == SL_ERR_CONFLICT ? 2 : 1, &err);
    else {
        screen *s = o->self;
        if (!s->quiet)
            (void)fprintf(stderr, "execution %.*s\n", SL_ARG(x->id));
        bool ok = sl_engine_loop(engine, &err);
        clear_line(s);
        x = sl_execution_last_attempt(engine, c->arena, x);
        if (c->json)
            print_json(x);
        else
            print_table(x);
        if (s->quiet && !c->json)
            print_errors(x);
        if (!ok)
            rc = sl_cli_fail(1, "%s; continue with: sluice run --continue %.*s", err.message, SL_ARG(x->id));
        else
            rc = x->state == SL_SUCCESS || x->state == SL_WARNED ? 0 : 1;
        int64_t lost = sl_logs_lost(sl_engine_logs(engine));
        if (lost > 0)
            (void)sl_cli_fail(rc, "%lld log entries could not be written", (long long)lost);
    }
    sl_engine *e = engine;
    engine = NULL;
    sl_engine_close(e);
    return rc;
}

void sl_cli_use_cloud(sl_cli *c, const sl_cloud *cloud, sl_engine_options *o)
{
    /* {{ envs.sample_data }}: where flows find the local cloud's sample files. */
    (void)setenv("ENV_SAMPLE_DATA", sl_fmt(c->arena, "%s/sample-data/trips", sl_cloud_url(cloud)).p, 0);
    sl_err err;
    const sl_val *env = NULL;
    if (!sl_cloud_env(c->arena, sl_fmt(c->arena, "%s/local", o->data_dir).p, true, &env, &err))
        (void)sl_cli_error(0, &err); /* scripts do without */
    o->endpoints = (sl_endpoints){ .gcs = sl_cloud_url(cloud), .bigquery = sl_cloud_url(cloud), .local = true, .google_key = sl_cloud_key(cloud), .s3 = sl_cloud_aws_url(cloud), .dynamodb = sl_cloud_aws_url(cloud), .redshift = sl_cloud_redshift_url(cloud), .aws_key_id = sl_cloud_aws_key_id(cloud), .aws_secret = sl_cloud_aws_secret(cloud), .env = env };
}

static int run(sl_cli *c)
{
    bool resume = sl_cli_has(c, "--continue");
    const sl_val *inputs = NULL, *labels = NULL;
    if (resume == (c->word_count > 0))
        return sl_cli_fail(2, resume ? "--continue takes no flow: the execution knows its own" : "usage: sluice run FLOW.yaml");
    const sl_flow *flow = resume ? NULL : sl_cli_flow(c, c->words[0]);
    if (!resume && flow == NULL)
        return 2;
    if (!sl_cli_inputs(c, &inputs) || !labels_of(c, &labels))
        return 2;
    if (flow != NULL)
        sl_cli_unused_inputs(c, flow, inputs);
    sl_val *everywhere = sl_list(c->arena); /* who runs it may read what they may read */
    sl_list_add(c->arena, everywhere, sl_val_c(c->arena, "/"));
    screen s = { .terminal = isatty(STDERR_FILENO) == 1, .quiet = sl_cli_has(c, "--quiet"), .started_ms = sl_mono_ms() };
    sl_engine_options o = { .data_dir = c->data_dir, .registry = &sl_all_connectors, .container_host_access = true, .local_files = everywhere, .self = &s, .on_log = on_log, .on_progress = on_progress };
    sl_err err;
    sl_cloud *cloud = NULL;
    if (sl_cli_has(c, "--local")) {
        sl_cloud_options lo = { .data_dir = sl_fmt(c->arena, "%s/local", c->data_dir).p };
        cloud = sl_cloud_join(&lo, &err);
        if (cloud == NULL)
            return sl_cli_error(1, &err);
        sl_cli_use_cloud(c, cloud, &o);
    }
    int rc = run_engine(c, &o, flow, resume ? "" : c->words[0], inputs, labels, sl_cli_text(c, "--continue"));
    sl_cloud_stop(cloud);
    return rc;
}

static const sl_cli_opt opts[] = {
    { "--input", "-i", "KEY=VALUE", true, "value of an input" },
    { "--input-json", NULL, "FILE", false, "inputs as a JSON map" },
    { "--label", NULL, "KEY=VALUE", true, "label of the execution" },
    { "--local", NULL, NULL, false, "use the local cloud: no account, no network" },
    { "--continue", NULL, "EXECUTION_ID", false, "go on with an execution that was interrupted" },
    { "--quiet", "-q", NULL, false, "no log on the screen" },
    { 0 },
};

const sl_command sl_command_run = { "run", "FLOW.yaml [-i key=value]... [--local]", "Runs a flow once, here, to its end.", opts, 0, 1, run };
