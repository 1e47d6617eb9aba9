/* service/api/misc.c: health, metrics, what the server is, its own description, namespaces. */
#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "service/api/api.h"

static void ping(sl_call *c)
{
    sl_respond_text(c->resp, 200, SL_S("pong"));
}

static void health(sl_call *c)
{
    sl_reply(c, 200, sl_map_of(c->arena, "status", sl_val_c(c->arena, "UP")));
}

/* The loop answers, and the disk takes writes: a call that changes nothing has to get through. */
static void nothing(sl_engine *e, void *arg, int64_t now)
{
    (void)e;
    (void)arg;
    (void)now;
}

static void ready(sl_call *c)
{
    sl_err err;
    if (sl_engine_call(c->engine, nothing, NULL, &err))
        health(c);
    else
        sl_reply_err(c, &err);
}

static void configs(sl_call *c)
{
    sl_val *out = sl_map(c->arena), *preview = sl_map(c->arena), *hidden = sl_list(c->arena);
    sl_map_set_str(c->arena, out, "uuid", SL_S("sluice"));
    sl_map_set_str(c->arena, out, "version", SL_S("1.3.0")); /* of Kestra's API that is spoken: clients choose their paths by it */
    sl_map_set_str(c->arena, out, "sluiceVersion", SL_S(SL_VERSION));
    static const char *const off[] = { "isCustomDashboardsEnabled", "isTaskRunEnabled", "isAnonymousUsageEnabled", "isTemplateEnabled" };
    for (size_t i = 0; i < SL_COUNT(off); i++)
        sl_map_set_bool(c->arena, out, off[i], false);
    sl_map_set_int(c->arena, preview, "initial", 100);
    sl_map_set_int(c->arena, preview, "max", 5000);
    sl_map_setc(c->arena, out, "preview", preview);
    sl_map_set_bool(c->arena, out, "isBasicAuthEnabled", true);
    sl_map_set_str(c->arena, out, "systemNamespace", SL_S("system"));
    sl_list_add(c->arena, hidden, sl_val_c(c->arena, "system."));
    sl_list_add(c->arena, hidden, sl_val_c(c->arena, "internal."));
    sl_map_setc(c->arena, out, "hiddenLabelsPrefixes", hidden);
    sl_reply(c, 200, out);
}

static int64_t resident_bytes(void)
{
    long pages = 0, ignored;
    FILE *f = fopen("/proc/self/statm", "re");
    char line[128] = "";
    if (f != NULL && fgets(line, sizeof line, f) != NULL) {
        char *end = line;
        ignored = strtol(line, &end, 10);
        pages = strtol(end, NULL, 10);
        (void)ignored;
    }
    if (f != NULL)
        (void)fclose(f);
    return (int64_t)pages * 4096;
}

/* Prometheus text format 0.0.4. */
static void metrics(sl_call *c)
{
    sl_engine_stats s;
    sl_buf b = sl_buf_new(c->arena, 1 << 16);
    sl_engine_stats_now(c->engine, &s);
    static const char *const gauge = "# HELP sluice_%s %s\n# TYPE sluice_%s %s\nsluice_%s %lld\n";
    struct {
        const char *name, *help, *type;
        int64_t value;
    } rows[] = {
        { "executions_live", "Executions in memory.", "gauge", s.live },
        { "jobs_queued", "Task attempts that wait for a worker.", "gauge", s.queued_jobs },
        { "jobs_running", "Task attempts that run.", "gauge", s.running_jobs },
        { "loop_turns_total", "Turns of the engine's loop.", "counter", s.turns },
        { "commits_total", "Transactions written.", "counter", s.commits },
        { "executions_started_total", "Executions started.", "counter", s.started },
        { "logs_lost_total", "Log entries that could not be written.", "counter", sl_logs_lost(sl_engine_logs(c->engine)) },
        { "resident_bytes", "Memory in use.", "gauge", resident_bytes() },
    };
    for (size_t i = 0; i < SL_COUNT(rows); i++)
        sl_buf_fmt(&b, gauge, rows[i].name, rows[i].help, rows[i].name, rows[i].type, rows[i].name, (long long)rows[i].value);
    sl_buf_addc(&b, "# HELP sluice_executions_ended_total Executions ended, by state.\n# TYPE sluice_executions_ended_total counter\n");
    for (int i = 0; i < 14; i++)
        if (sl_state_final((sl_state)i))
            sl_buf_fmt(&b, "sluice_executions_ended_total{state=\"%s\"} %lld\n", sl_state_name((sl_state)i), (long long)s.ended[i]);
    sl_respond_text(c->resp, 200, sl_buf_str(&b));
}

static void openapi(sl_call *c)
{
    sl_reply(c, 200, sl_api_document(c->arena));
}

static const sl_val *namespace_json(sl_arena *a, sl_str ns)
{
    sl_val *v = sl_map_of(a, "id", sl_val_str(a, ns));
    sl_map_set_bool(a, v, "deleted", false);
    return v;
}

/* Namespaces of flows, and those above them. */
static void namespaces(sl_call *c)
{
    int64_t offset, size;
    sl_err err;
    sl_val *all = sl_map(c->arena), *page = sl_list(c->arena);
    sl_str text = sl_query(c, "q");
    if (!sl_query_page(c, &offset, &size))
        return;
    sl_stmt *q = sl_db_query(sl_store_db(c->store), &err, "SELECT DISTINCT ns FROM flows WHERE deleted=0 ORDER BY ns", "");
    int rc = q ? 1 : -1;
    while (q != NULL && (rc = sl_stmt_next(q, &err)) == 1) {
        sl_str ns = sl_col_str(q, c->arena, 0);
        for (size_t i = 1; i <= ns.n; i++)
            if ((i == ns.n || ns.p[i] == '.') && sl_principal_may(&c->who, SL_ROLE_VIEWER, sl_str_sub(ns, 0, i)))
                sl_map_set(c->arena, all, sl_str_sub(ns, 0, i), &sl_true_val);
    }
    if (rc < 0) {
        sl_reply_err(c, &err);
        return;
    }
    int64_t total = 0;
    for (size_t i = 0; i < all->map.n; i++) {
        if (text.n > 0 && sl_str_find(all->map.entries[i].key, text) < 0)
            continue;
        if (total++ < offset || total > offset + size)
            continue;
        sl_val *one = sl_map_shallow(c->arena, namespace_json(c->arena, all->map.entries[i].key));
        sl_map_set_bool(c->arena, one, "disabled", true);
        sl_list_add(c->arena, page, one);
    }
    sl_reply_page(c, page, total);
}

static void namespace_one(sl_call *c)
{
    sl_reply(c, 200, namespace_json(c->arena, c->args[0]));
}

const sl_api_route sl_api_misc[] = {
    { "GET", "//health", SL_ROLE_NONE, SL_BODY_NONE, NULL, "The process answers.", health },
    { "GET", "//ready", SL_ROLE_NONE, SL_BODY_NONE, NULL, "The engine answers, and its state can be written.", ready },
    { "GET", "//ping", SL_ROLE_NONE, SL_BODY_NONE, NULL, "pong", ping },
    { "GET", "//metrics", SL_ROLE_VIEWER, SL_BODY_NONE, NULL, "Prometheus metrics.", metrics },
    { "GET", "/configs", SL_ROLE_NONE, SL_BODY_NONE, NULL, "Version and settings that clients go by.", configs },
    { "GET", "/openapi.json", SL_ROLE_VIEWER, SL_BODY_NONE, NULL, "This document.", openapi },
    { "GET", "/namespaces/search", SL_ROLE_VIEWER, SL_BODY_NONE, "q page size sort", "Namespaces that have flows, and those above them.", namespaces },
    { "GET", "/namespaces/{namespace}", SL_ROLE_VIEWER, SL_BODY_NONE, NULL, "A namespace.", namespace_one },
    { 0 },
};
