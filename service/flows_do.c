/* service/flows_do.c: see flows_do.h. */
#include "service/flows_do.h"

#include "base/arena.h"
#include "service/engine_private.h"
#include "service/scheduler.h"

static bool find(sl_engine *e, sl_str ns, sl_str id, sl_flow_row *row, bool *there)
{
    sl_err err;
    if (!sl_repository_flow(e->store, e->turn_arena, ns, id, 0, row, there, &err)) {
        sl_engine_break(e, &err);
        return false;
    }
    *there = *there && !row->deleted;
    return true;
}

static bool allowed(sl_engine *e, sl_flow_change *c, const sl_flow *f)
{
    sl_flow_row row;
    bool there;
    if (!find(e, f->ns, f->id, &row, &there))
        return false;
    if (c->must_be_new && there)
        return sl_err_set(&c->err, SL_ERR_CONFIG, "flow.exists", "Invalid entity: flow.id: Flow id already exists");
    if (c->must_exist && !there)
        return sl_err_set(&c->err, SL_ERR_NOT_FOUND, "flow.unknown", "there is no flow %.*s.%.*s", SL_ARG(f->ns), SL_ARG(f->id));
    if (c->if_revision > 0 && there && row.revision != c->if_revision)
        return sl_err_set(&c->err, SL_ERR_CONFLICT, "flow.changed", "the flow is at revision %lld by now, not %lld; read it again", (long long)row.revision, (long long)c->if_revision);
    return true;
}

static bool listed(const sl_flow_change *c, sl_str id)
{
    for (size_t i = 0; i < c->count; i++)
        if (sl_str_eq(c->flows[i]->id, id))
            return true;
    return false;
}

static bool delete_others(sl_engine *e, const sl_flow_change *c, int64_t now, sl_err *err)
{
    sl_val *gone = sl_list(e->turn_arena);
    sl_stmt *q = sl_db_query(sl_store_db(e->store), err, "SELECT id FROM flows WHERE ns=? AND deleted=0", "s", c->only_ns);
    int rc = q ? 1 : -1;
    while (q != NULL && (rc = sl_stmt_next(q, err)) == 1) {
        sl_str id = sl_col_str(q, e->turn_arena, 0);
        if (!listed(c, id))
            sl_list_add(e->turn_arena, gone, sl_val_str(e->turn_arena, id));
    }
    for (size_t i = 0; rc == 0 && i < gone->list.n; i++)
        if (!sl_repository_delete(e->store, c->only_ns, sl_text(sl_at(gone, i)), c->author, now, err))
            return false;
    return rc == 0;
}

static bool delete_one(sl_engine *e, sl_flow_change *c, int64_t now, sl_err *err)
{
    sl_flow_row row;
    bool there;
    if (!find(e, c->delete_ns, c->delete_id, &row, &there))
        return true; /* the turn is broken already */
    c->ok = there || sl_err_set(&c->err, SL_ERR_NOT_FOUND, "flow.unknown", "there is no flow %.*s.%.*s", SL_ARG(c->delete_ns), SL_ARG(c->delete_id));
    return !there || sl_repository_delete(e->store, c->delete_ns, c->delete_id, c->author, now, err);
}

static void apply(sl_engine *e, void *arg, int64_t now)
{
    sl_flow_change *c = arg;
    sl_err err;
    bool written = true;
    sl_err_clear(&c->err);
    c->ok = c->delete_id.n > 0 || sl_engine_has_room(e, &c->err);
    for (size_t i = 0; i < c->count && c->ok; i++)
        c->ok = allowed(e, c, c->flows[i]); /* before anything is written */
    for (size_t i = 0; i < c->count && c->ok && written; i++) {
        int64_t revision;
        written = sl_repository_put(e->store, c->flows[i], c->author, now, &revision, &err);
    }
    if (c->ok && written && c->only_ns.n > 0)
        written = delete_others(e, c, now, &err);
    if (c->delete_id.n > 0)
        written = delete_one(e, c, now, &err);
    if (!written)
        sl_engine_break(e, &err);
    else if (c->ok)
        sl_scheduler_reload(e);
}

bool sl_flows_put(sl_engine *e, sl_flow_change *c, sl_err *err)
{
    if (!sl_engine_call(e, apply, c, err))
        return false;
    if (!c->ok)
        *err = c->err;
    return c->ok;
}
