/* local/redshift_statement.c: see redshift_statement.h. */
#include <stdatomic.h>

#include "local/redshift_statement.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/sql.h"

enum { STOP_TRIES = 2000, STOP_GRACE = 100, CANCEL_TRIES = 400 };

typedef struct running {
    struct running *next;
    sl_cloud *c;
    sl_redshift_session *session;
    atomic_bool cancelled;
    bool runs_sql;                /* the caller's, which may be interrupted; under the cloud's lock */
    char id[40];
} running;

static running *list_of(sl_cloud *c)
{
    return c->redshift_running;
}

/* ---- documents ---- */

bool sl_statement_save(sl_redshift_session *s, sl_arena *a, const sl_val *doc, bool insert, sl_err *err)
{
    sl_str id = sl_duck_text(a, sl_get_text(doc, "Id")), token = sl_duck_text(a, sl_get_text(doc, "ClientToken")), text = sl_duck_text(a, sl_json(a, doc)), status = sl_duck_text(a, sl_get_text(doc, "Status"));
    sl_str sql = insert ? sl_fmt(a, "INSERT INTO _sl.statements VALUES (%.*s, %.*s, %.*s, %.*s)", SL_ARG(id), SL_ARG(token), SL_ARG(status), SL_ARG(text))
                        : sl_fmt(a, "UPDATE _sl.statements SET status = %.*s, doc = %.*s WHERE id = %.*s", SL_ARG(status), SL_ARG(text), SL_ARG(id));
    return sl_duck_run(s->con, a, sql, NULL, NULL, err);
}

bool sl_statement_find(sl_redshift_session *s, sl_arena *a, const char *column, sl_str value, sl_val **ret, sl_err *err)
{
    const sl_val *rows;
    sl_str sql = sl_fmt(a, "SELECT doc FROM _sl.statements WHERE %s = %.*s", column, SL_ARG(sl_duck_text(a, value)));
    *ret = NULL;
    if (!sl_duck_run(s->con, a, sql, &rows, NULL, err))
        return false;
    if (sl_val_count(rows) == 0)
        return true;
    const sl_val *doc = sl_json_parse(a, sl_text(sl_at(sl_at(rows, 0), 0)), err);
    *ret = doc ? sl_map_shallow(a, doc) : NULL;
    return doc != NULL;
}

/* ---- running ---- */

void sl_statement_set(sl_arena *a, sl_val *doc, const char *status, sl_str error)
{
    sl_map_set_str(a, doc, "Status", sl_str_c(status));
    sl_map_set_int(a, doc, "UpdatedMs", sl_now_ms());
    if (error.n > 0)
        sl_map_set_str(a, doc, "Error", error);
}

static void set_runs_sql(running *r, bool runs)
{
    pthread_mutex_lock(&r->c->lock);
    r->runs_sql = runs;
    pthread_mutex_unlock(&r->c->lock);
}

static bool run_sql(running *r, sl_arena *a, sl_str sql, sl_pgwire_result *result, sl_err *err)
{
    set_runs_sql(r, true);
    bool ok = !r->cancelled ? sl_redshift_session_run(r->session, a, sql, result, err) : sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "the statement was cancelled");
    set_runs_sql(r, false);
    return ok;
}

/* One statement; what came of it is added to `parts`. */
static bool run_one(running *r, sl_arena *a, const sl_val *doc, size_t i, sl_val *parts, sl_err *err)
{
    sl_pgwire_result result = { 0 };
    sl_val *values = sl_list(a), *part = sl_map(a);
    sl_str sql = sl_text(sl_at(sl_get(doc, "Sqls"), i)), bound;
    const sl_val *given = sl_get(doc, "Parameters");
    int64_t begun = sl_mono_ms(), changed = 0;
    sl_list_add(a, parts, part);
    sl_map_set_str(a, part, "QueryString", sql);
    bool ok = sl_sql_bind(a, sql, given, &bound, values, err) && (sl_val_count(values) == 0 || sl_sql_fill(a, bound, values, &bound)) && run_sql(r, a, bound, &result, err);
    sl_statement_set(a, part, ok ? "FINISHED" : r->cancelled ? "ABORTED" : "FAILED", ok ? SL_S("") : sl_fmt(a, "ERROR: %s", err->message));
    sl_map_set_int(a, part, "DurationMs", sl_mono_ms() - begun);
    sl_map_set_bool(a, part, "HasResultSet", ok && result.columns != NULL);
    ptrdiff_t blank = sl_str_rfind(result.tag, SL_S(" "));
    if (blank > 0)
        (void)sl_parse_int(sl_str_sub(result.tag, (size_t)blank + 1, result.tag.n), &changed);
    sl_map_set_int(a, part, "ResultRows", result.columns ? (int64_t)sl_val_count(result.rows) : sl_str_eqc(result.tag, "COPY") ? r->session->copied : changed);
    if (ok && result.columns != NULL) {
        sl_map_setc(a, part, "columns", result.columns);
        sl_map_setc(a, part, "rows", result.rows);
    }
    return ok;
}

static bool command(running *r, sl_arena *a, const char *sql, sl_err *err)
{
    sl_pgwire_result ignored = { 0 };
    return sl_redshift_session_run(r->session, a, sl_str_c(sql), &ignored, err);
}

/* One transaction, which holds the state that it leads to. */
static void run_all(running *r, sl_arena *a, sl_val *doc)
{
    sl_val *parts = sl_list(a);
    sl_err err, ignored;
    sl_map_setc(a, doc, "parts", parts);
    sl_map_set_int(a, doc, "RedshiftPid", r->session->pid);
    bool ok = command(r, a, "BEGIN", &err);
    for (size_t i = 0; ok && i < sl_val_count(sl_get(doc, "Sqls")); i++)
        ok = run_one(r, a, doc, i, parts, &err);
    sl_statement_set(a, doc, "FINISHED", SL_S(""));
    if (ok && sl_statement_save(r->session, a, doc, false, &err) && command(r, a, "COMMIT", &err))
        return;
    (void)command(r, a, "ROLLBACK", &ignored);
    pthread_mutex_lock(&r->c->lock);
    bool stops = r->c->stopping;
    pthread_mutex_unlock(&r->c->lock);
    if (stops && !r->cancelled)
        return;                   /* it runs again at the next start */
    sl_statement_set(a, doc, r->cancelled ? "ABORTED" : "FAILED", sl_fmt(a, "ERROR: %s", err.message));
    (void)sl_statement_save(r->session, a, doc, false, &ignored);
}

static void *thread(void *self)
{
    running *r = self;
    sl_cloud *c = r->c;
    SL_ARENA a = sl_arena_new();
    sl_val *doc;
    sl_err err;
    if (sl_statement_find(r->session, a, "id", sl_str_c(r->id), &doc, &err) && doc != NULL)
        run_all(r, a, doc);
    pthread_mutex_lock(&c->lock);
    for (running **at = (running **)&c->redshift_running; *at != NULL; at = &(*at)->next)
        if (*at == r) {
            *at = r->next;
            break;
        }
    pthread_mutex_unlock(&c->lock);
    sl_redshift_session_close(r->session);
    free(r);
    return NULL;
}

bool sl_statement_start(sl_cloud *c, sl_str id, sl_err *err)
{
    running *r = sl_malloc(sizeof *r);
    pthread_t t;
    *r = (running){ .c = c, .session = sl_redshift_session_open(c, err) };
    (void)snprintf(r->id, sizeof r->id, "%.*s", SL_ARG(id));
    if (r->session == NULL) {
        free(r);
        return false;
    }
    pthread_mutex_lock(&c->lock);
    r->next = list_of(c);
    c->redshift_running = r;
    bool ok = !c->stopping && pthread_create(&t, NULL, thread, r) == 0;
    if (ok)
        pthread_detach(t);
    else
        c->redshift_running = r->next;
    pthread_mutex_unlock(&c->lock);
    if (ok)
        return true;
    sl_redshift_session_close(r->session);
    free(r);
    return sl_err_set(err, SL_ERR_IO, "thread", "no thread for the statement");
}

bool sl_redshift_data_take_up(sl_cloud *c, sl_duck_con *con, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    const sl_val *rows;
    if (!sl_duck_run(con, a, SL_S("SELECT id FROM _sl.statements WHERE status IN ('SUBMITTED', 'STARTED')"), &rows, NULL, err))
        return false;
    for (size_t i = 0; i < sl_val_count(rows); i++)
        if (!sl_statement_start(c, sl_text(sl_at(sl_at(rows, i), 0)), err))
            return false;
    return true;
}

void sl_redshift_data_stop(sl_cloud *c)
{
    pthread_mutex_lock(&c->lock);
    c->stopping = true;
    for (int i = 0; list_of(c) != NULL && i < STOP_TRIES; i++) {
        if (i == STOP_GRACE)
            for (running *r = list_of(c); r != NULL; r = r->next)
                sl_duck_interrupt(r->session->con);
        pthread_mutex_unlock(&c->lock);
        sl_sleep_ms(10);
        pthread_mutex_lock(&c->lock);
    }
    pthread_mutex_unlock(&c->lock);
}

bool sl_statement_runs(sl_cloud *c, sl_str id)
{
    bool hit = false;
    pthread_mutex_lock(&c->lock);
    for (const running *r = list_of(c); r != NULL; r = r->next)
        hit |= sl_str_eqc(id, r->id);
    pthread_mutex_unlock(&c->lock);
    return hit;
}

/* DuckDB forgets an interruption that comes before its query has begun: it is said again until the query has ended. */
bool sl_statement_cancel(sl_cloud *c, sl_str id)
{
    bool hit = false;
    pthread_mutex_lock(&c->lock);
    for (int i = 0; i < CANCEL_TRIES; i++) {
        running *r = list_of(c);
        while (r != NULL && !sl_str_eqc(id, r->id))
            r = r->next;
        if (r == NULL || (hit && !r->runs_sql))
            break;
        hit = true;
        r->cancelled = true;
        if (r->runs_sql)
            sl_duck_interrupt(r->session->con);
        pthread_mutex_unlock(&c->lock);
        sl_sleep_ms(5);
        pthread_mutex_lock(&c->lock);
    }
    pthread_mutex_unlock(&c->lock);
    return hit;
}
