/*
 * connectors/serdes/parquet.c: io.kestra.plugin.serdes.parquet: ParquetToIon, IonToParquet, by DuckDB's reader and writer.
 *
 * Records go to Parquet by way of a file of JSON lines in the attempt's folder, since a column's type is known only when all are
 * seen; with a schema it is what that says. Source: connectors reference A13; https://avro.apache.org/docs/current/specification/
 */
#include "base/arena.h"
#include "base/fs.h"
#include "base/ion.h"
#include "base/json.h"
#include "base/limits.h"
#include "connectors/records.h"
#include "connectors/serdes/serdes.h"
#include "db/duck.h"

enum { OBJECT_MAX = 256 << 20 };

typedef struct parquet_cfg {
    sl_str from, compression, version;
    const sl_val *schema;
    const sl_val *page_size, *dictionary_page_size, *row_group, *scan, *infer;
} parquet_cfg;

#define ACCEPTED(yaml, field, words) { .name = yaml, .type = SL_OPT_ANY, .offset = SL_FIELD(parquet_cfg, field), .doc = "Accepted: " words }
#define FROM { .name = "from", .type = SL_OPT_STR, .offset = SL_FIELD(parquet_cfg, from), .flags = SL_REQUIRED, .doc = "The file (kestra:// URI)." }
static const sl_opt read_opts[] = { FROM, { 0 } };
static const sl_opt write_opts[] = {
    FROM,
    { .name = "schema", .type = SL_OPT_ANY, .offset = SL_FIELD(parquet_cfg, schema), .doc = "Avro schema of a record (JSON, or a map); else types are found out." },
    { .name = "compressionCodec", .type = SL_OPT_ENUM, .offset = SL_FIELD(parquet_cfg, compression), .values = "UNCOMPRESSED SNAPPY GZIP ZSTD", .fallback = "GZIP", .doc = "How pages are packed." },
    { .name = "parquetVersion", .type = SL_OPT_ENUM, .offset = SL_FIELD(parquet_cfg, version), .values = "V1 V2", .fallback = "V2", .doc = "Version of the format's encodings." },
    ACCEPTED("rowGroupSize", row_group, "a group has 122,880 rows."),
    ACCEPTED("pageSize", page_size, "the writer chooses."),
    ACCEPTED("dictionaryPageSize", dictionary_page_size, "the writer chooses."),
    ACCEPTED("numberOfRowsToScan", scan, "all are looked at."),
    ACCEPTED("inferAllFields", infer, "all are."),
    { 0 },
};

static sl_duck_con *open_engine(sl_task *t, sl_duck **db, sl_err *err)
{
    sl_arena *a = sl_task_arena(t);
    sl_str dir;
    *db = NULL;
    if (!sl_task_workdir(t, &dir, err) || (*db = sl_duck_open("", err)) == NULL)
        return NULL;
    sl_duck_con *con = sl_duck_connect(*db, err);
    sl_str spill = sl_duck_text(a, sl_fmt(a, "%.*s/.spill", SL_ARG(dir)));
    if (con != NULL && sl_duck_exec(con, sl_fmt(a, "SET temp_directory=%.*s", SL_ARG(spill)).p, err))
        return con;
    sl_duck_disconnect(con);
    sl_duck_close(*db);
    *db = NULL;
    return NULL;
}

/* ---- ParquetToIon ---- */

typedef struct writing {
    sl_task *t;
    sl_out *out;
    sl_arena *arena;
    int64_t count;
} writing;

static bool write_row(void *self, const sl_val *row, sl_err *err)
{
    writing *w = self;
    sl_buf *b = sl_out_buffer(w->out);
    sl_arena_mark mark = sl_arena_get_mark(w->arena);
    if (++w->count % 4096 == 0 && sl_task_cancelled(w->t))
        return sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped on request");
    sl_ion_write(b, w->arena, row);
    sl_buf_char(b, '\n');
    sl_arena_rewind(w->arena, mark);
    return sl_out_pass(w->out, err);
}

static sl_outcome read_run(sl_task *t, void *cfg, sl_err *err)
{
    const parquet_cfg *c = cfg;
    sl_arena *a = sl_task_arena(t);
    sl_duck *db;
    sl_str path;
    SL_ARENA scratch = sl_arena_new();
    writing w = { .t = t, .arena = scratch };
    sl_duck_rows rows = { .self = &w, .each = write_row };
    sl_duck_con *con = sl_task_local_file(t, c->from, &path, err) ? open_engine(t, &db, err) : NULL;
    if (con == NULL)
        return SL_TASK_FAILED;
    sl_str file = sl_duck_text(a, path);
    bool ok = (w.out = sl_out_open(t, "result.ion", SL_S(""), err)) != NULL;
    if (ok && !(ok = sl_duck_each(con, sl_fmt(a, "SELECT * FROM read_parquet(%.*s)", SL_ARG(file)), NULL, &rows, err)))
        sl_err_ctx(err, "%.*s", SL_ARG(c->from));
    ok = ok && sl_out_finish(w.out, w.count, err);
    sl_out_close(w.out);
    sl_duck_disconnect(con);
    sl_duck_close(db);
    return ok ? SL_TASK_DONE : SL_TASK_FAILED;
}

/* ---- IonToParquet ---- */

/* Avro's type as DuckDB's; .n == 0: one that is not known here. */
static sl_str sql_type(sl_arena *a, const sl_val *type)
{
    static const char *const plain[][2] = { { "string", "VARCHAR" }, { "int", "INTEGER" }, { "long", "BIGINT" }, { "float", "FLOAT" }, { "double", "DOUBLE" }, { "boolean", "BOOLEAN" }, { "bytes", "BLOB" }, { "enum", "VARCHAR" } };
    static const char *const logical[][2] = { { "date", "DATE" }, { "time-millis", "TIME" }, { "time-micros", "TIME" }, { "timestamp-millis", "TIMESTAMPTZ" }, { "timestamp-micros", "TIMESTAMPTZ" },
                                              { "local-timestamp-millis", "TIMESTAMP" }, { "local-timestamp-micros", "TIMESTAMP" }, { "uuid", "UUID" } };
    if (sl_is(type, SL_LIST)) { /* a union: one that may be null */
        for (size_t i = 0; i < sl_val_count(type); i++)
            if (!sl_str_eqc(sl_text(sl_at(type, i)), "null"))
                return sql_type(a, sl_at(type, i));
        return SL_S("");
    }
    sl_str name = sl_is(type, SL_MAP) ? sl_get_text(type, "type") : sl_text(type), how = sl_get_text(type, "logicalType");
    if (sl_str_eqc(how, "decimal"))
        return sl_fmt(a, "DECIMAL(%lld, %lld)", (long long)sl_get_int(type, "precision", 18), (long long)sl_get_int(type, "scale", 0));
    for (size_t i = 0; how.n > 0 && i < SL_COUNT(logical); i++)
        if (sl_str_eqc(how, logical[i][0]))
            return sl_str_c(logical[i][1]);
    if (sl_is(type, SL_MAP) && sl_get_text(type, "type").n == 0) /* {"type": {…}} */
        return sql_type(a, sl_get(type, "type"));
    if (sl_str_eqc(name, "array")) {
        sl_str items = sql_type(a, sl_get(type, "items"));
        return items.n ? sl_fmt(a, "%.*s[]", SL_ARG(items)) : items;
    }
    for (size_t i = 0; i < SL_COUNT(plain); i++)
        if (sl_str_eqc(name, plain[i][0]))
            return sl_str_c(plain[i][1]);
    return SL_S("");
}

/* ", columns = {…}" of the schema; "" without one. */
static bool columns_of(sl_arena *a, const sl_val *schema, sl_str *ret, sl_err *err)
{
    *ret = SL_S("");
    if (schema == NULL)
        return true;
    if (sl_is(schema, SL_STRING) && (schema = sl_json_parse(a, schema->s, err)) == NULL)
        return sl_err_ctx(err, "property 'schema'");
    const sl_val *fields = sl_get(schema, "fields");
    if (sl_val_count(fields) == 0)
        return sl_err_set(err, SL_ERR_CONFIG, "parquet.schema", "'schema' must be an Avro schema of a record with 'fields'");
    sl_buf b = sl_buf_new(a, 1 << 20);
    sl_buf_addc(&b, ", columns = {");
    for (size_t i = 0; i < sl_val_count(fields); i++) {
        const sl_val *f = sl_at(fields, i);
        sl_str name = sl_duck_text(a, sl_get_text(f, "name")), type = sql_type(a, sl_get(f, "logicalType") ? f : sl_get(f, "type"));
        if (type.n == 0)
            return sl_err_set(err, SL_ERR_CONFIG, "parquet.schema", "the field '%.*s' of 'schema' has a type that is not supported; leave the schema out, and it is found out", SL_ARG(sl_get_text(f, "name")));
        sl_buf_fmt(&b, "%s%.*s: '%.*s'", i ? ", " : "", SL_ARG(name), SL_ARG(type));
    }
    sl_buf_char(&b, '}');
    *ret = sl_buf_str(&b);
    return true;
}

/* JSON has no times: columns that hold instants are remembered. */
static void note_instants(sl_arena *a, const sl_val *row, sl_val *instants)
{
    for (size_t i = 0; i < row->map.n; i++) {
        const sl_entry *e = &row->map.entries[i];
        bool instant = e->value->type == SL_TIME && (e->value->t.kind == SL_TIME_INSTANT || e->value->t.kind == SL_TIME_ZONED);
        if (instant && sl_get_str(instants, e->key) == NULL)
            sl_map_set(a, instants, sl_str_dup(a, e->key), &sl_true_val);
    }
}

/* " REPLACE ("at"::TIMESTAMPTZ AS "at")": a reader of JSON makes a local time of an instant. */
static sl_str replacements(sl_arena *a, const sl_val *instants)
{
    sl_buf b = sl_buf_new(a, 1 << 20);
    for (size_t i = 0; i < sl_val_count(instants); i++) {
        sl_str name = sl_duck_ident(a, instants->map.entries[i].key);
        sl_buf_fmt(&b, "%s%.*s::TIMESTAMPTZ AS %.*s", i ? ", " : " REPLACE (", SL_ARG(name), SL_ARG(name));
    }
    sl_buf_addc(&b, sl_val_count(instants) > 0 ? ")" : "");
    return sl_buf_str(&b);
}

/* The records as JSON lines. */
static bool spool(sl_task *t, const parquet_cfg *c, const char *path, int64_t *count, sl_val *instants, sl_err *err)
{
    SL_ARENA arena = sl_arena_new();
    sl_arena_mark mark = sl_arena_get_mark(arena);
    sl_records in;
    const sl_val *row;
    int got = -1;
    SL_WRITER out = sl_writer_file(path, err);
    if (out == NULL || !sl_records_open(&in, t, c->from, err))
        return false;
    while ((got = sl_records_next(&in, arena, &row, err)) == 1) {
        sl_str line = sl_json(arena, row);
        if (row->type != SL_MAP) {
            got = -1;
            sl_err_set(err, SL_ERR_DATA, "parquet.record", "record %lld is no map of columns to values", (long long)in.count);
            break;
        }
        note_instants(sl_task_arena(t), row, instants);
        if (!out->write(out, line.p, line.n, err) || !out->write(out, "\n", 1, err))
            break;
        sl_arena_rewind(arena, mark);
    }
    *count = in.count;
    sl_records_close(&in);
    return got == 0 && out->finish(out, err);
}

static sl_outcome write_run(sl_task *t, void *cfg, sl_err *err)
{
    const parquet_cfg *c = cfg;
    sl_arena *a = sl_task_arena(t);
    sl_duck *db = NULL;
    sl_str dir, columns, uri;
    int64_t count = 0;
    if (!sl_task_workdir(t, &dir, err) || !columns_of(a, c->schema, &columns, err))
        return SL_TASK_FAILED;
    sl_str lines = sl_fmt(a, "%.*s/.parquet.jsonl", SL_ARG(dir)), made = sl_fmt(a, "%.*s/.result.parquet", SL_ARG(dir));
    sl_val *instants = sl_map(a);
    if (!spool(t, c, lines.p, &count, instants, err))
        return SL_TASK_FAILED;
    if (count == 0 && columns.n == 0) {
        sl_err_set(err, SL_ERR_DATA, "parquet.empty", "%.*s holds no records, so no columns are known; give a 'schema'", SL_ARG(c->from));
        return SL_TASK_FAILED;
    }
    sl_duck_con *con = open_engine(t, &db, err);
    sl_str from = sl_duck_text(a, lines), to = sl_duck_text(a, made), replaced = columns.n > 0 ? SL_S("") : replacements(a, instants);
    bool ok = con != NULL
              && sl_duck_exec(con,
                              sl_fmt(a, "COPY (SELECT *%.*s FROM read_json(%.*s, format = 'newline_delimited', sample_size = -1, maximum_object_size = %d%.*s)) TO %.*s (FORMAT parquet, COMPRESSION '%.*s', PARQUET_VERSION %.*s)",
                                     SL_ARG(replaced), SL_ARG(from), OBJECT_MAX, SL_ARG(columns), SL_ARG(to), SL_ARG(c->compression), SL_ARG(c->version))
                                  .p,
                              err);
    sl_duck_disconnect(con);
    sl_duck_close(db);
    sl_err ignored;
    (void)sl_fs_remove(lines.p, &ignored);
    if (!ok || !sl_task_store_file(t, made.p, SL_S("result.parquet"), &uri, err))
        return SL_TASK_FAILED;
    sl_task_out_str(t, "uri", uri);
    sl_task_out_int(t, "size", count);
    sl_task_counter(t, "records", (double)count);
    return SL_TASK_DONE;
}

#define TYPE(name, older, opt_table, function, words) { .type = "io.kestra.plugin.serdes.parquet." name, .aliases = "io.kestra.plugin.serdes.parquet." older, .doc = words, .cfg_size = sizeof(parquet_cfg), .opts = opt_table, .outs = sl_serdes_outs, .run = function }
const sl_task_type sl_parquet_to_ion = TYPE("ParquetToIon", "ParquetReader", read_opts, read_run, "Converts Parquet to records.");
const sl_task_type sl_ion_to_parquet = TYPE("IonToParquet", "ParquetWriter", write_opts, write_run, "Converts records to Parquet.");
