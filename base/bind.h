/*
 * base/bind.h: option tables: one table of a thing's properties feeds reading, checking, defaults, JSON Schema and documents.
 *
 * Each row ties one YAML property to one field of a config struct. sl_bind_check looks at a map as it was written (texts
 * with {{ }} are taken on trust); sl_bind fills the struct from a rendered map.
 * Ownership: what a field points to lives in the arena given. Threads: no state.
 */
#pragma once

#include "base/err.h"
#include "base/val.h"

typedef enum sl_opt_type {
    SL_OPT_END = 0,
    SL_OPT_STR,        /* sl_str; .p is NULL when absent                                    */
    SL_OPT_INT,        /* int64_t                                                           */
    SL_OPT_BOOL,       /* bool                                                              */
    SL_OPT_DOUBLE,     /* double                                                            */
    SL_OPT_DURATION,   /* int64_t, milliseconds                                             */
    SL_OPT_ENUM,       /* sl_str, one of `values` (upper case, blank-separated)             */
    SL_OPT_STRS,       /* const sl_val *, list of strings; a single string makes a list of one, or is a JSON list */
    SL_OPT_LIST,       /* const sl_val *, list                                              */
    SL_OPT_MAP,        /* const sl_val *, map; text that is a JSON map is accepted          */
    SL_OPT_ANY,        /* const sl_val *                                                    */
    SL_OPT_SECRET,     /* sl_str; never shown                                               */
    SL_OPT_TASKS,      /* const sl_val *, list of tasks; not rendered, handled by the flow model */
    SL_OPT_FLAG,       /* const sl_val *, true or false; NULL when absent: where false is not the same */
} sl_opt_type;

enum {
    SL_REQUIRED = 1 << 0,
    SL_STATIC = 1 << 1,      /* taken literally, never rendered                             */
    SL_TYPED = 1 << 2,       /* a single {{ }} keeps its native type                        */
    SL_LATE = 1 << 3,        /* left unrendered in the struct; the task renders it itself   */
    SL_DEPRECATED = 1 << 4,
};

typedef struct sl_opt {
    const char *name;
    sl_opt_type type;
    size_t offset;
    unsigned flags;
    const char *fallback;    /* default as text; NULL = none                                */
    const char *values;      /* SL_OPT_ENUM                                                 */
    const struct sl_opt *sub; /* SL_OPT_MAP and SL_OPT_LIST: the properties of the map(s), for checking only */
    const char *doc;         /* one sentence                                                */
} sl_opt;

#define SL_FIELD(struct_type, field) offsetof(struct_type, field)

typedef struct sl_problem {
    struct sl_problem *next;
    uint32_t line, column;
    sl_str message;
} sl_problem;

/* A list of problems, in the order found. */
typedef struct sl_problems {
    sl_arena *arena;
    sl_problem *first, *last;
    size_t n;
} sl_problems;

void sl_problem_add(sl_problems *list, uint32_t line, uint32_t column, const char *fmt, ...) SL_PRINTF(4, 5);

const sl_opt *sl_opt_find(const sl_opt *table, sl_str name);
/* The closest known name, or NULL. `extra` is a further table or NULL. */
const char *sl_opt_suggest(const sl_opt *table, const sl_opt *extra, sl_str name);

/*
 * Checks a map as written against the table and `common` (NULL = none). `where` starts each message ("task 'x'").
 * Entries without a position (line 0) were put in by plugin defaults: they need not be known.
 */
void sl_bind_check(const sl_opt *table, const sl_opt *common, const sl_val *map, sl_str where, sl_problems *problems);
/* Fills *config (zeroed by the caller) from a rendered map; unknown keys are ignored. */
bool sl_bind(sl_arena *arena, const sl_opt *table, const sl_val *map, void *config, sl_err *err);
/* Does the text hold something to render? */
bool sl_has_template(const sl_val *v);
/* JSON Schema (draft 2020-12) of the table's properties. */
const sl_val *sl_opt_schema(sl_arena *arena, const sl_opt *table);
const char *sl_opt_type_text(const sl_opt *opt);
