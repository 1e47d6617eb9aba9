/* connectors/postgres/value.c: the server's text to native values, without loss, and back (connectors reference A9). */
#include <math.h>

#include "base/arena.h"
#include "base/json.h"
#include "connectors/postgres/pg.h"

/* pg_type.dat of PostgreSQL; 4000: Redshift's super. */
enum { BOOL = 16, BYTEA = 17, INT8 = 20, INT2 = 21, INT4 = 23, OID = 26, JSON = 114, FLOAT4 = 700, FLOAT8 = 701, DATE = 1082, TIME = 1083, TIMESTAMP = 1114, TIMESTAMPTZ = 1184, INTERVAL = 1186, TIMETZ = 1266,
       NUMERIC = 1700, VOID = 2278, JSONB = 3802, SUPER = 4000, TEXT = 25 };

static const struct {
    unsigned array, element;
} arrays[] = { { 1000, BOOL },      { 1001, BYTEA },   { 1005, INT2 },  { 1007, INT4 },     { 1016, INT8 },   { 1028, OID },   { 199, JSON },    { 3807, JSONB },   { 1021, FLOAT4 }, { 1022, FLOAT8 }, { 1182, DATE },
               { 1183, TIME },      { 1115, TIMESTAMP }, { 1185, TIMESTAMPTZ }, { 1187, INTERVAL }, { 1270, TIMETZ }, { 1231, NUMERIC }, { 1009, TEXT }, { 1015, TEXT }, { 1014, TEXT }, { 2951, TEXT } };

static unsigned element_of(unsigned oid)
{
    for (size_t i = 0; i < SL_COUNT(arrays); i++)
        if (arrays[i].array == oid)
            return arrays[i].element;
    return 0;
}

bool sl_pg_is_array(unsigned oid)
{
    return element_of(oid) != 0;
}

/* "2024-01-31 10:00:00.5+01" in ISO's form: a T, and minutes in the offset. */
static bool parse_time(sl_arena *a, sl_str s, sl_time *ret)
{
    sl_buf b = sl_buf_new(a, s.n + 8);
    for (size_t i = 0; i < s.n; i++)
        sl_buf_char(&b, s.p[i] == ' ' ? 'T' : s.p[i]);
    ptrdiff_t plus = sl_str_rfind(s, SL_S("+")), minus = sl_str_rfind(s, SL_S("-")), sign = plus > minus ? plus : minus;
    if (sign > 7 && s.n - (size_t)sign == 3)
        sl_buf_addc(&b, ":00");
    return sl_time_parse(sl_buf_str(&b), ret);
}

static const sl_val *time_value(sl_arena *a, unsigned oid, sl_str s, const sl_tz *zone)
{
    sl_time t;
    if (oid == TIMETZ) { /* Kestra gives a LocalTime */
        ptrdiff_t plus = sl_str_rfind(s, SL_S("+")), minus = sl_str_rfind(s, SL_S("-"));
        ptrdiff_t sign = plus > minus ? plus : minus;
        s = sign > 0 ? sl_str_sub(s, 0, (size_t)sign) : s;
    }
    if (!parse_time(a, s, &t))
        return sl_val_str(a, s); /* infinity, years BC */
    return sl_val_time(a, oid == TIMESTAMPTZ ? sl_time_at(t.s, t.ns, zone) : t);
}

/* "1 year 2 mons -3 days 04:05:06.7" as P1Y2M-3DT4H5M6S: all fields, whole seconds, as Kestra has it. */
static const sl_val *interval(sl_arena *a, sl_str s)
{
    int64_t years = 0, months = 0, days = 0, h = 0, m = 0, sec = 0, n = 0;
    sl_str rest = s, word;
    while (rest.n > 0 && sl_str_cut(&rest, ' ', &word)) {
        ptrdiff_t colon = sl_str_find(word, SL_S(":"));
        if (colon > 0) {
            bool minus = word.p[0] == '-';
            sl_str clock = minus ? sl_str_sub(word, 1, word.n) : word, part, seconds;
            (void)sl_str_cut(&clock, ':', &part);
            (void)sl_parse_int(part, &h);
            (void)sl_str_cut(&clock, ':', &part);
            (void)sl_parse_int(part, &m);
            seconds = clock.p ? clock : SL_S("0");
            (void)sl_str_cut(&seconds, '.', &part);
            (void)sl_parse_int(part, &sec);
            if (minus)
                h = -h, m = -m, sec = -sec;
        } else if (sl_str_starts(word, SL_S("year")))
            years = n;
        else if (sl_str_starts(word, SL_S("mon")))
            months = n;
        else if (sl_str_starts(word, SL_S("day")))
            days = n;
        else if (!sl_parse_int(word, &n))
            return sl_val_str(a, s); /* another IntervalStyle */
    }
    return sl_val_str(a, sl_fmt(a, "P%lldY%lldM%lldDT%lldH%lldM%lldS", (long long)years, (long long)months, (long long)days, (long long)h, (long long)m, (long long)sec));
}

/* \x0102… as base64: bytes have no type of their own here. */
static const sl_val *bytes(sl_arena *a, sl_str s)
{
    const char *digits = "0123456789abcdef";
    if (!sl_str_starts(s, SL_S("\\x")))
        return sl_val_str(a, s);
    sl_buf b = sl_buf_new(a, s.n);
    for (size_t i = 2; i + 1 < s.n; i += 2) {
        const char *high = strchr(digits, s.p[i]), *low = strchr(digits, s.p[i + 1]);
        sl_buf_char(&b, (char)((high ? high - digits : 0) * 16 + (low ? low - digits : 0)));
    }
    return sl_val_str(a, sl_base64(a, sl_buf_str(&b)));
}

static const sl_val *floating(sl_arena *a, sl_str s)
{
    double d;
    if (sl_parse_double(s, &d))
        return sl_val_double(a, d);
    return sl_val_double(a, sl_str_eqc(s, "NaN") ? NAN : s.n > 0 && s.p[0] == '-' ? -INFINITY : INFINITY);
}

/* {1,NULL,"a \"b\"",{…}} from *rest; depth is bounded by the server (6). */
static const sl_val *array(sl_arena *a, unsigned element, sl_str *rest, const sl_tz *zone)
{
    sl_val *list = sl_list(a);
    *rest = sl_str_sub(*rest, 1, rest->n);
    while (rest->n > 0 && rest->p[0] != '}') {
        if (rest->p[0] == ',') {
            *rest = sl_str_sub(*rest, 1, rest->n);
            continue;
        }
        if (rest->p[0] == '{') {
            sl_list_add(a, list, array(a, element, rest, zone));
            continue;
        }
        bool quotes = rest->p[0] == '"';
        sl_buf b = sl_buf_new(a, rest->n + 1);
        size_t i = quotes;
        for (; i < rest->n && (quotes ? rest->p[i] != '"' : rest->p[i] != ',' && rest->p[i] != '}'); i++) {
            if (rest->p[i] == '\\' && i + 1 < rest->n)
                i++;
            sl_buf_char(&b, rest->p[i]);
        }
        *rest = sl_str_sub(*rest, i + quotes, rest->n);
        sl_str text = sl_buf_str(&b);
        sl_list_add(a, list, !quotes && sl_str_eqc(text, "NULL") ? &sl_null_val : sl_pg_value(a, element, text, zone));
    }
    *rest = sl_str_sub(*rest, 1, rest->n);
    return list;
}

const sl_val *sl_pg_value(sl_arena *a, unsigned oid, sl_str s, const sl_tz *zone)
{
    int64_t i;
    sl_err ignored;
    const sl_val *doc;
    switch (oid) {
    case BOOL: return sl_val_bool(sl_str_eqc(s, "t"));
    case INT2:
    case INT4:
    case INT8:
    case OID: return sl_parse_int(s, &i) ? sl_val_int(a, i) : sl_val_str(a, s);
    case FLOAT4:
    case FLOAT8: return floating(a, s);
    case NUMERIC: return sl_str_eqc(s, "NaN") ? sl_val_str(a, s) : sl_val_decimal(a, s);
    case DATE:
    case TIME:
    case TIMETZ:
    case TIMESTAMP:
    case TIMESTAMPTZ: return time_value(a, oid, s, zone);
    case INTERVAL: return interval(a, s);
    case BYTEA: return bytes(a, s);
    case JSON:
    case JSONB:
    case SUPER: doc = sl_json_parse(a, s, &ignored); return doc ? doc : sl_val_str(a, s);
    case VOID: return &sl_null_val;
    default: break;
    }
    if (!sl_pg_is_array(oid))
        return sl_val_str(a, s);
    ptrdiff_t brace = sl_str_find(s, SL_S("{")); /* bounds other than from 1 stand before it */
    sl_str rest = brace > 0 ? sl_str_sub(s, (size_t)brace, s.n) : s;
    return brace >= 0 ? array(a, element_of(oid), &rest, zone) : sl_val_str(a, s);
}

/* ---- back ---- */

static void literal(sl_buf *b, sl_arena *a, const sl_val *list)
{
    sl_buf_char(b, '{');
    for (size_t i = 0; i < list->list.n; i++) {
        const sl_val *v = list->list.items[i];
        if (i > 0)
            sl_buf_char(b, ',');
        if (v->type == SL_LIST) {
            literal(b, a, v);
            continue;
        }
        const char *text = sl_pg_text(a, v, false);
        if (text == NULL) {
            sl_buf_addc(b, "NULL");
            continue;
        }
        sl_buf_char(b, '"');
        for (const char *c = text; *c; c++) {
            if (*c == '"' || *c == '\\')
                sl_buf_char(b, '\\');
            sl_buf_char(b, *c);
        }
        sl_buf_char(b, '"');
    }
    sl_buf_char(b, '}');
}

const char *sl_pg_text(sl_arena *a, const sl_val *v, bool as_array)
{
    if (v == NULL || v->type == SL_NULL)
        return NULL;
    if (v->type == SL_LIST && as_array) {
        sl_buf b = sl_buf_new(a, SIZE_MAX / 4);
        literal(&b, a, v);
        return sl_buf_str(&b).p;
    }
    if (v->type == SL_MAP || v->type == SL_LIST)
        return sl_cstr(a, sl_json(a, v));
    sl_str text = sl_val_text(a, v);
    ptrdiff_t zone = v->type == SL_TIME ? sl_str_find(text, SL_S("[")) : -1; /* …+01:00[Europe/Paris] */
    return sl_cstr(a, zone > 0 ? sl_str_sub(text, 0, (size_t)zone) : text);
}
