/* tests/simulation/world.c: see world.h. */
#include <stdarg.h>
#include <unistd.h>

#include "tests/simulation/world.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/fs.h"
#include "service/execution.h"
#include "tests/harness/fake_task.h"

#define MINUTE INT64_C(60000)
#define HOUR (60 * MINUTE)
#define CORE "io.kestra.plugin.core."

world *sim;

/* ---- chance and time ---- */

uint64_t sim_random(void)
{
    uint64_t x = sim->random += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

uint64_t sim_below(uint64_t bound)
{
    return sim_random() % bound;
}

bool sim_chance(unsigned percent)
{
    return sim_below(100) < percent;
}

static int64_t now_ms(void) { return sim->now_ms; }
static int64_t now_us(void) { return sim->now_ms * 1000; }
static int64_t mono_ms(void) { return sim->mono_ms; }

static void pass(int64_t ms)
{
    sim->now_ms += ms;
    sim->mono_ms += ms;
}

static void fill_random(void *out, size_t n)
{
    for (unsigned char *p = out; n > 0; n--)
        *p++ = (unsigned char)sim_random();
}

static const sl_seams seams = { now_ms, now_us, mono_ms, pass, fill_random };

void sim_fail(const char *fmt, ...)
{
    va_list ap;
    if (SIM_FAILED)
        return;
    va_start(ap, fmt);
    (void)vsnprintf(sim->problem, sizeof sim->problem, fmt, ap);
    va_end(ap);
}

/* ---- flows ---- */

static const char *const flow_texts[] = {
    "id: scheduled\nnamespace: t\ntasks: [{id: first, type: test.Pure}, {id: effect1, type: test.Task}, {id: wait, type: test.Task}, {id: then, type: test.Pure}, {id: effect2, type: test.Task}]\n"
    "triggers: [{id: s, type: " CORE "trigger.Schedule, cron: '*/30 * * * *', timezone: Europe/Berlin}]\n",
    "id: limited\nnamespace: t\nconcurrency: {limit: 2, behavior: QUEUE}\ntasks: [{id: effect1, type: test.Task}, {id: wait, type: test.Task}, {id: last, type: test.Pure}]\n",
    "id: after\nnamespace: t\ntasks: [{id: a, type: test.Pure}, {id: b, type: test.Pure}]\n"
    "triggers: [{id: a, type: " CORE "trigger.Flow, conditions: [{type: " CORE "condition.ExecutionFlow, namespace: t, flowId: scheduled}]}]\n",
    "id: tree\nnamespace: t\ntasks:\n"
    "  - {id: p, type: " CORE "flow.Parallel, tasks: [{id: effect1, type: test.Task}, {id: beside, type: test.Pure}, {id: flaky, type: test.Task, retry: {type: constant, interval: PT1M, maxAttempts: 3}}]}\n"
    "  - {id: l, type: " CORE "flow.ForEach, concurrencyLimit: 2, values: [x], tasks: [{id: each, type: test.Pure}, {id: effect2, type: test.Task}, {id: wait, type: test.Task}]}\n"
    "  - {id: pause, type: " CORE "flow.Pause, delay: PT1M}\n"
    "  - {id: bad, type: test.Task}\n"
    "errors: [{id: effect3, type: test.Task}]\nfinally: [{id: effect4, type: test.Task}]\n",
    "id: filled\nnamespace: t\ntasks: [{id: effect1, type: test.Task}, {id: wait, type: test.Task}]\n"
    "triggers: [{id: s, type: " CORE "trigger.Schedule, cron: '0 * * * *'}]\n",
};

static void put_flows(void)
{
    SL_ARENA a = sl_arena_new();
    sl_err err;
    sl_flow *flows[SL_COUNT(flow_texts)];
    for (size_t i = 0; i < SL_COUNT(flow_texts); i++) {
        sl_problems problems = { .arena = a };
        flows[i] = sl_flow_parse(a, &registry, NULL, sl_str_c(flow_texts[i]), &problems);
        if (flows[i] == NULL)
            sim_fail("%.*s", SL_ARG(problems.first->message));
        sl_assert(flows[i] != NULL);
    }
    sl_flow_change change = { .flows = flows, .count = SL_COUNT(flow_texts), .author = SL_S("sim") };
    if (!sl_flows_put(sim->engine, &change, &err))
        sim_fail("the flows: %s", err.message);
}

/* ---- the process ---- */

static void start(void)
{
    sl_engine_options o = { .data_dir = sim->data, .registry = &registry, .serve = true };
    sl_err err;
    sim->engine = sl_engine_open(&o, &err);
    if (sim->engine == NULL) {
        (void)fprintf(stderr, "simulation: the engine does not open: %s\n", err.message);
        exit(1);
    }
}

void world_open(world *w, uint64_t seed)
{
    *w = (world){ .random = seed, .mono_ms = 1000, .calm = true };
    sim = w;
    /* Days on which the clocks of Berlin change, and a plain one. */
    static const int64_t begins[] = { INT64_C(1711832400000), INT64_C(1729976400000), INT64_C(1704067200000) };
    w->now_ms = w->began_ms = begins[seed % SL_COUNT(begins)] + (int64_t)sim_below(3600) * 1000;
    const char *shm = "/dev/shm"; /* nothing here has to outlive a machine */
    (void)snprintf(w->dir, sizeof w->dir, "%s/sluice-sim-XXXXXX", access(shm, W_OK) == 0 ? shm : "/tmp");
    if (mkdtemp(w->dir) == NULL) {
        (void)fprintf(stderr, "simulation: no folder for the data\n");
        exit(1);
    }
    (void)snprintf(w->data, sizeof w->data, "%s/data", w->dir);
    (void)setenv("XDG_CONFIG_HOME", w->dir, 1);
    sl_seams_set(&seams);
    start();
    put_flows();
}

void world_close(world *w)
{
    sl_err err;
    sl_engine_close(w->engine);
    w->engine = NULL;
    if (!sl_fs_remove(w->dir, &err))
        (void)fprintf(stderr, "simulation: %s\n", err.message);
    sl_seams_set(NULL);
}

void world_crash(void)
{
    sim->crashes++;
    sl_engine_close(sim->engine);
    if (sim_chance(30))
        pass((int64_t)sim_below(3 * HOUR)); /* nobody notices at once */
    start();
    check_disk();
}

void world_turn(void)
{
    sl_err err;
    if (sim->engine->queue.first == NULL && sim->engine->touched == NULL && sl_engine_next_wake(sim->engine) > sim->now_ms)
        return;
    sim->turns++;
    if (!sl_engine_step(sim->engine, &err))
        world_crash();
    check_live();
}

/* ---- who asks for something ---- */

static void create(const char *id)
{
    SL_ARENA a = sl_arena_new();
    sl_flow_row row;
    bool found;
    sl_err err;
    sl_new_execution n;
    sl_problems problems = { .arena = a };
    sl_flow_ref *ref = sl_repository_flow(sim->engine->store, a, SL_S("t"), sl_str_c(id), 0, &row, &found, &err) && found ? sl_flow_cache_get(sim->engine->flows, row.source, row.revision, NULL, &err) : NULL;
    sl_assert(ref != NULL);
    sl_assert(sl_execution_prepare(sim->engine, a, ref->flow, SL_S(""), sl_map(a), NULL, NULL, NULL, &n, &problems));
    n.ref = ref;
    if (!sl_execution_submit(sim->engine, &n, &err))
        world_crash();
}

/* One that is alive; "" when there is none. */
static void someone(char id[static 23])
{
    size_t at = 0, n = 0;
    id[0] = '\0';
    for (sl_live *l = sl_live_each(sim->engine, &at, NULL); l != NULL; l = sl_live_each(sim->engine, &at, l))
        if (!sl_exec_over(l->x) && sim_below(++n) == 0)
            (void)snprintf(id, 23, "%.*s", SL_ARG(l->x->id));
}

static void ask(sl_verb verb)
{
    char id[23];
    sl_err err;
    someone(id);
    sl_request r = { .verb = verb, .id = sl_str_c(id) };
    if (*id == '\0')
        return;
    if (!sl_execution_do(sim->engine, &r, &err)) {
        if (err.kind == SL_ERR_IO)
            world_crash();
        return; /* it does not suit its state */
    }
    if (verb != SL_DO_KILL)
        return;
    sl_live *l = sl_live_find(sim->engine, sl_str_c(id));
    if (l != NULL && !l->x->killing && !sl_state_final(l->x->state))
        sim_fail("%s was killed and goes on as %s", id, sl_state_name(l->x->state));
}

/* First all of some hours of the past, then what is missing of more of them. */
static void backfill(void)
{
    sl_err err;
    bool missing = sim->fill_count > 0;
    int64_t first = sim->began_ms - 40 * HOUR;
    fill f = { first, first + (int64_t)(4 + 4 * sim->fill_count) * HOUR, missing };
    sl_trigger_request r = { .verb = SL_BACKFILL_START, .ns = SL_S("t"), .flow_id = SL_S("filled"), .id = SL_S("s"), .start_ms = f.start_ms, .end_ms = f.end_ms, .parallel = 3, .only = missing ? SL_S("missing") : SL_S("") };
    if (sim->fill_count == SL_COUNT(sim->fills))
        return;
    if (sl_trigger_do(sim->engine, &r, &err))
        sim->fills[sim->fill_count++] = f;
    else if (err.kind == SL_ERR_IO)
        world_crash(); /* whether it was written or not: a fill that is not counted has dates that are checked by a later one */
}

static void request(void)
{
    sim->requests++;
    switch (sim_below(8)) {
    case 0:
    case 1:
    case 2: create("limited"); break;
    case 3: create("tree"); break;
    case 4: backfill(); break;
    case 5: ask(SL_DO_KILL); break;
    case 6: ask(SL_DO_PAUSE); break;
    default: ask(SL_DO_RESUME); break;
    }
    check_live();
}

/* ---- a history ---- */

/* To the next thing to do, or a little; now and then the clock is set, or the machine sleeps. */
static void time_passes(void)
{
    int64_t wake = sl_engine_next_wake(sim->engine);
    if (!sim->calm && sim_chance(2))
        sim->now_ms += (int64_t)sim_below(2 * HOUR) - HOUR;
    else if (!sim->calm && sim_chance(2))
        pass((int64_t)sim_below(2 * HOUR));
    else if (wake != INT64_MAX && wake > sim->now_ms && wake - sim->now_ms < HOUR)
        pass(wake - sim->now_ms);
    else
        pass((int64_t)sim_below(MINUTE));
}

static void trouble(void)
{
    enum { STEPS = 220 };
    for (int i = 0; i < STEPS && !SIM_FAILED; i++) {
        uint64_t what = sim_below(100);
        if (what < 40)
            (void)workers_work();
        else if (what < 80)
            world_turn();
        else if (what < 91)
            time_passes();
        else if (what < 98)
            request();
        else
            world_crash();
    }
}

static bool at_rest(void)
{
    size_t at = 0;
    for (sl_live *l = sl_live_each(sim->engine, &at, NULL); l != NULL; l = sl_live_each(sim->engine, &at, l))
        if (!sl_exec_over(l->x))
            return false;
    return sim->engine->queue.first == NULL && sim->engine->touched == NULL;
}

static void resume_all(void)
{
    size_t at = 0;
    for (sl_live *l = sl_live_each(sim->engine, &at, NULL); l != NULL; l = sl_live_each(sim->engine, &at, l))
        if (l->x->held && !sl_state_final(l->x->state)) {
            sl_request r = { .verb = SL_DO_RESUME, .id = l->x->id };
            sl_err err;
            (void)sl_execution_do(sim->engine, &r, &err);
            return; /* the table may have changed */
        }
}

/* No more dates after those that have come: the two schedules are switched off once they have caught up. */
static void switch_off(const char *flow)
{
    sl_trigger_request r = { .verb = SL_TRIGGER_DISABLE, .ns = SL_S("t"), .flow_id = sl_str_c(flow), .id = SL_S("s") };
    sl_err err;
    if (!sl_trigger_do(sim->engine, &r, &err))
        sim_fail("switching off: %s", err.message);
}

void world_play(void)
{
    enum { CALM_STEPS = 60000 };
    sim->calm = false;
    trouble();
    sim->calm = true;
    int rest = 0;
    for (int i = 0; i < CALM_STEPS && rest < 20 && !SIM_FAILED; i++) {
        while (workers_work())
            world_turn();
        world_turn();
        resume_all();
        rest = at_rest() && sim->job_count == 0 ? rest + 1 : 0;
        if (rest == 0 || sl_engine_next_wake(sim->engine) <= sim->now_ms)
            time_passes();
    }
    if (rest < 20)
        sim_fail("it never comes to rest");
    switch_off("scheduled");
    switch_off("filled");
    check_end();
}
