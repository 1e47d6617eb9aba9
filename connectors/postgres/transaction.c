/*
 * connectors/postgres/transaction.c: effects that happen once (see pg.h).
 *
 * The checkpoint before a COMMIT: {xid, state}. PostgreSQL (10 and later) tells with txid_status what became of it. Redshift and
 * CrateDB cannot tell; there {doubt: statement, state} is written before whatever changes something, and an interruption is an error
 * that says so: repeating blindly could do it twice.
 */
#include "base/arena.h"
#include "base/fault.h"
#include "base/json.h"
#include "connectors/state.h"
#include "connectors/postgres/pg.h"
#include "base/sql.h"

enum { DOUBT_TEXT_MAX = 200, RECONNECTS_MAX = 5 };

static sl_val *mark(sl_pg_work *w, const char *key, sl_str value, const sl_val *state)
{
    sl_val *doc = sl_map_of(w->p->arena, key, sl_val_str(w->p->arena, value));
    sl_map_opt(w->p->arena, doc, "state", state);
    return doc;
}

/* Many rows may be a part of the state. */
static bool keep(sl_pg_work *w, sl_val *doc, sl_err *err)
{
    return sl_state_keep(w->p->task, doc, "state", err);
}

typedef enum fate { COMMITTED, ABORTED, OPEN } fate;

static bool ask(sl_pg_work *w, sl_str xid, fate *ret, sl_err *err)
{
    sl_str status;
    if (!sl_pg_scalar(w->p, "SELECT txid_status($1::bigint)", sl_cstr(w->p->arena, xid), &status, err))
        return sl_err_ctx(err, "asking what became of transaction %.*s", SL_ARG(xid));
    /* None: too long ago to be known. The server keeps it for many millions of transactions. */
    if (status.n == 0)
        return sl_err_set(err, SL_ERR_REMOTE, "pg.fate", "the database does not know any more whether transaction %.*s was committed; look, and restart the execution", SL_ARG(xid));
    *ret = sl_str_eqc(status, "committed") ? COMMITTED : sl_str_eqc(status, "aborted") ? ABORTED : OPEN;
    return true;
}

/* The answer to COMMIT did not come. */
static bool settle(sl_pg_work *w, sl_str xid, sl_err *err)
{
    for (int n = 0; n < RECONNECTS_MAX; n++) {
        fate f = OPEN;
        sl_http_request stop = { 0 };
        sl_task_prepare(w->p->task, &stop);
        sl_err_clear(err);
        if (!sl_http_sleep(&stop, sl_http_backoff_ms(n, 200, 5000)))
            return sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped while asking what became of a transaction");
        if (!sl_pg_open(w->p, w->p->task, w->cfg, w->redshift, err) || !ask(w, xid, &f, err)) {
            if (!sl_err_retryable(err))
                return false;
            continue;
        }
        if (f == COMMITTED)
            return true;
        if (f == ABORTED)
            return sl_err_set(err, SL_ERR_TRANSIENT, "pg.aborted", "the connection to the database was lost, and the transaction was rolled back");
    }
    return err->kind != SL_ERR_NONE ? false : sl_err_set(err, SL_ERR_TRANSIENT, "pg.fate", "the database has not said what became of transaction %.*s", SL_ARG(xid));
}

bool sl_pg_commit(sl_pg_work *w, const sl_val *state, sl_err *err)
{
    sl_pg *p = w->p;
    sl_str xid = SL_S("");
    bool inside = PQtransactionStatus(p->conn) == PQTRANS_INTRANS;
    if (p->knows_fate && !sl_pg_scalar(p, "SELECT txid_current_if_assigned()", NULL, &xid, err))
        return false;
    /* One that has changed nothing may be repeated, unless there is something before it to be kept. */
    if ((xid.n > 0 || (state != NULL && !p->knows_fate)) && !keep(w, mark(w, xid.n ? "xid" : "doubt", xid.n ? xid : SL_S("COMMIT"), state), err))
        return false;
    if (!SL_FAULT("sql.before_commit", err))
        return false;
    if (inside && !sl_pg_run(p, "COMMIT", err) && (xid.n == 0 || !sl_err_retryable(err) || !settle(w, xid, err)))
        return false;
    sl_err_clear(err);
    if (!SL_FAULT("sql.after_commit", err))
        return false;
    return p->knows_fate || state == NULL || sl_pg_done(w, state, err);
}

bool sl_pg_bare(sl_pg_work *w, sl_str statement, const sl_val *state, sl_err *err)
{
    sl_arena *a = w->p->arena;
    if (sl_sql_reads(a, statement))
        return true;
    sl_val *doc = mark(w, "doubt", sl_str_sub(statement, 0, DOUBT_TEXT_MAX), state);
    sl_map_set_bool(a, doc, "repeatable", sl_sql_repeatable(a, statement));
    return keep(w, doc, err);
}

bool sl_pg_done(sl_pg_work *w, const sl_val *state, sl_err *err)
{
    return keep(w, mark(w, "done", SL_S("yes"), state), err);
}

bool sl_pg_fate(sl_pg_work *w, const sl_val **ret_state, bool *wait, sl_err *err)
{
    const sl_val *saved = sl_task_saved(w->p->task);
    sl_str xid = sl_get_text(saved, "xid"), doubt = sl_get_text(saved, "doubt");
    const sl_val *state = NULL;
    fate f;
    *ret_state = NULL;
    *wait = false;
    if (saved == NULL)
        return true;
    if (!sl_state_load(w->p->task, saved, "state", &state, err))
        return false;
    if (sl_get(saved, "done") != NULL) {
        *ret_state = state;
        return true;
    }
    if (doubt.n > 0) {
        *ret_state = state; /* as it was before the statement */
        return sl_get_bool(saved, "repeatable", false)
               || sl_err_set(err, SL_ERR_REMOTE, "sql.doubt", "the process was interrupted while this statement ran, and the database cannot tell whether it took effect: %.*s; look, and restart the execution", SL_ARG(doubt));
    }
    if (!ask(w, xid, &f, err))
        return false;
    *wait = f == OPEN;
    *ret_state = f == COMMITTED ? state : sl_get(state, "before");
    return true;
}
