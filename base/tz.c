/*
 * base/tz.c: time zones out of the system's TZif files (RFC 8536), version 2 data, and its POSIX footer for later years.
 *
 * Own code, because libc's zone is one per process and hidden behind the TZ variable. Read-only after loading.
 */
#include <pthread.h>

#include "base/arena.h"
#include "base/fs.h"
#include "base/str.h"
#include "base/time.h"

typedef struct ttype {
    int32_t offset;
    bool is_dst;
    char abbreviation[12];
} ttype;

typedef struct rule {            /* one end of the footer's daylight rule */
    int kind;                    /* 'M' month.week.day, 'J' day 1..365 without leap day, 'n' day 0..365 */
    int month, week, day;
    int32_t time;
} rule;

struct sl_tz {
    struct sl_tz *next;
    char name[64];
    size_t count;                /* transitions */
    int64_t *at;
    uint8_t *type;
    ttype types[256];
    ttype std, dst;              /* the footer's */
    rule start, end;
    bool has_footer, has_dst;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static sl_tz *loaded; /* never freed: values point to zones */
static sl_tz utc = { .name = "UTC", .types = { { 0, false, "UTC" } } };

static uint32_t be32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int64_t be64(const unsigned char *p)
{
    return (int64_t)((uint64_t)be32(p) << 32 | be32(p + 4));
}

/* ---- the footer: a POSIX TZ string such as CET-1CEST,M3.5.0,M10.5.0/3 ---- */

static const char *footer_name(const char *p, char *out, size_t size)
{
    size_t n = 0;
    bool angled = *p == '<';
    p += angled;
    while (*p && (angled ? *p != '>' : (*p | 32) >= 'a' && (*p | 32) <= 'z')) {
        if (n + 1 < size)
            out[n++] = *p;
        p++;
    }
    out[n] = '\0';
    return p + (angled && *p == '>');
}

static const char *footer_time(const char *p, int32_t *out)
{
    int sign = 1;
    if (*p == '-' || *p == '+')
        sign = *p++ == '-' ? -1 : 1;
    int32_t v = 0, part = 0, scale = 3600;
    for (;; p++) {
        if (*p >= '0' && *p <= '9')
            part = part * 10 + (*p - '0');
        else {
            v += part * scale;
            part = 0;
            scale /= 60;
            if (*p != ':')
                break;
        }
    }
    *out = sign * v;
    return p;
}

static const char *footer_rule(const char *p, rule *r)
{
    char *end;
    r->time = 7200;
    if (*p == 'M') {
        r->kind = 'M';
        r->month = (int)strtol(p + 1, &end, 10);
        r->week = (int)strtol(end + (*end == '.'), &end, 10);
        r->day = (int)strtol(end + (*end == '.'), &end, 10);
    } else {
        r->kind = *p == 'J' ? 'J' : 'n';
        r->day = (int)strtol(p + (*p == 'J'), &end, 10);
    }
    return *end == '/' ? footer_time(end + 1, &r->time) : end;
}

static void parse_footer(sl_tz *tz, const char *p)
{
    if (*p == '\0' || *p == '\n')
        return;
    int32_t west;
    p = footer_time(footer_name(p, tz->std.abbreviation, sizeof tz->std.abbreviation), &west);
    tz->std.offset = -west;
    tz->has_footer = true;
    if (*p == '\0' || *p == '\n')
        return;
    p = footer_name(p, tz->dst.abbreviation, sizeof tz->dst.abbreviation);
    tz->dst.offset = tz->std.offset + 3600;
    tz->dst.is_dst = true;
    if (*p != ',') {
        p = footer_time(p, &west);
        tz->dst.offset = -west;
    }
    if (*p != ',')
        return;
    p = footer_rule(p + 1, &tz->start);
    if (*p != ',')
        return;
    (void)footer_rule(p + 1, &tz->end);
    tz->has_dst = tz->start.month <= 12 && tz->end.month <= 12;
}

/* When the rule fires in that year, as local seconds before the change. */
static int64_t rule_at(const rule *r, int64_t year)
{
    int64_t days;
    if (r->kind == 'M') {
        int64_t first = sl_days_from_civil(year, r->month, 1);
        int weekday = (int)(((first + 4) % 7 + 7) % 7);
        int day = 1 + (r->day - weekday + 7) % 7 + (r->week - 1) * 7;
        while (day > sl_days_in_month(year, r->month))
            day -= 7;
        days = first + day - 1;
    } else {
        days = sl_days_from_civil(year, 1, 1) + r->day;
        if (r->kind == 'J')
            days -= r->day < 60 || sl_days_in_month(year, 2) == 28;
    }
    return days * 86400 + r->time;
}

static const ttype *footer_type(const sl_tz *tz, int64_t s)
{
    if (!tz->has_dst)
        return &tz->std;
    int64_t year = sl_civil_from_seconds(s + tz->std.offset).year;
    int64_t start = rule_at(&tz->start, year) - tz->std.offset, end = rule_at(&tz->end, year) - tz->dst.offset;
    bool dst = start < end ? s >= start && s < end : s >= start || s < end;
    return dst ? &tz->dst : &tz->std;
}

static const ttype *type_at(const sl_tz *tz, int64_t s)
{
    if (tz->count == 0)
        return tz->has_footer ? footer_type(tz, s) : &tz->types[0];
    if (s < tz->at[0])
        return &tz->types[0];
    if (s >= tz->at[tz->count - 1])
        return tz->has_footer ? footer_type(tz, s) : &tz->types[tz->type[tz->count - 1]];
    size_t low = 0, high = tz->count - 1;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (tz->at[middle] <= s)
            low = middle;
        else
            high = middle;
    }
    return &tz->types[tz->type[low]];
}

/* ---- the file ---- */

static bool parse_file(sl_tz *tz, sl_str file)
{
    const unsigned char *p = (const unsigned char *)file.p, *end = p + file.n;
    for (int pass = 0; pass < 2; pass++) {
        if (end - p < 44 || memcmp(p, "TZif", 4) != 0)
            return false;
        uint32_t isut = be32(p + 20), isstd = be32(p + 24), leap = be32(p + 28), time = be32(p + 32), types = be32(p + 36),
                 chars = be32(p + 40);
        if (time > 10000 || types > 256 || chars > 4096 || leap > 1000 || isut > 256 || isstd > 256 || types == 0)
            return false;
        size_t width = pass == 0 ? 4 : 8;
        size_t size = time * width + time + types * 6 + chars + leap * (width + 4) + isstd + isut;
        p += 44;
        if ((size_t)(end - p) < size)
            return false;
        if (pass == 0) {
            p += size;
            continue;
        }
        tz->count = time;
        tz->at = sl_malloc(time * sizeof *tz->at);
        tz->type = sl_malloc(time);
        const unsigned char *kinds = p + time * 9, *names = kinds + types * 6;
        for (uint32_t i = 0; i < time; i++) {
            tz->at[i] = be64(p + i * 8);
            tz->type[i] = p[time * 8 + i];
            if (tz->type[i] >= types)
                return false;
        }
        for (uint32_t i = 0; i < types; i++) {
            tz->types[i].offset = (int32_t)be32(kinds + i * 6);
            tz->types[i].is_dst = kinds[i * 6 + 4] != 0;
            if (kinds[i * 6 + 5] < chars)
                (void)snprintf(tz->types[i].abbreviation, sizeof tz->types[i].abbreviation, "%s",
                               (const char *)names + kinds[i * 6 + 5]);
        }
        p += size;
        if (end - p > 2 && *p == '\n')
            parse_footer(tz, (const char *)p + 1);
    }
    return true;
}

static sl_tz *fixed_offset(sl_str name)
{
    sl_time t;
    char text[64];
    int n = snprintf(text, sizeof text, "1970-01-01T00:00:00%.*s", SL_ARG(name));
    if (n <= 0 || (size_t)n >= sizeof text || !sl_time_parse((sl_str){ text, (size_t)n }, &t))
        return NULL;
    sl_tz *tz = sl_malloc(sizeof *tz);
    memset(tz, 0, sizeof *tz);
    tz->types[0].offset = t.offset_s;
    return tz;
}

static sl_tz *load(sl_str name)
{
    if (name.n == 0 || name.n >= sizeof utc.name || sl_str_find(name, SL_S("..")) >= 0)
        return NULL;
    if (name.p[0] == '+' || name.p[0] == '-')
        return fixed_offset(name);
    SL_ARENA a = sl_arena_new();
    sl_str file;
    sl_err ignored;
    sl_str path = name.p[0] == '/' ? name : sl_fmt(a, "/usr/share/zoneinfo/%.*s", SL_ARG(name));
    if (!sl_fs_read(a, sl_cstr(a, path), 1 << 20, &file, &ignored))
        return NULL;
    sl_tz *tz = sl_malloc(sizeof *tz);
    memset(tz, 0, sizeof *tz);
    if (parse_file(tz, (sl_str){ file.p, file.n }))
        return tz;
    free(tz->at);
    free(tz->type);
    free(tz);
    return NULL;
}

const sl_tz *sl_tz_utc(void)
{
    return &utc;
}

const sl_tz *sl_tz_find(sl_str name, sl_err *err)
{
    if (sl_str_eqc(name, "UTC") || sl_str_eqc(name, "Z") || sl_str_eqc(name, "GMT") || sl_str_eqc(name, "Etc/UTC"))
        return &utc;
    pthread_mutex_lock(&lock);
    sl_tz *tz = loaded;
    while (tz != NULL && !sl_str_eqc(name, tz->name))
        tz = tz->next;
    if (tz == NULL && (tz = load(name)) != NULL) {
        (void)snprintf(tz->name, sizeof tz->name, "%.*s", SL_ARG(name));
        tz->next = loaded;
        loaded = tz;
    }
    pthread_mutex_unlock(&lock);
    if (tz == NULL)
        sl_err_set(err, SL_ERR_CONFIG, "time.zone", "unknown time zone '%.*s'; use a name such as Europe/Paris, or an offset such as +02:00",
                   SL_ARG(name));
    return tz;
}

const sl_tz *sl_tz_local(void)
{
    sl_err ignored;
    const char *env = getenv("TZ");
    const sl_tz *tz = NULL;
    if (env != NULL && *env != '\0')
        tz = sl_tz_find(sl_str_c(env + (*env == ':')), &ignored);
    else if (env == NULL)
        tz = sl_tz_find(SL_S("/etc/localtime"), &ignored);
    return tz ? tz : &utc;
}

sl_str sl_tz_name(const sl_tz *tz)
{
    return sl_str_c(tz->name);
}

int32_t sl_tz_offset(const sl_tz *tz, int64_t utc_s, sl_str *abbreviation)
{
    const ttype *t = type_at(tz, utc_s);
    if (abbreviation != NULL)
        *abbreviation = sl_str_c(t->abbreviation);
    return t->offset;
}

int64_t sl_tz_to_utc(const sl_tz *tz, int64_t local_s)
{
    /* The offsets a day before and after bracket any single change. */
    int32_t before = sl_tz_offset(tz, local_s - 86400, NULL), after = sl_tz_offset(tz, local_s + 86400, NULL);
    if (sl_tz_offset(tz, local_s - before, NULL) == before)
        return local_s - before;
    if (sl_tz_offset(tz, local_s - after, NULL) == after)
        return local_s - after;
    return local_s - before; /* in the gap: the old offset moves it forward by the gap */
}
