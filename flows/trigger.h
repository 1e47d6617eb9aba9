/*
 * flows/trigger.h: what starts executions: the types of triggers, schedules and their dates, conditions.
 *
 * A schedule is a pure function from a date to the next one; everything that has to be remembered (the next date, a
 * backfill) is a row of the repository. Flow language sections 4.11, 4.12 and 7. Threads: no state.
 */
#pragma once

#include "flows/cron.h"
#include "flows/expr.h"
#include "flows/model.h"

typedef enum sl_trigger_kind { SL_TRIGGER_SCHEDULE, SL_TRIGGER_DATES, SL_TRIGGER_FLOW, SL_TRIGGER_WEBHOOK } sl_trigger_kind;

typedef struct sl_trigger_type {
    const char *type, *aliases, *doc;
    sl_trigger_kind kind;
    const sl_opt *opts;
} sl_trigger_type;

extern const sl_trigger_type sl_trigger_types[];      /* ends with {0} */
extern const sl_opt sl_polling_opts[];                /* properties of all triggers that poll */
/* By canonical name; NULL when it is none of these: one that polls is a connector's (sl_registry_find_trigger). */
const sl_trigger_type *sl_trigger_find(sl_str type);
/* Older and short names resolved; the name as written when it is unknown. */
sl_str sl_trigger_canonical(sl_arena *arena, const sl_registry *registry, sl_str written);
/* Everything that can be wrong with a trigger, conditions included. */
void sl_trigger_check(sl_arena *arena, const sl_registry *registry, const sl_val *trigger, sl_problems *problems);
/* Time between two looks of one that polls, in ms. */
int64_t sl_trigger_interval(const sl_val *trigger);

/* ---- schedules ---- */

typedef struct sl_schedule {
    sl_cron cron;
    const sl_tz *tz;
    sl_cron_gap gap;
    int64_t *dates;                /* ScheduleOnDates: sorted, ms; NULL for cron */
    size_t date_count;
    int64_t late_max_ms;           /* lateMaximumDelay; 0 = none */
    enum { SL_RECOVER_ALL, SL_RECOVER_LAST, SL_RECOVER_NONE } recover;
    bool concurrent;               /* allowConcurrent */
} sl_schedule;

bool sl_schedule_open(sl_arena *arena, const sl_val *trigger, sl_schedule *ret, sl_err *err);
/* First date after `after_ms`, or the last one before; INT64_MAX or INT64_MIN when there is none. Conditions are not looked at. */
int64_t sl_schedule_next(const sl_schedule *s, int64_t after_ms);
int64_t sl_schedule_previous(const sl_schedule *s, int64_t before_ms);
/* A date in the trigger's own zone: what {{ trigger.date }} is. */
sl_str sl_schedule_text(sl_arena *arena, const sl_schedule *s, int64_t at_ms);
/* {date, next, previous}: {{ trigger }} of the execution for that date; without those that are INT64_MAX or INT64_MIN. */
const sl_val *sl_schedule_variables(sl_arena *arena, const sl_schedule *s, int64_t at_ms, int64_t next_ms, int64_t previous_ms);
/*
 * The date to go on from at `now_ms`, when `next_ms` was the stored one: dates that are too late (lateMaximumDelay) are
 * left out; after_outage: recoverMissedSchedules is applied as well.
 */
int64_t sl_schedule_due(const sl_schedule *s, int64_t next_ms, int64_t now_ms, bool after_outage);

/* ---- conditions ---- */

/* Do all of them hold? NULL or an empty list: yes. A condition that cannot be evaluated is an error. */
bool sl_conditions_hold(sl_arena *arena, const sl_val *conditions, const sl_expr_env *env, bool *ret, sl_err *err);
/* MultipleCondition, which is a precondition written among them; sl_conditions_hold passes over it. NULL: there is none. */
const sl_val *sl_conditions_multiple(const sl_val *conditions);
void sl_conditions_check(sl_arena *arena, const sl_val *conditions, sl_str where, sl_problems *problems);

/* ---- both: dates for which the conditions hold, {{ trigger }} and {{ schedule }} being those of the date ---- */

typedef struct sl_schedule_filter {
    const sl_schedule *schedule;
    const sl_val *conditions;      /* NULL or an empty list: all dates */
    const sl_expr_env *env;        /* the other variables */
} sl_schedule_filter;

/* Of a trigger as its flow has it. */
const sl_val *sl_schedule_conditions(const sl_val *trigger);
bool sl_schedule_holds(const sl_schedule_filter *f, int64_t at_ms, bool *ret, sl_err *err);
/*
 * The first such date after from_ms, or the last one before it. INT64_MAX or INT64_MIN: there is none within ten years and
 * SL_SCHEDULE_STEPS dates.
 */
enum { SL_SCHEDULE_STEPS = 20000 };
bool sl_schedule_seek(const sl_schedule_filter *f, int64_t from_ms, bool forward, int64_t *ret, sl_err *err);
