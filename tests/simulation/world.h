/*
 * tests/simulation/world.h: the engine, the scheduler and the store in a world that a seed determines: a clock of its own,
 * workers that are a list of jobs, and an outside whose effects are counted. The process is "lost" by throwing the engine
 * away and opening another one on the same folder.
 */
#pragma once

#include "service/engine_private.h"
#include "service/flows_do.h"
#include "flows/trigger.h"
#include "service/scheduler.h"

enum { EFFECTS_MAX = 4096, JOBS_MAX = 256, ENDED_MAX = 1024 };

/* What a worker is at. */
typedef enum stage { STAGE_BEGIN, STAGE_INTENT, STAGE_DONE } stage;

typedef struct sim_job {
    sl_job *job;
    stage stage;
    char nonce[23];             /* of the effect, as the checkpoint has it */
} sim_job;

/* Something that was done outside; for ever. */
typedef struct effect {
    char key[96];               /* task run and attempt */
    char nonce[23];
    int count;
} effect;

typedef struct ended {
    char id[23];
    sl_state state;
} ended;

typedef struct fill {
    int64_t start_ms, end_ms;
    bool missing;
} fill;

typedef struct world {
    uint64_t random;
    int64_t now_ms, mono_ms, began_ms;
    char dir[64], data[96];
    sl_engine *engine;
    sim_job jobs[JOBS_MAX];
    size_t job_count;
    effect effects[EFFECTS_MAX];
    size_t effect_count;
    ended ended[ENDED_MAX];     /* final states that were seen on disk */
    size_t ended_count;
    fill fills[8];
    size_t fill_count;
    int crashes, turns, requests;
    bool calm;                  /* towards the end: no more trouble */
    char problem[2048];         /* the first invariant that did not hold; empty: none */
} world;

extern world *sim;              /* the one that is going on */

uint64_t sim_random(void);
uint64_t sim_below(uint64_t bound);
bool sim_chance(unsigned percent);
void sim_fail(const char *fmt, ...) SL_PRINTF(1, 2);
#define SIM_FAILED (sim->problem[0] != '\0')

/* world.c */
void world_open(world *w, uint64_t seed);
void world_close(world *w);
/* The process is lost, and another one started. */
void world_crash(void);
/* One turn of the engine, when there is something to do. */
void world_turn(void);
/* A whole history: trouble, then calm until nothing is left to do. */
void world_play(void);

/* workers.c */
bool workers_work(void);        /* one step of one job; false: there is none */
void workers_forget(void);

/* check.c */
void check_live(void);          /* after every turn */
void check_disk(void);          /* after a loss */
void check_end(void);

/* bugs.c: --wrap puts these between the engine and the real functions. */
typedef enum bug {
    BUG_NONE, BUG_LIMIT, BUG_QUEUE, BUG_SAVE, BUG_DATE, BUG_RESUME, BUG_WAKE, BUG_OPEN, BUG_ENDED, BUG_COMMIT, BUG_CHECKPOINT, BUG_KILL, BUG_TICK, BUG_COUNT
} bug;
extern bug bug_planted;
extern const char *const bug_names[BUG_COUNT];
int64_t real_schedule_next(const sl_schedule *s, int64_t after_ms);
