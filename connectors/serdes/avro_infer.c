/* connectors/serdes/avro_infer.c: the schema that values have. See avro_write.h. */
#include "base/arena.h"
#include "connectors/serdes/avro_write.h"

/*
 * What is known so far is itself like a schema, without unions: a name ("null": nothing but nulls), {"logicalType": …}, {"type": "array",
 * "items": …}, {"type": "record", "fields": {name: …}}.
 */
static const sl_val *logical(sl_arena *a, const char *type, const char *name)
{
    sl_val *v = sl_map_of(a, "type", sl_val_c(a, type));
    sl_map_setc(a, v, "logicalType", sl_val_c(a, name));
    return v;
}

static const sl_val *of_time(sl_arena *a, sl_time t)
{
    return t.kind == SL_TIME_DATE ? logical(a, "int", "date") : t.kind == SL_TIME_OF_DAY ? logical(a, "int", "time-millis") : logical(a, "long", "local-timestamp-millis");
}

static sl_str kind_of(const sl_val *type)
{
    return sl_is(type, SL_STRING) ? type->s : sl_get_text(type, "type");
}

static const sl_val *join(sl_arena *a, const sl_val *x, const sl_val *y);

static const sl_val *join_fields(sl_arena *a, const sl_val *x, const sl_val *y)
{
    sl_val *fields = sl_map(a), *record = sl_map_of(a, "type", sl_val_c(a, "record"));
    const sl_val *one = sl_get(x, "fields"), *other = sl_get(y, "fields");
    for (size_t i = 0; i < sl_val_count(one); i++)
        sl_map_set(a, fields, one->map.entries[i].key, join(a, one->map.entries[i].value, sl_get_str(other, one->map.entries[i].key)));
    for (size_t i = 0; i < sl_val_count(other); i++)
        if (sl_get_str(fields, other->map.entries[i].key) == NULL)
            sl_map_set(a, fields, other->map.entries[i].key, other->map.entries[i].value);
    sl_map_setc(a, record, "fields", fields);
    return record;
}

static const sl_val *join(sl_arena *a, const sl_val *x, const sl_val *y)
{
    static const char *const numbers[] = { "int", "long", "double" };
    if (x == NULL || y == NULL)
        return x ? x : y;
    sl_str p = kind_of(x), q = kind_of(y);
    if (sl_str_eqc(p, "null") || sl_str_eqc(q, "null"))
        return sl_str_eqc(p, "null") ? y : x;
    if (sl_str_eq(p, q) && sl_str_eq(sl_get_text(x, "logicalType"), sl_get_text(y, "logicalType"))) {
        if (sl_str_eqc(p, "record"))
            return join_fields(a, x, y);
        if (!sl_str_eqc(p, "array"))
            return x;
        sl_val *array = sl_map_of(a, "type", sl_val_c(a, "array"));
        sl_map_setc(a, array, "items", join(a, sl_get(x, "items"), sl_get(y, "items")));
        return array;
    }
    int at_x = -1, at_y = -1;
    for (int i = 0; i < (int)SL_COUNT(numbers); i++) {
        at_x = sl_is(x, SL_STRING) && sl_str_eqc(p, numbers[i]) ? i : at_x;
        at_y = sl_is(y, SL_STRING) && sl_str_eqc(q, numbers[i]) ? i : at_y;
    }
    return at_x >= 0 && at_y >= 0 ? sl_val_c(a, numbers[at_x > at_y ? at_x : at_y]) : sl_val_c(a, "string");
}

static const sl_val *type_of(sl_arena *a, const sl_val *v, const sl_avro_rules *rules)
{
    sl_val *type, *fields;
    const sl_val *items = NULL;
    switch (v->type) {
    case SL_NULL: return sl_val_c(a, "null");
    case SL_BOOL: return sl_val_c(a, "boolean");
    case SL_INT: return sl_val_c(a, v->i >= INT32_MIN && v->i <= INT32_MAX ? "int" : "long");
    case SL_DOUBLE: return sl_val_c(a, "double");
    case SL_TIME: return of_time(a, v->t);
    case SL_LIST:
        for (size_t i = 0; i < v->list.n; i++)
            items = join(a, items, type_of(a, v->list.items[i], rules));
        type = sl_map_of(a, "type", sl_val_c(a, "array"));
        sl_map_setc(a, type, "items", items ? items : sl_val_c(a, "null"));
        return type;
    case SL_MAP:
        type = sl_map_of(a, "type", sl_val_c(a, "record"));
        fields = sl_map(a);
        for (size_t i = 0; i < v->map.n; i++)
            sl_map_set(a, fields, sl_str_dup(a, v->map.entries[i].key), type_of(a, v->map.entries[i].value, rules));
        sl_map_setc(a, type, "fields", fields);
        return type;
    default: /* texts */
        if (rules->all_fields && v->type == SL_STRING && sl_avro_is_word(rules->null_words, v->s))
            return sl_val_c(a, "null");
        return sl_val_c(a, rules->all_fields && v->type == SL_STRING && (sl_avro_is_word(rules->true_words, v->s) || sl_avro_is_word(rules->false_words, v->s)) ? "boolean" : "string");
    }
}

const sl_val *sl_avro_infer(sl_arena *arena, const sl_val *so_far, const sl_val *v, const sl_avro_rules *rules)
{
    return join(arena, so_far, type_of(arena, v, rules));
}

static bool is_name(sl_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (i > 0 && c >= '0' && c <= '9')))
            return false;
    }
    return s.n > 0;
}

/* path: of names, for the names that records must have. NULL with err. */
static const sl_val *schema_of(sl_arena *a, const sl_val *known, sl_str path, sl_err *err)
{
    sl_str kind = kind_of(known);
    if (sl_str_eqc(kind, "null"))
        return sl_val_c(a, "string");
    sl_val *out = sl_map_of(a, "type", sl_val_str(a, kind));
    if (sl_str_eqc(kind, "array")) {
        const sl_val *items = schema_of(a, sl_get(known, "items"), path, err);
        sl_val *either = sl_list(a);
        sl_list_add(a, either, sl_val_c(a, "null"));
        if (items == NULL)
            return NULL;
        sl_list_add(a, either, items);
        sl_map_setc(a, out, "items", either);
        return out;
    }
    if (!sl_str_eqc(kind, "record"))
        return known;
    sl_val *fields = sl_list(a);
    const sl_val *list = sl_get(known, "fields");
    sl_map_set_str(a, out, "name", path);
    for (size_t i = 0; i < sl_val_count(list); i++) {
        sl_str name = list->map.entries[i].key;
        if (!is_name(name)) {
            sl_err_set(err, SL_ERR_DATA, "avro.name", "'%.*s' is no name in Avro (letters, digits and _, no digit first); rename the field, or give a 'schema'", SL_ARG(name));
            return NULL;
        }
        const sl_val *type = schema_of(a, list->map.entries[i].value, sl_fmt(a, "%.*s_%.*s", SL_ARG(path), SL_ARG(name)), err);
        sl_val *field = sl_map_of(a, "name", sl_val_str(a, name)), *either = sl_list(a);
        if (type == NULL)
            return NULL;
        sl_list_add(a, either, sl_val_c(a, "null"));
        sl_list_add(a, either, type);
        sl_map_setc(a, field, "type", either);
        sl_map_setc(a, field, "default", &sl_null_val);
        sl_list_add(a, fields, field);
    }
    sl_map_setc(a, out, "fields", fields);
    return out;
}

const sl_val *sl_avro_inferred(sl_arena *arena, const sl_val *so_far, sl_err *err)
{
    if (so_far == NULL || !sl_str_eqc(kind_of(so_far), "record")) {
        sl_err_set(err, SL_ERR_DATA, "avro.infer", so_far == NULL ? "there are no records, so that no fields are known; give a 'schema'" : "the records are no maps of fields to values; give a 'schema'");
        return NULL;
    }
    return schema_of(arena, so_far, SL_S("Record"), err);
}
