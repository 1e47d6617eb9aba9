/* connectors/dynamodb/value.c: native values to AttributeValues and back. See dynamodb.h. */
#include "base/arena.h"
#include "base/json.h"
#include "connectors/dynamodb/dynamodb.h"

static const sl_val *tagged(sl_arena *a, const char *type, const sl_val *v)
{
    return sl_map_of(a, type, v);
}

static const sl_val *text_list(sl_arena *a, const sl_val *list)
{
    sl_val *out = sl_list(a);
    for (size_t i = 0; i < sl_val_count(list); i++) {
        const sl_val *text = sl_val_str(a, sl_val_text(a, sl_at(list, i)));
        bool known = false; /* a set: each only once */
        for (size_t k = 0; k < out->list.n; k++)
            known |= sl_val_eq(out->list.items[k], text);
        if (!known)
            sl_list_add(a, out, text);
    }
    return out;
}

static const sl_val *value_list(sl_arena *a, const sl_val *list)
{
    sl_val *out = sl_list(a);
    for (size_t i = 0; i < sl_val_count(list); i++)
        sl_list_add(a, out, sl_dynamo_value(a, sl_at(list, i), true));
    return out;
}

static const sl_val *value_map(sl_arena *a, const sl_val *map, bool native)
{
    sl_val *out = sl_map(a);
    for (size_t i = 0; i < sl_val_count(map); i++)
        sl_map_set(a, out, map->map.entries[i].key, sl_dynamo_value(a, map->map.entries[i].value, native));
    return out;
}

const sl_val *sl_dynamo_value(sl_arena *a, const sl_val *v, bool native)
{
    switch (v->type) {
    case SL_NULL: return tagged(a, "NULL", sl_val_bool(true));
    case SL_BOOL: return tagged(a, "BOOL", v);
    case SL_MAP: return tagged(a, "M", value_map(a, v, native));
    case SL_LIST: return native ? tagged(a, "L", value_list(a, v)) : tagged(a, "SS", text_list(a, v));
    case SL_INT:
    case SL_DOUBLE: return tagged(a, native ? "N" : "S", sl_val_str(a, sl_val_text(a, v)));
    default: return tagged(a, "S", sl_val_str(a, sl_val_text(a, v)));
    }
}

bool sl_dynamo_item(sl_dynamo *d, const sl_val *map, bool native, const sl_val **ret, sl_err *err)
{
    sl_arena *a = d->api.aws.arena;
    sl_val *item = sl_map_shallow(a, value_map(a, map, native));
    if (!sl_dynamo_describe(d, err))
        return false;
    for (size_t i = 0; i < sl_val_count(d->definitions); i++) {
        sl_str name = sl_get_text(sl_at(d->definitions, i), "AttributeName"), type = sl_get_text(sl_at(d->definitions, i), "AttributeType");
        const sl_val *v = sl_get_str(map, name);
        double number;
        if (v == NULL || v->type == SL_NULL || v->type == SL_LIST || v->type == SL_MAP)
            continue; /* of an index, or wrong: the service says so */
        if (sl_str_eqc(type, "N") && !sl_parse_double(sl_str_trim(sl_val_text(a, v)), &number))
            return sl_err_set(err, SL_ERR_DATA, "dynamodb.key", "the key attribute '%.*s' of the table '%.*s' is a number, which '%.*s' is not", SL_ARG(name), SL_ARG(d->table), SL_ARG(sl_val_text(a, v)));
        sl_map_set(a, item, name, tagged(a, type.p, sl_val_str(a, sl_str_eqc(type, "N") ? sl_str_trim(sl_val_text(a, v)) : sl_val_text(a, v))));
    }
    *ret = item;
    return true;
}

/* ---- back ---- */

static const sl_val *native_list(sl_arena *a, const sl_val *list, bool numbers)
{
    sl_val *out = sl_list(a);
    for (size_t i = 0; i < sl_val_count(list); i++)
        sl_list_add(a, out, numbers ? sl_val_decimal(a, sl_val_text(a, sl_at(list, i))) : sl_at(list, i));
    return out;
}

const sl_val *sl_dynamo_native(sl_arena *a, const sl_val *attribute)
{
    if (sl_val_count(attribute) != 1 || attribute->type != SL_MAP)
        return &sl_null_val;
    sl_str type = attribute->map.entries[0].key;
    const sl_val *v = attribute->map.entries[0].value;
    if (sl_str_eqc(type, "NULL"))
        return &sl_null_val;
    if (sl_str_eqc(type, "N"))
        return sl_val_decimal(a, sl_val_text(a, v));
    if (sl_str_eqc(type, "NS"))
        return native_list(a, v, true);
    if (sl_str_eqc(type, "M"))
        return sl_dynamo_row(a, v);
    if (!sl_str_eqc(type, "L"))
        return v; /* S, BOOL, B, SS, BS */
    sl_val *out = sl_list(a);
    for (size_t i = 0; i < sl_val_count(v); i++)
        sl_list_add(a, out, sl_dynamo_native(a, sl_at(v, i)));
    return out;
}

const sl_val *sl_dynamo_row(sl_arena *a, const sl_val *item)
{
    sl_val *row = sl_map(a);
    for (size_t i = 0; i < sl_val_count(item); i++)
        sl_map_set(a, row, item->map.entries[i].key, sl_dynamo_native(a, item->map.entries[i].value));
    return row;
}

bool sl_dynamo_map(sl_arena *a, const sl_val *v, const char *property, const sl_val **ret, sl_err *err)
{
    if (v->type == SL_STRING && (v = sl_json_parse(a, v->s, err)) == NULL)
        return sl_err_ctx(err, "property '%s'", property);
    *ret = v;
    return v->type == SL_MAP || sl_err_set(err, SL_ERR_CONFIG, "dynamodb.map", "'%s' must be a map, or a JSON object", property);
}
