/* service/api/execution_json.c: see execution_json.h. */
#include "service/api/execution_json.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"

static void set_time(sl_arena *a, sl_val *map, const char *key, int64_t ms)
{
    sl_map_set_str(a, map, key, sl_time_rfc3339(a, ms));
}

/* {current, histories, duration, startDate, endDate} of a part of a history. */
static const sl_val *state_json(sl_arena *a, sl_str current, const sl_change *items, size_t n)
{
    sl_val *state = sl_map(a), *histories = sl_list(a);
    sl_state last;
    bool ended = sl_state_parse(current, &last) && (sl_state_final(last) || last == SL_PAUSED);
    int64_t start = n ? items[0].at_ms : 0, end = ended && n ? items[n - 1].at_ms : sl_now_ms();
    for (size_t i = 0; i < n; i++) {
        sl_val *one = sl_map(a);
        sl_map_set_str(a, one, "state", sl_str_c(sl_state_name(items[i].state)));
        set_time(a, one, "date", items[i].at_ms);
        sl_list_add(a, histories, one);
    }
    sl_map_set_str(a, state, "current", current);
    sl_map_setc(a, state, "histories", histories);
    sl_map_set_str(a, state, "duration", sl_duration_text(a, end - start));
    set_time(a, state, "startDate", start);
    if (ended)
        set_time(a, state, "endDate", end);
    return state;
}

/* The part of the history that belongs to each attempt; an attempt is CREATED when it starts. */
static const sl_val *attempts_json(sl_arena *a, const sl_history *h)
{
    sl_val *list = sl_list(a);
    for (size_t i = 0; i < h->n;) {
        int attempt = h->items[i].attempt;
        size_t from = i;
        while (i < h->n && h->items[i].attempt == attempt)
            i++;
        if (attempt == 0)
            continue;
        sl_change *part = SL_ARRAY(a, sl_change, i - from + 1);
        size_t n = 0;
        part[n++] = (sl_change){ SL_CREATED, attempt, h->items[from].at_ms };
        for (size_t k = from; k < i; k++)
            if (h->items[k].state != SL_RETRYING && h->items[k].state != SL_RESTARTED)
                part[n++] = h->items[k];
        sl_list_add(a, list, sl_map_of(a, "state", state_json(a, sl_str_c(sl_state_name(part[n - 1].state)), part, n)));
    }
    return list;
}

static const sl_val *parse(sl_arena *a, sl_str text)
{
    sl_err ignored;
    return text.p ? sl_json_parse(a, text, &ignored) : NULL;
}

static bool runs_json(sl_store *s, sl_arena *a, sl_str id, sl_str ns, sl_str flow, const sl_val **ret, sl_err *err)
{
    sl_val *list = sl_list(a);
    sl_stmt *q = sl_db_query(sl_store_db(s), err, "SELECT id, task, CASE role WHEN 6 THEN NULL ELSE parent END, value, iteration, state, outputs, history FROM taskruns WHERE execution=? ORDER BY seq", "s", id);
    int rc = q ? 1 : -1;
    while (q != NULL && (rc = sl_stmt_next(q, err)) == 1) {
        sl_val *r = sl_map(a);
        sl_history h;
        (void)sl_history_parse(a, sl_col_str(q, a, 7), &h);
        sl_map_set_str(a, r, "id", sl_col_str(q, a, 0));
        sl_map_set_str(a, r, "executionId", id);
        sl_map_set_str(a, r, "namespace", ns);
        sl_map_set_str(a, r, "flowId", flow);
        sl_map_set_str(a, r, "taskId", sl_col_str(q, a, 1));
        if (!sl_col_null(q, 2))
            sl_map_set_str(a, r, "parentTaskRunId", sl_col_str(q, a, 2));
        if (!sl_col_null(q, 3)) {
            sl_map_set_str(a, r, "value", sl_col_str(q, a, 3));
            sl_map_set_int(a, r, "iteration", sl_col_int(q, 4));
        }
        const sl_val *attempts = attempts_json(a, &h), *outputs = parse(a, sl_col_str(q, a, 6));
        if (sl_val_count(attempts) > 0)
            sl_map_setc(a, r, "attempts", attempts);
        sl_map_setc(a, r, "outputs", outputs ? outputs : sl_map(a));
        sl_map_setc(a, r, "state", state_json(a, sl_col_str(q, a, 5), h.items, h.n));
        sl_list_add(a, list, r);
    }
    *ret = list;
    return rc == 0;
}

/* originalCreatedDate: the original may have been removed meanwhile. */
#define COLUMNS "id, ns, flow_id, revision, state, inputs, labels, trigger, outputs, history, original_id, parent_id, attempt_number, coalesce((SELECT o.created_ms FROM executions o WHERE o.id = e.original_id), e.created_ms), schedule_ms, variables"

static const sl_val *labels_json(sl_arena *a, const sl_val *labels)
{
    sl_val *list = sl_list(a);
    for (size_t i = 0; i < sl_val_count(labels); i++) {
        sl_val *one = sl_map(a);
        sl_map_set_str(a, one, "key", labels->map.entries[i].key);
        sl_map_setc(a, one, "value", labels->map.entries[i].value);
        sl_list_add(a, list, one);
    }
    return list;
}

static sl_val *head_json(sl_arena *a, sl_stmt *q)
{
    sl_val *x = sl_map(a), *metadata = sl_map(a);
    sl_history h;
    (void)sl_history_parse(a, sl_col_str(q, a, 9), &h);
    sl_map_set_str(a, x, "id", sl_col_str(q, a, 0));
    sl_map_set_str(a, x, "namespace", sl_col_str(q, a, 1));
    sl_map_set_str(a, x, "flowId", sl_col_str(q, a, 2));
    sl_map_set_int(a, x, "flowRevision", sl_col_int(q, 3));
    const sl_val *inputs = parse(a, sl_col_str(q, a, 5)), *outputs = parse(a, sl_col_str(q, a, 8)), *trigger = parse(a, sl_col_str(q, a, 7));
    if (sl_val_count(inputs) > 0)
        sl_map_setc(a, x, "inputs", inputs);
    if (sl_val_count(outputs) > 0)
        sl_map_setc(a, x, "outputs", outputs);
    sl_map_setc(a, x, "labels", labels_json(a, parse(a, sl_col_str(q, a, 6))));
    sl_map_opt(a, x, "variables", parse(a, sl_col_str(q, a, 15)));
    sl_map_setc(a, x, "state", state_json(a, sl_col_str(q, a, 4), h.items, h.n));
    if (!sl_col_null(q, 11))
        sl_map_set_str(a, x, "parentId", sl_col_str(q, a, 11));
    sl_map_set_str(a, x, "originalId", sl_col_null(q, 10) ? sl_col_str(q, a, 0) : sl_col_str(q, a, 10));
    sl_map_opt(a, x, "trigger", trigger);
    sl_map_set_bool(a, x, "deleted", false);
    sl_map_set_int(a, metadata, "attemptNumber", sl_col_int(q, 12));
    set_time(a, metadata, "originalCreatedDate", sl_col_int(q, 13));
    sl_map_setc(a, x, "metadata", metadata);
    if (sl_col_int(q, 14) > 0)
        set_time(a, x, "scheduleDate", sl_col_int(q, 14));
    return x;
}

static bool add_runs(sl_store *s, sl_arena *a, sl_val *x, sl_err *err)
{
    const sl_val *runs;
    if (!runs_json(s, a, sl_get_text(x, "id"), sl_get_text(x, "namespace"), sl_get_text(x, "flowId"), &runs, err))
        return false;
    if (sl_val_count(runs) > 0 || !sl_str_eqc(sl_get_text(sl_get(x, "state"), "current"), "CREATED"))
        sl_map_setc(a, x, "taskRunList", runs);
    return true;
}

bool sl_execution_json(sl_store *s, sl_arena *a, sl_str id, const sl_val **ret, sl_err *err)
{
    *ret = NULL;
    sl_stmt *q = sl_db_query(sl_store_db(s), err, "SELECT " COLUMNS " FROM executions e WHERE id=?", "s", id);
    int rc = q ? sl_stmt_next(q, err) : -1;
    if (rc != 1)
        return rc == 0;
    sl_val *x = head_json(a, q);
    sl_stmt_done(q);
    *ret = x;
    return add_runs(s, a, x, err);
}

bool sl_execution_head(sl_store *s, sl_arena *a, sl_str id, bool *found, sl_str *ret_ns, sl_str *ret_flow, sl_state *ret_state, bool *ret_over, sl_err *err)
{
    sl_stmt *q = sl_db_query(sl_store_db(s), err, "SELECT ns, flow_id, state, over FROM executions WHERE id=?", "s", id);
    int rc = q ? sl_stmt_next(q, err) : -1;
    *found = rc == 1;
    if (rc != 1)
        return rc == 0;
    *ret_ns = sl_col_str(q, a, 0);
    *ret_flow = sl_col_str(q, a, 1);
    (void)sl_state_parse(sl_col_str(q, a, 2), ret_state);
    *ret_over = sl_col_int(q, 3) != 0;
    sl_stmt_done(q);
    return true;
}

/* ---- search ---- */

/* One statement for every combination: an empty parameter asks for nothing. Lists go in as JSON. ns: the namespace and below. */
#define WHERE                                                                                                                                            \
    " FROM executions e WHERE (?1 = '' OR ns = ?1 OR substr(ns, 1, length(?1) + 1) = ?1 || '.') AND (?2 = '' OR flow_id = ?2) AND (?3 = '' OR state IN (SELECT value FROM json_each(?3)))"   \
    " AND (?4 = 0 OR created_ms >= ?4) AND (?5 = 0 OR created_ms <= ?5) AND (?6 = '' OR ns = ?6 OR substr(ns, 1, length(?6) + 1) = ?6 || '.')"                                    \
    " AND (?7 = '' OR id = ?7 OR flow_id LIKE '%' || ?7 || '%' OR ns LIKE '%' || ?7 || '%')"                                                             \
    " AND (?8 = '' OR NOT EXISTS (SELECT 1 FROM json_each(?8) l WHERE json_extract(e.labels, '$.\"' || json_extract(l.value, '$[0]') || '\"') IS NOT json_extract(l.value, '$[1]')))" \
    " AND (?9 = '' OR trigger_id = ?9) AND (?10 = '' OR json_extract(trigger, '$.variables.executionId') = ?10)"


sl_str sl_label_pairs(sl_arena *a, const sl_val *labels)
{
    sl_val *list = sl_list(a);
    for (size_t i = 0; i < sl_val_count(labels); i++) {
        sl_str rest = sl_text(sl_at(labels, i)), key;
        sl_val *pair = sl_list(a);
        (void)sl_str_cut(&rest, ':', &key);
        sl_list_add(a, pair, sl_val_str(a, sl_str_replace(a, key, SL_S("\""), SL_S(""))));
        sl_list_add(a, pair, sl_val_str(a, rest.p ? rest : SL_S("")));
        sl_list_add(a, list, pair);
    }
    return list->list.n ? sl_json(a, list) : SL_S("");
}

bool sl_execution_search(sl_store *s, sl_arena *a, const sl_execution_filter *f, const sl_val **ret, int64_t *ret_total, sl_err *err)
{
    sl_str empty = SL_S(""), sl_ns = f->ns.n ? f->ns : empty, flow = f->flow_id.n ? f->flow_id : empty, visible = f->visible_ns.n ? f->visible_ns : empty, text = f->text.n ? f->text : empty;
    sl_str states = sl_val_count(f->states) ? sl_json(a, f->states) : empty, labels = sl_label_pairs(a, f->labels), trigger = f->trigger_id.n ? f->trigger_id : empty;
    sl_str parent = f->parent_execution.n ? f->parent_execution : empty;
    sl_val *list = sl_list(a);
    sl_stmt *q = sl_db_query(sl_store_db(s), err, "SELECT count(*)" WHERE, "sssiisssss", sl_ns, flow, states, f->from_ms, f->to_ms, visible, text, labels, trigger, parent);
    if (q == NULL || sl_stmt_next(q, err) != 1)
        return false;
    *ret_total = sl_col_int(q, 0);
    sl_stmt_done(q);
    q = f->ascending ? sl_db_query(sl_store_db(s), err, "SELECT " COLUMNS WHERE " ORDER BY created_ms, id LIMIT ?11 OFFSET ?12", "sssiisssssii", sl_ns, flow, states, f->from_ms, f->to_ms, visible, text,
                                   labels, trigger, parent, f->size, f->offset)
                     : sl_db_query(sl_store_db(s), err, "SELECT " COLUMNS WHERE " ORDER BY created_ms DESC, id DESC LIMIT ?11 OFFSET ?12", "sssiisssssii", sl_ns, flow, states, f->from_ms, f->to_ms,
                                   visible, text, labels, trigger, parent, f->size, f->offset);
    int rc = q ? 1 : -1;
    while (q != NULL && (rc = sl_stmt_next(q, err)) == 1)
        sl_list_add(a, list, head_json(a, q));
    for (size_t i = 0; rc == 0 && i < list->list.n; i++)
        if (!add_runs(s, a, (sl_val *)(uintptr_t)list->list.items[i], err))
            return false;
    *ret = list;
    return rc == 0;
}
