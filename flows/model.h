/*
 * flows/model.h: a flow as an immutable tree, made from YAML by sl_flow_parse.
 *
 * Everything lives in one arena. Properties stay as they were written (expressions unrendered), with plugin defaults put in.
 * Threads: immutable, so any number may read.
 */
#pragma once

#include "base/bind.h"
#include "connectors/task.h"

typedef struct sl_task_def sl_task_def;

typedef struct sl_task_list {
    sl_task_def **items;
    size_t n;
} sl_task_list;

typedef enum sl_flowable {
    SL_RUNNABLE, SL_SEQUENTIAL, SL_PARALLEL, SL_IF, SL_SWITCH, SL_ALLOW_FAILURE, SL_WORKING_DIRECTORY, SL_FOR_EACH, SL_DAG, SL_LOOP_UNTIL, SL_PAUSE,
} sl_flowable;

typedef enum sl_retry_kind { SL_RETRY_CONSTANT, SL_RETRY_EXPONENTIAL, SL_RETRY_RANDOM } sl_retry_kind;

typedef struct sl_retry {
    sl_retry_kind kind;
    int64_t interval_ms, max_interval_ms, min_interval_ms, max_duration_ms; /* 0 = none */
    double factor;
    int64_t attempts_max;                /* all attempts, the first included; 0 = unlimited */
    bool warning_on_retry;
    bool new_execution;           /* behavior CREATE_NEW_EXECUTION: attempts are executions */
} sl_retry;

/* 2.0's ForEach. */
#define SL_LOOP_TYPE "io.kestra.plugin.core.flow.Loop"
/* A Sequential of three tasks that the parser makes: ID_split, ID_items, ID_merge. */
#define SL_FOR_EACH_ITEM_TYPE "io.kestra.plugin.core.flow.ForEachItem"

typedef struct sl_case {
    sl_str key;
    sl_task_list tasks;
} sl_case;

struct sl_task_def {
    sl_str id;
    size_t index;                        /* dense, in the order of the text */
    size_t position;                     /* in its list */
    const sl_task_type *type;            /* NULL for a flowable */
    sl_flowable flowable;
    sl_str type_name;                    /* canonical */
    const sl_val *props;
    uint32_t line, column;
    sl_task_def *parent;
    bool disabled, allow_failure, allow_warning;
    sl_level level;                      /* logLevel: least level that is kept */
    sl_retry *retry;
    bool cached;                         /* taskCache: an earlier run's outputs will do */
    int64_t cache_ttl_ms;                /* when they are not older than this; 0 = at any age */
    sl_str run_if, timeout;              /* templates; .n == 0 when absent */

    sl_task_list tasks;                  /* children; If: then */
    sl_task_list otherwise;              /* If: else; Switch: defaults */
    sl_task_list errors, finally;
    sl_task_list on_pause;               /* Pause: at most one, beside it */
    sl_case *cases;
    size_t case_count;
    sl_str condition;                    /* If, LoopUntil: condition; Switch: value */
    int64_t concurrent;                  /* Parallel, Dag: tasks at a time; ForEach: values; 0 = no limit */
    bool isolated;                       /* Loop: outputs of its tasks stay in the iteration; `collected` of them come out */
    bool forgives;                       /* Loop with transmitFailed: false: what fails in it is no failure of it */
    const sl_val *collected;             /* Loop: list of {id, type, value}, of each iteration; NULL = none */
    bool each_parallel;                  /* EachParallel: the tasks of one value run at the same time, too */
    int loop_depth;                      /* loops around it, up to the innermost Loop: its outputs are kept by their values */
    const sl_val *depends_on;            /* of a task in a Dag: list of ids */
};

typedef struct sl_flow {
    sl_arena *arena;
    sl_str id, ns, description, source;
    int64_t revision;
    bool disabled;
    const sl_val *labels;                /* map of texts */
    const sl_val *inputs;                /* list, checked */
    const sl_val *variables;             /* map or NULL */
    const sl_val *outputs;               /* list or NULL */
    const sl_val *triggers;              /* list or NULL, checked */
    const sl_val *concurrency;           /* {limit, behavior} or NULL */
    const sl_val *sla;                   /* list or NULL */
    const sl_val *checks;                /* list or NULL */
    bool has_loops;
    bool wants_states;                   /* some expression asks for the states of task runs */
    sl_str hash;                         /* SHA-256 of the source, in hex */
    sl_retry *retry;
    sl_task_list tasks, errors, finally, after;
    size_t task_count;
    sl_task_def **all;                   /* by index */
    const sl_val *by_id;                 /* map id -> index */
} sl_flow;

typedef struct sl_registry {
    const sl_connector *const *connectors; /* ends with NULL */
} sl_registry;

/* Full, canonical name of a type as written: aliases and short forms resolved. */
sl_str sl_type_canonical(sl_arena *arena, const sl_registry *registry, sl_str written);
const sl_task_type *sl_registry_find(const sl_registry *registry, sl_str canonical);
/* The same for triggers that poll. */
const sl_task_type *sl_registry_find_trigger(const sl_registry *registry, sl_str canonical);

/*
 * Parses and checks. `defaults` are the server's plugin defaults (a list) or NULL. NULL when there is any problem: each is
 * in `problems` with line and column.
 */
sl_flow *sl_flow_parse(sl_arena *arena, const sl_registry *registry, const sl_val *defaults, sl_str source, sl_problems *problems);

/* NULL when the flow has no such task. */
const sl_task_def *sl_flow_task(const sl_flow *flow, sl_str id);

/* flows/defaults.c: puts plugin defaults into every map with a `type`. */
const sl_val *sl_defaults_apply(sl_arena *arena, const sl_registry *registry, const sl_val *flow, const sl_val *server, sl_problems *problems);
/* flows/input.c: checks the inputs section. */
void sl_inputs_check(const sl_val *inputs, sl_problems *problems);
/* The type of an input or an output, and of its items, is written in capitals, as in Kestra. */
void sl_input_type_check(const sl_val *declared, sl_str where, sl_problems *problems);
/* flows/flowable.c: tables of the types that the engine itself runs; common properties. */
extern const sl_opt sl_common_opts[];
typedef struct sl_flowable_type {
    const char *type, *aliases, *doc;    /* aliases: blank-separated, or NULL */
    sl_flowable kind;
    const sl_opt *opts, *outs;
} sl_flowable_type;
extern const sl_flowable_type sl_flowable_types[];
const sl_flowable_type *sl_flowable_find(sl_str canonical);
/* Of inputs and of outputs. */
#define SL_INPUT_TYPES "STRING ENUM SELECT INT FLOAT BOOLEAN BOOL DATETIME DATE TIME DURATION FILE JSON YAML URI SECRET ARRAY MULTISELECT EMAIL"
extern const sl_opt sl_flow_opts[], sl_retry_opts[], sl_input_opts[];
bool sl_retry_parse(sl_arena *arena, const sl_val *v, sl_str where, sl_retry **ret, sl_problems *problems);
/* Known by name in the language, but not built yet: the message says so. NULL when the type is unknown altogether. */
const char *sl_type_unsupported(sl_str canonical);
