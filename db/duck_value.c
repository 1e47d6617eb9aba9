/* db/duck_value.c: see duck_value.h. */
#include "db/duck_value.h"

#include "base/arena.h"
#include "base/json.h"

#define f sl_duck_library_api.functions

/* duckdb_type */
enum { BOOLEAN = 1, TINYINT, SMALLINT, INTEGER, BIGINT, UTINYINT, USMALLINT, UINTEGER, UBIGINT, FLOAT, DOUBLE, TIMESTAMP, DATE, TIME, INTERVAL, HUGEINT, VARCHAR, BLOB, DECIMAL, TIMESTAMP_S, TIMESTAMP_MS,
       TIMESTAMP_NS, ENUM, LIST, STRUCT, MAP, UUID, UNION, BIT, TIME_TZ, TIMESTAMP_TZ, UHUGEINT, ARRAY, ANY, BIGNUM, SQLNULL };

__extension__ typedef __int128 i128;
__extension__ typedef unsigned __int128 u128;

typedef struct text {             /* duckdb_string_t: up to twelve bytes are in place */
    uint32_t n;
    char start[4];
    const char *p;
} text;

typedef struct wide {
    uint64_t low;
    int64_t high;
} wide;

typedef struct span {
    int32_t months, days;
    int64_t micros;
} span;

/* ---- types ---- */

static sl_str owned(sl_arena *a, char *p)
{
    sl_str s = sl_str_dup(a, sl_str_c(p));
    if (p != NULL)
        f.free(p);
    return s;
}

static bool child(sl_arena *a, sl_duck_column *parent, size_t i, sl_str name, duckdb_logical_type type, sl_err *err)
{
    bool ok = sl_duck_column_of(a, type, &parent->children[i], err);
    parent->children[i].name = name;
    f.destroy_logical_type(&type);
    return ok;
}

static bool children(sl_arena *a, duckdb_logical_type type, sl_duck_column *c, sl_err *err)
{
    c->count = c->type == STRUCT ? f.struct_type_child_count(type) : c->type == MAP ? 2 : 1;
    c->children = SL_ARRAY(a, sl_duck_column, c->count);
    if (c->type == MAP)
        return child(a, c, 0, SL_S("key"), f.map_type_key_type(type), err) && child(a, c, 1, SL_S("value"), f.map_type_value_type(type), err);
    if (c->type == LIST)
        return child(a, c, 0, SL_S(""), f.list_type_child_type(type), err);
    if (c->type == ARRAY) {
        c->count = f.array_type_array_size(type);
        return child(a, c, 0, SL_S(""), f.array_type_child_type(type), err);
    }
    for (size_t i = 0; i < c->count; i++)
        if (!child(a, c, i, owned(a, f.struct_type_child_name(type, i)), f.struct_type_child_type(type, i), err))
            return false;
    return true;
}

bool sl_duck_column_of(sl_arena *a, duckdb_logical_type type, sl_duck_column *c, sl_err *err)
{
    c->type = c->internal = f.get_type_id(type);
    c->json = sl_str_eqc(owned(a, f.logical_type_get_alias(type)), "JSON");
    switch (c->type) {
    case DECIMAL:
        c->internal = f.decimal_internal_type(type);
        c->scale = f.decimal_scale(type);
        return true;
    case ENUM:
        c->internal = f.enum_internal_type(type);
        c->count = f.enum_dictionary_size(type);
        c->words = SL_ARRAY(a, sl_str, c->count);
        for (size_t i = 0; i < c->count; i++)
            c->words[i] = owned(a, f.enum_dictionary_value(type, i));
        return true;
    case LIST:
    case STRUCT:
    case MAP:
    case ARRAY: return children(a, type, c, err);
    case UNION:
    case BIT:
    case ANY:
    case BIGNUM: return sl_err_set(err, SL_ERR_CONFIG, "duckdb.type", "a column of the result has a type of DuckDB that has no form here (UNION, BIT, BIGNUM or the like); cast it to VARCHAR");
    default: return (c->type >= BOOLEAN && c->type <= SQLNULL) || sl_err_set(err, SL_ERR_CONFIG, "duckdb.type", "a column of the result has DuckDB's type number %d, which is not known here; cast it to VARCHAR", c->type);
    }
}

/* ---- values ---- */

static sl_str string_at(const void *data, idx_t row)
{
    const text *t = (const text *)data + row;
    return (sl_str){ t->n <= 12 ? t->start : t->p, t->n };
}

/* Digits of a 128-bit number, with a decimal point before the last `scale`. */
static sl_str digits(sl_arena *a, bool negative, u128 v, int scale)
{
    char p[48];
    size_t at = sizeof p;
    for (int i = 0; v != 0 || i <= scale; i++) {
        if (scale > 0 && i == scale)
            p[--at] = '.';
        p[--at] = (char)('0' + (int)(v % 10));
        v /= 10;
    }
    if (negative)
        p[--at] = '-';
    return sl_str_dup(a, (sl_str){ p + at, sizeof p - at });
}

static sl_str wide_text(sl_arena *a, i128 v, int scale)
{
    return digits(a, v < 0, v < 0 ? -(u128)v : (u128)v, scale);
}

static i128 wide_at(const void *data, idx_t row)
{
    const wide *w = (const wide *)data + row;
    return (i128)((u128)(uint64_t)w->high << 64 | w->low);
}

static bool integer_at(int type, const void *data, idx_t row, int64_t *ret)
{
    switch (type) {
    case TINYINT: *ret = ((const int8_t *)data)[row]; return true;
    case SMALLINT: *ret = ((const int16_t *)data)[row]; return true;
    case INTEGER: *ret = ((const int32_t *)data)[row]; return true;
    case BIGINT: *ret = ((const int64_t *)data)[row]; return true;
    case UTINYINT: *ret = ((const uint8_t *)data)[row]; return true;
    case USMALLINT: *ret = ((const uint16_t *)data)[row]; return true;
    case UINTEGER: *ret = ((const uint32_t *)data)[row]; return true;
    default: return false;
    }
}

static const sl_val *instant(sl_arena *a, int64_t at, int64_t per_second, const sl_tz *zone, bool local)
{
    int64_t s = at / per_second, part = at % per_second;
    if (at == INT64_MAX || at == -INT64_MAX)
        return sl_val_c(a, at > 0 ? "infinity" : "-infinity");
    if (part < 0)
        part += per_second, s--;
    if (zone == NULL)
        return sl_val_time(a, (sl_time){ .kind = local ? SL_TIME_LOCAL : SL_TIME_INSTANT, .s = s, .ns = (int32_t)(part * (1000000000 / per_second)) });
    return sl_val_time(a, sl_time_at(local ? sl_tz_to_utc(zone, s) : s, (int32_t)(part * (1000000000 / per_second)), local ? zone : sl_tz_utc()));
}

static const sl_val *date_at(sl_arena *a, int32_t days)
{
    if (days == INT32_MAX || days == -INT32_MAX)
        return sl_val_c(a, days > 0 ? "infinity" : "-infinity");
    return sl_val_time(a, (sl_time){ .kind = SL_TIME_DATE, .s = (int64_t)days * 86400 });
}

static const sl_val *clock_value(sl_arena *a, int64_t micros)
{
    return sl_val_time(a, (sl_time){ .kind = SL_TIME_OF_DAY, .s = micros / 1000000, .ns = (int32_t)(micros % 1000000 * 1000) });
}

/* All fields, whole seconds, as for PostgreSQL. */
static const sl_val *span_value(sl_arena *a, const span *s)
{
    int64_t seconds = s->micros / 1000000;
    return sl_val_str(a, sl_fmt(a, "P%dY%dM%dDT%lldH%lldM%lldS", s->months / 12, s->months % 12, s->days, (long long)(seconds / 3600), (long long)(seconds / 60 % 60), (long long)(seconds % 60)));
}

static const sl_val *uuid_value(sl_arena *a, const wide *w)
{
    uint64_t high = (uint64_t)w->high ^ (uint64_t)1 << 63; /* stored so that it sorts as a signed number */
    return sl_val_str(a, sl_fmt(a, "%08llx-%04llx-%04llx-%04llx-%012llx", (unsigned long long)(high >> 32), (unsigned long long)(high >> 16 & 0xFFFF), (unsigned long long)(high & 0xFFFF),
                                (unsigned long long)(w->low >> 48), (unsigned long long)(w->low & 0xFFFFFFFFFFFF)));
}

static const sl_val *float_value(sl_arena *a, float x)
{
    double d = (double)x;
    return sl_val_double(a, sl_parse_double(sl_float_text(a, x), &d) ? d : (double)x);
}

static const sl_val *list_value(sl_arena *a, const sl_duck_column *c, duckdb_vector items, idx_t from, idx_t n, const sl_tz *zone)
{
    sl_val *list = sl_list(a);
    for (idx_t i = 0; i < n; i++)
        sl_list_add(a, list, sl_duck_value(a, c, items, from + i, zone));
    return list;
}

static const sl_val *map_value(sl_arena *a, const sl_duck_column *c, duckdb_vector v, idx_t from, idx_t n, const sl_tz *zone)
{
    sl_val *map = sl_map(a);
    duckdb_vector pairs = f.list_vector_get_child(v), keys = f.struct_vector_get_child(pairs, 0), values = f.struct_vector_get_child(pairs, 1);
    for (idx_t i = from; i < from + n; i++)
        sl_map_set(a, map, sl_val_text(a, sl_duck_value(a, &c->children[0], keys, i, zone)), sl_duck_value(a, &c->children[1], values, i, zone));
    return map;
}

static const sl_val *nested(sl_arena *a, const sl_duck_column *c, duckdb_vector v, const void *data, idx_t row, const sl_tz *zone)
{
    const uint64_t *entry = (const uint64_t *)data + 2 * row; /* duckdb_list_entry: offset, length */
    sl_val *map;
    switch (c->type) {
    case LIST: return list_value(a, &c->children[0], f.list_vector_get_child(v), entry[0], entry[1], zone);
    case ARRAY: return list_value(a, &c->children[0], f.array_vector_get_child(v), row * c->count, c->count, zone);
    case MAP: return map_value(a, c, v, entry[0], entry[1], zone);
    default:
        map = sl_map(a);
        for (size_t i = 0; i < c->count; i++)
            sl_map_set(a, map, c->children[i].name, sl_duck_value(a, &c->children[i], f.struct_vector_get_child(v, i), row, zone));
        return map;
    }
}

static const sl_val *text_value(sl_arena *a, const sl_duck_column *c, sl_str s)
{
    sl_err ignored;
    sl_str own = sl_str_dup(a, s);
    const sl_val *doc = c->json ? sl_json_parse(a, own, &ignored) : NULL;
    return doc ? doc : sl_val_str(a, own);
}

static const sl_val *number(sl_arena *a, const sl_duck_column *c, const void *data, idx_t row)
{
    int64_t i;
    bool narrow = integer_at(c->internal, data, row, &i);
    switch (c->type) {
    case FLOAT: return float_value(a, ((const float *)data)[row]);
    case DOUBLE: return sl_val_double(a, ((const double *)data)[row]);
    case DECIMAL: return sl_val_decimal(a, wide_text(a, narrow ? i : wide_at(data, row), c->scale));
    case ENUM: return sl_val_str(a, narrow && (size_t)i < c->count ? c->words[i] : SL_S(""));
    case UBIGINT: return sl_val_decimal(a, digits(a, false, ((const uint64_t *)data)[row], 0));
    case HUGEINT: return sl_val_str(a, wide_text(a, wide_at(data, row), 0));
    case UHUGEINT: return sl_val_str(a, digits(a, false, (u128)wide_at(data, row), 0));
    default: return sl_val_int(a, i);
    }
}

const sl_val *sl_duck_value(sl_arena *a, const sl_duck_column *c, duckdb_vector v, idx_t row, const sl_tz *zone)
{
    const uint64_t *validity = f.vector_get_validity(v);
    const void *data = f.vector_get_data(v);
    if (c->type == SQLNULL || (validity != NULL && (validity[row / 64] >> row % 64 & 1) == 0))
        return &sl_null_val;
    switch (c->type) {
    case BOOLEAN: return sl_val_bool(((const uint8_t *)data)[row] != 0);
    case VARCHAR: return text_value(a, c, string_at(data, row));
    case BLOB: return sl_val_str(a, sl_base64(a, string_at(data, row)));
    case TIMESTAMP: return instant(a, ((const int64_t *)data)[row], 1000000, zone, true);
    case TIMESTAMP_S: return instant(a, ((const int64_t *)data)[row], 1, zone, true);
    case TIMESTAMP_MS: return instant(a, ((const int64_t *)data)[row], 1000, zone, true);
    case TIMESTAMP_NS: return instant(a, ((const int64_t *)data)[row], 1000000000, zone, true);
    case TIMESTAMP_TZ: return instant(a, ((const int64_t *)data)[row], 1000000, zone, false);
    case DATE: return date_at(a, ((const int32_t *)data)[row]);
    case TIME: return clock_value(a, ((const int64_t *)data)[row]);
    case TIME_TZ: return clock_value(a, (int64_t)(((const uint64_t *)data)[row] >> 24));
    case INTERVAL: return span_value(a, (const span *)data + row);
    case UUID: return uuid_value(a, (const wide *)data + row);
    case LIST:
    case ARRAY:
    case MAP:
    case STRUCT: return nested(a, c, v, data, row, zone);
    default: return number(a, c, data, row);
    }
}
