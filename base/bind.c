/* base/bind.c: see bind.h. */
#include "base/bind.h"

#include "base/arena.h"
#include "base/json.h"

void sl_problem_add(sl_problems *list, uint32_t line, uint32_t column, const char *fmt, ...)
{
    sl_problem *p = SL_NEW(list->arena, sl_problem);
    va_list ap;
    va_start(ap, fmt);
    p->message = sl_vfmt(list->arena, fmt, ap);
    va_end(ap);
    p->line = line;
    p->column = column;
    if (list->last != NULL)
        list->last->next = p;
    else
        list->first = p;
    list->last = p;
    list->n++;
}

const sl_opt *sl_opt_find(const sl_opt *table, sl_str name)
{
    for (const sl_opt *o = table; o != NULL && o->type != SL_OPT_END; o++)
        if (sl_str_eqc(name, o->name))
            return o;
    return NULL;
}

const char *sl_opt_suggest(const sl_opt *table, const sl_opt *extra, sl_str name)
{
    const char *best = NULL;
    size_t least = 4;
    const sl_opt *tables[] = { table, extra };
    for (size_t t = 0; t < SL_COUNT(tables); t++)
        for (const sl_opt *o = tables[t]; o != NULL && o->type != SL_OPT_END; o++) {
            size_t d = sl_str_distance(name, sl_str_c(o->name), 3);
            if (d < least && d * 2 < name.n + 1) {
                least = d;
                best = o->name;
            }
        }
    return best;
}

bool sl_has_template(const sl_val *v)
{
    if (v == NULL)
        return false;
    if (v->type == SL_STRING)
        return sl_str_find(v->s, SL_S("{{")) >= 0 || sl_str_find(v->s, SL_S("{%")) >= 0;
    if (v->type == SL_LIST)
        for (size_t i = 0; i < v->list.n; i++)
            if (sl_has_template(v->list.items[i]))
                return true;
    if (v->type == SL_MAP)
        for (size_t i = 0; i < v->map.n; i++)
            if (sl_has_template(v->map.entries[i].value))
                return true;
    return false;
}

const char *sl_opt_type_text(const sl_opt *opt)
{
    static const char *const texts[] = { "",     "a string", "an integer", "true or false", "a number", "a duration such as PT30S", "one of a list",
                                         "a list of strings", "a list", "a map", "any value", "a string", "a list of tasks", "true or false" };
    return texts[opt->type];
}

static bool enum_has(const char *values, sl_str word)
{
    sl_str rest = sl_str_c(values), one;
    while (sl_str_cut(&rest, ' ', &one))
        if (sl_str_ieq(one, word))
            return true;
    return false;
}

static bool bind_one(sl_arena *arena, const sl_opt *o, const sl_val *v, void *field, sl_err *err);

/* The options of a map, or of each map of a list. */
static void check_within(const sl_opt *o, const sl_val *v, sl_str where, sl_problems *problems)
{
    if (o->sub == NULL)
        return;
    if (v->type == SL_MAP)
        sl_bind_check(o->sub, NULL, v, sl_fmt(problems->arena, "%.*s: '%s'", SL_ARG(where), o->name), problems);
    for (size_t i = 0; v->type == SL_LIST && i < v->list.n; i++)
        if (v->list.items[i]->type == SL_MAP)
            sl_bind_check(o->sub, NULL, v->list.items[i], sl_fmt(problems->arena, "%.*s: '%s[%zu]'", SL_ARG(where), o->name, i), problems);
}

/* A scalar written literally must already be of the type; a wrong one is found before anything runs. */
static void check_value(const sl_opt *o, const sl_val *v, sl_str where, sl_problems *problems)
{
    if (v->type == SL_NULL || o->type == SL_OPT_TASKS)
        return;
    if (sl_has_template(v)) { /* what is beside it may still be wrong */
        check_within(o, v, where, problems);
        return;
    }
    sl_err err;
    union {
        sl_str s;
        int64_t i;
        double d;
        bool b;
        const sl_val *v;
    } scratch;
    if (!bind_one(problems->arena, o, v, &scratch, &err)) {
        sl_problem_add(problems, v->line, v->column, "%.*s: %s", SL_ARG(where), err.message);
        return;
    }
    check_within(o, v, where, problems);
}

static void check_known(const sl_opt *table, const sl_opt *common, const sl_val *map, sl_str where, sl_problems *problems)
{
    for (size_t i = 0; i < map->map.n; i++) {
        const sl_entry *e = &map->map.entries[i];
        if (e->line == 0 || sl_opt_find(table, e->key) != NULL || sl_opt_find(common, e->key) != NULL)
            continue;
        const char *near = sl_opt_suggest(table, common, e->key);
        if (near != NULL)
            sl_problem_add(problems, e->line, e->column, "%.*s: unknown property '%.*s'; did you mean '%s'?", SL_ARG(where), SL_ARG(e->key), near);
        else
            sl_problem_add(problems, e->line, e->column, "%.*s: unknown property '%.*s'", SL_ARG(where), SL_ARG(e->key));
    }
}

void sl_bind_check(const sl_opt *table, const sl_opt *common, const sl_val *map, sl_str where, sl_problems *problems)
{
    check_known(table, common, map, where, problems);
    const sl_opt *tables[] = { common, table };
    for (size_t t = 0; t < SL_COUNT(tables); t++)
        for (const sl_opt *o = tables[t]; o != NULL && o->type != SL_OPT_END; o++) {
            const sl_val *v = sl_get(map, o->name);
            if (v != NULL && v->type != SL_NULL)
                check_value(o, v, where, problems);
            else if (o->flags & SL_REQUIRED)
                sl_problem_add(problems, map->line, map->column, "%.*s: the property '%s' is missing; it must be %s", SL_ARG(where), o->name,
                               sl_opt_type_text(o));
        }
}

static bool wrong(const sl_opt *o, const sl_val *v, sl_arena *arena, sl_err *err)
{
    sl_str shown = o->type == SL_OPT_SECRET ? SL_S("a secret") : sl_val_text(arena, v);
    if (o->type == SL_OPT_ENUM)
        return sl_err_at(err, v->line, v->column, SL_ERR_CONFIG, "bind.value", "'%s' must be one of %s, not '%.*s'", o->name, o->values,
                         (int)(shown.n < 200 ? shown.n : 200), shown.p);
    return sl_err_at(err, v->line, v->column, SL_ERR_CONFIG, "bind.value", "'%s' must be %s, not '%.*s'", o->name, sl_opt_type_text(o),
                     (int)(shown.n < 200 ? shown.n : 200), shown.p);
}

static bool bind_bool(const sl_val *v, bool *ret)
{
    if (v->type == SL_BOOL) {
        *ret = v->b;
        return true;
    }
    sl_str s = sl_str_trim(sl_text(v));
    if (v->type != SL_STRING || (!sl_str_ieq(s, SL_S("true")) && !sl_str_ieq(s, SL_S("false"))))
        return false;
    *ret = sl_str_ieq(s, SL_S("true"));
    return true;
}

static bool bind_number(const sl_opt *o, const sl_val *v, void *field)
{
    sl_str s = sl_str_trim(sl_text(v));
    double d = 0;
    bool is_int = v->type == SL_INT;
    int64_t i = is_int ? v->i : 0;
    if (o->type == SL_OPT_DOUBLE) {
        d = is_int ? (double)i : v->d;
        if (v->type == SL_STRING ? !sl_parse_double(s, &d) : v->type != SL_DOUBLE && !is_int)
            return false;
        *(double *)field = d;
        return true;
    }
    if (!is_int && !(v->type == SL_STRING && sl_parse_int(s, &i))) {
        if (v->type != SL_DOUBLE || v->d != (double)(int64_t)v->d)
            return false;
        i = (int64_t)v->d;
    }
    *(int64_t *)field = i;
    return true;
}

static bool bind_duration(const sl_val *v, int64_t *ret)
{
    if (v->type == SL_DURATION || (v->type == SL_INT && v->i >= 0)) {
        *ret = v->type == SL_INT ? v->i * 1000 : v->i;
        return true;
    }
    if (v->type == SL_DOUBLE && v->d >= 0) {
        *ret = (int64_t)(v->d * 1000 + 0.5);
        return true;
    }
    return v->type == SL_STRING && sl_duration_parse(sl_str_trim(v->s), ret);
}

/* A list or map property may be one string that renders to JSON. */
static const sl_val *from_json_text(sl_arena *arena, const sl_val *v, sl_type wanted)
{
    sl_str s = sl_str_trim(sl_text(v));
    if (v->type != SL_STRING || s.n == 0 || s.p[0] != (wanted == SL_LIST ? '[' : '{'))
        return NULL;
    sl_err ignored;
    const sl_val *parsed = sl_json_parse(arena, s, &ignored);
    return sl_is(parsed, wanted) ? parsed : NULL;
}

static bool bind_collection(sl_arena *arena, const sl_opt *o, const sl_val *v, const sl_val **field)
{
    sl_type wanted = o->type == SL_OPT_MAP ? SL_MAP : SL_LIST;
    if (v->type != wanted) {
        const sl_val *parsed = from_json_text(arena, v, wanted);
        if (parsed == NULL && o->type == SL_OPT_STRS && v->type != SL_MAP && v->type != SL_LIST) {
            sl_val *one = sl_list(arena);
            sl_list_add(arena, one, sl_val_str(arena, sl_val_written(arena, v)));
            parsed = one;
        }
        if (parsed == NULL)
            return false;
        v = parsed;
    }
    if (o->type == SL_OPT_STRS) {
        sl_val *texts = sl_list(arena);
        for (size_t i = 0; i < v->list.n; i++)
            sl_list_add(arena, texts, sl_val_str(arena, sl_val_written(arena, v->list.items[i])));
        v = texts;
    }
    *field = v;
    return true;
}

static bool bind_one(sl_arena *arena, const sl_opt *o, const sl_val *v, void *field, sl_err *err)
{
    bool flag = false;
    bool ok = true;
    switch (o->type) {
    case SL_OPT_STR:
    case SL_OPT_SECRET:
        ok = v->type != SL_LIST && (v->type != SL_MAP || o->type == SL_OPT_SECRET);
        if (ok)
            *(sl_str *)field = sl_str_dup(arena, v->type == SL_MAP ? sl_json(arena, v) : o->flags & SL_STATIC ? sl_val_written(arena, v) : sl_val_text(arena, v));
        break;
    case SL_OPT_ENUM:
        ok = v->type != SL_LIST && v->type != SL_MAP && enum_has(o->values, sl_str_trim(sl_val_text(arena, v)));
        if (ok)
            *(sl_str *)field = sl_str_upper(arena, sl_str_trim(sl_val_text(arena, v)));
        break;
    case SL_OPT_INT:
    case SL_OPT_DOUBLE: ok = bind_number(o, v, field); break;
    case SL_OPT_BOOL: ok = bind_bool(v, field); break;
    case SL_OPT_FLAG: ok = bind_bool(v, &flag); *(const sl_val **)field = sl_val_bool(flag); break;
    case SL_OPT_DURATION: ok = bind_duration(v, field); break;
    case SL_OPT_STRS:
    case SL_OPT_LIST:
    case SL_OPT_MAP: ok = bind_collection(arena, o, v, field); break;
    case SL_OPT_TASKS: ok = v->type == SL_LIST || v->type == SL_MAP; *(const sl_val **)field = v; break;
    case SL_OPT_ANY: *(const sl_val **)field = v; break;
    case SL_OPT_END: sl_panic(__FILE__, __LINE__, "end of table");
    }
    return ok || wrong(o, v, arena, err);
}

bool sl_bind(sl_arena *arena, const sl_opt *table, const sl_val *map, void *config, sl_err *err)
{
    for (const sl_opt *o = table; o->type != SL_OPT_END; o++) {
        const sl_val *v = sl_get(map, o->name);
        void *field = (char *)config + o->offset;
        if (v == NULL || v->type == SL_NULL) {
            if (o->flags & SL_REQUIRED)
                return sl_err_set(err, SL_ERR_CONFIG, "bind.missing", "the property '%s' is missing or rendered to nothing; it must be %s", o->name,
                                  sl_opt_type_text(o));
            if (o->fallback == NULL)
                continue;
            v = sl_val_c(arena, o->fallback);
        }
        if (!bind_one(arena, o, v, field, err))
            return false;
    }
    return true;
}

static const sl_val *schema_of(sl_arena *arena, const sl_opt *o)
{
    static const char *const types[] = { NULL, "string", "integer", "boolean", "number", "string", "string", "array", "array", "object", NULL, "string", "array", "boolean" };
    sl_val *s = sl_map(arena);
    if (types[o->type] != NULL) {
        sl_val *list = sl_list(arena);
        sl_list_add(arena, list, sl_val_c(arena, types[o->type]));
        if (strcmp(types[o->type], "string") != 0 && !(o->flags & SL_STATIC) && o->type != SL_OPT_TASKS)
            sl_list_add(arena, list, sl_val_c(arena, "string"));
        if (o->type == SL_OPT_DURATION || o->type == SL_OPT_STR)
            sl_list_add(arena, list, sl_val_c(arena, "number"));
        sl_map_setc(arena, s, "type", list->list.n == 1 ? list->list.items[0] : list);
    }
    sl_map_set_str(arena, s, "description", sl_str_c(o->doc));
    if (o->fallback != NULL)
        sl_map_set_str(arena, s, "default", sl_str_c(o->fallback));
    if (o->type == SL_OPT_ENUM)
        sl_map_set_str(arena, s, "pattern", sl_fmt(arena, "^(?:%.*s|.*\\{\\{.*)$", SL_ARG(sl_str_replace(arena, sl_str_c(o->values), SL_S(" "), SL_S("|")))));
    if (o->sub != NULL && o->type == SL_OPT_MAP)
        sl_map_setc(arena, s, "properties", sl_get(sl_opt_schema(arena, o->sub), "properties"));
    if (o->flags & SL_DEPRECATED)
        sl_map_set_bool(arena, s, "deprecated", true);
    return s;
}

const sl_val *sl_opt_schema(sl_arena *arena, const sl_opt *table)
{
    sl_val *schema = sl_map(arena), *properties = sl_map(arena), *required = sl_list(arena);
    for (const sl_opt *o = table; o->type != SL_OPT_END; o++) {
        sl_map_setc(arena, properties, o->name, schema_of(arena, o));
        if (o->flags & SL_REQUIRED)
            sl_list_add(arena, required, sl_val_c(arena, o->name));
    }
    sl_map_set_str(arena, schema, "type", SL_S("object"));
    sl_map_setc(arena, schema, "properties", properties);
    if (required->list.n > 0)
        sl_map_setc(arena, schema, "required", required);
    return schema;
}
