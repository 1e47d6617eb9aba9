/* service/scheduler_ask.c: what a backfill would do, and when a trigger fires next; nothing is changed. See scheduler.h. */
#include "base/arena.h"
#include "base/json.h"
#include "flows/context.h"
#include "service/scheduler_private.h"

/* A schedule with what its conditions look at. */
typedef struct asked {
    const sl_val *spec;
    sl_schedule schedule;
    sl_expr_host host;
    sl_expr_env env;
    sl_schedule_filter filter;
    sl_flow_ref *ref;             /* NULL: there are no conditions */
} asked;

static bool open_row(sl_arena *a, const sl_trigger_row *row, asked *q, sl_err *err)
{
    const sl_trigger_type *type = sl_trigger_find(row->type);
    *q = (asked){ .spec = sl_json_parse(a, row->spec, err) };
    if (q->spec == NULL)
        return false;
    if (type == NULL || (type->kind != SL_TRIGGER_SCHEDULE && type->kind != SL_TRIGGER_DATES))
        return sl_err_set(err, SL_ERR_CONFIG, "trigger.type", "the trigger '%.*s' is no schedule", SL_ARG(row->id));
    return sl_schedule_open(a, q->spec, &q->schedule, err);
}

/* Its conditions, too; the reference is given back by the caller. */
static bool open_conditions(sl_engine *e, sl_arena *a, const sl_flow_row *flow, asked *q, sl_err *err)
{
    q->filter = (sl_schedule_filter){ &q->schedule, sl_schedule_conditions(q->spec), &q->env };
    if (sl_val_count(q->filter.conditions) == 0)
        return true;
    q->ref = sl_flow_cache_get(e->flows, flow->source, flow->revision, NULL, err);
    if (q->ref == NULL)
        return false;
    q->host = sl_engine_host(e, a, q->ref->flow);
    q->env = sl_loop_env(sl_context_flow_vars(a, q->ref->flow, e->globals), &q->host);
    return true;
}

/* ---- a backfill ---- */

static bool add_date(sl_store *store, sl_arena *a, const sl_trigger_row *row, sl_str only, const asked *q, int64_t at, sl_val *list, sl_err *err)
{
    bool found, holds;
    sl_state state = SL_CREATED;
    const sl_str date = sl_schedule_text(a, &q->schedule, at);
    if (list->list.n >= SL_BACKFILL_DATES_MAX)
        return sl_err_set(err, SL_ERR_LIMIT, "backfill.dates", "the backfill has more than %d dates; choose a shorter range", SL_BACKFILL_DATES_MAX);
    if (!sl_schedule_holds(&q->filter, at, &holds, err))
        return sl_err_ctx(err, "a condition of the trigger '%.*s', for the date %.*s", SL_ARG(row->id), SL_ARG(date));
    if (!sl_repository_tick(store, row->ns, row->flow_id, row->id, at, &found, &state, err))
        return false;
    sl_val *one = sl_map(a);
    sl_map_set_str(a, one, "date", date);
    sl_map_set_str(a, one, "state", found ? sl_str_c(sl_state_name(state)) : SL_S(""));
    sl_map_set_bool(a, one, "conditions", holds);
    sl_map_set_bool(a, one, "runs", holds && sl_backfill_wants(only, found, state));
    sl_list_add(a, list, one);
    return true;
}

bool sl_backfill_plan(sl_engine *e, sl_store *store, sl_arena *a, const sl_trigger_row *row, const sl_trigger_request *request, int64_t now, const sl_val **ret, sl_err *err)
{
    asked q;
    sl_flow_row flow;
    bool found;
    sl_val *list = sl_list(a);
    sl_trigger_request r = *request;
    if (!open_row(a, row, &q, err) || !sl_backfill_range(&r, now, err) || !sl_repository_flow(store, a, row->ns, row->flow_id, 0, &flow, &found, err))
        return false;
    bool ok = open_conditions(e, a, &flow, &q, err);
    for (int64_t at = sl_schedule_next(&q.schedule, r.start_ms - 1); ok && at <= r.end_ms; at = sl_schedule_next(&q.schedule, at))
        ok = add_date(store, a, row, r.only, &q, at, list, err);
    sl_flow_cache_put(e->flows, q.ref);
    *ret = list;
    return ok;
}

/* ---- why ---- */

/* Of one that is on its way: at row->next_ms, or at the first date behind it for which its conditions hold. */
static sl_str when(sl_arena *a, const sl_trigger_row *row, const asked *q)
{
    int64_t at;
    sl_err err;
    if (!sl_schedule_seek(&q->filter, row->next_ms - 1, true, &at, &err))
        return sl_fmt(a, "Its next date is %.*s; whether its conditions hold then cannot be said: %s", SL_ARG(sl_time_rfc3339(a, row->next_ms)), err.message);
    if (at == INT64_MAX)
        return sl_fmt(a, "It does not fire: its conditions hold for none of the next %d dates, or within ten years.", SL_SCHEDULE_STEPS);
    const sl_str local = sl_schedule_text(a, &q->schedule, at);
    return sl_fmt(a, "It fires next on %.*s (%.*s)%s.", SL_ARG(sl_time_rfc3339(a, at)), SL_ARG(local), at > row->next_ms ? ", the first date for which its conditions hold" : "");
}

static sl_str why_schedule(sl_engine *e, sl_arena *a, const sl_trigger_row *row, const sl_flow_row *flow, asked *q, int64_t now)
{
    sl_err err;
    if (sl_get_bool(q->spec, "disabled", false))
        return SL_S("It does not fire: the flow's text says 'disabled: true'.");
    if (row->next_ms == INT64_MAX)
        return SL_S("It does not fire any more: it has no further date.");
    const sl_str due = sl_schedule_text(a, &q->schedule, row->next_ms);
    if (row->next_ms <= now)
        return sl_fmt(a, "Its date %.*s has come, and waits for an earlier execution of the trigger to end (allowConcurrent is not set).", SL_ARG(due));
    if (!open_conditions(e, a, flow, q, &err))
        return sl_fmt(a, "It does not fire: %s", err.message);
    sl_str text = when(a, row, q);
    sl_flow_cache_put(e->flows, q->ref);
    return text;
}

bool sl_trigger_why(sl_engine *e, sl_store *store, sl_arena *a, const sl_trigger_row *row, int64_t now, sl_str *ret, sl_err *err)
{
    asked q;
    sl_flow_row flow;
    bool found;
    if (!sl_repository_flow(store, a, row->ns, row->flow_id, 0, &flow, &found, err))
        return false;
    bool schedule = open_row(a, row, &q, err);
    if (flow.disabled)
        *ret = SL_S("It does not fire: the flow is disabled.");
    else if (row->disabled)
        *ret = sl_fmt(a, "It does not fire: the trigger is disabled%s%.*s.", row->problem.n ? "; " : "", SL_ARG(row->problem));
    else if (row->problem.n > 0)
        *ret = sl_fmt(a, "It does not fire: %.*s", SL_ARG(row->problem));
    else if (schedule)
        *ret = why_schedule(e, a, row, &flow, &q, now);
    else if (sl_trigger_find(row->type) == NULL)
        *ret = sl_fmt(a, "It looks whether there is something at %.*s, and every %lld s while no execution of it runs.", SL_ARG(sl_time_rfc3339(a, row->next_ms == INT64_MAX ? 0 : row->next_ms)),
                      (long long)(sl_trigger_interval(q.spec) / 1000));
    else
        *ret = SL_S("It fires when it is called, or when another execution ends; it has no dates.");
    sl_err_clear(err);
    return true;
}
