/*
 * connectors/cratedb/query.c: io.sluice.cratedb.Query: statements over HTTP, one after the other.
 *
 * Before a statement that changes something, {next, doubt} is on disk; after a crash it is repeated only where that changes nothing.
 */
#include "base/arena.h"
#include "base/fault.h"
#include "base/sql.h"
#include "connectors/connectors.h"
#include "connectors/cratedb/cratedb.h"
#include "connectors/result.h"
#include "connectors/state.h"

enum { DOUBT_TEXT_MAX = 200 };

typedef struct query_cfg {
    sl_crate_cfg crate;
    sl_str sql, fetch_type;
    const sl_val *parameters, *args;
} query_cfg;

static const sl_opt opts[] = {
    SL_CRATE_OPTS(query_cfg),
    { .name = "sql", .type = SL_OPT_STR, .offset = SL_FIELD(query_cfg, sql), .flags = SL_REQUIRED, .doc = "Statements; :name stands for a parameter, or ? for one of 'args'." },
    { .name = "parameters", .type = SL_OPT_MAP, .offset = SL_FIELD(query_cfg, parameters), .doc = "Values of :names; they are bound, never pasted." },
    { .name = "args", .type = SL_OPT_LIST, .offset = SL_FIELD(query_cfg, args), .doc = "Values of ?, with one statement." },
    { .name = "fetchType", .type = SL_OPT_ENUM, .offset = SL_FIELD(query_cfg, fetch_type), .values = SL_FETCH_TYPES, .fallback = "NONE", .doc = "What becomes of the rows of the last statement that has some." },
    { 0 },
};
static const sl_opt outs[] = {
    { .name = "size", .type = SL_OPT_INT, .doc = "Rows." },
    { .name = "row", .type = SL_OPT_MAP, .doc = "FETCH_ONE: the first row." },
    { .name = "rows", .type = SL_OPT_LIST, .doc = "FETCH: the rows." },
    { .name = "uri", .type = SL_OPT_STR, .doc = "STORE: the file, Ion text." },
    { .name = "rowCount", .type = SL_OPT_INT, .doc = "Rows that were changed or loaded." },
    { 0 },
};

typedef struct run {
    sl_crate crate;
    sl_task *t;
    sl_arena *arena;
    const query_cfg *c;
    sl_statement *list;
    size_t count, next;
    int64_t changed;
    const sl_val *rows;           /* outputs of the last statement with rows */
} run;

static bool remember(run *r, size_t next, sl_str doubt, sl_err *err)
{
    sl_val *doc = sl_map(r->arena);
    sl_map_set_int(r->arena, doc, "next", (int64_t)next);
    sl_map_set_int(r->arena, doc, "changed", r->changed);
    sl_map_opt(r->arena, doc, "rows", r->rows);
    sl_map_opt_str(r->arena, doc, "doubt", sl_str_sub(doubt, 0, DOUBT_TEXT_MAX));
    return sl_state_keep(r->t, doc, "rows", err);
}

static bool resume(run *r, sl_err *err)
{
    const sl_val *saved = sl_task_saved(r->t);
    sl_str doubt = sl_get_text(saved, "doubt");
    r->next = (size_t)sl_get_int(saved, "next", 0);
    r->changed = sl_get_int(saved, "changed", 0);
    if (!sl_state_load(r->t, saved, "rows", &r->rows, err))
        return false;
    return doubt.n == 0 || sl_sql_repeatable(r->arena, r->list[r->next].text)
           || sl_err_set(err, SL_ERR_REMOTE, "sql.doubt", "the process was interrupted while this statement ran, and CrateDB cannot tell whether it took effect: %.*s; look, and restart the execution", SL_ARG(doubt));
}

static bool take_rows(run *r, const sl_val *answer, sl_err *err)
{
    const sl_val *names = sl_get(answer, "cols"), *types = sl_get(answer, "col_types"), *rows = sl_get(answer, "rows");
    sl_result result = { 0 };
    sl_val *out = sl_map(r->arena);
    bool ok = sl_result_open(&result, r->t, r->c->fetch_type, r->next, err);
    for (size_t i = 0; ok && i < sl_val_count(rows); i++) {
        sl_val *row = sl_map(r->arena);
        for (size_t k = 0; k < sl_val_count(names); k++)
            sl_map_set(r->arena, row, sl_text(sl_at(names, k)), sl_crate_value(r->arena, sl_at(sl_at(rows, i), k), sl_at(types, k)));
        ok = sl_result_add(&result, row, err);
    }
    ok = ok && sl_result_end(&result, out, err);
    sl_result_close(&result);
    r->rows = out;
    return ok;
}

/* The summary's rows as maps; each may be a refusal. */
static bool check_copy(run *r, const sl_val *answer, sl_err *err)
{
    const sl_val *names = sl_get(answer, "cols"), *rows = sl_get(answer, "rows");
    for (size_t i = 0; i < sl_val_count(rows); i++) {
        sl_val *row = sl_map(r->arena);
        for (size_t k = 0; k < sl_val_count(names); k++)
            sl_map_set(r->arena, row, sl_text(sl_at(names, k)), sl_at(sl_at(rows, i), k));
        if (!sl_crate_check_summary(r->arena, row, &r->changed, err))
            return false;
    }
    return true;
}

static bool execute(run *r, const sl_statement *s, sl_err *err)
{
    const sl_val *answer;
    sl_val *values = sl_list(r->arena);
    sl_str text;
    bool reads = sl_sql_reads(r->arena, s->text), copy = sl_crate_is_copy_from(r->arena, s->text);
    if (!sl_sql_bind(r->arena, copy ? sl_crate_with_summary(r->arena, s->text) : s->text, r->c->parameters, &text, values, err) || (!reads && !remember(r, r->next, s->text, err)) || !SL_FAULT("cratedb.before_call", err))
        return false;
    if (!sl_crate_call(&r->crate, r->arena, text, sl_val_count(values) > 0 ? values : r->c->args, NULL, &answer, err) || !SL_FAULT("cratedb.after_call", err))
        return r->count == 1 ? false : sl_err_ctx(err, "statement %zu of %zu", r->next + 1, r->count);
    int64_t changed = sl_get_int(answer, "rowcount", 0);
    if (copy)
        return check_copy(r, answer, err);
    if (sl_val_count(sl_get(answer, "cols")) > 0)
        return sl_str_eqc(r->c->fetch_type, "NONE") || take_rows(r, answer, err);
    bool defines = sl_str_eqc(sl_sql_verb(r->arena, s->text), "INSERT") || sl_str_eqc(sl_sql_verb(r->arena, s->text), "UPDATE") || sl_str_eqc(sl_sql_verb(r->arena, s->text), "DELETE");
    r->changed += defines && changed > 0 ? changed : 0;
    return true;
}

static bool work(run *r, sl_err *err)
{
    r->count = sl_sql_split(r->arena, r->c->sql, &r->list);
    if (r->count == 0)
        return sl_err_set(err, SL_ERR_CONFIG, "sql.empty", "'sql' holds no statement");
    if (sl_val_count(r->c->args) > 0 && (r->count > 1 || sl_val_count(r->c->parameters) > 0))
        return sl_err_set(err, SL_ERR_CONFIG, "sql.args", "'args' goes with one statement, and without 'parameters'");
    if (!resume(r, err))
        return false;
    for (; r->next < r->count; r->next++) {
        bool reads = sl_sql_reads(r->arena, r->list[r->next].text);
        if (!execute(r, &r->list[r->next], err) || (!reads && !remember(r, r->next + 1, SL_S(""), err)))
            return false;
    }
    return true;
}

static sl_outcome query_run(sl_task *t, void *cfg, sl_err *err)
{
    run r = { .t = t, .arena = sl_task_arena(t), .c = cfg };
    if (!sl_crate_open(&r.crate, t, &r.c->crate, err) || !work(&r, err))
        return SL_TASK_FAILED;
    for (size_t i = 0; i < sl_val_count(r.rows); i++)
        sl_task_out(t, sl_cstr(r.arena, r.rows->map.entries[i].key), r.rows->map.entries[i].value);
    sl_task_out_int(t, "rowCount", r.changed);
    return SL_TASK_DONE;
}

const sl_task_type sl_crate_query = { .type = "io.sluice.cratedb.Query", .doc = "Runs statements in CrateDB over HTTP.", .cfg_size = sizeof(query_cfg), .opts = opts, .outs = outs, .run = query_run };

static const sl_task_type *const tasks[] = { &sl_crate_query, &sl_crate_bulk, NULL };
const sl_connector sl_connector_cratedb = { .name = "cratedb", .tasks = tasks };
