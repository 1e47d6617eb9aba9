/*
 * tests/unit/test_exec.c: executions as the state machine sees them: each flow is played to its end, then again with the
 * process lost after every single step, from what the store holds. The end has to be the same.
 */
#include "base/fs.h"
#include "flows/store.h"
#include "tests/harness/fake_task.h"
#include "tests/unit/fixture.h"

enum { NEVER = -1 };

typedef struct play {
    sl_test_context *t;
    sl_store *store;
    const sl_flow *flow;
    sl_exec *x;
    int64_t now;
    int step, lost_at, kill_at;        /* after which step the process is lost; before which one a kill comes */
    bool killed;
    sl_action todo[256];
    size_t count;
    int runs[32];                      /* by task: attempts that were handed to a worker */
} play;

static void write_down(play *p)
{
    sl_err *err = &p->t->err;
    bool ok = sl_store_begin(p->store, err) && sl_store_save(p->store, p->x, err) && sl_store_commit(p->store, err);
    if (!ok)
        sl_test_fail(p->t, __FILE__, __LINE__, "writing: %s", err->message);
    sl_exec_written(p->x);
}

static void take_actions(play *p)
{
    for (size_t i = 0; i < p->x->action_count && p->count < SL_COUNT(p->todo); i++)
        p->todo[p->count++] = p->x->actions[i];
    p->x->action_count = 0;
}

static void lose_everything(play *p)
{
    char id[64];
    (void)snprintf(id, sizeof id, "%.*s", SL_ARG(p->x->id));
    sl_arena_free(p->x->arena);
    p->count = 0;
    p->x = sl_store_load(p->store, p->flow, sl_str_c(id), &p->t->err);
    sl_assert(p->x != NULL);
    if (!sl_exec_over(p->x))
        sl_exec_resume(p->x, p->now);
    if (p->x->state == SL_CREATED)
        sl_exec_event(p->x, &(sl_event){ .kind = SL_EV_START }, p->now);
    write_down(p);
    take_actions(p);
}

static void feed(play *p, const sl_event *e)
{
    sl_exec_event(p->x, e, p->now);
    take_actions(p);
    if (p->x->outputs_pending) {
        sl_exec_event(p->x, &(sl_event){ .kind = SL_EV_OUTPUTS, .state = p->x->root.main_state }, p->now);
        take_actions(p);
    }
    write_down(p);
    p->now += 10;
    if (p->step++ == p->lost_at)
        lose_everything(p);
}

/* Names say what becomes of an attempt: bad… fails, flaky… fails twice, wait… waits once, exit… ends it all. */
static void work(play *p, sl_action a)
{
    sl_taskrun *r = a.run;
    sl_event e = { .kind = SL_EV_FINISHED, .run = r, .state = SL_SUCCESS };
    switch (a.kind) {
    case SL_ACT_RUN:
        p->runs[r->def->index]++;
        if (sl_str_starts(r->def->id, SL_S("bad")) || (sl_str_starts(r->def->id, SL_S("flaky")) && r->attempt <= 2)) {
            e.state = SL_FAILED;
            e.error = SL_S("on purpose");
        } else if (sl_str_starts(r->def->id, SL_S("exit"))) {
            e.exits = true;
            e.exit_state = SL_WARNED;
        } else if (sl_str_starts(r->def->id, SL_S("wait")) && r->checkpoint == NULL) {
            feed(p, &(sl_event){ .kind = SL_EV_CHECKPOINT, .run = r, .checkpoint = sl_map(p->t->arena) });
            if (p->lost_at == p->step - 1)
                return; /* the run is another object now, and was handed out again */
            e.kind = SL_EV_WAITING;
            e.wake_ms = p->now + 1000;
        }
        break;
    case SL_ACT_EVALUATE:
        e.kind = SL_EV_EVALUATED;
        e.state = SL_RUNNING;
        e.choice = r->def->flowable == SL_FOR_EACH ? SL_S("[\"x\",\"y\",\"z\"]") : r->def->flowable == SL_PAUSE ? SL_S("RESUME") : SL_S("then");
        if (r->def->flowable == SL_PAUSE || (r->scope != NULL && r->scope->iteration < 2)) /* a pause of 500 ms; three rounds */
            e.wake_ms = p->now + 500;
        break;
    case SL_ACT_LEAVE: e.kind = SL_EV_LEFT; break;
    case SL_ACT_KILL: e.state = SL_KILLED; break;
    case SL_ACT_STOP: return;
    }
    feed(p, &e);
}

static void play_on(play *p)
{
    feed(p, &(sl_event){ .kind = SL_EV_START });
    for (int guard = 0; guard < 500 && !sl_exec_over(p->x); guard++) {
        if (p->step >= p->kill_at && p->kill_at != NEVER && !p->killed) {
            p->killed = true;
            feed(p, &(sl_event){ .kind = SL_EV_KILL });
            continue;
        }
        if (p->count > 0) {
            sl_action a = p->todo[0];
            memmove(p->todo, p->todo + 1, --p->count * sizeof *p->todo);
            /* A worker that was told to stop ends its attempt as killed. */
            if (p->x->killing && a.kind == SL_ACT_RUN)
                feed(p, &(sl_event){ .kind = SL_EV_FINISHED, .run = a.run, .state = SL_KILLED });
            else
                work(p, a);
            continue;
        }
        int64_t wake = sl_exec_next_wake(p->x);
        if (wake == INT64_MAX)
            break;
        p->now = wake > p->now ? wake : p->now;
        feed(p, &(sl_event){ .kind = SL_EV_TIMER });
    }
}

/* "flow=STATE a=STATE(attempts) …" */
static sl_str summary(play *p)
{
    sl_buf b = sl_buf_new(p->t->arena, 1 << 16);
    sl_buf_fmt(&b, "flow=%s", sl_state_name(p->x->state));
    for (const sl_taskrun *r = p->x->first; r != NULL; r = r->next)
        sl_buf_fmt(&b, " %.*s=%s(%d)", SL_ARG(r->def->id), sl_state_name(r->state), r->attempt);
    return sl_buf_str(&b);
}

static sl_str play_flow(sl_test_context *t, sl_store *store, const char *body, int lost_at, int kill_at, int *ret_steps, int *ret_runs)
{
    sl_problems problems = { .arena = t->arena };
    sl_flow *flow = sl_flow_parse(t->arena, &registry, NULL, sl_fmt(t->arena, "id: f\nnamespace: n\n%s", body), &problems);
    static int number;
    if (flow == NULL) {
        sl_test_fail(t, __FILE__, __LINE__, "%s: %.*s", body, SL_ARG(problems.first->message));
        return SL_S("");
    }
    play p = { .t = t, .store = store, .flow = flow, .now = 1700000000000, .lost_at = lost_at, .kill_at = kill_at };
    p.x = sl_exec_new(flow, sl_fmt(t->arena, "execution%d", number++), p.now);
    play_on(&p);
    sl_str said = summary(&p);
    if (!sl_exec_over(p.x))
        sl_test_fail(t, __FILE__, __LINE__, "it never ended: %.*s", SL_ARG(said));
    *ret_steps = p.step;
    for (size_t i = 0; ret_runs != NULL && i < SL_COUNT(p.runs); i++)
        ret_runs[i] = p.runs[i];
    sl_arena_free(p.x->arena);
    return said;
}

#define FLOW "io.kestra.plugin.core.flow."

static const struct {
    const char *body, *end;
} flows[] = {
    { "tasks: [{id: a, type: test.Task}, {id: b, type: test.Task}]\n", "flow=SUCCESS a=SUCCESS(1) b=SUCCESS(1)" },
    { "tasks: [{id: a, type: test.Task}, {id: bad, type: test.Task}, {id: c, type: test.Task}]\n", "flow=FAILED a=SUCCESS(1) bad=FAILED(1)" },
    { "tasks: [{id: wait, type: test.Task}, {id: b, type: test.Task}]\n", "flow=SUCCESS wait=SUCCESS(1) b=SUCCESS(1)" },
    { "tasks: [{id: flaky, type: test.Task, retry: {type: constant, interval: PT1S, maxAttempts: 3}}, {id: b, type: test.Task}]\n", "flow=SUCCESS flaky=SUCCESS(3) b=SUCCESS(1)" },
    { "tasks: [{id: flaky, type: test.Task, retry: {type: constant, interval: PT1S, maxAttempts: 2}}, {id: b, type: test.Task}]\n", "flow=FAILED flaky=FAILED(2)" },
    { "tasks: [{id: bad, type: test.Task}]\nerrors: [{id: e, type: test.Task}]\nfinally: [{id: f, type: test.Task}]\n", "flow=FAILED bad=FAILED(1) e=SUCCESS(1) f=SUCCESS(1)" },
    { "tasks: [{id: a, type: test.Task}]\nerrors: [{id: e, type: test.Task}]\nfinally: [{id: bad, type: test.Task}, {id: f, type: test.Task}]\n", "flow=SUCCESS a=SUCCESS(1) bad=FAILED(1) f=SUCCESS(1)" },
    { "tasks: [{id: bad, type: test.Task}]\nerrors: [{id: bade, type: test.Task}, {id: e, type: test.Task}]\nafterExecution: [{id: bada, type: test.Task}, {id: z, type: test.Task}]\n",
      "flow=FAILED bad=FAILED(1) bade=FAILED(1) e=SUCCESS(1) bada=FAILED(1) z=SUCCESS(1)" },
    { "tasks: [{id: s, type: " FLOW "Sequential, tasks: [{id: exit, type: test.Task}, {id: never, type: test.Task}]}, {id: z, type: test.Task}]\n", "flow=WARNING s=WARNING(0) exit=WARNING(1)" },
    { "tasks: [{id: p, type: " FLOW "Parallel, tasks: [{id: q, type: " FLOW "Pause}, {id: s, type: " FLOW "Sequential, tasks: [{id: exit, type: test.Task}, {id: never, type: test.Task}]}]}]\n",
      "flow=WARNING p=WARNING(0) q=KILLED(0) s=WARNING(0) exit=WARNING(1)" },
    { "tasks: [{id: p, type: " FLOW "Pause, onPause: {id: beside, type: test.Task}}, {id: z, type: test.Task}]\n", "flow=SUCCESS p=SUCCESS(0) beside=SUCCESS(1) z=SUCCESS(1)" },
    { "tasks: [{id: s, type: " FLOW "Sequential, tasks: [{id: p, type: " FLOW "Pause, onPause: {id: bad, type: test.Task}}]}]\n", "flow=SUCCESS s=SUCCESS(0) p=SUCCESS(0) bad=FAILED(1)" },
    { "tasks: [{id: p, type: " FLOW "Pause, onPause: {id: b, type: " FLOW "Sequential, tasks: [{id: wait, type: test.Task}, {id: wait2, type: test.Task}]}}]\n",
      "flow=SUCCESS p=SUCCESS(0) b=SUCCESS(0) wait=SUCCESS(1) wait2=SUCCESS(1)" },
    { "tasks: [{id: bad, type: test.Task, allowFailure: true}, {id: b, type: test.Task}]\n", "flow=WARNING bad=WARNING(1) b=SUCCESS(1)" },
    { "tasks: [{id: s, type: " FLOW "Sequential, tasks: [{id: a, type: test.Task}, {id: bad, type: test.Task}, {id: c, type: test.Task}], errors: [{id: e, type: test.Task}]}]\n",
      "flow=FAILED s=FAILED(0) a=SUCCESS(1) bad=FAILED(1) e=SUCCESS(1)" },
    { "tasks: [{id: p, type: " FLOW "Parallel, concurrent: 2, tasks: [{id: a, type: test.Task}, {id: wait, type: test.Task}, {id: c, type: test.Task}]}, {id: z, type: test.Task}]\n", NULL },
    { "tasks: [{id: if, type: " FLOW "If, condition: x, then: [{id: a, type: test.Task}], else: [{id: b, type: test.Task}]}]\n", "flow=SUCCESS if=SUCCESS(0) a=SUCCESS(1)" },
    { "tasks: [{id: soft, type: " FLOW "AllowFailure, tasks: [{id: bad, type: test.Task}]}, {id: b, type: test.Task}]\n", "flow=WARNING soft=WARNING(0) bad=FAILED(1) b=SUCCESS(1)" },
    { "tasks: [{id: soft, type: " FLOW "AllowFailure, allowWarning: true, tasks: [{id: bad, type: test.Task}]}]\n", "flow=WARNING soft=WARNING(0) bad=FAILED(1)" },
    { "tasks: [{id: soft, type: " FLOW "AllowFailure, allowWarning: true, tasks: [{id: bad, type: test.Task, allowFailure: true}]}]\n", "flow=SUCCESS soft=SUCCESS(0) bad=WARNING(1)" },
    { "tasks: [{id: d, type: " FLOW "WorkingDirectory, tasks: [{id: a, type: test.Task}, {id: b, type: test.Task}]}, {id: z, type: test.Task}]\n", "flow=SUCCESS d=SUCCESS(0) a=SUCCESS(1) b=SUCCESS(1) z=SUCCESS(1)" },
    { "tasks: [{id: o, type: " FLOW "Sequential, tasks: [{id: p, type: " FLOW "Parallel, tasks: [{id: a, type: test.Task}, {id: bad, type: test.Task}]}, {id: never, type: test.Task}]}]\nafterExecution: [{id: z, type: test.Task}]\n", NULL },
    { "tasks: [{id: l, type: " FLOW "ForEach, values: [x], tasks: [{id: a, type: test.Task}, {id: wait, type: test.Task}]}, {id: z, type: test.Task}]\n",
      "flow=SUCCESS l=SUCCESS(0) a=SUCCESS(1) wait=SUCCESS(1) a=SUCCESS(1) wait=SUCCESS(1) a=SUCCESS(1) wait=SUCCESS(1) z=SUCCESS(1)" },
    { "tasks: [{id: l, type: " FLOW "ForEach, concurrencyLimit: 0, values: [x], tasks: [{id: a, type: test.Task}]}, {id: z, type: test.Task}]\n",
      "flow=SUCCESS l=SUCCESS(0) a=SUCCESS(1) a=SUCCESS(1) a=SUCCESS(1) z=SUCCESS(1)" },
    { "tasks: [{id: l, type: " FLOW "ForEach, concurrencyLimit: 2, values: [x], tasks: [{id: a, type: test.Task}, {id: bad, type: test.Task}], errors: [{id: e, type: test.Task}]}]\n", NULL },
    { "tasks: [{id: l, type: " FLOW "ForEach, values: [x], tasks: [{id: a, type: test.Task, disabled: true}]}, {id: z, type: test.Task}]\n", "flow=SUCCESS l=SUCCESS(0) z=SUCCESS(1)" },
    { "tasks: [{id: l, type: " FLOW "ForEach, values: [x], tasks: [{id: m, type: " FLOW "ForEach, concurrencyLimit: 0, values: [x], tasks: [{id: a, type: test.Task}]}]}]\n", NULL },
    { "tasks: [{id: l, type: " FLOW "Loop, values: [x], tasks: [{id: a, type: test.Task}, {id: wait, type: test.Task}]}, {id: z, type: test.Task}]\n",
      "flow=SUCCESS l=SUCCESS(0) a=SUCCESS(1) wait=SUCCESS(1) a=SUCCESS(1) wait=SUCCESS(1) a=SUCCESS(1) wait=SUCCESS(1) z=SUCCESS(1)" },
    { "tasks: [{id: l, type: " FLOW "Loop, concurrencyLimit: 2, values: [x], transmitFailed: false, tasks: [{id: bad, type: test.Task}, {id: never, type: test.Task}]}, {id: z, type: test.Task}]\n",
      "flow=SUCCESS l=SUCCESS(0) bad=FAILED(1) bad=FAILED(1) bad=FAILED(1) z=SUCCESS(1)" },
    { "tasks: [{id: l, type: " FLOW "Loop, values: [x], tasks: [{id: bad, type: test.Task}], errors: [{id: e, type: test.Task}]}]\n", "flow=FAILED l=FAILED(0) bad=FAILED(1) e=SUCCESS(1)" },
    { "tasks: [{id: l, type: " FLOW "Loop, values: [x], tasks: [{id: m, type: " FLOW "Loop, concurrencyLimit: 0, values: [x], tasks: [{id: a, type: test.Task}]}]}]\n", NULL },
    { "tasks: [{id: d, type: " FLOW "Dag, tasks: [{task: {id: b, type: test.Task}, dependsOn: [a]}, {task: {id: a, type: test.Task}}, {task: {id: c, type: test.Task}, dependsOn: [a, b]}]}]\n",
      "flow=SUCCESS d=SUCCESS(0) a=SUCCESS(1) b=SUCCESS(1) c=SUCCESS(1)" },
    { "tasks: [{id: d, type: " FLOW "Dag, tasks: [{task: {id: bad, type: test.Task}}, {task: {id: c, type: test.Task}, dependsOn: [bad]}]}]\n", "flow=FAILED d=FAILED(0) bad=FAILED(1)" },
    { "tasks: [{id: u, type: " FLOW "LoopUntil, condition: x, tasks: [{id: a, type: test.Task}]}, {id: z, type: test.Task}]\n",
      "flow=SUCCESS u=SUCCESS(0) a=SUCCESS(1) a=SUCCESS(1) a=SUCCESS(1) z=SUCCESS(1)" },
    { "tasks: [{id: u, type: " FLOW "LoopUntil, condition: x, tasks: [{id: bad, type: test.Task}]}]\n", "flow=FAILED u=FAILED(0) bad=FAILED(1)" },
    { "tasks: [{id: p, type: " FLOW "Pause}, {id: z, type: test.Task}]\n", "flow=SUCCESS p=SUCCESS(0) z=SUCCESS(1)" },
    { "tasks: [{id: a, type: test.Task, disabled: true}, {id: b, type: test.Task}]\noutputs: [{id: o, type: STRING, value: x}]\n", "flow=SUCCESS b=SUCCESS(1)" },
};

static sl_store *open_store(sl_test_context *t, sl_kv **kv)
{
    *kv = fixture_kv(t);
    CHECK_OK(*kv != NULL);
    return *kv ? sl_store_open(sl_fmt(t->arena, "%s/data/state.db", sl_test_dir(t)).p, *kv, &t->err) : NULL;
}

SL_TEST(exec, the_end_is_the_same_wherever_the_process_is_lost)
{
    sl_kv *kv;
    sl_store *store = open_store(t, &kv);
    CHECK_OK(store != NULL);
    for (size_t i = 0; store != NULL && i < SL_COUNT(flows); i++) {
        int steps, more, plain_runs[32], runs[32];
        sl_str plain = play_flow(t, store, flows[i].body, NEVER, NEVER, &steps, plain_runs);
        if (flows[i].end != NULL)
            CHECK_STR(plain, flows[i].end);
        for (int lost = 0; lost < steps; lost++) {
            sl_str said = play_flow(t, store, flows[i].body, lost, NEVER, &more, runs);
            if (!sl_str_eq(said, plain))
                sl_test_fail(t, __FILE__, __LINE__, "lost after step %d of %s: %.*s, not %.*s", lost, flows[i].body, SL_ARG(said), SL_ARG(plain));
            for (size_t k = 0; k < SL_COUNT(runs); k++) /* one attempt may be handed out again, none may be left out */
                if (runs[k] < plain_runs[k] || runs[k] > plain_runs[k] + 1)
                    sl_test_fail(t, __FILE__, __LINE__, "lost after step %d of %s: task %zu ran %d times, not %d", lost, flows[i].body, k, runs[k], plain_runs[k]);
        }
    }
    sl_store_close(store);
    sl_kv_close(kv);
}

SL_TEST(exec, a_kill_ends_everything_wherever_it_comes)
{
    sl_kv *kv;
    sl_store *store = open_store(t, &kv);
    for (size_t i = 0; store != NULL && i < SL_COUNT(flows); i++) {
        int steps, more;
        (void)play_flow(t, store, flows[i].body, NEVER, NEVER, &steps, NULL);
        for (int kill = 1; kill < steps; kill++)
            for (int lost = kill; lost < kill + 3; lost++) {
                sl_str said = play_flow(t, store, flows[i].body, lost, kill, &more, NULL);
                static const char *const live[] = { "=CREATED", "=RUNNING", "=KILLING", "=RETRYING", "=PAUSED" };
                for (size_t k = 0; k < SL_COUNT(live); k++)
                    if (sl_str_find(said, sl_str_c(live[k])) >= 0)
                        sl_test_fail(t, __FILE__, __LINE__, "killed before step %d of %s: %.*s", kill, flows[i].body, SL_ARG(said));
            }
    }
    sl_store_close(store);
    sl_kv_close(kv);
}

SL_TEST(exec, a_store_of_a_newer_program_is_refused)
{
    static const sl_migration newer[] = { { 1, "CREATE TABLE x(a)" }, { 99, "CREATE TABLE y(a)" }, { 0, NULL } };
    sl_kv *kv = fixture_kv(t);
    sl_db *db = sl_db_open(sl_fmt(t->arena, "%s/data/state.db", sl_test_dir(t)).p, newer, &t->err);
    CHECK_OK(db != NULL);
    sl_db_close(db);
    CHECK_ERR(sl_store_open(sl_fmt(t->arena, "%s/data/state.db", sl_test_dir(t)).p, kv, &t->err) != NULL, "newer");
    sl_kv_close(kv);
}
