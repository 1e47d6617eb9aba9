/* kv/kv_types.c: native values to their stored form and back (flow language section 8). */
#include "base/arena.h"
#include "base/json.h"
#include "kv/kv.h"

static sl_str own_type(const sl_val *v)
{
    switch (v->type) {
    case SL_BOOL: return SL_S("BOOLEAN");
    case SL_INT:
    case SL_DOUBLE: return SL_S("NUMBER");
    case SL_LIST:
    case SL_MAP: return SL_S("JSON");
    case SL_TIME: return v->t.kind == SL_TIME_DATE ? SL_S("DATE") : SL_S("DATETIME");
    case SL_DURATION: return SL_S("DURATION");
    default: return SL_S("STRING");
    }
}

static bool wrong(sl_str text, sl_str type, sl_err *err)
{
    return sl_err_set(err, SL_ERR_CONFIG, "kv.type", "the value '%.*s' is not a %.*s", (int)(text.n < 100 ? text.n : 100), text.p, SL_ARG(type));
}

/* From text to the wanted type. */
static bool convert(sl_arena *arena, sl_str s, sl_str type, const sl_val **ret, sl_err *err)
{
    sl_time t;
    int64_t ms;
    if (sl_str_eqc(type, "NUMBER")) {
        const sl_val *v = sl_json_parse(arena, sl_str_trim(s), err);
        *ret = v;
        return (v != NULL && (v->type == SL_INT || v->type == SL_DOUBLE)) || wrong(s, type, err);
    }
    if (sl_str_eqc(type, "BOOLEAN")) {
        *ret = sl_val_bool(sl_str_ieq(sl_str_trim(s), SL_S("true")));
        return true;
    }
    if (sl_str_eqc(type, "JSON")) {
        *ret = sl_json_parse(arena, s, err);
        return *ret != NULL || wrong(s, type, err);
    }
    if (sl_str_eqc(type, "DATETIME") || sl_str_eqc(type, "DATE")) {
        if (!sl_time_parse(sl_str_trim(s), &t) || t.kind == SL_TIME_OF_DAY)
            return wrong(s, type, err);
        if (sl_str_eqc(type, "DATE"))
            t = (sl_time){ .s = sl_time_wall(t) - ((sl_time_wall(t) % 86400) + 86400) % 86400, .kind = SL_TIME_DATE };
        *ret = sl_val_time(arena, t);
        return true;
    }
    if (sl_str_eqc(type, "DURATION")) {
        if (!sl_duration_parse(sl_str_trim(s), &ms))
            return wrong(s, type, err);
        *ret = sl_val_duration(arena, ms);
        return true;
    }
    *ret = sl_val_str(arena, s);
    return sl_str_eqc(type, "STRING") || sl_err_set(err, SL_ERR_CONFIG, "kv.type", "'%.*s' is not a type of values; there are STRING, NUMBER, BOOLEAN, DATETIME, DATE, DURATION and JSON", SL_ARG(type));
}

bool sl_kv_encode(sl_arena *arena, const sl_val *v, sl_str wanted, sl_str *ret_json, sl_str *ret_type, sl_err *err)
{
    if (wanted.n > 0 && !sl_str_eq(own_type(v), wanted)) {
        sl_str text = v->type == SL_STRING ? v->s : sl_val_text(arena, v);
        if (!convert(arena, text, wanted, &v, err))
            return false;
    }
    *ret_type = wanted.n > 0 ? wanted : own_type(v);
    *ret_json = sl_json(arena, v);
    return true;
}

const sl_val *sl_kv_decode(sl_arena *arena, const sl_kv_entry *e, sl_err *err)
{
    const sl_val *v = sl_json_parse(arena, e->value, err);
    sl_time t;
    int64_t ms;
    if (v == NULL || v->type != SL_STRING)
        return v;
    if ((sl_str_eqc(e->type, "DATETIME") || sl_str_eqc(e->type, "DATE")) && sl_time_parse(v->s, &t))
        return sl_val_time(arena, t);
    if (sl_str_eqc(e->type, "DURATION") && sl_duration_parse(v->s, &ms))
        return sl_val_duration(arena, ms);
    return v;
}
