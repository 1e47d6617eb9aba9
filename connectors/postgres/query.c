/*
 * connectors/postgres/query.c: Query, Queries and Trigger of PostgreSQL (and CrateDB) and Redshift.
 *
 * What a checkpoint keeps as state: {next, outputs, before}: which statement comes next, what there is to give back so far, and the
 * state before that, for a transaction that was rolled back.
 */
#include "base/arena.h"
#include "connectors/connectors.h"
#include "connectors/cratedb/cratedb.h"
#include "connectors/postgres/pg.h"
#include "base/sql.h"

enum { FATE_POLL_MS = 500 };

typedef struct query_cfg {
    sl_pg_cfg pg;
    sl_redshift_cfg redshift;
    sl_aws_cfg aws;
    sl_str sql, after_sql, fetch_type;
    const sl_val *parameters, *fetch_size;
    bool fetch, store, fetch_one, transaction;
} query_cfg;

#define SQL_OPTS(fetch_default)                                                                                                                                                                    \
    { .name = "sql", .type = SL_OPT_STR, .offset = SL_FIELD(query_cfg, sql), .flags = SL_REQUIRED, .doc = "The SQL; :name stands for a parameter." },                                             \
        { .name = "fetchType", .type = SL_OPT_ENUM, .offset = SL_FIELD(query_cfg, fetch_type), .values = SL_FETCH_TYPES, .fallback = fetch_default, .doc = "What becomes of the rows." },         \
        { .name = "fetch", .type = SL_OPT_BOOL, .offset = SL_FIELD(query_cfg, fetch), .flags = SL_DEPRECATED, .doc = "Older form of fetchType FETCH." },                                          \
        { .name = "store", .type = SL_OPT_BOOL, .offset = SL_FIELD(query_cfg, store), .flags = SL_DEPRECATED, .doc = "Older form of fetchType STORE." },                                          \
        { .name = "fetchOne", .type = SL_OPT_BOOL, .offset = SL_FIELD(query_cfg, fetch_one), .flags = SL_DEPRECATED, .doc = "Older form of fetchType FETCH_ONE." },                               \
        { .name = "fetchSize", .type = SL_OPT_ANY, .offset = SL_FIELD(query_cfg, fetch_size), .doc = "Accepted: rows come one by one in any case." },                                              \
        { .name = "parameters", .type = SL_OPT_MAP, .offset = SL_FIELD(query_cfg, parameters), .doc = "Values of :names in the SQL; they are bound, never pasted." }
#define AFTER { .name = "afterSQL", .type = SL_OPT_STR, .offset = SL_FIELD(query_cfg, after_sql), .doc = "One more statement, in the same transaction." }
#define TRANSACTION { .name = "transaction", .type = SL_OPT_BOOL, .offset = SL_FIELD(query_cfg, transaction), .fallback = "true", .doc = "All statements in one transaction; false: each in its own." }

static const sl_opt query_opts[] = { SL_PG_OPTS(query_cfg), SL_PG_SSL_OPTS(query_cfg), SQL_OPTS("NONE"), AFTER, { 0 } };
static const sl_opt queries_opts[] = { SL_PG_OPTS(query_cfg), SL_PG_SSL_OPTS(query_cfg), SQL_OPTS("NONE"), TRANSACTION, { 0 } };
static const sl_opt trigger_opts[] = { SL_PG_OPTS(query_cfg), SL_PG_SSL_OPTS(query_cfg), SQL_OPTS("FETCH"), AFTER, { 0 } };
static const sl_opt redshift_query_opts[] = { SL_PG_REDSHIFT_OPTS(query_cfg), SL_AWS_OPTS(query_cfg), SQL_OPTS("NONE"), AFTER, { 0 } };
static const sl_opt redshift_queries_opts[] = { SL_PG_REDSHIFT_OPTS(query_cfg), SL_AWS_OPTS(query_cfg), SQL_OPTS("NONE"), TRANSACTION, { 0 } };
static const sl_opt redshift_trigger_opts[] = { SL_PG_REDSHIFT_OPTS(query_cfg), SL_AWS_OPTS(query_cfg), SQL_OPTS("FETCH"), AFTER, { 0 } };
static const sl_opt query_outs[] = {
    { .name = "size", .type = SL_OPT_INT, .doc = "Rows." },
    { .name = "row", .type = SL_OPT_MAP, .doc = "FETCH_ONE: the first row." },
    { .name = "rows", .type = SL_OPT_LIST, .doc = "FETCH: the rows." },
    { .name = "uri", .type = SL_OPT_STR, .doc = "STORE: the file, Ion text." },
    { 0 },
};
static const sl_opt queries_outs[] = { { .name = "outputs", .type = SL_OPT_LIST, .doc = "{size, row, rows, uri} of each statement that has rows." }, { 0 } };

typedef struct run {
    sl_pg p;
    sl_pg_work work;
    const query_cfg *c;
    sl_str fetch_type;
    bool redshift, several;       /* several: Queries */
    bool held;                    /* the text itself has begun a transaction */
    sl_statement *list;
    size_t count, next;
    sl_val *outputs;              /* list: of each statement with rows */
    const sl_val *before;         /* state on disk */
    sl_result joined;             /* Query of Redshift: rows of all statements */
} run;

static sl_str fetch_kind(const query_cfg *c)
{
    return c->fetch ? SL_S("FETCH") : c->fetch_one ? SL_S("FETCH_ONE") : c->store ? SL_S("STORE") : c->fetch_type;
}

static const sl_val *state_of(run *r)
{
    sl_arena *a = r->p.arena;
    sl_val *state = sl_map(a);
    sl_map_set_int(a, state, "next", (int64_t)r->next);
    sl_map_setc(a, state, "outputs", sl_val_copy(a, r->outputs));
    if (r->before != NULL) {
        sl_val *plain = sl_map_shallow(a, r->before);
        (void)sl_map_remove(plain, SL_S("before"));
        sl_map_setc(a, state, "before", plain);
    }
    return state;
}

static void restore(run *r, const sl_val *state)
{
    r->before = state;
    r->next = (size_t)sl_get_int(state, "next", 0);
    for (size_t i = 0; i < sl_val_count(sl_get(state, "outputs")); i++)
        sl_list_add(r->p.arena, r->outputs, sl_at(sl_get(state, "outputs"), i));
}

static bool commit(run *r, sl_err *err)
{
    const sl_val *state = state_of(r);
    if (!sl_pg_commit(&r->work, state, err))
        return false;
    r->before = state;
    return true;
}

/* A COPY of Redshift that failed says only where the reason can be read: it is read, and told. */
static bool explain_load(run *r, sl_err *err)
{
    static const char *const queries[] = {
        SL_REDSHIFT_LOAD_ERROR("pg_backend_pid()"),
        SL_REDSHIFT_LOAD_ERROR_SERVERLESS("pg_backend_pid()"),
    };
    sl_err ignored;
    sl_str detail = SL_S("");
    if (r->p.dialect != SL_PG_REDSHIFT || strstr(err->message, "load_error") == NULL)
        return false;
    if (PQtransactionStatus(r->p.conn) == PQTRANS_INERROR)
        (void)sl_pg_run(&r->p, "ROLLBACK", &ignored);
    for (size_t i = 0; i < SL_COUNT(queries) && detail.n == 0; i++)
        (void)sl_pg_scalar(&r->p, queries[i], NULL, &detail, &ignored);
    return detail.n > 0 ? sl_err_ctx(err, "%.*s", SL_ARG(detail)) : false;
}

/* CrateDB says of rows that COPY FROM has lost only when it is asked. */
static bool crate_copy(run *r, sl_str text, sl_err *err)
{
    sl_result summary = { 0 };
    sl_val *out = sl_map(r->p.arena), *none = sl_list(r->p.arena);
    bool rows = false;
    bool ok = sl_result_open(&summary, r->p.task, SL_S("FETCH"), 0, err) && sl_pg_exec(&r->p, sl_crate_with_summary(r->p.arena, text), none, SIZE_MAX, &summary, &rows, err) && sl_result_end(&summary, out, err);
    sl_result_close(&summary);
    for (size_t i = 0; ok && i < sl_val_count(sl_get(out, "rows")); i++)
        ok = sl_crate_check_summary(r->p.arena, sl_at(sl_get(out, "rows"), i), &r->p.affected, err);
    return ok;
}

/* One statement; its rows become an element of the outputs, or join the others'. */
static bool execute(run *r, const sl_statement *s, sl_err *err)
{
    sl_arena *a = r->p.arena;
    sl_val *values = sl_list(a), *out = sl_map(a);
    sl_str text;
    sl_result own = { 0 };
    bool rows = false, joins = !r->several;
    if (!sl_sql_bind(a, s->text, r->c->parameters, &text, values, err))
        return false;
    if (r->p.dialect == SL_PG_CRATE && sl_crate_is_copy_from(a, text))
        return crate_copy(r, text, err);
    bool positions = values->list.n == 0; /* else they are those of another text */
    bool ok = (joins || sl_result_open(&own, r->p.task, r->fetch_type, r->next, err)) && sl_pg_exec(&r->p, text, values, positions ? s->offset : SIZE_MAX, joins ? &r->joined : &own, &rows, err);
    if (ok && rows && !joins && !sl_str_eqc(r->fetch_type, "NONE"))
        ok = sl_result_end(&own, out, err);
    if (ok && rows && !joins)
        sl_list_add(a, r->outputs, out);
    sl_result_close(&own);
    return ok || explain_load(r, err);
}

/* A transaction that the text itself has ended is begun anew. */
static bool begin(run *r, sl_err *err)
{
    return r->p.dialect == SL_PG_CRATE || PQtransactionStatus(r->p.conn) != PQTRANS_IDLE || sl_pg_run(&r->p, "BEGIN", err);
}

static bool alone(run *r, const sl_statement *s, sl_err *err)
{
    if (!sl_pg_bare(&r->work, s->text, state_of(r), err) || !execute(r, s, err))
        return false;
    r->next++;
    if (sl_sql_reads(r->p.arena, s->text))
        return true;
    r->before = state_of(r);
    return sl_pg_done(&r->work, r->before, err);
}

/* BEGIN, COMMIT and ROLLBACK in the text: what is committed is remembered as with any other COMMIT. *handled: it was one of them. */
static bool control(run *r, const sl_statement *s, bool *handled, sl_err *err)
{
    sl_str verb = sl_sql_verb(r->p.arena, s->text), rest = s->text;
    (void)sl_sql_token(&rest);
    bool savepoint = sl_str_ieq(sl_sql_token(&rest), SL_S("TO")), inside = PQtransactionStatus(r->p.conn) != PQTRANS_IDLE;
    bool opens = sl_str_eqc(verb, "BEGIN") || sl_str_eqc(verb, "START"), commits = sl_str_eqc(verb, "COMMIT") || sl_str_eqc(verb, "END");
    bool back = (sl_str_eqc(verb, "ROLLBACK") || sl_str_eqc(verb, "ABORT")) && !savepoint;
    *handled = r->p.dialect != SL_PG_CRATE && (opens || commits || back);
    if (!*handled)
        return true;
    for (sl_str word; (word = sl_sql_token(&rest)).n; )
        if (!opens && sl_str_ieq(word, SL_S("CHAIN")))
            return sl_err_set(err, SL_ERR_CONFIG, "sql.chain", "%s ... CHAIN in 'sql' is not supported: write BEGIN as a statement of its own", sl_cstr(r->p.arena, verb));
    r->next++;
    r->held = opens;
    if (opens)                    /* in its own words: it may name an isolation level */
        return sl_pg_run(&r->p, sl_cstr(r->p.arena, s->text), err);
    return !inside || (commits ? commit(r, err) : sl_pg_run(&r->p, "ROLLBACK", err));
}

/* All in one transaction, but for those that may not stand in one. */
static bool together(run *r, sl_err *err)
{
    for (; r->next < r->count; ) {
        const sl_statement *s = &r->list[r->next];
        bool fits = r->p.dialect != SL_PG_CRATE && sl_sql_in_transaction(r->p.arena, s->text), handled;
        if (!control(r, s, &handled, err))
            return false;
        if (handled)
            continue;
        if (!fits) {
            if (PQtransactionStatus(r->p.conn) == PQTRANS_INTRANS && !commit(r, err))
                return false;
            if (!alone(r, s, err))
                return false;
            continue;
        }
        if (!begin(r, err) || !execute(r, s, err))
            return false;
        r->next++;
    }
    return PQtransactionStatus(r->p.conn) != PQTRANS_INTRANS || commit(r, err);
}

static bool one_by_one(run *r, sl_err *err)
{
    while (r->next < r->count) {
        const sl_statement *s = &r->list[r->next];
        bool handled = false;
        if (r->p.knows_fate && !control(r, s, &handled, err))
            return false;
        if (handled)
            continue;
        if (!r->p.knows_fate || !sl_sql_in_transaction(r->p.arena, s->text)) {
            if (!alone(r, s, err))
                return false;
            continue;
        }
        if (!begin(r, err) || !execute(r, s, err))
            return false;
        r->next++;
        if (!r->held && PQtransactionStatus(r->p.conn) == PQTRANS_INTRANS && !commit(r, err))
            return false;
    }
    return PQtransactionStatus(r->p.conn) != PQTRANS_INTRANS || commit(r, err);
}

static bool prepare(run *r, sl_task *t, bool *wait, sl_err *err)
{
    const query_cfg *c = r->c;
    const sl_val *state;
    sl_arena *a = sl_task_arena(t);
    r->fetch_type = fetch_kind(c);
    r->outputs = sl_list(a);
    r->count = sl_sql_split(a, c->sql, &r->list);
    if (r->count == 0)
        return sl_err_set(err, SL_ERR_CONFIG, "sql.empty", "'sql' holds no statement");
    if (!r->several && !r->redshift && r->count > 1)
        return sl_err_set(err, SL_ERR_CONFIG, "sql.several", "Query takes one statement, and 'sql' holds %zu; use Queries", r->count);
    if (c->after_sql.n > 0) {
        sl_statement *more = SL_ARRAY(a, sl_statement, r->count + 1), *after;
        if (sl_sql_split(a, c->after_sql, &after) != 1)
            return sl_err_set(err, SL_ERR_CONFIG, "sql.after", "'afterSQL' must be one statement");
        memcpy(more, r->list, r->count * sizeof *more);
        more[r->count++] = (sl_statement){ .text = after->text, .offset = SIZE_MAX };
        r->list = more;
    }
    if (!sl_pg_open(&r->p, t, &c->pg, r->redshift, err))
        return false;
    r->p.sql = c->sql;
    r->work = (sl_pg_work){ .p = &r->p, .cfg = &c->pg, .redshift = r->redshift };
    if (!sl_pg_fate(&r->work, &state, wait, err))
        return false;
    restore(r, state);
    return true;
}

static sl_outcome finish(run *r, int64_t *ret_size, sl_err *err)
{
    sl_task *t = r->p.task;
    sl_arena *a = r->p.arena;
    bool none = sl_str_eqc(r->fetch_type, "NONE");
    if (r->several)
        sl_task_out(t, "outputs", r->outputs);
    else if (!none && sl_val_count(r->outputs) > 0) { /* committed before an interruption */
        const sl_val *out = sl_at(r->outputs, 0);
        for (size_t i = 0; i < sl_val_count(out); i++)
            sl_task_out(t, sl_cstr(a, out->map.entries[i].key), out->map.entries[i].value);
    }
    if (r->p.affected > 0) {
        sl_task_counter(t, "rows.affected", (double)r->p.affected);
        sl_task_log(t, SL_INFO, "%lld rows affected", (long long)r->p.affected);
    }
    if (ret_size != NULL)
        *ret_size = sl_get_int(sl_at(r->outputs, 0), "size", 0);
    (void)err;
    return SL_TASK_DONE;
}

/* Query: what was read is complete before the transaction is; its outputs are part of the state. */
static bool work(run *r, sl_err *err)
{
    bool in_one = r->several ? r->c->transaction : !r->redshift || r->c->after_sql.n > 0;
    if (r->several)
        return in_one ? together(r, err) : one_by_one(r, err);
    if (r->next >= r->count)
        return true;
    bool ok = sl_result_open(&r->joined, r->p.task, r->fetch_type, 0, err);
    while (ok && r->next < r->count) {
        const sl_statement *s = &r->list[r->next];
        bool fits = in_one && r->p.dialect != SL_PG_CRATE && sl_sql_in_transaction(r->p.arena, s->text);
        ok = (fits ? begin(r, err) : sl_pg_bare(&r->work, s->text, state_of(r), err)) && execute(r, s, err);
        r->next++;
    }
    if (ok && !sl_str_eqc(r->fetch_type, "NONE")) {
        sl_val *out = sl_map(r->p.arena);
        ok = sl_result_end(&r->joined, out, err);
        sl_list_add(r->p.arena, r->outputs, out);
    }
    sl_result_close(&r->joined);
    return ok && (PQtransactionStatus(r->p.conn) != PQTRANS_INTRANS || commit(r, err));
}

/* Redshift without a connection. */
static sl_outcome over_data_api(sl_task *t, const query_cfg *c, bool several, int64_t *ret_size, sl_err *err)
{
    run r = { .c = c, .several = several, .fetch_type = fetch_kind(c) };
    r.p = (sl_pg){ .task = t, .arena = sl_task_arena(t) };
    sl_statement *list;
    sl_redshift_job job = { .parameters = c->parameters, .fetch_type = r.fetch_type, .transaction = !several || c->transaction, .joined = !several };
    sl_str sql = c->after_sql.n > 0 ? sl_fmt(r.p.arena, "%.*s;\n%.*s", SL_ARG(c->sql), SL_ARG(c->after_sql)) : c->sql;
    job.zone = c->pg.zone.n > 0 ? sl_tz_find(c->pg.zone, err) : sl_tz_local();
    if (job.zone == NULL)
        return SL_TASK_FAILED;
    job.count = sl_sql_split(r.p.arena, sql, &list);
    job.list = list;
    if (job.count == 0 || c->pg.url.n > 0) {
        sl_err_set(err, SL_ERR_CONFIG, "sql.empty", job.count == 0 ? "'sql' holds no statement" : "'url' and the Data API's 'clusterIdentifier' or 'workgroupName' exclude one another");
        return SL_TASK_FAILED;
    }
    sl_outcome o = sl_redshift_data(t, &c->redshift, &c->aws, &job, err);
    r.outputs = job.outputs;
    r.p.affected = job.changed;
    return o == SL_TASK_DONE ? finish(&r, ret_size, err) : o;
}

static void redshift_kill(sl_task *t, void *cfg)
{
    const query_cfg *c = cfg;
    sl_redshift_data_kill(t, &c->aws);
}

static sl_outcome query(sl_task *t, query_cfg *c, bool redshift, bool several, int64_t *ret_size, sl_err *err)
{
    c->pg.aws = &c->aws;
    if (redshift && sl_redshift_is_data(&c->redshift))
        return over_data_api(t, c, several, ret_size, err);
    run r = { .c = c, .redshift = redshift, .several = several };
    bool wait = false, ok = prepare(&r, t, &wait, err) && (wait || work(&r, err));
    sl_pg_close(&r.p);
    if (ok && wait)
        return sl_task_wait(t, FATE_POLL_MS);
    return ok ? finish(&r, ret_size, err) : SL_TASK_FAILED;
}

static sl_outcome query_run(sl_task *t, void *cfg, sl_err *err)
{
    return query(t, cfg, false, false, NULL, err);
}

static sl_outcome queries_run(sl_task *t, void *cfg, sl_err *err)
{
    return query(t, cfg, false, true, NULL, err);
}

static sl_outcome redshift_query_run(sl_task *t, void *cfg, sl_err *err)
{
    return query(t, cfg, true, false, NULL, err);
}

static sl_outcome redshift_queries_run(sl_task *t, void *cfg, sl_err *err)
{
    return query(t, cfg, true, true, NULL, err);
}

sl_outcome sl_redshift_execute(sl_task *t, const sl_pg_cfg *cfg, const sl_redshift_cfg *redshift, sl_str sql, sl_err *err)
{
    query_cfg c = { .pg = *cfg, .redshift = *redshift, .sql = sql, .fetch_type = SL_S("NONE"), .transaction = true };
    return query(t, &c, true, true, NULL, err);
}

sl_outcome sl_redshift_execute_each(sl_task *t, const sl_pg_cfg *cfg, const sl_redshift_cfg *redshift, sl_str sql, sl_err *err)
{
    query_cfg c = { .pg = *cfg, .redshift = *redshift, .sql = sql, .fetch_type = SL_S("NONE") };
    return query(t, &c, true, true, NULL, err);
}

static sl_outcome look(sl_task *t, query_cfg *c, bool redshift, sl_err *err)
{
    int64_t size = 0;
    if (sl_str_eqc(fetch_kind(c), "NONE")) {
        sl_err_set(err, SL_ERR_CONFIG, "sql.fetch", "a trigger cannot have fetchType NONE: it fires when there are rows");
        return SL_TASK_FAILED;
    }
    sl_outcome o = query(t, c, redshift, false, &size, err);
    if (o == SL_TASK_DONE)
        sl_task_polled(t, size > 0, NULL, false);
    return o;
}

static sl_outcome trigger_run(sl_task *t, void *cfg, sl_err *err)
{
    return look(t, cfg, false, err);
}

static sl_outcome redshift_trigger_run(sl_task *t, void *cfg, sl_err *err)
{
    return look(t, cfg, true, err);
}

#define PG "io.kestra.plugin.jdbc.postgresql."
#define REDSHIFT "io.kestra.plugin.jdbc.redshift."
#define TYPE(name, opt_table, out_table, function, on_kill, words) { .type = name, .doc = words, .cfg_size = sizeof(query_cfg), .opts = opt_table, .outs = out_table, .run = function, .kill = on_kill }
const sl_task_type sl_pg_query = TYPE(PG "Query", query_opts, query_outs, query_run, NULL, "Runs one statement in PostgreSQL or CrateDB.");
const sl_task_type sl_pg_queries = TYPE(PG "Queries", queries_opts, queries_outs, queries_run, NULL, "Runs statements in PostgreSQL or CrateDB, in one transaction.");
const sl_task_type sl_pg_trigger = TYPE(PG "Trigger", trigger_opts, query_outs, trigger_run, NULL, "Fires when a query in PostgreSQL has rows.");
const sl_task_type sl_redshift_query = TYPE(REDSHIFT "Query", redshift_query_opts, query_outs, redshift_query_run, redshift_kill, "Runs statements in Redshift.");
const sl_task_type sl_redshift_queries = TYPE(REDSHIFT "Queries", redshift_queries_opts, queries_outs, redshift_queries_run, redshift_kill, "Runs statements in Redshift, in one transaction.");
const sl_task_type sl_redshift_trigger = TYPE(REDSHIFT "Trigger", redshift_trigger_opts, query_outs, redshift_trigger_run, redshift_kill, "Fires when a query in Redshift has rows.");

static const sl_task_type *const tasks[] = { &sl_pg_query, &sl_pg_queries, &sl_pg_copy_in, &sl_pg_copy_out, &sl_pg_batch, &sl_pg_load, &sl_redshift_query, &sl_redshift_queries, &sl_redshift_copy_from_s3, &sl_redshift_merge, &sl_redshift_unload_task, &sl_redshift_create_external_table, NULL };
static const sl_task_type *const triggers[] = { &sl_pg_trigger, &sl_redshift_trigger, NULL };
const sl_connector sl_connector_postgres = { .name = "postgres", .tasks = tasks, .triggers = triggers };
