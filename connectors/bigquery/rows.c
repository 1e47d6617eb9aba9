/* connectors/bigquery/rows.c: cells of the REST API to native values, without loss (connectors reference B7.6). */
#include <math.h>

#include "base/arena.h"
#include "base/json.h"
#include "connectors/bigquery/bigquery.h"

static const sl_val *cell(sl_arena *a, const sl_val *field, const sl_val *v);

static const sl_val *micros(sl_arena *a, sl_str s)
{
    int64_t us;
    if (!sl_parse_int(s, &us))
        return sl_val_str(a, s);
    int64_t seconds = us >= 0 ? us / 1000000 : -((999999 - us) / 1000000);
    return sl_val_time(a, (sl_time){ .s = seconds, .ns = (int32_t)(us - seconds * 1000000) * 1000, .kind = SL_TIME_INSTANT });
}

static const sl_val *floating(sl_arena *a, sl_str s)
{
    double d;
    if (sl_parse_double(s, &d))
        return sl_val_double(a, d);
    if (sl_str_ieq(s, SL_S("NaN")))
        return sl_val_double(a, NAN);
    return sl_val_double(a, s.n > 0 && s.p[0] == '-' ? -INFINITY : INFINITY);
}

static const sl_val *scalar(sl_arena *a, sl_str type, const sl_val *v)
{
    sl_str s = sl_val_text(a, v);
    int64_t i;
    sl_time t;
    sl_err ignored;
    if (sl_str_eqc(type, "INTEGER") || sl_str_eqc(type, "INT64"))
        return sl_parse_int(s, &i) ? sl_val_int(a, i) : sl_val_str(a, s);
    if (sl_str_eqc(type, "FLOAT") || sl_str_eqc(type, "FLOAT64"))
        return floating(a, s);
    if (sl_str_eqc(type, "NUMERIC") || sl_str_eqc(type, "BIGNUMERIC"))
        return sl_val_decimal(a, s);
    if (sl_str_eqc(type, "BOOLEAN") || sl_str_eqc(type, "BOOL"))
        return sl_val_bool(sl_str_eqc(s, "true"));
    if (sl_str_eqc(type, "TIMESTAMP"))
        return micros(a, s);
    if ((sl_str_eqc(type, "DATE") || sl_str_eqc(type, "TIME")) && sl_time_parse(s, &t))
        return sl_val_time(a, t);
    if (sl_str_eqc(type, "JSON")) {
        const sl_val *doc = sl_json_parse(a, s, &ignored);
        return doc ? doc : sl_val_str(a, s);
    }
    return sl_val_str(a, s);
}

static const sl_val *record(sl_arena *a, const sl_val *fields, const sl_val *v)
{
    sl_val *out = sl_map(a);
    const sl_val *cells = sl_get(v, "f");
    for (size_t i = 0; i < sl_val_count(fields); i++) {
        const sl_val *c = sl_get(sl_at(cells, i), "v");
        sl_map_set(a, out, sl_get_text(sl_at(fields, i), "name"), cell(a, sl_at(fields, i), c));
    }
    return out;
}

static const sl_val *one(sl_arena *a, const sl_val *field, const sl_val *v)
{
    sl_str type = sl_get_text(field, "type");
    if (sl_is_null(v))
        return &sl_null_val;
    if (sl_str_eqc(type, "RECORD") || sl_str_eqc(type, "STRUCT"))
        return record(a, sl_get(field, "fields"), v);
    return scalar(a, type, v);
}

static const sl_val *cell(sl_arena *a, const sl_val *field, const sl_val *v)
{
    if (!sl_str_eqc(sl_get_text(field, "mode"), "REPEATED"))
        return one(a, field, v);
    sl_val *list = sl_list(a);
    for (size_t i = 0; i < sl_val_count(v); i++)
        sl_list_add(a, list, one(a, field, sl_get(sl_at(v, i), "v")));
    return list;
}

const sl_val *sl_bq_row(sl_arena *arena, const sl_val *schema, const sl_val *row)
{
    return record(arena, sl_get(schema, "fields"), row);
}
