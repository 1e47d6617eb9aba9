/* tests/simulation/workers.c: in the place of service/worker.c: jobs are a list, and the seed says which of them moves. */
#include "base/arena.h"
#include "base/clock.h"
#include "tests/simulation/world.h"

bool sl_workers_start(sl_engine *e, sl_err *err)
{
    (void)e;
    (void)err;
    return true;
}

void workers_forget(void)
{
    for (size_t i = 0; i < sim->job_count; i++)
        sl_arena_free(sim->jobs[i].job->arena);
    sim->job_count = 0;
}

void sl_workers_stop(sl_engine *e)
{
    workers_forget();
    while (e->queue.first != NULL) {
        sl_message *m = e->queue.first;
        e->queue.first = m->next;
        sl_arena_free(m->arena);
    }
}

bool sl_workers_hungry(sl_engine *e)
{
    (void)e;
    return sim->job_count < 16;
}

void sl_workers_add(sl_engine *e, sl_job *job)
{
    (void)e;
    sl_assert(sim->job_count < JOBS_MAX);
    sim->jobs[sim->job_count++] = (sim_job){ .job = job };
}

void sl_workers_signal(sl_engine *e, const sl_taskrun *run)
{
    (void)e;
    for (size_t i = 0; i < sim->job_count; i++)
        if (sim->jobs[i].job->run == run)
            sim->jobs[i].job->stop = true;
}

static void finish(size_t at, sl_event ev)
{
    sl_job *j = sim->jobs[at].job;
    sl_message *m = SL_NEW(j->arena, sl_message);
    ev.run = j->run;
    *m = (sl_message){ .live = j->live, .event = ev, .ends_job = true, .arena = j->arena };
    sim->jobs[at] = sim->jobs[--sim->job_count];
    sl_engine_post(sim->engine, m);
}

static effect *effect_of(const char *key)
{
    for (size_t i = 0; i < sim->effect_count; i++)
        if (strcmp(sim->effects[i].key, key) == 0)
            return &sim->effects[i];
    if (sim->effect_count == EFFECTS_MAX) {
        sim_fail("it does more and more, and never comes to rest");
        return &sim->effects[0];
    }
    effect *f = &sim->effects[sim->effect_count++];
    *f = (effect){ 0 };
    (void)snprintf(f->key, sizeof f->key, "%s", key);
    return f;
}

/* As a connector does it: asks what became of the intent, if there is one; else writes it down first. */
static void do_effect(size_t at)
{
    sim_job *s = &sim->jobs[at];
    sl_job *j = s->job;
    char key[96];
    (void)snprintf(key, sizeof key, "%.*s/%d", SL_ARG(j->run->id), j->attempt);
    switch (s->stage) {
    case STAGE_BEGIN: {
        sl_str saved = sl_get_text(j->checkpoint, "nonce");
        s->stage = STAGE_INTENT;
        if (saved.n > 0) {
            (void)snprintf(s->nonce, sizeof s->nonce, "%.*s", SL_ARG(saved));

            return;
        }
        sl_random_id(s->nonce);
        sl_arena *a = sl_arena_new();
        sl_message *m = SL_NEW(a, sl_message);
        const sl_val *doc = sl_map_of(a, "nonce", sl_val_str(a, sl_str_dup(a, sl_str_c(s->nonce))));
        *m = (sl_message){ .live = j->live, .arena = a, .event = { .kind = SL_EV_CHECKPOINT, .run = j->run, .checkpoint = doc } };

        sl_engine_post(sim->engine, m);
        return;
    }
    case STAGE_INTENT: {
        if (sim->engine->queue.first != NULL)
            return;
        if (j->stop) {
            finish(at, (sl_event){ .kind = SL_EV_FINISHED, .state = SL_KILLED });
            return;
        }
        effect *f = effect_of(key);
        if (strcmp(f->nonce, s->nonce) != 0) { /* the outside does not know this id */
            f->count++;
            (void)snprintf(f->nonce, sizeof f->nonce, "%s", s->nonce);
            if (f->count > 1)
                sim_fail("the effect of %s was done %d times", key, f->count);
        }
        s->stage = STAGE_DONE;
        return;
    }
    case STAGE_DONE: finish(at, (sl_event){ .kind = SL_EV_FINISHED, .state = SL_SUCCESS }); return;
    }
}

/* Names say what becomes of an attempt: effect…, wait… (as long as there is trouble), bad… fails, flaky… fails twice. */
static void run(size_t at)
{
    sl_job *j = sim->jobs[at].job;
    sl_str id = j->run->def->id;
    if (sl_str_starts(id, SL_S("effect"))) {
        do_effect(at);
        return;
    }
    sl_event e = { .kind = SL_EV_FINISHED, .state = j->stop ? SL_KILLED : SL_SUCCESS };
    if (!j->stop && (sl_str_starts(id, SL_S("bad")) || (sl_str_starts(id, SL_S("flaky")) && j->attempt <= 2))) {
        e.state = SL_FAILED;
        e.error = SL_S("on purpose");
    } else if (!j->stop && sl_str_starts(id, SL_S("wait")) && !sim->calm && sim_chance(60)) {
        e.kind = SL_EV_WAITING;
        e.wake_ms = sl_now_ms() + 1000 + (int64_t)sim_below(20 * 60000);
    }
    finish(at, e);
}

/* Some of those that would end well, in the turn itself. */
sl_message *sl_workers_ahead(sl_engine *e, sl_live *l, const sl_action *action)
{
    static const char *const others[] = { "effect", "wait", "bad", "flaky" };
    for (size_t i = 0; i < SL_COUNT(others); i++)
        if (sl_str_starts(action->run->def->id, sl_str_c(others[i])))
            return NULL;
    if (sim_chance(40))
        return NULL;
    sl_job *j = sl_engine_job(e, l, action);
    sl_message *m = SL_NEW(j->arena, sl_message);
    *m = (sl_message){ .live = l, .event = { .kind = SL_EV_FINISHED, .run = action->run, .state = SL_SUCCESS }, .arena = j->arena };
    return m;
}

bool workers_work(void)
{
    if (sim->job_count == 0)
        return false;
    size_t at = sim_below(sim->job_count);
    sl_job *j = sim->jobs[at].job;
    sl_event e = { .kind = SL_EV_EVALUATED, .state = SL_RUNNING };
    switch (j->kind) {
    case SL_ACT_RUN: run(at); return true;
    case SL_ACT_EVALUATE:
        e.choice = j->run->def->flowable == SL_FOR_EACH ? SL_S("[\"x\",\"y\",\"z\"]") : j->run->def->flowable == SL_PAUSE ? SL_S("RESUME") : SL_S("then");
        if (j->run->def->flowable == SL_PAUSE)
            e.wake_ms = sl_now_ms() + 500;
        if (j->stop)
            e.state = SL_KILLED;
        break;
    case SL_ACT_LEAVE: e = (sl_event){ .kind = SL_EV_LEFT, .state = SL_SUCCESS }; break;
    case SL_ACT_KILL: e = (sl_event){ .kind = SL_EV_FINISHED, .state = SL_KILLED }; break;
    case SL_ACT_STOP: break;
    }
    finish(at, e);
    return true;
}
