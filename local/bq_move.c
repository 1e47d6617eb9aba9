/* local/bq_move.c: load, extract and copy jobs. Runs inside of the caller's transaction. */
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/fault.h"
#include "base/fs.h"
#include "base/io.h"
#include "base/json.h"
#include "local/bq_work.h"

bool bq_load(bq_work *w, const sl_val *conf, const sl_val **ret)
{
    const sl_val *to = sl_get(conf, "destinationTable"), *fields = sl_get(sl_get(conf, "schema"), "fields");
    sl_str reader, name = bq_table_sql(w->a, to), write = sl_get_text(conf, "writeDisposition");
    if (!bq_dataset_known(w, to))
        return false;
    const sl_val *have = bq_fields(w->k, w->a, sl_get_text(to, "projectId"), sl_get_text(to, "datasetId"), sl_get_text(to, "tableId"));
    if (fields == NULL && !sl_get_bool(conf, "autodetect", false))
        fields = have;
    if (!bq_reader_sql(w->c, w->a, conf, fields, &reader, w->err))
        return false;
    if (have == NULL && sl_str_eqc(sl_get_text(conf, "createDisposition"), "CREATE_NEVER"))
        return sl_err_set(w->err, SL_ERR_NOT_FOUND, "notFound", "Not found: Table %.*s", SL_ARG(name));
    int64_t before = have ? bq_count(w, name) : 0, changed = 0, bad = 0;
    if (have != NULL && sl_str_eqc(write, "WRITE_EMPTY") && before > 0)
        return sl_err_set(w->err, SL_ERR_CONFLICT, "duplicate", "Already Exists: Table %.*s", SL_ARG(name));
    bool replace = have == NULL || sl_str_eqc(write, "WRITE_TRUNCATE");
    if (!replace && !bq_fit_schema(w, conf, to, have, sl_fmt(w->a, "SELECT * FROM %.*s", SL_ARG(reader))))
        return false;
    sl_str sql = replace ? sl_fmt(w->a, "CREATE OR REPLACE TABLE %.*s AS SELECT * FROM %.*s", SL_ARG(name), SL_ARG(reader)) : sl_fmt(w->a, "INSERT INTO %.*s BY NAME SELECT * FROM %.*s", SL_ARG(name), SL_ARG(reader));
    if (!bq_run(w, sql, &changed) || !bq_check_bad_records(w, &bad))
        return false;
    if (replace) {
        sl_val *meta = sl_map(w->a);
        static const char *const kept[] = { "schema", "timePartitioning", "clustering", "rangePartitioning" };
        for (size_t i = 0; i < SL_COUNT(kept); i++)
            if (sl_get(conf, kept[i]) != NULL)
                sl_map_setc(w->a, meta, kept[i], sl_get(conf, kept[i]));
        if (!bq_widen(w, to, true) || !bq_remember_table(w->k, w->a, to, meta, w->err))
            return false;
        before = 0;
    }
    sl_val *load = sl_map(w->a);
    int64_t rows = bq_count(w, name) - before;
    sl_map_set_str(w->a, load, "outputRows", sl_fmt(w->a, "%lld", (long long)rows));
    sl_map_set_str(w->a, load, "outputBytes", sl_fmt(w->a, "%lld", (long long)rows * 16));
    sl_map_set_str(w->a, load, "inputFiles", sl_fmt(w->a, "%zu", sl_get(conf, "x-upload") ? (size_t)1 : sl_val_count(sl_get(conf, "sourceUris"))));
    sl_map_set_str(w->a, load, "badRecords", sl_fmt(w->a, "%lld", (long long)bad));
    *ret = load;
    return true;
}

/* The file is made beside the blobs and becomes an object in the end. */
static bool store_export(bq_work *w, sl_str path, sl_str blob, sl_str uri)
{
    sl_str rest = sl_str_sub(uri, 5, uri.n), bucket;
    (void)sl_str_cut(&rest, '/', &bucket);
    if (!sl_gcs_bucket_exists(w->c, w->a, bucket, NULL))
        return sl_err_set(w->err, SL_ERR_NOT_FOUND, "notFound", "Not found: URI %.*s", SL_ARG(uri));
    SL_READER r = sl_reader_file(path.p, w->err);
    if (r == NULL)
        return false;
    char *block = sl_malloc(1 << 18);
    uint32_t crc = 0;
    int64_t size = 0;
    ptrdiff_t n;
    while ((n = r->read(r, block, 1 << 18, w->err)) > 0) {
        crc = sl_crc32c(crc, block, (size_t)n);
        size += n;
    }
    free(block);
    sl_server_request req = { .arena = w->a, .params = sl_map(w->a) };
    sl_server_response resp = { 0 };
    sl_val *meta = sl_map(w->a);
    sl_map_set_str(w->a, meta, "contentType", SL_S("application/octet-stream"));
    sl_gcs_put(w->c, &req, &resp, bucket, rest, meta, blob, size, crc, SL_S(""), NULL);
    return resp.status == 200 || sl_err_set(w->err, SL_ERR_IO, "invalid", "the export to %.*s could not be stored", SL_ARG(uri));
}

/* How the files are written: FORMAT CSV, …; false: not in this format. */
static bool file_options(bq_work *w, const sl_val *conf, sl_str *ret)
{
    sl_str format = sl_get_text(conf, "destinationFormat"), compression = sl_get_text(conf, "compression"), delimiter = sl_get_text(conf, "fieldDelimiter");
    bool csv = format.n == 0 || sl_str_eqc(format, "CSV"), json = sl_str_eqc(format, "NEWLINE_DELIMITED_JSON"), parquet = sl_str_eqc(format, "PARQUET"), gzip = sl_str_eqc(compression, "GZIP");
    if (!csv && !json && !parquet)
        return sl_err_set(w->err, SL_ERR_DATA, "invalid", "the local cloud does not write the format %.*s; it writes CSV, JSON and PARQUET", SL_ARG(format));
    if (compression.n > 0 && !sl_str_eqc(compression, "NONE") && !gzip && !(parquet && (sl_str_eqc(compression, "SNAPPY") || sl_str_eqc(compression, "ZSTD"))))
        return sl_err_set(w->err, SL_ERR_DATA, "invalid", "the compression %.*s is none of this format", SL_ARG(compression));
    if (csv)
        *ret = sl_fmt(w->a, "FORMAT CSV, HEADER %s, DELIMITER %.*s%s", sl_get_bool(conf, "printHeader", true) ? "true" : "false", SL_ARG(sl_duck_text(w->a, delimiter.n ? delimiter : SL_S(","))), gzip ? ", COMPRESSION gzip" : "");
    else if (json)
        *ret = sl_fmt(w->a, "FORMAT JSON%s", gzip ? ", COMPRESSION gzip" : "");
    else
        *ret = sl_fmt(w->a, "FORMAT PARQUET, COMPRESSION %.*s", SL_ARG(compression.n == 0 || sl_str_eqc(compression, "NONE") ? SL_S("uncompressed") : sl_str_lower(w->a, compression)));
    return true;
}

/*
 * A value as text files have it: TIMESTAMP with UTC behind it, DATETIME with a T, NUMERIC without zeros at its end, BYTES in base64, and in
 * JSON INT64 as a text.
 * Source: https://cloud.google.com/bigquery/docs/exporting-data.
 */
static sl_str exported(sl_arena *a, sl_str name, sl_str type, bool csv)
{
    sl_str column = sl_duck_ident(a, name), value = column;
    if (sl_str_eqc(type, "TIMESTAMP WITH TIME ZONE"))
        value = sl_fmt(a, "CAST(timezone('UTC', %.*s) AS VARCHAR) || ' UTC'", SL_ARG(column));
    else if (sl_str_eqc(type, "TIMESTAMP"))
        value = sl_fmt(a, "replace(CAST(%.*s AS VARCHAR), ' ', 'T')", SL_ARG(column));
    else if (sl_str_starts(type, SL_S("DECIMAL(")))
        value = sl_fmt(a, "sl_string(%.*s)", SL_ARG(column));
    else if (sl_str_eqc(type, "BLOB"))
        value = sl_fmt(a, "base64(%.*s)", SL_ARG(column));
    else if (sl_str_eqc(type, "BIGINT") && !csv)
        value = sl_fmt(a, "CAST(%.*s AS VARCHAR)", SL_ARG(column));
    return sl_fmt(a, "%.*s AS %.*s", SL_ARG(value), SL_ARG(column));
}

/* `query` with its values as the files have them. Parquet has types of its own. */
static bool export_query(bq_work *w, sl_str query, sl_str options, sl_str *ret)
{
    const sl_val *columns;
    bool csv = sl_str_starts(options, SL_S("FORMAT CSV"));
    sl_buf b = sl_buf_new(w->a, 4 << 20);
    *ret = query;
    if (sl_str_starts(options, SL_S("FORMAT PARQUET")))
        return true;
    if (!sl_duck_run(w->k, w->a, sl_fmt(w->a, "SELECT column_name, column_type FROM (DESCRIBE %.*s)", SL_ARG(query)), &columns, NULL, w->err))
        return false;
    for (size_t i = 0; i < sl_val_count(columns); i++) {
        sl_str name = sl_text(sl_at(sl_at(columns, i), 0)), type = sl_text(sl_at(sl_at(columns, i), 1));
        if (csv && (sl_str_starts(type, SL_S("STRUCT(")) || sl_str_ends(type, SL_S("[]"))))
            return sl_err_set(w->err, SL_ERR_DATA, "invalid", "Operation cannot be performed on a nested schema. Field: %.*s", SL_ARG(name));
        sl_buf_fmt(&b, "%s%.*s", i ? ", " : "SELECT ", SL_ARG(exported(w->a, name, type, csv)));
    }
    sl_buf_fmt(&b, " FROM (%.*s)", SL_ARG(query));
    *ret = sl_buf_str(&b);
    return true;
}

/* The rows of `query` as one file for each URI, whose * becomes a number. */
static bool write_files(bq_work *w, sl_str query, const sl_val *uris, sl_str options, sl_val *counts)
{
    if (!export_query(w, query, options, &query))
        return false;
    for (size_t i = 0; i < sl_val_count(uris); i++) {
        sl_str uri = sl_str_replace(w->a, sl_text(sl_at(uris, i)), SL_S("*"), SL_S("000000000000")), blob = sl_gcs_new_blob(w->c, w->a), path = sl_gcs_blob_path(w->c, w->a, blob);
        if (!bq_run(w, sl_fmt(w->a, "COPY (%.*s) TO %.*s (%.*s)", SL_ARG(query), SL_ARG(sl_duck_text(w->a, path)), SL_ARG(options)), NULL) || !store_export(w, path, blob, uri))
            return false;
        sl_list_add(w->a, counts, sl_val_c(w->a, "1"));
    }
    return true;
}

bool bq_extract(bq_work *w, const sl_val *conf)
{
    const sl_val *from = sl_get(conf, "sourceTable");
    sl_val *counts = sl_list(w->a);
    sl_str options;
    if (!bq_dataset_known(w, from) || !bq_refresh_externals(w->c, w->k, w->a, w->err) || !file_options(w, conf, &options))
        return false;
    sl_str query = sl_fmt(w->a, "SELECT * FROM %.*s", SL_ARG(bq_table_sql(w->a, from)));
    if (!write_files(w, query, sl_get(conf, "destinationUris"), options, counts))
        return false;
    sl_map_setc(w->a, w->stats, "extract", sl_map_of(w->a, "destinationUriFileCounts", counts));
    return true;
}

/* The options of EXPORT DATA by the names of an extract job. */
static bool export_config(bq_work *w, const sl_val *options, const sl_val **ret)
{
    static const char *const known[] = { "uri", "format", "compression", "field_delimiter", "header", "overwrite", "use_avro_logical_types" };
    sl_val *conf = sl_map(w->a), *uris = sl_list(w->a);
    for (size_t i = 0; i < sl_val_count(options); i++) {
        bool found = false;
        for (size_t k = 0; k < SL_COUNT(known); k++)
            found |= sl_str_eqc(options->map.entries[i].key, known[k]);
        if (!found)
            return sl_err_set(w->err, SL_ERR_DATA, "invalidQuery", "Unknown option: %.*s", SL_ARG(options->map.entries[i].key));
    }
    sl_str uri = sl_get_text(options, "uri"), format = sl_str_upper(w->a, sl_get_text(options, "format"));
    ptrdiff_t star = sl_str_find(uri, SL_S("*"));
    if (!sl_str_starts(uri, SL_S("gs://")) || star < 0 || star != sl_str_rfind(uri, SL_S("*")))
        return sl_err_set(w->err, SL_ERR_DATA, "invalidQuery", "Option 'uri' value must be a wild card URI: gs://bucket/path with one *, not '%.*s'", SL_ARG(uri));
    if (format.n == 0)
        return sl_err_set(w->err, SL_ERR_DATA, "invalidQuery", "Option 'format' is required: CSV, JSON, PARQUET");
    sl_list_add(w->a, uris, sl_val_str(w->a, uri));
    sl_map_setc(w->a, conf, "destinationUris", uris);
    sl_map_set_str(w->a, conf, "destinationFormat", sl_str_eqc(format, "JSON") ? SL_S("NEWLINE_DELIMITED_JSON") : format);
    sl_map_set_str(w->a, conf, "compression", sl_str_upper(w->a, sl_get_text(options, "compression")));
    sl_map_set_str(w->a, conf, "fieldDelimiter", sl_get_text(options, "field_delimiter"));
    sl_map_set_bool(w->a, conf, "printHeader", sl_get_bool(options, "header", false));
    *ret = conf;
    return true;
}

/*
 * Nothing is there, or this very job put it there before it was killed: objects are no part of the warehouse's transaction. That
 * it will write is kept first, on a connection of its own.
 */
static bool place_is_free(bq_work *w, sl_str uri)
{
    sl_val *there = sl_list(w->a), *names = sl_list(w->a);
    sl_str job = sl_duck_text(w->a, sl_get_text(sl_get(w->job, "jobReference"), "jobId"));
    const sl_val *known;
    sl_err none;
    sl_duck_con *own = bq_connect(w->c, w->err);
    bool ok = own != NULL && sl_duck_run(own, w->a, sl_fmt(w->a, "SELECT 1 FROM _sl.exports WHERE job = %.*s", SL_ARG(job)), &known, NULL, w->err);
    if (ok && sl_val_count(known) == 0) {
        if (sl_gcs_resolve(w->c, w->a, uri, there, names, &none) && there->list.n > 0)
            ok = sl_err_set(w->err, SL_ERR_CONFLICT, "duplicate", "Already Exists: there are objects at %.*s; set the option overwrite to true to replace them", SL_ARG(uri));
        else
            ok = sl_duck_run(own, w->a, sl_fmt(w->a, "INSERT INTO _sl.exports VALUES (%.*s)", SL_ARG(job)), NULL, NULL, w->err);
    }
    sl_duck_disconnect(own);
    return ok;
}

bool bq_export(bq_work *w, sl_str query, const sl_val *options)
{
    const sl_val *conf;
    sl_val *counts = sl_list(w->a);
    sl_str how;
    if (!export_config(w, options, &conf) || !file_options(w, conf, &how))
        return false;
    sl_str uri = sl_text(sl_at(sl_get(conf, "destinationUris"), 0));
    if (!sl_get_bool(options, "overwrite", false) && !place_is_free(w, uri))
        return false;
    if (!bq_run(w, sl_fmt(w->a, "CREATE OR REPLACE TEMP TABLE sl_export AS %.*s", SL_ARG(query)), NULL))
        return false;
    int64_t rows = bq_count(w, SL_S("sl_export"));
    if (!write_files(w, SL_S("SELECT * FROM sl_export"), sl_get(conf, "destinationUris"), how, counts) || !SL_FAULT("local.export.after_write", w->err) || !bq_run(w, SL_S("DROP TABLE sl_export"), NULL))
        return false;
    sl_val *stats = sl_map(w->a);
    sl_map_set_str(w->a, stats, "fileCount", sl_fmt(w->a, "%zu", sl_val_count(counts)));
    sl_map_set_str(w->a, stats, "rowCount", sl_fmt(w->a, "%lld", (long long)rows));
    sl_map_setc(w->a, w->query, "exportDataStatistics", stats);
    return true;
}

/* SELECT … of a table, or of the one partition that its name says. */
static bool select_of(bq_work *w, const sl_val *ref, sl_str *ret)
{
    sl_str id = bq_partition_of(sl_get_text(ref, "tableId")), from = bq_table_sql(w->a, ref);
    const sl_val *table = bq_table(w->c, w->k, w->a, sl_get_text(ref, "projectId"), sl_get_text(ref, "datasetId"), sl_get_text(ref, "tableId"), false);
    if (table == NULL)
        return sl_err_set(w->err, SL_ERR_NOT_FOUND, "notFound", "Not found: Table %.*s", SL_ARG(from));
    *ret = sl_fmt(w->a, "SELECT * FROM %.*s", SL_ARG(from));
    if (id.n == 0)
        return true;
    sl_str expression = bq_partition_sql(w->a, table);
    if (expression.n == 0)
        return sl_err_set(w->err, SL_ERR_DATA, "invalid", "Table %.*s is not partitioned by a column", SL_ARG(from));
    *ret = sl_fmt(w->a, "SELECT * FROM %.*s WHERE %.*s = %.*s", SL_ARG(from), SL_ARG(expression), SL_ARG(sl_duck_text(w->a, id)));
    return true;
}

/* The copy is laid out like its first source. */
static bool remember_copy(bq_work *w, const sl_val *to, const sl_val *source)
{
    static const char *const kept[] = { "schema", "timePartitioning", "rangePartitioning", "clustering", "description" };
    const sl_val *table = bq_table(w->c, w->k, w->a, sl_get_text(source, "projectId"), sl_get_text(source, "datasetId"), sl_get_text(source, "tableId"), false);
    sl_val *meta = sl_map(w->a);
    for (size_t i = 0; i < SL_COUNT(kept); i++)
        sl_map_opt(w->a, meta, kept[i], sl_get(table, kept[i]));
    return bq_remember_table(w->k, w->a, to, meta, w->err);
}

bool bq_copy(bq_work *w, const sl_val *conf)
{
    const sl_val *to = sl_get(conf, "destinationTable"), *sources = sl_get(conf, "sourceTables");
    sl_val *single = sl_list(w->a);
    if (sources == NULL && sl_get(conf, "sourceTable") != NULL) {
        sl_list_add(w->a, single, sl_get(conf, "sourceTable"));
        sources = single;
    }
    sl_str name = bq_table_sql(w->a, to), write = sl_get_text(conf, "writeDisposition"), rows = SL_S("");
    if (!bq_dataset_known(w, to))
        return false;
    bool exists = bq_fields(w->k, w->a, sl_get_text(to, "projectId"), sl_get_text(to, "datasetId"), sl_get_text(to, "tableId")) != NULL;
    if (exists && (write.n == 0 || sl_str_eqc(write, "WRITE_EMPTY")) && bq_count(w, name) > 0)
        return sl_err_set(w->err, SL_ERR_CONFLICT, "duplicate", "Already Exists: Table %.*s", SL_ARG(name));
    bool append = exists && sl_str_eqc(write, "WRITE_APPEND");
    for (size_t i = 0; i < sl_val_count(sources); i++) {
        if (!select_of(w, sl_at(sources, i), &rows))
            return false;
        if (!bq_run(w, append || i > 0 ? sl_fmt(w->a, "INSERT INTO %.*s %.*s", SL_ARG(name), SL_ARG(rows)) : sl_fmt(w->a, "CREATE OR REPLACE TABLE %.*s AS %.*s", SL_ARG(name), SL_ARG(rows)), NULL))
            return false;
    }
    return append || remember_copy(w, to, sl_at(sources, 0));
}
