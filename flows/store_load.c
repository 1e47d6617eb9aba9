/* flows/store_load.c: executions back from their rows. */
#include "base/arena.h"
#include "base/io.h"
#include "base/json.h"
#include "base/secret.h"
#include "flows/store_private.h"

/* What was hidden is a secret from here on, too, though nobody has asked for it in this process. */
static void know_secrets(const sl_val *plain, const sl_val *shown)
{
    if (sl_is(plain, SL_STRING)) {
        if (!sl_str_eq(plain->s, sl_text(shown)))
            sl_redact_add(plain->s);
        return;
    }
    for (size_t i = 0; i < sl_val_count(plain); i++) {
        bool map = sl_is(plain, SL_MAP), same = sl_val_count(shown) == sl_val_count(plain) && sl_is(shown, plain->type);
        if (same)
            know_secrets(map ? plain->map.entries[i].value : sl_at(plain, i), map ? shown->map.entries[i].value : sl_at(shown, i));
    }
}

static bool reveal(sl_store *s, sl_arena *a, sl_str owner, sl_str shown, sl_str sealed, const sl_val **ret, sl_err *err)
{
    sl_str raw, plain;
    *ret = shown.p ? sl_json_parse(a, shown, err) : NULL;
    if (shown.p != NULL && *ret == NULL)
        return false;
    if (sealed.p == NULL)
        return true;
    if (!sl_base64_decode(a, sealed, &raw) || !sl_kv_unseal(s->kv, a, "state", owner, raw, &plain, err))
        return sl_err_ctx(err, "reading the secret values of %.*s", SL_ARG(owner));
    const sl_val *v = sl_json_parse(a, plain, err);
    if (v == NULL)
        return false;
    know_secrets(v, *ret);
    *ret = v;
    return true;
}

bool sl_history_parse(sl_arena *a, sl_str text, sl_history *ret)
{
    sl_str rest = text, one, word;
    *ret = (sl_history){ 0 };
    for (size_t i = 0; i < text.n; i++)
        ret->capacity += text.p[i] == ';';
    ret->items = SL_ARRAY(a, sl_change, ++ret->capacity);
    while (rest.n > 0 && sl_str_cut(&rest, ';', &one)) {
        sl_change *c = &ret->items[ret->n++];
        int64_t attempt;
        if (!sl_str_cut(&one, ' ', &word) || !sl_state_parse(word, &c->state) || !sl_str_cut(&one, ' ', &word) || !sl_parse_int(word, &attempt) || !sl_parse_int(one, &c->at_ms))
            return false;
        c->attempt = (int)attempt;
    }
    return true;
}

bool sl_store_flow_source(sl_store *s, sl_arena *arena, sl_str execution_id, sl_str *ret, int64_t *ret_revision, sl_err *err)
{
    sl_stmt *q = sl_db_query(s->db, err, "SELECT s.source, e.revision FROM executions e JOIN sources s ON s.hash = e.source WHERE e.id = ?", "s", execution_id);
    if (q == NULL)
        return false;
    int rc = sl_stmt_next(q, err);
    if (rc != 1)
        return rc == 0 && sl_err_set(err, SL_ERR_NOT_FOUND, "execution.unknown", "there is no execution '%.*s' in this data folder", SL_ARG(execution_id));
    *ret = sl_col_str(q, arena, 0);
    *ret_revision = sl_col_int(q, 1);
    sl_stmt_done(q);
    return true;
}

static const sl_val *parse_or_null(sl_arena *a, sl_str text)
{
    sl_err ignored;
    return text.p ? sl_json_parse(a, text, &ignored) : NULL;
}

/* Runs by id, for finding parents. */
typedef struct run_index {
    sl_taskrun **slots;
    size_t size;
} run_index;

static sl_taskrun **slot_of(const run_index *ix, sl_str id)
{
    size_t at = (size_t)sl_str_hash(id) & (ix->size - 1);
    while (ix->slots[at] != NULL && !sl_str_eq(ix->slots[at]->id, id))
        at = (at + 1) & (ix->size - 1);
    return &ix->slots[at];
}

static bool load_run(sl_store *s, sl_exec *x, sl_stmt *q, run_index *ix, sl_err *err)
{
    sl_arena *a = x->arena;
    sl_str parent = sl_col_str(q, a, 2);
    const sl_task_def *def = sl_flow_task(x->flow, sl_col_str(q, a, 1));
    if (def == NULL)
        return sl_err_set(err, SL_ERR_DATA, "execution.task", "the execution '%.*s' has a task that its flow lacks", SL_ARG(x->id));
    sl_taskrun *r = sl_exec_restore(x, sl_col_str(q, a, 0), def, parent.p ? *slot_of(ix, parent) : NULL, (sl_phase)sl_col_int(q, 3), sl_col_str(q, a, 4), sl_col_int(q, 5));
    (void)sl_state_parse(sl_col_str(q, a, 6), &r->state);
    r->attempt = (int)sl_col_int(q, 7);
    r->waiting = sl_col_int(q, 8) != 0;
    r->wake_ms = sl_col_int(q, 9);
    r->choice = sl_col_str(q, a, 10);
    r->chosen = r->choice.p != NULL;
    if (!reveal(s, a, r->id, sl_col_str(q, a, 11), sl_col_str(q, a, 18), &r->outputs, err))
        return false;
    r->checkpoint = parse_or_null(a, sl_col_str(q, a, 12));
    r->error = sl_col_str(q, a, 13);
    r->created_ms = sl_col_int(q, 14);
    r->started_ms = sl_col_int(q, 15);
    r->first_started_ms = sl_col_int(q, 16);
    r->ended_ms = sl_col_int(q, 17);
    r->seq = (size_t)sl_col_int(q, 20);
    x->run_count = r->seq + 1;
    (void)sl_history_parse(a, sl_col_str(q, a, 19), &r->history);
    *slot_of(ix, r->id) = r;
    return true;
}

static bool load_runs(sl_store *s, sl_exec *x, sl_err *err)
{
    SL_ARENA scratch = sl_arena_new();
    run_index ix = { .size = 64 };
    sl_stmt *q = sl_db_query(s->db, err, "SELECT count(*) FROM taskruns WHERE execution=?", "s", x->id);
    if (q == NULL || sl_stmt_next(q, err) != 1)
        return false;
    while (ix.size < (size_t)sl_col_int(q, 0) * 2)
        ix.size *= 2;
    sl_stmt_done(q);
    ix.slots = SL_ARRAY(scratch, sl_taskrun *, ix.size);
    q = sl_db_query(s->db, err,
                    "SELECT id, task, parent, role, value, iteration, state, attempt, waiting, wake_ms, choice, outputs, checkpoint, error, created_ms, started_ms, first_started_ms, ended_ms,"
                    " sealed, history, seq FROM taskruns WHERE execution=? ORDER BY seq",
                    "s", x->id);
    int rc = q ? 1 : -1;
    while (q != NULL && (rc = sl_stmt_next(q, err)) == 1)
        if (!load_run(s, x, q, &ix, err)) {
            sl_stmt_done(q);
            return false;
        }
    return rc == 0;
}

static bool load_execution(sl_store *s, sl_exec *x, sl_stmt *q, sl_err *err)
{
    sl_arena *a = x->arena;
    (void)sl_state_parse(sl_col_str(q, a, 0), &x->state);
    x->killing = sl_col_int(q, 1) != 0;
    sl_str inputs = sl_col_str(q, a, 2), outputs = sl_col_str(q, a, 5), sealed = sl_col_str(q, a, 9);
    sl_str shown = sl_fmt(a, "{\"inputs\":%.*s%s%.*s}", SL_ARG(inputs), outputs.p ? ",\"outputs\":" : "", SL_ARG(outputs));
    x->labels = sl_json_parse(a, sl_col_str(q, a, 3), err);
    x->trigger = parse_or_null(a, sl_col_str(q, a, 4));
    x->created_ms = sl_col_int(q, 6);
    x->started_ms = sl_col_int(q, 7);
    x->ended_ms = sl_col_int(q, 8);
    x->root.over = sl_col_int(q, 10) != 0;
    (void)sl_history_parse(a, sl_col_str(q, a, 11), &x->history);
    if (!sl_col_null(q, 12))
        x->original_id = sl_col_str(q, a, 12);
    x->parent_id = sl_col_str(q, a, 13);
    x->attempt_number = sl_col_int(q, 14);
    x->held = sl_col_int(q, 15) != 0;
    (void)sl_state_parse(sl_col_str(q, a, 16), &x->kill_state);
    x->schedule_ms = sl_col_int(q, 17);
    x->deadline_ms = sl_col_int(q, 18);
    x->variables = parse_or_null(a, sl_col_str(q, a, 19));
    x->tick_kind = sl_col_str(q, a, 20);
    x->tick_ms = sl_col_int(q, 21);
    x->first_attempt_ms = sl_col_int(q, 22);
    x->ended_by = sl_col_str(q, a, 23);
    x->created = true;
    x->dirty = false;
    const sl_val *both;
    if (x->labels == NULL || !reveal(s, a, x->id, shown, sealed, &both, err))
        return false;
    x->inputs = sl_get(both, "inputs");
    x->outputs = sl_get(both, "outputs");
    return x->inputs != NULL || sl_err_set(err, SL_ERR_DATA, "execution.inputs", "the execution '%.*s' is stored without its inputs", SL_ARG(x->id));
}

sl_exec *sl_store_load(sl_store *s, const sl_flow *flow, sl_str id, sl_err *err)
{
    sl_exec *x = sl_exec_new(flow, id, 0);
    x->history.n = 0;
    sl_stmt *q = sl_db_query(s->db, err,
                             "SELECT state, killing, inputs, labels, trigger, outputs, created_ms, started_ms, ended_ms, sealed, over, history, original_id, parent_id, attempt_number, held,"
                             " kill_state, schedule_ms, deadline_ms, variables, tick_kind, tick_ms, first_attempt_ms, ended_by FROM executions WHERE id=?",
                             "s", id);
    int rc = q ? sl_stmt_next(q, err) : -1;
    bool ok = rc == 1 && load_execution(s, x, q, err);
    if (rc == 1)
        sl_stmt_done(q);
    else if (rc == 0)
        sl_err_set(err, SL_ERR_NOT_FOUND, "execution.unknown", "there is no execution '%.*s'", SL_ARG(id));
    if (ok && load_runs(s, x, err))
        return x;
    sl_arena_free(x->arena);
    return NULL;
}

bool sl_store_open_executions(sl_store *s, sl_arena *arena, const sl_val **ret, sl_err *err)
{
    sl_val *list = sl_list(arena);
    sl_stmt *q = sl_db_query(s->db, err, "SELECT id FROM executions WHERE over = 0 AND state <> 'QUEUED' ORDER BY created_ms", "");
    int rc = q ? 1 : -1;
    while (q != NULL && (rc = sl_stmt_next(q, err)) == 1)
        sl_list_add(arena, list, sl_val_str(arena, sl_col_str(q, arena, 0)));
    *ret = list;
    return rc == 0;
}

bool sl_store_next_queued(sl_store *s, sl_arena *arena, sl_str ns, sl_str flow_id, sl_str *ret, sl_err *err)
{
    *ret = (sl_str){ NULL, 0 };
    sl_stmt *q = sl_db_query(s->db, err, "SELECT id FROM executions WHERE ns=? AND flow_id=? AND state='QUEUED' AND over=0 ORDER BY created_ms, id LIMIT 1", "ss", ns, flow_id);
    int rc = q ? sl_stmt_next(q, err) : -1;
    if (rc == 1) {
        *ret = sl_col_str(q, arena, 0);
        sl_stmt_done(q);
    }
    return rc >= 0;
}

bool sl_store_result(sl_store *s, sl_arena *a, sl_str id, bool *found, sl_state *ret_state, const sl_val **ret_outputs, sl_err *err)
{
    sl_stmt *q = sl_db_query(s->db, err, "SELECT state, inputs, outputs, sealed FROM executions WHERE id=?", "s", id);
    int rc = q ? sl_stmt_next(q, err) : -1;
    *found = rc == 1;
    *ret_outputs = NULL;
    if (rc != 1)
        return rc == 0;
    sl_str state = sl_col_str(q, a, 0), inputs = sl_col_str(q, a, 1), outputs = sl_col_str(q, a, 2), sealed = sl_col_str(q, a, 3);
    sl_stmt_done(q);
    (void)sl_state_parse(state, ret_state);
    const sl_val *both;
    if (!reveal(s, a, id, sl_fmt(a, "{\"inputs\":%.*s%s%.*s}", SL_ARG(inputs), outputs.p ? ",\"outputs\":" : "", SL_ARG(outputs)), sealed, &both, err))
        return false;
    *ret_outputs = sl_get(both, "outputs");
    return true;
}

/* What `name` begins with, and all that it comes from. */
#define LINE(name, begin) \
    name "(id) AS (" begin " UNION SELECT e.parent_id FROM " name " JOIN executions e ON e.id = " name ".id" \
    " UNION SELECT e.trigger ->> '$.variables.executionId' FROM " name " JOIN executions e ON e.id = " name ".id" \
    " WHERE e.trigger ->> '$.variables.taskRunId' IS NOT NULL OR e.trigger ->> '$.type' LIKE '%.trigger.Flow')"

bool sl_store_related(sl_store *s, sl_arena *arena, const sl_lineage *self, sl_str id, bool *related, sl_str *ret_ns, sl_str *ret_flow_id, sl_err *err)
{
    sl_stmt *q = sl_db_query(s->db, err, "WITH RECURSIVE " LINE("mine", "VALUES (?), (?), (?)") ", " LINE("theirs", "VALUES (?)")
                             " SELECT ns, flow_id FROM executions WHERE id = ? AND EXISTS (SELECT 1 FROM mine JOIN theirs USING (id) WHERE id <> '')",
                             "sssss", self->id, self->replayed, self->caller, id, id);
    int rc = q ? sl_stmt_next(q, err) : -1;
    *related = rc == 1;
    if (rc == 1) {
        *ret_ns = sl_col_str(q, arena, 0);
        *ret_flow_id = sl_col_str(q, arena, 1);
        sl_stmt_done(q);
    }
    return rc >= 0;
}
