/* flows/repository.c: see repository.h. */
#include "flows/repository.h"

#include "base/arena.h"
#include "base/json.h"
#include "flows/store_private.h"
#include "flows/trigger.h"

/* ---- flows ---- */

bool sl_repository_flow(sl_store *s, sl_arena *a, sl_str ns, sl_str id, int64_t revision, sl_flow_row *ret, bool *found, sl_err *err)
{
    sl_stmt *q = revision > 0 ? sl_db_query(s->db, err,
                                            "SELECT r.revision, s.source, r.deleted, 0, r.created_ms FROM revisions r JOIN sources s ON s.hash = r.source WHERE r.ns=? AND r.id=? AND r.revision=?",
                                            "ssi", ns, id, revision)
                              : sl_db_query(s->db, err, "SELECT f.revision, s.source, f.deleted, f.disabled, f.updated_ms FROM flows f JOIN sources s ON s.hash = f.source WHERE f.ns=? AND f.id=?",
                                            "ss", ns, id);
    int rc = q ? sl_stmt_next(q, err) : -1;
    *found = rc == 1;
    if (rc != 1)
        return rc == 0;
    *ret = (sl_flow_row){ .ns = ns, .id = id, .revision = sl_col_int(q, 0), .source = sl_col_str(q, a, 1), .deleted = sl_col_int(q, 2) != 0, .disabled = sl_col_int(q, 3) != 0, .updated_ms = sl_col_int(q, 4) };
    sl_stmt_done(q);
    return true;
}

static bool add_revision(sl_store *s, sl_arena *a, const sl_flow *f, int64_t revision, sl_str author, int64_t now, sl_err *err)
{
    sl_str none = { NULL, 0 };
    return sl_db_run(s->db, err, "INSERT INTO sources(hash, source) VALUES(?,?) ON CONFLICT DO NOTHING", "ss", f->hash, f->source)
           && sl_db_run(s->db, err, "INSERT INTO revisions(ns, id, revision, source, deleted, author, created_ms) VALUES(?,?,?,?,0,?,?)", "ssissi", f->ns, f->id, revision, f->hash, author, now)
           && sl_db_run(s->db, err,
                        "INSERT INTO flows(ns, id, revision, source, deleted, disabled, labels, description, updated_ms) VALUES(?,?,?,?,0,?,?,?,?) ON CONFLICT(ns, id) DO UPDATE SET"
                        " revision=excluded.revision, source=excluded.source, deleted=0, disabled=excluded.disabled, labels=excluded.labels, description=excluded.description,"
                        " updated_ms=excluded.updated_ms",
                        "ssisissi", f->ns, f->id, revision, f->hash, (int64_t)f->disabled, sl_json(a, f->labels), f->description.n ? f->description : none, now);
}

/* One that polls looks at once. */
static int64_t first_date(sl_arena *a, const sl_val *trigger, int64_t now)
{
    const sl_trigger_type *type = sl_trigger_find(sl_get_text(trigger, "type"));
    sl_schedule schedule;
    sl_err ignored;
    if (type == NULL)
        return now;
    if ((type->kind != SL_TRIGGER_SCHEDULE && type->kind != SL_TRIGGER_DATES) || !sl_schedule_open(a, trigger, &schedule, &ignored))
        return INT64_MAX;
    return sl_schedule_next(&schedule, now);
}

static const sl_trigger_row *find_row(const sl_trigger_row *rows, size_t n, sl_str id)
{
    for (size_t i = 0; i < n; i++)
        if (sl_str_eq(rows[i].id, id))
            return &rows[i];
    return NULL;
}

static bool put_triggers(sl_store *s, sl_arena *a, const sl_flow *f, int64_t now, sl_err *err)
{
    sl_trigger_row *old;
    size_t n;
    if (!sl_repository_triggers(s, a, f->ns, f->id, &old, &n, err) || !sl_db_run(s->db, err, "DELETE FROM triggers WHERE ns=? AND flow_id=?", "ss", f->ns, f->id))
        return false;
    for (size_t i = 0; i < sl_val_count(f->triggers); i++) {
        const sl_val *t = sl_at(f->triggers, i);
        sl_str id = sl_get_text(t, "id"), spec = sl_json(a, t);
        const sl_trigger_row *was = find_row(old, n, id);
        sl_trigger_row row = { .ns = f->ns, .flow_id = f->id, .id = id, .type = sl_get_text(t, "type"), .updated_ms = now };
        if (was != NULL)
            row = *was;
        if (was == NULL || !sl_str_eq(was->spec, spec) || !sl_str_eq(was->type, sl_get_text(t, "type"))) {
            row.next_ms = first_date(a, t, now);
            row.updated_ms = now;
        }
        row.spec = spec;
        row.type = sl_get_text(t, "type");
        if (!sl_repository_save_trigger(s, &row, err))
            return false;
    }
    return true;
}

bool sl_repository_put(sl_store *s, const sl_flow *f, sl_str author, int64_t now, int64_t *ret_revision, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    sl_flow_row have;
    bool found;
    if (!sl_repository_flow(s, a, f->ns, f->id, 0, &have, &found, err))
        return false;
    *ret_revision = found ? have.revision : 0;
    if (found && !have.deleted && sl_str_eq(have.source, f->source))
        return true;
    ++*ret_revision;
    return add_revision(s, a, f, *ret_revision, author, now, err) && put_triggers(s, a, f, now, err);
}

bool sl_repository_delete(sl_store *s, sl_str ns, sl_str id, sl_str author, int64_t now, sl_err *err)
{
    return sl_db_run(s->db, err,
                     "INSERT INTO revisions(ns, id, revision, source, deleted, author, created_ms) SELECT ns, id, revision + 1, source, 1, ?3, ?4 FROM flows WHERE ns=?1 AND id=?2 AND deleted=0",
                     "sssi", ns, id, author, now)
           && sl_db_run(s->db, err, "UPDATE flows SET deleted=1, revision=revision+1, updated_ms=?3 WHERE ns=?1 AND id=?2 AND deleted=0", "ssi", ns, id, now)
           && sl_db_run(s->db, err, "DELETE FROM triggers WHERE ns=? AND flow_id=?", "ss", ns, id);
}

/* ---- triggers ---- */

static const sl_val *json_or_null(sl_arena *a, sl_str text)
{
    sl_err ignored;
    return text.p ? sl_json_parse(a, text, &ignored) : NULL;
}

bool sl_repository_triggers(sl_store *s, sl_arena *a, sl_str ns, sl_str flow_id, sl_trigger_row **ret, size_t *ret_count, sl_err *err)
{
    sl_stmt *q = sl_db_query(s->db, err,
                             "SELECT ns, flow_id, id, type, spec, disabled, next_ms, last_ms, backfill, problem, state, updated_ms FROM triggers"
                             " WHERE (?1 IS NULL OR ns = ?1) AND (?2 IS NULL OR flow_id = ?2) ORDER BY ns, flow_id, id",
                             "ss", ns, flow_id);
    size_t capacity = 16;
    int rc = q ? 1 : -1;
    *ret = SL_ARRAY(a, sl_trigger_row, capacity);
    *ret_count = 0;
    while (q != NULL && (rc = sl_stmt_next(q, err)) == 1) {
        if (*ret_count == capacity) {
            *ret = sl_realloc(a, *ret, capacity * sizeof **ret, capacity * 2 * sizeof **ret);
            capacity *= 2;
        }
        (*ret)[(*ret_count)++] = (sl_trigger_row){
            .ns = sl_col_str(q, a, 0), .flow_id = sl_col_str(q, a, 1), .id = sl_col_str(q, a, 2), .type = sl_col_str(q, a, 3), .spec = sl_col_str(q, a, 4), .disabled = sl_col_int(q, 5) != 0,
            .next_ms = sl_col_int(q, 6), .last_ms = sl_col_int(q, 7), .backfill = json_or_null(a, sl_col_str(q, a, 8)), .problem = sl_col_str(q, a, 9),
            .state = json_or_null(a, sl_col_str(q, a, 10)), .updated_ms = sl_col_int(q, 11),
        };
    }
    return rc == 0;
}

bool sl_repository_save_trigger(sl_store *s, const sl_trigger_row *t, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    sl_str none = { NULL, 0 };
    return sl_db_run(s->db, err,
                     "INSERT INTO triggers(ns, flow_id, id, type, spec, disabled, next_ms, last_ms, backfill, problem, state, updated_ms) VALUES(?,?,?,?,?,?,?,?,?,?,?,?)"
                     " ON CONFLICT(ns, flow_id, id) DO UPDATE SET type=excluded.type, spec=excluded.spec, disabled=excluded.disabled, next_ms=excluded.next_ms, last_ms=excluded.last_ms,"
                     " backfill=excluded.backfill, problem=excluded.problem, state=excluded.state, updated_ms=excluded.updated_ms",
                     "sssssiiisssi", t->ns, t->flow_id, t->id, t->type, t->spec, (int64_t)t->disabled, t->next_ms, t->last_ms, t->backfill ? sl_json(a, t->backfill) : none,
                     t->problem.n ? t->problem : none, t->state ? sl_json(a, t->state) : none, t->updated_ms);
}

bool sl_repository_tick(sl_store *s, sl_str ns, sl_str flow_id, sl_str trigger_id, int64_t tick_ms, bool *found, sl_state *ret_state, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    sl_stmt *q = sl_db_query(s->db, err, "SELECT state FROM executions WHERE ns=? AND flow_id=? AND trigger_id=? AND tick_ms=? ORDER BY created_ms DESC LIMIT 1", "sssi", ns, flow_id, trigger_id, tick_ms);
    int rc = q ? sl_stmt_next(q, err) : -1;
    *found = rc == 1;
    if (rc == 1) {
        (void)sl_state_parse(sl_col_str(q, a, 0), ret_state);
        sl_stmt_done(q);
    }
    return rc >= 0;
}
