/* service/execution.c: see execution.h. */
#include "service/execution.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/summed.h"
#include "flows/context.h"
#include "flows/input.h"
#include "service/engine_private.h"
#include "service/expr_host.h"

/* ---- making them ---- */

/* Copies the files of FILE inputs into the storage; *ret is `given` with their URIs. */
static bool take_files(sl_engine *e, sl_arena *a, const sl_flow *flow, sl_str id, const sl_val *files, const sl_val *given, const sl_val **ret, sl_problems *problems)
{
    sl_val *all = sl_map_shallow(a, given);
    for (size_t i = 0; i < sl_val_count(files); i++) {
        sl_str name = files->map.entries[i].key, from = sl_text(files->map.entries[i].value), path, uri;
        sl_err err;
        SL_READER r = sl_reader_file(sl_cstr(a, from), &err);
        SL_WRITER w = r && sl_storage_input(&e->storage, a, flow->ns, flow->id, id, name, sl_path_base(from), &path, &uri, &err) ? sl_writer_summed(path.p, &err) : NULL;
        if (w == NULL || !sl_io_copy(r, w, NULL, NULL, NULL, &err) || !w->finish(w, &err)) {
            sl_problem_add(problems, 0, 0, "the input '%.*s': %s", SL_ARG(name), err.message);
            return false;
        }
        sl_map_set_str(a, all, sl_cstr(a, name), uri);
    }
    *ret = all;
    return true;
}

static void add_labels(sl_arena *a, sl_val *all, const sl_val *from)
{
    for (size_t i = 0; i < sl_val_count(from); i++)
        sl_map_set(a, all, from->map.entries[i].key, from->map.entries[i].value);
}

/* What a check that fails says. */
static bool check_fails(sl_arena *a, const sl_val *check, const sl_expr_env *env, sl_str *message)
{
    sl_str text;
    sl_err err;
    *message = sl_get_text(check, "message");
    if (!sl_render(a, env, sl_val_text(a, sl_get(check, "condition")), &text, &err)) {
        *message = sl_fmt(a, "a check could not be evaluated: %s", err.message);
        return true;
    }
    if (sl_truthy_text(text))
        return false;
    if (!sl_render(a, env, *message, &text, &err))
        return true;
    *message = text;
    return true;
}

const sl_val *sl_execution_checks(sl_arena *a, const sl_flow *flow, const sl_expr_env *env)
{
    sl_val *out = sl_list(a);
    for (size_t i = 0; i < sl_val_count(flow->checks); i++) {
        const sl_val *c = sl_at(flow->checks, i);
        sl_str message, style = sl_get_text(c, "style"), behavior = sl_get_text(c, "behavior");
        if (!check_fails(a, c, env, &message))
            continue;
        sl_val *one = sl_map_of(a, "message", sl_val_str(a, message));
        sl_map_set_str(a, one, "style", style.n ? style : SL_S("INFO"));
        sl_map_set_str(a, one, "behavior", behavior.n ? behavior : SL_S("BLOCK_EXECUTION"));
        sl_list_add(a, out, one);
    }
    return out;
}

/* checks: what must hold before an execution is made; the strictest of those that fail counts. */
static void run_checks(sl_arena *a, const sl_flow *flow, const sl_expr_env *env, sl_new_execution *n, sl_problems *problems)
{
    for (size_t i = 0; i < sl_val_count(flow->checks); i++) {
        const sl_val *c = sl_at(flow->checks, i);
        sl_str behavior = sl_get_text(c, "behavior"), message;
        if (!check_fails(a, c, env, &message))
            continue;
        if (sl_str_eqc(behavior, "FAIL_EXECUTION"))
            n->refusal = message;
        else if (sl_str_eqc(behavior, "CREATE_EXECUTION"))
            n->warning = message;
        else
            sl_problem_add(problems, 0, 0, "%.*s", SL_ARG(message));
    }
}

bool sl_execution_prepare(sl_engine *e, sl_arena *a, const sl_flow *flow, sl_str id, const sl_val *given, const sl_val *files, const sl_val *labels, const sl_val *trigger,
                          sl_new_execution *n, sl_problems *problems)
{
    char fresh[23];
    sl_ordered_id(fresh);
    *n = (sl_new_execution){ .flow = flow, .id = id.n ? id : sl_str_dup(a, sl_str_c(fresh)), .trigger = trigger };
    if (flow->disabled) {
        sl_problem_add(problems, 0, 0, "the flow '%.*s' is disabled", SL_ARG(flow->id));
        return false;
    }
    sl_expr_host host = sl_host_make(e, a, flow, n->id, trigger, SL_S(""));
    sl_val *vars = sl_map_shallow(a, sl_context_flow_vars(a, flow, e->globals));
    sl_map_opt(a, vars, "trigger", sl_get(trigger, "variables"));
    sl_expr_env env = { .vars = vars, .host = &host };
    size_t before = problems->n;
    if (take_files(e, a, flow, n->id, files, given, &given, problems) && sl_inputs_resolve(a, flow->inputs, given, &env, &n->inputs, problems)) {
        sl_map_setc(a, vars, "inputs", n->inputs);
        run_checks(a, flow, &env, n, problems);
    }
    if (problems->n > before) {
        const sl_val *gone;
        sl_err ignored;
        (void)sl_storage_purge(&e->storage, a, flow->ns, flow->id, n->id, &gone, &ignored);
        return false;
    }
    sl_val *all = sl_map(a);
    add_labels(a, all, flow->labels);
    add_labels(a, all, labels);
    if (sl_get(all, "system.correlationId") == NULL)
        sl_map_set_str(a, all, "system.correlationId", n->id);
    n->labels = all;
    return true;
}

/* MAX_DURATION: the shortest one counts. */
static int64_t deadline_of(const sl_flow *flow, int64_t now)
{
    int64_t at = 0, ms;
    for (size_t i = 0; i < sl_val_count(flow->sla); i++) {
        const sl_val *s = sl_at(flow->sla, i);
        if (sl_str_eqc(sl_get_text(s, "type"), "MAX_DURATION") && sl_duration_parse(sl_get_text(s, "duration"), &ms) && (at == 0 || now + ms < at))
            at = now + ms;
    }
    return at;
}

size_t sl_execution_slots_taken(sl_engine *e, const sl_flow *flow)
{
    size_t n = 0, at = 0;
    for (sl_live *l = sl_live_each(e, &at, NULL); l != NULL; l = sl_live_each(e, &at, l)) {
        sl_state s = l->x->state;
        bool holds = l->poll == NULL && s != SL_CREATED && s != SL_QUEUED && !sl_state_final(s);
        n += holds && sl_str_eq(l->x->flow->id, flow->id) && sl_str_eq(l->x->flow->ns, flow->ns);
    }
    return n;
}

/* Starts, unless the flow's concurrency limit is reached. */
static void start(sl_engine *e, sl_live *l, int64_t now)
{
    const sl_flow *f = l->x->flow;
    int64_t limit = sl_get_int(f->concurrency, "limit", 0);
    sl_event ev = { .kind = SL_EV_START };
    e->started++;
    if (limit > 0 && sl_execution_slots_taken(e, f) >= (size_t)limit) {
        sl_str behavior = sl_get_text(f->concurrency, "behavior");
        ev.kind = sl_str_eqc(behavior, "CANCEL") || sl_str_eqc(behavior, "FAIL") ? SL_EV_REFUSE : SL_EV_QUEUE;
        ev.state = sl_str_eqc(behavior, "CANCEL") ? SL_CANCELLED : SL_FAILED;
        if (sl_str_eqc(behavior, "FAIL"))
            sl_engine_log(e, l->x, NULL, SL_ERROR, SL_S("Flow is FAILED due to concurrency limit exceeded"));
    }
    sl_engine_feed(e, l, &ev, now);
}

sl_live *sl_execution_create(sl_engine *e, const sl_new_execution *n, int64_t now)
{
    sl_exec *x = sl_exec_new(n->ref ? n->ref->flow : n->flow, n->id, now);
    x->inputs = sl_val_copy(x->arena, n->inputs);
    x->labels = sl_val_copy(x->arena, n->labels);
    x->trigger = n->trigger ? sl_val_copy(x->arena, n->trigger) : NULL;
    x->schedule_ms = n->schedule_ms;
    x->tick_kind = sl_str_dup(x->arena, n->tick_kind);
    x->tick_ms = n->tick_ms;
    x->deadline_ms = deadline_of(x->flow, now);
    sl_live *l = sl_live_add(e, x, n->ref);
    if (n->warning.n > 0)
        sl_engine_log(e, x, NULL, SL_WARN, n->warning);
    if (n->refusal.n > 0) {
        sl_engine_log(e, x, NULL, SL_ERROR, n->refusal);
        sl_engine_feed(e, l, &(sl_event){ .kind = SL_EV_REFUSE, .state = SL_FAILED }, now);
    } else if (x->schedule_ms <= now)
        start(e, l, now);
    return l;
}

typedef struct submission {
    const sl_new_execution *n;
    bool ok;
    sl_err err;
} submission;

static void submit(sl_engine *e, void *arg, int64_t now)
{
    submission *s = arg;
    s->ok = sl_engine_has_room(e, &s->err);
    if (s->ok)
        (void)sl_execution_create(e, s->n, now);
}

bool sl_execution_submit(sl_engine *e, const sl_new_execution *n, sl_err *err)
{
    submission s = { .n = n };
    bool called = sl_engine_call(e, submit, &s, err);
    if (called && s.ok)
        return true;
    if (called)
        *err = s.err;
    if (!s.ok)
        sl_flow_cache_put(e->flows, n->ref);
    return false;
}

sl_exec *sl_execution_create_kept(sl_engine *e, const sl_new_execution *n)
{
    sl_live *l = sl_execution_create(e, n, sl_now_ms());
    l->keep = true;
    return l->x;
}

/* ---- attempts that are executions ---- */

sl_str sl_execution_next_attempt(sl_arena *arena, sl_str id)
{
    return sl_str_sub(sl_hex(arena, sl_digest(arena, "SHA256", sl_fmt(arena, "%.*s/next-attempt", SL_ARG(id)))), 0, 22);
}

sl_exec *sl_execution_last_attempt(sl_engine *e, sl_arena *arena, sl_exec *x)
{
    const sl_live *next;
    while (x->state == SL_RETRIED && (next = sl_live_find(e, sl_execution_next_attempt(arena, x->id))) != NULL)
        x = next->x;
    return x;
}

/* In the transaction of the end itself: there is no instant at which one was retried and nothing follows. */
static void try_again(sl_engine *e, const sl_live *l, int64_t now)
{
    int64_t at = sl_exec_new_attempt_at(l->x, now, (double)sl_random_below(1 << 20) / (1 << 20));
    if (at == 0)
        return;
    sl_exec *x = sl_exec_replay(l->x, l->x->flow, NULL, sl_execution_next_attempt(e->turn_arena, l->x->id), now);
    x->schedule_ms = at;
    x->first_attempt_ms = l->x->first_attempt_ms > 0 ? l->x->first_attempt_ms : l->x->started_ms;
    x->deadline_ms = deadline_of(x->flow, at);
    sl_live *next = sl_live_add(e, x, l->ref ? sl_flow_cache_share(e->flows, l->ref) : NULL);
    next->keep = l->keep;
    sl_engine_log(e, l->x, NULL, SL_INFO, sl_fmt(e->turn_arena, "attempt %lld has failed; the next one is the execution %.*s", (long long)l->x->attempt_number, SL_ARG(x->id)));
}

/* ---- taking them up ---- */

sl_live *sl_execution_open(sl_engine *e, sl_str id, sl_err *err)
{
    sl_live *l = sl_live_find(e, id);
    if (l != NULL)
        return l;
    sl_str source;
    int64_t revision;
    sl_flow_ref *ref = sl_store_flow_source(e->store, e->turn_arena, id, &source, &revision, err) ? sl_flow_cache_get(e->flows, source, revision, NULL, err) : NULL;
    if (ref == NULL)
        return NULL;
    sl_exec *x = sl_store_load(e->store, ref->flow, id, err);
    if (x == NULL) {
        sl_flow_cache_put(e->flows, ref);
        return NULL;
    }
    l = sl_live_add(e, x, ref);
    l->ended = sl_state_final(x->state);
    return l;
}

static void take_up(sl_engine *e, sl_live *l, int64_t now)
{
    sl_engine_log(e, l->x, NULL, SL_INFO, SL_S("continuing after an interruption"));
    sl_exec_resume(l->x, now);
    if (l->x->state == SL_CREATED && l->x->schedule_ms <= now)
        start(e, l, now);
}

sl_exec *sl_execution_continue(sl_engine *e, sl_str id, sl_err *err)
{
    sl_live *l = sl_execution_open(e, id, err);
    if (l == NULL)
        return NULL;
    l->keep = true;
    if (!sl_exec_over(l->x))
        take_up(e, l, sl_now_ms());
    return l->x;
}

/* At the start of a server. One that cannot be taken up is said to have failed: it must not vanish. */
bool sl_execution_take_up(sl_engine *e, int64_t now, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    const sl_val *ids;
    if (!sl_store_open_executions(e->store, a, &ids, err))
        return false;
    for (size_t i = 0; i < sl_val_count(ids); i++) {
        sl_live *l = sl_execution_open(e, sl_text(sl_at(ids, i)), err);
        if (l != NULL) {
            take_up(e, l, now);
            continue;
        }
        sl_log_entry entry = { .execution_id = sl_text(sl_at(ids, i)), .level = SL_ERROR, .at_ms = now, .message = sl_fmt(a, "it cannot be taken up again: %s", err->message) };
        sl_logs_add(e->logs, &entry, e->options.on_log, e->options.self);
        if (!sl_db_run(sl_store_db(e->store), err, "UPDATE executions SET state='FAILED', over=1, ended_ms=? WHERE id=?", "is", now, sl_text(sl_at(ids, i))))
            return false;
    }
    /* Flows with a queue: a slot may have become free while nobody looked. */
    sl_stmt *q = sl_db_query(sl_store_db(e->store), err, "SELECT min(id) FROM executions WHERE over=0 AND state='QUEUED' GROUP BY ns, flow_id", "");
    int rc = q ? 1 : -1;
    sl_val *first = sl_list(a);
    while (q != NULL && (rc = sl_stmt_next(q, err)) == 1)
        sl_list_add(a, first, sl_val_str(a, sl_col_str(q, a, 0)));
    e->slots_freed = sl_map(e->turn_arena);
    for (size_t i = 0; i < first->list.n; i++)
        sl_map_set(e->turn_arena, e->slots_freed, sl_str_dup(e->turn_arena, sl_text(sl_at(first, i))), &sl_true_val);
    return rc == 0;
}

/* ---- concurrency ---- */

/* slots_freed: ids of executions of the flows of which one more may start. */
static bool fill_flow(sl_engine *e, const sl_flow *f, int64_t now, sl_err *err)
{
    for (;;) {
        sl_str id;
        if (!sl_store_next_queued(e->store, e->turn_arena, f->ns, f->id, &id, err))
            return false;
        if (id.p == NULL)
            return true;
        sl_live *l = sl_execution_open(e, id, err);
        if (l == NULL)
            return false;
        int64_t limit = sl_get_int(l->x->flow->concurrency, "limit", 0);
        if (limit > 0 && sl_execution_slots_taken(e, l->x->flow) >= (size_t)limit)
            return true;
        sl_engine_feed(e, l, &(sl_event){ .kind = SL_EV_START }, now);
        if (!sl_store_save(e->store, l->x, err)) /* so that the next look does not find it again */
            return false;
    }
}

bool sl_execution_fill_slots(sl_engine *e, int64_t now, sl_err *err)
{
    const sl_val *freed = e->slots_freed;
    e->slots_freed = NULL;
    for (size_t i = 0; i < sl_val_count(freed); i++) {
        sl_live *l = sl_execution_open(e, freed->map.entries[i].key, err);
        if (l == NULL || !fill_flow(e, l->x->flow, now, err))
            return false;
    }
    return true;
}

/* ---- what follows from an end ---- */

static sl_taskrun *find_run(const sl_exec *x, sl_str id)
{
    for (sl_taskrun *r = x->first; r != NULL; r = r->next)
        if (sl_str_eq(r->id, id))
            return r;
    return NULL;
}

void sl_execution_ended(sl_engine *e, sl_live *l, int64_t now)
{
    const sl_exec *x = l->x;
    if (x->flow->concurrency != NULL) {
        if (e->slots_freed == NULL)
            e->slots_freed = sl_map(e->turn_arena);
        sl_map_set(e->turn_arena, e->slots_freed, sl_str_dup(e->turn_arena, x->id), &sl_true_val);
    }
    try_again(e, l, now);
    /* A subflow: the task that waits for it is called again. */
    const sl_val *vars = sl_get(x->trigger, "variables");
    sl_str run = sl_get_text(vars, "taskRunId");
    sl_live *parent = run.n > 0 ? sl_live_find(e, sl_get_text(vars, "executionId")) : NULL;
    sl_taskrun *r = parent ? find_run(parent->x, run) : NULL;
    if (r != NULL)
        sl_engine_feed(e, parent, &(sl_event){ .kind = SL_EV_WAKE, .run = r }, now);
}

/* ---- time ---- */

int64_t sl_execution_wake(const sl_live *l)
{
    const sl_exec *x = l->x;
    int64_t at = sl_exec_next_wake(x);
    if (x->state == SL_CREATED && x->schedule_ms > 0 && x->schedule_ms < at)
        at = x->schedule_ms;
    if (x->deadline_ms > 0 && !x->killing && !sl_state_final(x->state) && x->deadline_ms < at)
        at = x->deadline_ms;
    return at;
}

static const sl_val *sla_broken(const sl_flow *flow, const sl_exec *x, int64_t now)
{
    for (size_t i = 0; i < sl_val_count(flow->sla); i++) {
        const sl_val *s = sl_at(flow->sla, i);
        int64_t ms;
        if (sl_str_eqc(sl_get_text(s, "type"), "MAX_DURATION") && sl_duration_parse(sl_get_text(s, "duration"), &ms) && x->created_ms + ms <= now)
            return s;
    }
    return NULL;
}

static const sl_val *labels_map(sl_arena *a, const sl_val *v)
{
    sl_val *out = sl_map(a);
    for (size_t i = 0; i < sl_val_count(v); i++) {
        bool map = sl_is(v, SL_MAP);
        sl_str key = map ? v->map.entries[i].key : sl_get_text(sl_at(v, i), "key");
        sl_map_set(a, out, key, sl_val_str(a, sl_val_text(a, map ? v->map.entries[i].value : sl_get(sl_at(v, i), "value"))));
    }
    return out;
}

/* What an sla says happens; why: the sentence for the log. */
static void break_sla(sl_engine *e, sl_live *l, const sl_val *sla, sl_str why, int64_t now)
{
    sl_str behavior = sl_get_text(sla, "behavior");
    sl_engine_log(e, l->x, NULL, SL_ERROR, sl_fmt(e->turn_arena, "SLA '%.*s' is broken: %.*s", SL_ARG(sl_get_text(sla, "id")), SL_ARG(why)));
    l->sla_broken = true;
    sl_engine_feed(e, l, &(sl_event){ .kind = SL_EV_LABELS, .labels = labels_map(e->turn_arena, sl_get(sla, "labels")) }, now);
    if (!sl_str_eqc(behavior, "NONE"))
        sl_engine_feed(e, l, &(sl_event){ .kind = SL_EV_KILL, .state = sl_str_eqc(behavior, "CANCEL") ? SL_CANCELLED : SL_FAILED }, now);
}

void sl_execution_assert(sl_engine *e, sl_live *l, int64_t now)
{
    sl_exec *x = l->x;
    if (sl_val_count(x->flow->sla) == 0 || l->sla_broken || x->killing || sl_state_final(x->state) || x->state == SL_QUEUED)
        return;
    sl_arena *a = e->turn_arena;
    sl_expr_host host = sl_engine_host_of(e, a, x);
    sl_expr_env env = sl_loop_env(sl_context_vars(a, x, NULL, e->globals), &host);
    for (size_t i = 0; i < sl_val_count(x->flow->sla) && !l->sla_broken; i++) {
        const sl_val *sla = sl_at(x->flow->sla, i);
        sl_str text;
        sl_err err;
        if (!sl_str_eqc(sl_get_text(sla, "type"), "EXECUTION_ASSERTION"))
            continue;
        /* What cannot be evaluated yet, such as outputs of a task to come, is not broken. */
        if (sl_render(a, &env, sl_val_text(a, sl_get(sla, "assert")), &text, &err) && !sl_truthy_text(text))
            break_sla(e, l, sla, sl_fmt(a, "%.*s does not hold", SL_ARG(sl_val_text(a, sl_get(sla, "assert")))), now);
    }
}

static void deadline_passed(sl_engine *e, sl_live *l, int64_t now)
{
    const sl_val *s = sla_broken(l->x->flow, l->x, now);
    l->x->deadline_ms = 0;
    if (s == NULL)
        return;
    break_sla(e, l, s, sl_fmt(e->turn_arena, "it takes longer than %.*s", SL_ARG(sl_get_text(s, "duration"))), now);
}

void sl_execution_wake_up(sl_engine *e, sl_live *l, int64_t now)
{
    sl_exec *x = l->x;
    if (x->deadline_ms > 0 && x->deadline_ms <= now && !x->killing && !sl_state_final(x->state))
        deadline_passed(e, l, now);
    if (x->state == SL_CREATED && x->schedule_ms <= now)
        start(e, l, now);
    if (sl_exec_next_wake(x) <= now)
        sl_engine_feed(e, l, &(sl_event){ .kind = SL_EV_TIMER }, now);
}
