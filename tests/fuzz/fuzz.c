/*
 * tests/fuzz/fuzz.c: every parser of outside text, under libFuzzer. FUZZ_TARGET names one; the first byte chooses otherwise.
 * Built by tools/fuzz. A finding becomes a test with the fix.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth/jwt.h"
#include "base/arena.h"
#include "base/ion.h"
#include "base/json.h"
#include "base/regex.h"
#include "base/sql.h"
#include "base/time.h"
#include "base/xml.h"
#include "base/yaml.h"
#include "base/fs.h"
#include "connectors/csv/schema.h"
#include "connectors/postgres/pg.h"
#include "connectors/script/tar.h"
#include "connectors/serdes/avro_read.h"
#include "connectors/serdes/avro_write.h"
#include "connectors/serdes/csv.h"
#include "connectors/serdes/xml_read.h"
#include "connectors/transfer/transfer.h"
#include "db/pg_binary.h"
#include "flows/cron.h"
#include "flows/expr.h"
#include "flows/model.h"
#include "flows/store.h"
#include "flows/trigger.h"
#include "local/aws_chunked.h"
#include "local/dynamo.h"
#include "local/redshift_table.h"
#include "local/gsql.h"
#include "net/http.h"
#include "net/multipart.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const sl_connector *const connectors[] = { NULL };
static const sl_registry registry = { connectors };

static void fuzz_json(sl_arena *a, sl_str text, sl_err *err)
{
    const sl_val *v = sl_json_parse(a, text, err), *exactly = sl_json_parse_exactly(a, text, err);
    sl_assert((v != NULL) == (exactly != NULL) && (v == NULL || sl_str_eq(sl_json(a, v), sl_json(a, exactly))));
    if (v != NULL) /* what was read can be written and read again */
        sl_assert(sl_json_parse(a, sl_json(a, v), err) != NULL);
}

static void fuzz_yaml(sl_arena *a, sl_str text, sl_err *err)
{
    (void)sl_yaml_parse(a, text, err);
}

static void fuzz_flow(sl_arena *a, sl_str text, sl_err *err)
{
    (void)err;
    sl_problems problems = { .arena = a };
    (void)sl_flow_parse(a, &registry, NULL, text, &problems);
}

static void fuzz_expr(sl_arena *a, sl_str text, sl_err *err)
{
    sl_val *vars = sl_map(a), *list = sl_list(a);
    sl_list_add(a, list, sl_val_int(a, 7));
    sl_map_setc(a, vars, "list", list);
    sl_map_set_str(a, vars, "s", SL_S("text"));
    sl_expr_env env = { .vars = vars, .jq_ms = -1 };
    sl_str out;
    (void)sl_expr_check(text, err);
    sl_err_clear(err);
    (void)sl_render(a, &env, text, &out, err);
}

static void fuzz_sql(sl_arena *a, sl_str text, sl_err *err)
{
    gs_context x = { .arena = a, .project = SL_S("p"), .dataset = SL_S("d"), .text = text, .err = err };
    gs_statement *list;
    size_t n;
    sl_err_clear(err);
    (void)gs_translate(&x, &list, &n);
}

static void fuzz_cron(sl_arena *a, sl_str text, sl_err *err)
{
    (void)a;
    sl_cron c;
    for (int six = 0; six < 2; six++)
        if (sl_cron_parse(text, six, &c, err)) {
            int64_t at = sl_cron_next(&c, sl_tz_utc(), SL_GAP_SKIP, 1700000000);
            sl_assert(at > 1700000000);
        }
}

static void fuzz_time(sl_arena *a, sl_str text, sl_err *err)
{
    sl_time t;
    int64_t ms;
    sl_str out;
    if (sl_time_parse(text, &t))
        (void)sl_time_java(a, t);
    (void)sl_duration_parse(text, &ms);
    (void)sl_time_parse_pattern(SL_S("2024-01-31 10:11"), text, &t);
    (void)sl_time_format(a, sl_time_at(1700000000, 5, sl_tz_utc()), text, &out, err);
}

static void fuzz_url(sl_arena *a, sl_str text, sl_err *err)
{
    sl_url u;
    if (sl_url_parse(text, &u, err))
        (void)sl_url_resolve(a, SL_S("http://a/b/c?d"), text);
    (void)sl_url_resolve(a, SL_S("http://a/b/c?d"), text);
    sl_str out;
    (void)sl_percent_decode(a, text, true, &out);
    (void)sl_base64_decode(a, text, &out);
}

static void fuzz_jwt(sl_arena *a, sl_str text, sl_err *err)
{
    const sl_val *claims;
    (void)sl_jwt_verify(a, text, SL_S("no key"), &claims, err);
}

static void fuzz_ion(sl_arena *a, sl_str text, sl_err *err)
{
    while (text.n > 0 && sl_ion_read(a, &text, err) != NULL)
        ;
}

static void fuzz_multipart(sl_arena *a, sl_str text, sl_err *err)
{
    const sl_val *parts;
    (void)sl_multipart_parse(a, SL_S("multipart/form-data; boundary=x"), text, &parts, err);
    sl_str rest = text, type;
    (void)sl_str_cut(&rest, '\n', &type);
    (void)sl_multipart_parse(a, type, rest.p ? rest : SL_S(""), &parts, err);
}

/* A trigger as JSON: checked, and, when it is good, asked for dates. */
static void fuzz_trigger(sl_arena *a, sl_str text, sl_err *err)
{
    sl_problems problems = { .arena = a };
    const sl_val *v = sl_json_parse(a, text, err);
    sl_schedule s;
    if (!sl_is(v, SL_MAP))
        return;
    sl_trigger_check(a, &registry, v, &problems);
    if (problems.n == 0 && sl_trigger_find(sl_get_text(v, "type")) != NULL && sl_schedule_open(a, v, &s, err)) {
        int64_t next = sl_schedule_next(&s, 1700000000000);
        sl_assert(next > 1700000000000);
        (void)sl_schedule_due(&s, 1600000000000, 1700000000000, true);
    }
    sl_history h;
    (void)sl_history_parse(a, text, &h);
}

/* A reader that gives few bytes at a time. */
typedef struct drip {
    sl_reader reader;
    sl_str rest;
    size_t most;
} drip;

static ptrdiff_t drip_read(sl_reader *self, void *to, size_t n, sl_err *err)
{
    drip *d = (drip *)self;
    (void)err;
    n = n < d->most ? n : d->most;
    n = n < d->rest.n ? n : d->rest.n;
    memcpy(to, d->rest.p, n);
    d->rest = sl_str_sub(d->rest, n, d->rest.n);
    return (ptrdiff_t)n;
}

/* All that the reader finds, as one text. */
/* plain: those of so many fields come in one piece where they can; 0: none. */
static sl_str csv_found(sl_arena *a, sl_str text, const sl_csv_dialect *d, size_t most, size_t plain)
{
    drip in = { .reader = { drip_read, sl_reader_no_close }, .rest = text, .most = most };
    sl_csv *c = sl_csv_new(a, &in.reader, d);
    sl_buf b = sl_buf_new(a, 1 << 24);
    const sl_str *fields;
    const sl_csv_index *x;
    size_t n;
    int got;
    sl_err err;
    do {
        while (plain > 0 && (x = sl_csv_next_plain(c, plain)) != NULL)
            for (size_t i = 0; i < x->rows * plain; i++) {
                sl_str f = sl_csv_index_field(x, i / plain, i % plain);
                sl_buf_fmt(&b, "%s<%zu>%.*s", i % plain == 0 ? "1:" : "", f.n, SL_ARG(f));
            }
        if ((got = sl_csv_next(c, &fields, &n, &err)) != 0)
            sl_buf_fmt(&b, "%d:", got);
        if (got < 0)
            sl_buf_fmt(&b, "%lld", (long long)sl_csv_line(c));
        for (size_t i = 0; got == 1 && i < n; i++)
            sl_buf_fmt(&b, "<%zu>%.*s", fields[i].n, SL_ARG(fields[i]));
    } while (got != 0);
    return sl_buf_str(&b);
}

/* However the bytes come, the records are the same. */
static void fuzz_csv(sl_arena *a, sl_str text, sl_err *err)
{
    (void)err;
    if (text.n < 2)
        return;
    sl_csv_dialect d = { .separator = text.p[0] & 1 ? ',' : ';', .quote = text.p[0] & 2 ? '"' : '\'', .lenient = (text.p[0] & 4) != 0, .field_max = 1 << 20, .record_max = 1 << 22 };
    sl_str rest = sl_str_sub(text, 1, text.n), whole = csv_found(a, rest, &d, 1 << 20, 0);
    sl_assert(sl_str_eq(whole, csv_found(a, rest, &d, 1, 0)));
    sl_assert(sl_str_eq(whole, csv_found(a, rest, &d, 3, 2)));
    for (size_t columns = 1; columns < 5; columns++)
        sl_assert(sl_str_eq(whole, csv_found(a, rest, &d, 1 << 20, columns)));
}

static void fuzz_split(sl_arena *a, sl_str text, sl_err *err)
{
    sl_statement *list;
    sl_str out, rest = text;
    size_t n = sl_sql_split(a, text, &list), count;
    sl_val *values = sl_list(a), *bound = sl_list(a);
    sl_list_add(a, values, sl_val_c(a, "it's"));
    for (size_t i = 0; i < n; i++) {
        sl_assert(list[i].text.p == text.p + list[i].offset && list[i].offset + list[i].text.n <= text.n);
        (void)sl_sql_reads(a, list[i].text);
        (void)sl_sql_in_transaction(a, list[i].text);
        (void)sl_sql_bind(a, list[i].text, sl_map_of(a, "a", sl_at(values, 0)), &out, bound, err);
        (void)sl_sql_positions(a, list[i].text, &count);
        (void)sl_sql_fill(a, list[i].text, values, &out);
    }
    while (sl_sql_token(&rest).n > 0)
        ;
}

static void fuzz_xml(sl_arena *a, sl_str text, sl_err *err)
{
    const sl_val *doc = sl_xml_parse(a, text, NULL, err);
    (void)sl_xml_text(doc, "Error/Code");
    (void)sl_xml_escape(a, text);
}

static bool collect(void *self, const void *data, size_t n)
{
    sl_buf_add(self, (sl_str){ data, n });
    return true;
}

/* However the bytes come, the content is the same. */
static void fuzz_chunked(sl_arena *a, sl_str text, sl_err *err)
{
    (void)err;
    sl_caller caller = { .signature = SL_S("") };
    sl_buf found[2] = { sl_buf_new(a, 1 << 20), sl_buf_new(a, 1 << 20) };
    bool ok[2], complete[2];
    for (int k = 0; k < 2; k++) {
        sl_chunked c;
        sl_refusal why = { 0 };
        ok[k] = sl_chunked_begin(&c, a, &caller, SL_S(SL_SIGV4_UNSIGNED_TRAILER));
        for (size_t at = 0; ok[k] && at < text.n; at += k ? 1 : text.n)
            ok[k] = sl_chunked_add(&c, text.p + at, k ? 1 : text.n, collect, &found[k], &why);
        complete[k] = ok[k] && sl_chunked_complete(&c);
    }
    sl_assert(ok[0] == ok[1] && complete[0] == complete[1] && (!complete[0] || sl_str_eq(sl_buf_str(&found[0]), sl_buf_str(&found[1]))));
}

static void fuzz_redshift(sl_arena *a, sl_str text, sl_err *err)
{
    bool like = false; /* it needs a warehouse */
    for (sl_str rest = text, token; (token = sl_sql_token(&rest)).n > 0;)
        like |= is(token, "LIKE");
    if (!like)
        (void)sl_redshift_table(NULL, a, text, &text, err);
    (void)sl_redshift_shape(a, sl_redshift_casts(a, sl_redshift_names(a, sl_redshift_unnest(a, sl_redshift_literals(a, text)))));
}

static void fuzz_dynamo(sl_arena *a, sl_str text, sl_err *err)
{
    sl_val *values = sl_map(a), *item = sl_map(a);
    sl_ddb_names n = { .values = values };
    sl_refusal why;
    bool ret;
    const sl_val *shown;
    (void)err;
    sl_map_setc(a, values, ":v", sl_map_of(a, "S", sl_val_c(a, "x")));
    sl_map_setc(a, item, "a", sl_map_of(a, "S", sl_val_c(a, "xy")));
    sl_map_setc(a, item, "l", sl_map_of(a, "L", sl_list(a)));
    (void)sl_ddb_holds(a, text, &n, item, &ret, &why);
    (void)sl_ddb_project(a, text, &n, item, &shown, &why);
}

/* However a container's archive comes in pieces, it does the same, and nothing lies beside the folder. */
static void fuzz_tar(sl_arena *a, sl_str text, sl_err *err)
{
    char outer[] = "/tmp/sluice-fuzz-XXXXXX";
    sl_err ignored;
    bool ends[2];
    sl_assert(mkdtemp(outer) != NULL);
    for (int k = 0; k < 2; k++) {
        sl_str root = sl_fmt(a, "%s/in", outer);
        SL_WRITER w = sl_tar_writer(a, root, SL_S(".sluice"), 50);
        bool ok = sl_fs_mkdirs(root.p, err);
        size_t step = k == 0 ? text.n + 1 : 100;
        for (size_t at = 0; ok && at < text.n; at += step)
            ok = w->write(w, text.p + at, text.n - at < step ? text.n - at : step, err);
        ends[k] = ok && w->finish(w, err);
        sl_writer_close(&w);
        sl_assert(sl_fs_remove(root.p, &ignored));
    }
    sl_assert(ends[0] == ends[1]);
    sl_assert(rmdir(outer) == 0);
}

/* A column's type holds each of its values; a guess never fails. */
static void fuzz_column(sl_arena *a, sl_str text, sl_err *err)
{
    sl_csv_column c = { .name = { "c", 1 } };
    sl_csv_shape shape = { 0 };
    sl_str rest = text, one;
    int digits, scale;
    (void)err;
    sl_csv_guess_charset(text, true, &shape);
    sl_csv_guess_shape(text, true, &shape);
    while (rest.p != NULL && sl_str_cut(&rest, '\n', &one)) {
        sl_csv_column_add(&c, one);
        sl_assert(sl_csv_type_join(c.type, sl_csv_type_of(one, &digits, &scale)) == c.type);
    }
    (void)sl_csv_column_facts(a, &c);
    (void)sl_csv_redshift_type(a, &c);
}

static void fuzz_pg(sl_arena *a, sl_str text, sl_err *err)
{
    static const unsigned oids[] = { 16, 17, 23, 114, 701, 1082, 1114, 1184, 1186, 1700, 1007, 1009, 1115, 3807 };
    if (text.n == 0)
        return;
    (void)sl_pg_value(a, oids[(unsigned char)text.p[0] % SL_COUNT(oids)], sl_str_dup(a, sl_str_sub(text, 1, text.n)), sl_tz_utc());
    (void)sl_pg_keywords(a, text, "postgresql", "5432", sl_map(a), err);
}

static bool drop(void *self, sl_arena *arena, const sl_val *record, sl_err *err)
{
    (void)err;
    sl_buf b = sl_buf_new(arena, SIZE_MAX / 4);
    sl_ion_write(&b, arena, record);
    *(size_t *)self += b.n;
    return true;
}

static bool encode_again(void *self, sl_arena *arena, const sl_val *record, sl_err *err)
{
    sl_buf b = sl_buf_new(arena, 1 << 20);
    sl_avro_rules rules = { .zone = sl_tz_utc() };
    const sl_val *known = sl_avro_infer(arena, NULL, record, &rules), *schema = sl_avro_inferred(arena, known, err);
    const sl_avro *type = schema ? sl_avro_parse(arena, schema, err) : NULL;
    (void)self;
    if (type != NULL && sl_avro_encode(&b, arena, type, record, &rules, err)) {
        sl_str bytes = sl_buf_str(&b);
        sl_assert(sl_avro_value(arena, type, &bytes, err) != NULL && bytes.n == 0);
    }
    return true;
}

static void fuzz_avro(sl_arena *a, sl_str text, sl_err *err)
{
    drip in = { .reader = { drip_read, sl_reader_no_close }, .rest = text, .most = 1 << 20 };
    sl_avro_reading how = { .each = encode_again };
    sl_str out;
    (void)sl_avro_read(&how, &in.reader, err);
    (void)sl_unsnappy(a, text, 1 << 20, &out);
}

/* However its bytes come, an XML file has the same records. */
static void fuzz_records(sl_arena *a, sl_str text, sl_err *err)
{
    size_t whole = 0, dripped = 0;
    sl_val *path = sl_list(a);
    if (text.n > 0 && text.p[0] == '/')
        sl_list_add(a, path, sl_val_c(a, "a"));
    sl_str document = path->list.n ? sl_str_sub(text, 1, text.n) : text;
    sl_xml_reading r = { .path = path, .self = &whole, .each = drop };
    SL_READER in = sl_reader_memory(document);
    bool ok = sl_xml_read(&r, in, err);
    drip slow = { .reader = { drip_read, sl_reader_no_close }, .rest = document, .most = 3 };
    r.self = &dripped;
    sl_err_clear(err);
    if (sl_xml_read(&r, &slow.reader, err) != ok || (ok && whole != dripped))
        abort();
}

/* A value that is written has the length that it says. */
static void fuzz_binary(sl_arena *a, sl_str text, sl_err *err)
{
    static const unsigned oids[] = { 16, 20, 21, 23, 25, 700, 701, 1082, 1114, 1700, 2950 };
    (void)err;
    for (size_t i = 0; i < SL_COUNT(oids); i++) {
        sl_buf b = sl_buf_new(a, 1 << 20);
        bool ok = sl_pg_binary_add(&b, oids[i], text);
        if (ok ? b.n < 4 || b.n - 4 != (size_t)(((unsigned char)b.p[0] << 24) | ((unsigned char)b.p[1] << 16) | ((unsigned char)b.p[2] << 8) | (unsigned char)b.p[3]) : b.n != 0)
            abort();
    }
}

/* Ends of records, cut anywhere. */
static void fuzz_cut(sl_arena *a, sl_str text, sl_err *err)
{
    (void)a;
    (void)err;
    for (size_t at = 0; at <= text.n; at += 1 + text.n / 16) {
        bool whole = false, parts = false;
        size_t end = sl_split_end(text.p, text.n, '"', &whole), first = sl_split_end(text.p, at, '"', &parts), second = sl_split_end(text.p + at, text.n - at, '"', &parts);
        if (end != (second ? at + second : first) || whole != parts)
            abort();
    }
}

static const struct {
    const char *name;
    void (*run)(sl_arena *a, sl_str text, sl_err *err);
} targets[] = { { "multipart", fuzz_multipart }, { "trigger", fuzz_trigger }, { "json", fuzz_json }, { "yaml", fuzz_yaml }, { "flow", fuzz_flow }, { "expr", fuzz_expr }, { "sql", fuzz_sql },
                { "cron", fuzz_cron }, { "time", fuzz_time }, { "url", fuzz_url },   { "jwt", fuzz_jwt },   { "ion", fuzz_ion },
                { "csv", fuzz_csv },           { "split", fuzz_split },     { "xml", fuzz_xml },   { "chunked", fuzz_chunked }, { "dynamo", fuzz_dynamo }, { "redshift", fuzz_redshift }, { "pg", fuzz_pg },
                { "tar", fuzz_tar },           { "column", fuzz_column },
                { "records", fuzz_records },   { "binary", fuzz_binary },   { "cut", fuzz_cut },
                { "avro", fuzz_avro } };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *wanted = getenv("FUZZ_TARGET");
    SL_ARENA a = sl_arena_new();
    sl_err err;
    sl_err_clear(&err);
    if (size == 0)
        return 0;
    size_t chosen = data[0] % SL_COUNT(targets), skip = wanted ? 0 : 1;
    for (size_t i = 0; wanted != NULL && i < SL_COUNT(targets); i++)
        if (strcmp(wanted, targets[i].name) == 0)
            chosen = i;
    targets[chosen].run(a, (sl_str){ (const char *)data + skip, size - skip }, &err);
    return 0;
}
