/* connectors/serdes/avro_schema.c: see avro_schema.h. */
#include "connectors/serdes/avro_schema.h"

#include "base/arena.h"

typedef struct named {
    struct named *next;
    sl_avro *type;
} named;

typedef struct parser {
    sl_arena *arena;
    sl_err *err;
    named *names;
    int depth;
} parser;

static const char *const primitives[] = { "null", "boolean", "int", "long", "float", "double", "bytes", "string" };
static const char *const complex_types[] = { "record", "enum", "array", "map", NULL, "fixed" };

static const sl_avro *parse(parser *p, const sl_val *schema, sl_str space);

static sl_avro *fail(parser *p, const char *code, sl_str what, const char *why)
{
    sl_err_set(p->err, SL_ERR_CONFIG, code, "the Avro schema is not valid: '%.*s' %s", SL_ARG(what), why);
    return NULL;
}

static sl_avro *new_type(parser *p, sl_avro_kind kind)
{
    sl_avro *t = SL_NEW(p->arena, sl_avro);
    *t = (sl_avro){ .kind = kind };
    return t;
}

/* "name" in the namespace around it, unless it says its own. */
static sl_str full_name(parser *p, sl_str name, sl_str space)
{
    return name.n == 0 || space.n == 0 || sl_str_find(name, SL_S(".")) >= 0 ? name : sl_fmt(p->arena, "%.*s.%.*s", SL_ARG(space), SL_ARG(name));
}

static const sl_avro *by_name(parser *p, sl_str name, sl_str space)
{
    for (size_t i = 0; i < SL_COUNT(primitives); i++)
        if (sl_str_eqc(name, primitives[i]))
            return new_type(p, (sl_avro_kind)i);
    sl_str full = full_name(p, name, space);
    for (const named *n = p->names; n != NULL; n = n->next)
        if (sl_str_eq(n->type->name, full) || sl_str_eq(n->type->name, name))
            return n->type;
    return fail(p, "avro.type", name, "is no type, and no record, enum or fixed of that name came before");
}

/* A record may hold itself: its name is known before its fields are. */
static bool introduce(parser *p, sl_avro *t, const sl_val *schema, sl_str *space)
{
    sl_str name = sl_get_text(schema, "name"), own = sl_get_text(schema, "namespace");
    if (name.n == 0) {
        fail(p, "avro.name", sl_get_text(schema, "type"), "needs a 'name'");
        return false;
    }
    t->name = full_name(p, name, own.n > 0 ? own : *space);
    ptrdiff_t dot = sl_str_rfind(t->name, SL_S("."));
    *space = dot > 0 ? sl_str_sub(t->name, 0, (size_t)dot) : SL_S("");
    named *n = SL_NEW(p->arena, named);
    *n = (named){ p->names, t };
    p->names = n;
    return true;
}

static bool record_fields(parser *p, sl_avro *t, const sl_val *schema, sl_str space)
{
    const sl_val *list = sl_get(schema, "fields");
    t->count = sl_val_count(list);
    sl_avro_field *fields = SL_ARRAY(p->arena, sl_avro_field, t->count + 1);
    if (!sl_is(list, SL_LIST)) {
        fail(p, "avro.fields", t->name, "needs 'fields'");
        return false;
    }
    for (size_t i = 0; i < t->count; i++) {
        const sl_val *f = sl_at(list, i), *type = sl_get(f, "type");
        fields[i].name = sl_get_text(f, "name");
        /* The mistake of many: a logical type beside the field's type in place of inside of it. It is plain what is meant. */
        if (sl_is(type, SL_STRING) && sl_get(f, "logicalType") != NULL)
            type = f;
        if (fields[i].name.n == 0) {
            fail(p, "avro.fields", t->name, "has a field without a 'name'");
            return false;
        }
        if ((fields[i].type = parse(p, type, space)) == NULL) {
            sl_err_ctx(p->err, "field '%.*s'", SL_ARG(fields[i].name));
            return false;
        }
        fields[i].fallback = sl_get(f, "default");
    }
    t->fields = fields;
    return true;
}

static bool branches(parser *p, sl_avro *t, const sl_val *const *types, size_t n, sl_str space)
{
    t->branches = SL_ARRAY(p->arena, const sl_avro *, n + 1);
    t->count = n;
    for (size_t i = 0; i < n; i++)
        if ((t->branches[i] = parse(p, types[i], space)) == NULL)
            return false;
    return true;
}

static void set_logical(sl_avro *t, const sl_val *schema)
{
    static const struct {
        const char *name;
        sl_avro_kind kind;
        sl_avro_logical logical;
    } known[] = { { "date", SL_AVRO_INT, SL_AVRO_DATE }, { "time-millis", SL_AVRO_INT, SL_AVRO_TIME_MILLIS }, { "time-micros", SL_AVRO_LONG, SL_AVRO_TIME_MICROS }, { "timestamp-millis", SL_AVRO_LONG, SL_AVRO_STAMP_MILLIS },
                  { "timestamp-micros", SL_AVRO_LONG, SL_AVRO_STAMP_MICROS }, { "local-timestamp-millis", SL_AVRO_LONG, SL_AVRO_LOCAL_MILLIS }, { "local-timestamp-micros", SL_AVRO_LONG, SL_AVRO_LOCAL_MICROS },
                  { "uuid", SL_AVRO_STRING, SL_AVRO_UUID }, { "decimal", SL_AVRO_BYTES, SL_AVRO_DECIMAL }, { "decimal", SL_AVRO_FIXED, SL_AVRO_DECIMAL } };
    sl_str name = sl_get_text(schema, "logicalType");
    for (size_t i = 0; i < SL_COUNT(known) && name.n > 0; i++)
        if (t->kind == known[i].kind && sl_str_eqc(name, known[i].name))
            t->logical = known[i].logical;
    int64_t precision = sl_get_int(schema, "precision", 0), scale = sl_get_int(schema, "scale", 0);
    if (t->logical == SL_AVRO_DECIMAL && (precision < 1 || scale < 0 || scale > precision || precision > 1000))
        t->logical = SL_AVRO_PLAIN;
    t->precision = (int)precision;
    t->scale = (int)scale;
}

static const sl_avro *from_map(parser *p, const sl_val *schema, sl_str space)
{
    const sl_val *type = sl_get(schema, "type");
    sl_str name = sl_text(type);
    sl_avro *t = NULL;
    if (type == NULL || !sl_is(type, SL_STRING))
        return type ? parse(p, type, space) : fail(p, "avro.type", sl_get_text(schema, "name"), "has no 'type'");
    for (size_t i = 0; i < SL_COUNT(complex_types) && t == NULL; i++)
        if (complex_types[i] != NULL && sl_str_eqc(name, complex_types[i]))
            t = new_type(p, (sl_avro_kind)(SL_AVRO_RECORD + i));
    if (t == NULL) {
        const sl_avro *plain = by_name(p, name, space);
        if (plain == NULL || plain->kind > SL_AVRO_STRING)
            return plain;
        t = new_type(p, plain->kind);
    }
    if ((t->kind == SL_AVRO_RECORD || t->kind == SL_AVRO_ENUM || t->kind == SL_AVRO_FIXED) && !introduce(p, t, schema, &space))
        return NULL;
    t->size = sl_get_int(schema, "size", -1);
    t->symbols = sl_get(schema, "symbols");
    set_logical(t, schema);
    if (t->kind == SL_AVRO_RECORD)
        return record_fields(p, t, schema, space) ? t : NULL;
    if (t->kind == SL_AVRO_ARRAY || t->kind == SL_AVRO_MAP) {
        const sl_val *inner = sl_get(schema, t->kind == SL_AVRO_ARRAY ? "items" : "values");
        return inner == NULL ? fail(p, "avro.items", name, "needs 'items' or 'values'") : branches(p, t, &inner, 1, space) ? t : NULL;
    }
    if (t->kind == SL_AVRO_ENUM && (t->count = sl_val_count(t->symbols)) == 0)
        return fail(p, "avro.symbols", t->name, "needs 'symbols'");
    if (t->kind == SL_AVRO_FIXED && (t->size < 0 || t->size > 1 << 20))
        return fail(p, "avro.size", t->name, "needs a 'size' of at most 1048576");
    return t;
}

static const sl_avro *parse(parser *p, const sl_val *schema, sl_str space)
{
    const sl_avro *t;
    if (++p->depth > SL_AVRO_DEPTH_MAX)
        return fail(p, "avro.depth", SL_S("type"), "is nested too deeply");
    if (sl_is(schema, SL_STRING))
        t = by_name(p, schema->s, space);
    else if (sl_is(schema, SL_LIST)) {
        sl_avro *u = new_type(p, SL_AVRO_UNION);
        t = schema->list.n == 0 ? fail(p, "avro.union", SL_S("[]"), "is a union of nothing") : branches(p, u, schema->list.items, schema->list.n, space) ? u : NULL;
    } else
        t = sl_is(schema, SL_MAP) ? from_map(p, schema, space) : fail(p, "avro.type", SL_S("type"), "must be a name, a map or a list");
    p->depth--;
    return t;
}

const sl_avro *sl_avro_parse(sl_arena *arena, const sl_val *schema, sl_err *err)
{
    parser p = { .arena = arena, .err = err };
    return parse(&p, schema, SL_S(""));
}
