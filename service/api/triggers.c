/* service/api/triggers.c: triggers and backfills. */
#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "service/api/trigger_call.h"

static void set_time(sl_arena *a, sl_val *map, const char *key, int64_t ms)
{
    if (ms > 0 && ms != INT64_MAX)
        sl_map_set_str(a, map, key, sl_time_rfc3339(a, ms));
}

static const sl_val *labels_list(sl_arena *a, const sl_val *labels)
{
    sl_val *list = sl_list(a);
    for (size_t i = 0; i < sl_val_count(labels); i++) {
        sl_val *one = sl_map_of(a, "key", sl_val_str(a, labels->map.entries[i].key));
        sl_map_setc(a, one, "value", labels->map.entries[i].value);
        sl_list_add(a, list, one);
    }
    return list;
}

static const sl_val *backfill_json(sl_arena *a, const sl_trigger_row *t)
{
    const sl_val *b = t->backfill;
    sl_val *out = sl_map(a);
    set_time(a, out, "start", sl_get_int(b, "start", 0));
    set_time(a, out, "end", sl_get_int(b, "end", 0));
    set_time(a, out, "currentDate", sl_get_int(b, "current", 0));
    sl_map_set_bool(a, out, "paused", sl_get_bool(b, "paused", false));
    sl_map_set_int(a, out, "parallel", sl_get_int(b, "parallel", 1));
    sl_map_opt_str(a, out, "only", sl_get_text(b, "only"));
    sl_map_opt(a, out, "inputs", sl_get(b, "inputs"));
    if (sl_get(b, "labels") != NULL)
        sl_map_setc(a, out, "labels", labels_list(a, sl_get(b, "labels")));
    set_time(a, out, "previousNextExecutionDate", t->next_ms); /* the schedule itself goes on meanwhile */
    return out;
}

const sl_val *sl_call_trigger_json(sl_arena *a, const sl_trigger_row *t)
{
    sl_val *out = sl_map(a);
    sl_map_set_str(a, out, "namespace", t->ns);
    sl_map_set_str(a, out, "flowId", t->flow_id);
    sl_map_set_str(a, out, "triggerId", t->id);
    set_time(a, out, "date", t->last_ms > 0 ? t->last_ms : t->updated_ms);
    set_time(a, out, "nextExecutionDate", t->next_ms);
    if (t->backfill != NULL)
        sl_map_setc(a, out, "backfill", backfill_json(a, t));
    sl_map_set_bool(a, out, "disabled", t->disabled);
    sl_map_opt_str(a, out, "problem", t->problem);
    return out;
}

bool sl_call_triggers_found(sl_call *c, sl_str ns, sl_str flow, sl_str text, sl_trigger_row **rows, size_t *n)
{
    sl_str any = { NULL, 0 };
    size_t all, kept = 0;
    sl_err err;
    if (!sl_repository_triggers(c->store, c->arena, ns.n ? ns : any, flow.n ? flow : any, rows, &all, &err)) {
        sl_reply_err(c, &err);
        return false;
    }
    for (size_t i = 0; i < all; i++) {
        const sl_trigger_row *t = &(*rows)[i];
        bool hit = text.n == 0 || sl_str_find(t->id, text) >= 0 || sl_str_find(t->flow_id, text) >= 0 || sl_str_find(t->ns, text) >= 0;
        if (hit && sl_principal_may(&c->who, c->route->role, t->ns))
            (*rows)[kept++] = *t;
    }
    *n = kept;
    return true;
}

/* ---- finding ---- */

typedef struct order {
    sl_str field;
    bool descending;
} order;

static int compare(const void *a, const void *b, void *self)
{
    const sl_trigger_row *x = a, *y = b;
    const order *o = self;
    int64_t at = sl_str_eqc(o->field, "nextExecutionDate") ? x->next_ms : x->last_ms, other = sl_str_eqc(o->field, "nextExecutionDate") ? y->next_ms : y->last_ms;
    int by = sl_str_eqc(o->field, "triggerId")   ? sl_str_cmp(x->id, y->id)
             : sl_str_eqc(o->field, "flowId")    ? sl_str_cmp(x->flow_id, y->flow_id)
             : sl_str_eqc(o->field, "namespace") ? sl_str_cmp(x->ns, y->ns)
                                                 : (at > other) - (at < other);
    return o->descending ? -by : by;
}

/* sort=field:asc|desc; by namespace, flow and id without it. false: answered. */
static bool sort_rows(sl_call *c, sl_trigger_row *rows, size_t n)
{
    static const char *const fields[] = { "triggerId", "flowId", "namespace", "nextExecutionDate", "date" };
    sl_str sort = sl_query(c, "sort"), field = sort;
    if (sort.n == 0)
        return true;
    (void)sl_str_cut(&sort, ':', &field);
    order o = { field, sl_str_ieq(sort.p ? sort : SL_S(""), SL_S("desc")) };
    bool known = false;
    for (size_t i = 0; i < SL_COUNT(fields); i++)
        known |= sl_str_eqc(field, fields[i]);
    if (known)
        qsort_r(rows, n, sizeof *rows, compare, &o);
    else
        sl_reply_error(c, 422, "Unprocessable Entity: Invalid sort parameter");
    return known;
}

/* With `full`: what the flow says of it, too. */
static void list(sl_call *c, sl_str ns, sl_str flow, bool full)
{
    sl_trigger_row *rows;
    size_t n;
    int64_t offset, size;
    sl_err ignored;
    sl_val *out = sl_list(c->arena);
    if (!sl_query_page(c, &offset, &size) || !sl_call_triggers_found(c, ns, flow, sl_query_filter(c, "q"), &rows, &n) || !sort_rows(c, rows, n))
        return;
    for (size_t i = (size_t)offset; i < n && i < (size_t)(offset + size); i++) {
        sl_val *one = sl_map_of(c->arena, "triggerContext", sl_call_trigger_json(c->arena, &rows[i]));
        sl_map_opt(c->arena, one, "abstractTrigger", sl_json_parse(c->arena, rows[i].spec, &ignored));
        sl_list_add(c->arena, out, full ? one : sl_get(one, "triggerContext"));
    }
    sl_reply_page(c, out, (int64_t)n);
}

static void search(sl_call *c)
{
    list(c, sl_query_filter(c, "namespace"), sl_query_filter(c, "flowId"), true);
}

static void of_flow(sl_call *c)
{
    list(c, c->args[0], c->args[1], false);
}

/* ---- doing ---- */

static bool find(sl_call *c, sl_str ns, sl_str flow, sl_str id, sl_trigger_row *ret)
{
    sl_trigger_row *rows;
    size_t n;
    sl_err err;
    if (!sl_call_may(c, ns))
        return false;
    if (!sl_repository_triggers(c->store, c->arena, ns, flow, &rows, &n, &err)) {
        sl_reply_err(c, &err);
        return false;
    }
    for (size_t i = 0; i < n; i++)
        if (sl_str_eq(rows[i].id, id)) {
            *ret = rows[i];
            return true;
        }
    sl_reply_error(c, 404, "Not Found: there is no trigger '%.*s' in the flow %.*s.%.*s", SL_ARG(id), SL_ARG(ns), SL_ARG(flow));
    return false;
}

void sl_call_trigger_do(sl_call *c, sl_trigger_request *r)
{
    sl_trigger_row row;
    sl_err err;
    if (!find(c, r->ns, r->flow_id, r->id, &row))
        return;
    if (!sl_trigger_do(c->engine, r, &err))
        sl_reply_err(c, &err);
    else if (find(c, r->ns, r->flow_id, r->id, &row))
        sl_reply(c, 200, sl_call_trigger_json(c->arena, &row));
}

sl_trigger_request sl_call_trigger_request(const sl_val *body, sl_trigger_verb verb)
{
    return (sl_trigger_request){ .verb = verb, .ns = sl_get_text(body, "namespace"), .flow_id = sl_get_text(body, "flowId"), .id = sl_get_text(body, "triggerId") };
}

static bool take_date(sl_call *c, const sl_val *b, const char *name, int64_t *ret)
{
    sl_time t;
    sl_str v = sl_get_text(b, name);
    if (v.n == 0)
        return true;
    if (sl_time_parse(v, &t) && t.kind != SL_TIME_OF_DAY) {
        *ret = t.s * 1000;
        return true;
    }
    sl_reply_error(c, 422, "Invalid entity: '%s' of a backfill must be a date-time such as 2024-01-01T00:00:00Z, not '%.*s'", name, SL_ARG(v));
    return false;
}

bool sl_call_backfill(sl_call *c, const sl_val *b, sl_trigger_request *r)
{
    sl_val *labels = sl_map(c->arena);
    const sl_val *given = sl_get(b, "labels");
    for (size_t i = 0; i < sl_val_count(given); i++) {
        bool map = sl_is(given, SL_MAP);
        sl_str key = map ? given->map.entries[i].key : sl_get_text(sl_at(given, i), "key");
        const sl_val *value = map ? given->map.entries[i].value : sl_get(sl_at(given, i), "value");
        sl_map_set(c->arena, labels, key, sl_val_str(c->arena, sl_val_text(c->arena, value)));
    }
    r->verb = SL_BACKFILL_START;
    r->labels = labels;
    r->inputs = sl_get(b, "inputs");
    r->parallel = sl_get_int(b, "parallel", 1);
    r->only = sl_get_text(b, "only");
    return take_date(c, b, "start", &r->start_ms) && take_date(c, b, "end", &r->end_ms);
}

static void put(sl_call *c)
{
    sl_trigger_request r = sl_call_trigger_request(c->json, sl_get_bool(c->json, "disabled", false) ? SL_TRIGGER_DISABLE : SL_TRIGGER_ENABLE);
    const sl_val *b = sl_get(c->json, "backfill");
    if (sl_is(b, SL_MAP) && !sl_call_backfill(c, b, &r))
        return;
    sl_call_trigger_do(c, &r);
}

static void plan(sl_call *c)
{
    sl_trigger_request r = sl_call_trigger_request(c->json, SL_BACKFILL_START);
    sl_trigger_row row;
    const sl_val *dates;
    sl_err err;
    if (!sl_call_backfill(c, sl_get(c->json, "backfill"), &r) || !find(c, r.ns, r.flow_id, r.id, &row))
        return;
    if (sl_backfill_plan(c->engine, c->store, c->arena, &row, &r, sl_now_ms(), &dates, &err))
        sl_reply(c, 200, dates);
    else
        sl_reply_err(c, &err);
}

static void backfill_pause(sl_call *c)
{
    sl_trigger_request r = sl_call_trigger_request(c->json, SL_BACKFILL_PAUSE);
    sl_call_trigger_do(c, &r);
}

static void backfill_resume(sl_call *c)
{
    sl_trigger_request r = sl_call_trigger_request(c->json, SL_BACKFILL_RESUME);
    sl_call_trigger_do(c, &r);
}

static void backfill_cancel(sl_call *c)
{
    sl_trigger_request r = sl_call_trigger_request(c->json, SL_BACKFILL_CANCEL);
    sl_call_trigger_do(c, &r);
}

static void unlock(sl_call *c)
{
    sl_trigger_row row; /* nothing is ever locked: the answer is how it stands */
    if (find(c, c->args[0], c->args[1], c->args[2], &row))
        sl_reply(c, 200, sl_call_trigger_json(c->arena, &row));
}

static void reset(sl_call *c)
{
    sl_trigger_request r = { .verb = SL_TRIGGER_RESET, .ns = c->args[0], .flow_id = c->args[1], .id = c->args[2] };
    sl_call_trigger_do(c, &r);
}

static void why(sl_call *c)
{
    sl_trigger_row row;
    sl_str text;
    sl_err err;
    if (!find(c, c->args[0], c->args[1], c->args[2], &row))
        return;
    if (sl_trigger_why(c->engine, c->store, c->arena, &row, sl_now_ms(), &text, &err))
        sl_reply(c, 200, sl_map_of(c->arena, "why", sl_val_str(c->arena, text)));
    else
        sl_reply_err(c, &err);
}

const sl_api_route sl_api_triggers[] = {
    { "GET", "/triggers/search", SL_ROLE_VIEWER, SL_BODY_NONE, "q page size sort namespace flowId", "Triggers with what they are and how they stand.", search },
    { "PUT", "/triggers", SL_ROLE_OPERATOR, SL_BODY_JSON, NULL, "Enables or disables a trigger, or starts a backfill.", put },
    { "POST", "/triggers/backfill/plan", SL_ROLE_VIEWER, SL_BODY_JSON, NULL, "The dates a backfill would run, with what exists for each; nothing is started.", plan },
    { "PUT", "/triggers/backfill/pause", SL_ROLE_OPERATOR, SL_BODY_JSON, NULL, "No further dates until it is resumed.", backfill_pause },
    { "PUT", "/triggers/backfill/unpause", SL_ROLE_OPERATOR, SL_BODY_JSON, NULL, "Goes on with a backfill.", backfill_resume },
    { "POST", "/triggers/backfill/delete", SL_ROLE_OPERATOR, SL_BODY_JSON, NULL, "Ends a backfill; what runs goes on.", backfill_cancel },
    { "POST", "/triggers/{namespace}/{flowId}/{triggerId}/unlock", SL_ROLE_OPERATOR, SL_BODY_NONE, NULL, "For clients that know locks: there are none.", unlock },
    { "POST", "/triggers/{namespace}/{flowId}/{triggerId}/restart", SL_ROLE_OPERATOR, SL_BODY_NONE, NULL, "Starts with the next date from now.", reset },
    { "GET", "/triggers/{namespace}/{flowId}/{triggerId}/why", SL_ROLE_VIEWER, SL_BODY_NONE, NULL, "When it fires next, or why it does not.", why },
    { "GET", "/triggers/{namespace}/{flowId}", SL_ROLE_VIEWER, SL_BODY_NONE, "q page size sort", "Triggers of a flow.", of_flow },
    { 0 },
};
