/* service/evaluate.c: what a flowable has to have worked out before its tasks run: conditions, values, times; on a worker. */
#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/secret.h"
#include "service/task_ctx.h"

/* ---- If, Switch ---- */

static bool choose(sl_task *t, const sl_task_def *d, sl_event *ev, sl_err *err)
{
    sl_str text = SL_S("");
    if (d->condition.n > 0 && !sl_task_render(t, d->condition, &text, err))
        return sl_err_ctx(err, "property '%s'", d->flowable == SL_IF ? "condition" : "value");
    if (d->flowable == SL_IF) {
        bool hit = sl_truthy_text(text);
        ev->choice = hit ? SL_S("then") : SL_S("else");
        sl_task_out(t, "evaluationResult", sl_val_bool(hit));
        return true;
    }
    sl_task_out_str(t, "value", text);
    for (size_t i = 0; i < d->case_count; i++)
        if (sl_str_eq(d->cases[i].key, text)) {
            ev->choice = sl_fmt(t->arena, "case:%.*s", SL_ARG(text));
            sl_task_out(t, "defaults", &sl_false_val);
            return true;
        }
    ev->choice = SL_S("defaults");
    sl_task_out(t, "defaults", &sl_true_val); /* said where there are none, too */
    return d->otherwise.n > 0 || sl_err_set(err, SL_ERR_CONFIG, "switch.none", "no case is named '%.*s' and there are no defaults", SL_ARG(text));
}

/* ---- ForEach ---- */

/* Each item as text; the same text twice is one value. */
static bool collect_values(sl_task *t, const sl_val *list, sl_val *ret, sl_err *err)
{
    sl_val *seen = sl_map(t->arena);
    for (size_t i = 0; i < sl_val_count(list); i++) {
        const sl_val *v = sl_at(list, i);
        if (sl_is_null(v))
            return sl_err_set(err, SL_ERR_CONFIG, "loop.null", "the list of values has a null at index %zu", i);
        sl_str text = sl_val_text(t->arena, v);
        if (sl_get_str(seen, text) != NULL)
            continue;
        sl_map_set(t->arena, seen, text, &sl_true_val);
        sl_list_add(t->arena, ret, sl_val_str(t->arena, text));
    }
    return true;
}

static bool values(sl_task *t, const sl_task_def *d, sl_event *ev, sl_err *err)
{
    const sl_val *raw = sl_get(d->props, "values"), *v;
    if (raw == NULL)
        raw = sl_get(d->props, "value");
    if (!sl_render_val(t->arena, &t->env, raw, true, &v, err))
        return sl_err_ctx(err, "property 'values'");
    if (sl_is(v, SL_STRING)) {
        sl_str text = sl_str_trim(v->s);
        v = sl_json_parse(t->arena, text, err);
        if (!sl_is(v, SL_LIST))
            return sl_err_set(err, SL_ERR_CONFIG, "loop.values", "the values of a loop must be a list, or a text that is a JSON list, not '%.*s%s'", SL_ARG(sl_str_sub(text, 0, 80)), text.n > 80 ? "…" : "");
    }
    if (!sl_is(v, SL_LIST))
        return sl_err_set(err, SL_ERR_CONFIG, "loop.values", "the values of a loop must be a list, not a %s", sl_type_name(v->type));
    sl_val *list = sl_list(t->arena);
    if (!collect_values(t, v, list, err))
        return false;
    ev->choice = sl_json(t->arena, list);
    return true;
}

/* ---- times ---- */

static bool duration_of(sl_task *t, const sl_val *props, const char *name, int64_t *ret, sl_err *err)
{
    const sl_val *v = sl_get(props, name);
    sl_str text;
    if (sl_is_null(v))
        return true;
    if (!sl_task_render(t, sl_val_text(t->arena, v), &text, err))
        return sl_err_ctx(err, "property '%s'", name);
    return sl_duration_parse(sl_str_trim(text), ret) || sl_err_set(err, SL_ERR_CONFIG, "task.duration", "'%s' must be a duration such as PT30S, not '%.*s'", name, SL_ARG(text));
}

/* Pause: until when, and what then. */
static bool pause_until(sl_task *t, const sl_task_def *d, sl_event *ev, sl_err *err)
{
    int64_t ms = 0, timeout = 0;
    sl_str behavior = SL_S("RESUME");
    const sl_val *v = sl_get(d->props, "behavior");
    if (!duration_of(t, d->props, "delay", &ms, err) || !duration_of(t, d->props, "pauseDuration", &ms, err) || !duration_of(t, d->props, "timeout", &timeout, err)
        || (v != NULL && !sl_task_render(t, sl_val_text(t->arena, v), &behavior, err)))
        return false;
    behavior = sl_str_upper(t->arena, sl_str_trim(behavior));
    if (!sl_str_eqc(behavior, "RESUME") && !sl_str_eqc(behavior, "WARN") && !sl_str_eqc(behavior, "FAIL") && !sl_str_eqc(behavior, "CANCEL"))
        return sl_err_set(err, SL_ERR_CONFIG, "pause.behavior", "'behavior' must be RESUME, WARN, FAIL or CANCEL, not '%.*s'", SL_ARG(behavior));
    if (timeout > 0 && (ms == 0 || timeout < ms)) {
        ms = timeout;
        behavior = SL_S("FAIL");
    }
    ev->choice = behavior;
    ev->wake_ms = ms > 0 ? sl_now_ms() + ms : 0;
    return true;
}

/* LoopUntil, after a round: wake_ms says when the next one comes; none: it is over. */
static bool next_round(sl_task *t, const sl_task_def *d, sl_event *ev, sl_err *err)
{
    const sl_val *frequency = sl_get(d->props, "checkFrequency"), *most = sl_get(frequency, "maxIterations"), *fail = sl_get(d->props, "failOnMaxReached");
    int64_t interval = sl_str_ends(sl_get_text(d->props, "type"), SL_S("WaitFor")) ? 1000 : 60000, longest = 0, rounds = 0;
    sl_str text, number = SL_S("0"), failing = SL_S("false");
    sl_task_out_int(t, "iterationCount", t->job->round);
    if (!sl_task_render(t, d->condition, &text, err))
        return sl_err_ctx(err, "property 'condition'");
    if (sl_truthy_text(text))
        return true;
    if (!duration_of(t, frequency, "interval", &interval, err) || !duration_of(t, frequency, "maxDuration", &longest, err)
        || (most != NULL && !sl_task_render(t, sl_val_text(t->arena, most), &number, err)) || (fail != NULL && !sl_task_render(t, sl_val_text(t->arena, fail), &failing, err)))
        return false;
    if (!sl_parse_int(sl_str_trim(number), &rounds))
        return sl_err_set(err, SL_ERR_CONFIG, "loop.rounds", "'maxIterations' must be a number, not '%.*s'", SL_ARG(number));
    int64_t now = sl_now_ms();
    if ((rounds > 0 && t->job->round >= rounds) || (longest > 0 && now + interval > t->job->run_created_ms + longest))
        return !sl_truthy_text(failing) || sl_err_set(err, SL_ERR_TIMEOUT, "loop.most", "the condition did not hold after %lld rounds", (long long)t->job->round);
    ev->wake_ms = now + (interval > 0 ? interval : 1);
    sl_task_out_int(t, "iterationCount", t->job->round + 1);
    return true;
}

/* ---- all of them ---- */

static bool work_out(sl_task *t, const sl_task_def *d, sl_event *ev, sl_err *err)
{
    switch (d->flowable) {
    case SL_IF:
    case SL_SWITCH: return choose(t, d, ev, err);
    case SL_FOR_EACH: return d->isolated ? sl_loop_items(t, d, ev, err) : values(t, d, ev, err);
    case SL_PAUSE: return pause_until(t, d, ev, err);
    case SL_LOOP_UNTIL: sl_task_out_int(t, "iterationCount", 1); return true; /* its tasks know which round it is */
    case SL_WORKING_DIRECTORY: return sl_workdir_enter(t, err);
    default: return true;
    }
}

static void failed(sl_task *t, sl_event *ev, sl_err *err)
{
    sl_redact_err(err);
    ev->state = SL_FAILED;
    ev->error = sl_fmt(t->arena, "%s", err->message);
    sl_task_log_str(t, SL_ERROR, ev->error);
}

void sl_flowable_evaluate(sl_task *t)
{
    sl_message *m = SL_NEW(t->arena, sl_message);
    const sl_task_def *d = t->job->run->def;
    *m = (sl_message){ .event = { .kind = SL_EV_EVALUATED, .run = t->job->run, .state = SL_RUNNING } };
    sl_err err;
    bool run = true, ok;
    if (t->job->round >= 0)
        ok = next_round(t, d, &m->event, &err);
    else
        ok = sl_task_should_run(t, d, &run, &err) && (!run || work_out(t, d, &m->event, &err));
    sl_err unsettled;
    bool settled = !run || sl_task_settle_outputs(t, &m->event.outputs, &unsettled);
    if (ok && !settled)
        err = unsettled;
    ok = ok && settled;
    if (!ok)
        failed(t, &m->event, &err);
    else if (!run)
        m->event.state = SL_SKIPPED;
    sl_task_hand_over(t, m);
}

void sl_flowable_leave(sl_task *t)
{
    sl_message *m = SL_NEW(t->arena, sl_message);
    *m = (sl_message){ .event = { .kind = SL_EV_LEFT, .run = t->job->run, .state = SL_SUCCESS } };
    sl_err err;
    const sl_task_def *d = t->job->run->def;
    if (!(d->isolated ? sl_loop_outputs(t, d, &err) : sl_workdir_leave(t, &err)) || !sl_stored_keep_made(t, &err) || !sl_task_settle_outputs(t, &m->event.outputs, &err))
        failed(t, &m->event, &err);
    sl_task_hand_over(t, m);
}
