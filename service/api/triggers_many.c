/* service/api/triggers_many.c: several triggers at once: enabled, disabled, their backfills paused, resumed, ended. */
#include "base/arena.h"
#include "service/api/trigger_call.h"

/* The triggers of the body, [{namespace, flowId, triggerId}], or those that the query finds. false: answered. */
static bool chosen(sl_call *c, const sl_val *list, sl_trigger_request **ret, size_t *n)
{
    sl_trigger_row *rows;
    if (c->route->body != SL_BODY_NONE) {
        *n = sl_val_count(list);
        *ret = SL_ARRAY(c->arena, sl_trigger_request, *n + 1);
        for (size_t i = 0; i < *n; i++)
            (*ret)[i] = sl_call_trigger_request(sl_at(list, i), SL_TRIGGER_ENABLE);
        if (!sl_is(list, SL_LIST))
            sl_reply_error(c, 422, "Invalid entity: the body is a list of {\"namespace\", \"flowId\", \"triggerId\"}");
        return sl_is(list, SL_LIST);
    }
    if (!sl_call_triggers_found(c, sl_query_filter(c, "namespace"), sl_query_filter(c, "flowId"), sl_query_filter(c, "q"), &rows, n))
        return false;
    *ret = SL_ARRAY(c->arena, sl_trigger_request, *n + 1);
    for (size_t i = 0; i < *n; i++)
        (*ret)[i] = (sl_trigger_request){ .ns = rows[i].ns, .flow_id = rows[i].flow_id, .id = rows[i].id };
    return true;
}

/* Each by itself. By query, what has no backfill is passed over; in a list, it is refused. */
static void perform(sl_call *c, const sl_val *list, sl_trigger_verb verb)
{
    sl_trigger_request *all;
    size_t n;
    int64_t done = 0;
    sl_val *invalid = sl_list(c->arena);
    if (!chosen(c, list, &all, &n))
        return;
    for (size_t i = 0; i < n; i++) {
        sl_err err;
        all[i].verb = verb;
        bool may = sl_principal_may(&c->who, c->route->role, all[i].ns), ok = may && sl_trigger_do(c->engine, &all[i], &err);
        done += ok;
        if (ok || (may && c->route->body == SL_BODY_NONE && err.kind == SL_ERR_CONFLICT))
            continue;
        sl_val *one = sl_map_of(c->arena, "message", sl_val_c(c->arena, may ? err.message : "you may not do this in that namespace"));
        sl_map_set_str(c->arena, one, "invalidValue", sl_fmt(c->arena, "%.*s.%.*s.%.*s", SL_ARG(all[i].ns), SL_ARG(all[i].flow_id), SL_ARG(all[i].id)));
        sl_list_add(c->arena, invalid, one);
    }
    sl_reply_count(c, done, invalid);
}

static void set_disabled(sl_call *c)
{
    bool query = c->route->body == SL_BODY_NONE, disabled = query ? sl_query_bool(c, "disabled", true) : sl_get_bool(c->json, "disabled", true);
    perform(c, query ? NULL : sl_get(c->json, "triggers"), disabled ? SL_TRIGGER_DISABLE : SL_TRIGGER_ENABLE);
}

static void set_one_disabled(sl_call *c)
{
    sl_trigger_request r = sl_call_trigger_request(c->json, sl_get_bool(c->json, "disabled", true) ? SL_TRIGGER_DISABLE : SL_TRIGGER_ENABLE);
    sl_call_trigger_do(c, &r);
}

/* Nothing is ever locked: how many there are is the answer. */
static void unlock(sl_call *c)
{
    sl_trigger_request *all;
    size_t n;
    if (chosen(c, c->json, &all, &n))
        sl_reply_count(c, (int64_t)n, NULL);
}

static void pause_backfills(sl_call *c)
{
    perform(c, c->json, SL_BACKFILL_PAUSE);
}

static void resume_backfills(sl_call *c)
{
    perform(c, c->json, SL_BACKFILL_RESUME);
}

static void end_backfills(sl_call *c)
{
    perform(c, c->json, SL_BACKFILL_CANCEL);
}

static void create_backfill(sl_call *c)
{
    sl_trigger_request r = sl_call_trigger_request(c->json, SL_BACKFILL_START);
    if (sl_call_backfill(c, sl_get(c->json, "backfill"), &r))
        sl_call_trigger_do(c, &r);
}

#define BOTH(name, query, words, function)                                                                                                    \
    { "POST", "/triggers/" name "/by-triggers", SL_ROLE_OPERATOR, SL_BODY_JSON, NULL, words " of a list of triggers.", function },            \
    { "POST", "/triggers/" name "/by-query", SL_ROLE_OPERATOR, SL_BODY_NONE, "q namespace flowId" query, words " of all triggers that match.", function }

const sl_api_route sl_api_triggers_many[] = {
    BOTH("set-disabled", " disabled", "Sets `disabled`", set_disabled),
    BOTH("unlock", "", "For clients that know locks; counts those", unlock),
    BOTH("backfill/pause", "", "Pauses the backfills", pause_backfills),
    BOTH("backfill/unpause", "", "Goes on with the backfills", resume_backfills),
    BOTH("backfill/delete", "", "Ends the backfills", end_backfills),
    { "PUT", "/triggers/set-disabled", SL_ROLE_OPERATOR, SL_BODY_JSON, NULL, "Sets `disabled` of a trigger.", set_one_disabled },
    { "PUT", "/triggers/backfill/create", SL_ROLE_OPERATOR, SL_BODY_JSON, NULL, "Starts a backfill.", create_backfill },
    { 0 },
};
