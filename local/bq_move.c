/* local/bq_move.c: load, extract and copy jobs. Runs inside of the caller's transaction. */
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/fs.h"
#include "base/io.h"
#include "base/json.h"
#include "local/bq_work.h"

bool bq_load(bq_work *w, const sl_val *conf)
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
    sl_str sql = replace ? sl_fmt(w->a, "CREATE OR REPLACE TABLE %.*s AS SELECT * FROM %.*s", SL_ARG(name), SL_ARG(reader)) : sl_fmt(w->a, "INSERT INTO %.*s BY NAME SELECT * FROM %.*s", SL_ARG(name), SL_ARG(reader));
    if (!bq_run(w, sql, &changed) || !bq_check_bad_records(w, &bad))
        return false;
    if (replace) {
        sl_val *meta = sl_map(w->a);
        static const char *const kept[] = { "schema", "timePartitioning", "clustering", "rangePartitioning" };
        for (size_t i = 0; i < SL_COUNT(kept); i++)
            if (sl_get(conf, kept[i]) != NULL)
                sl_map_setc(w->a, meta, kept[i], sl_get(conf, kept[i]));
        if (!bq_remember_table(w->k, w->a, to, meta, w->err))
            return false;
        before = 0;
    }
    sl_val *load = sl_map(w->a);
    int64_t rows = bq_count(w, name) - before;
    sl_map_set_str(w->a, load, "outputRows", sl_fmt(w->a, "%lld", (long long)rows));
    sl_map_set_str(w->a, load, "outputBytes", sl_fmt(w->a, "%lld", (long long)rows * 16));
    sl_map_set_str(w->a, load, "inputFiles", sl_fmt(w->a, "%zu", sl_get(conf, "x-upload") ? (size_t)1 : sl_val_count(sl_get(conf, "sourceUris"))));
    sl_map_set_str(w->a, load, "badRecords", sl_fmt(w->a, "%lld", (long long)bad));
    sl_map_setc(w->a, w->stats, "load", load);
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

bool bq_extract(bq_work *w, const sl_val *conf)
{
    const sl_val *from = sl_get(conf, "sourceTable"), *uris = sl_get(conf, "destinationUris");
    sl_str format = sl_get_text(conf, "destinationFormat"), compression = sl_get_text(conf, "compression"), delimiter = sl_get_text(conf, "fieldDelimiter");
    sl_val *counts = sl_list(w->a), *extract = sl_map(w->a);
    bool gzip = sl_str_eqc(compression, "GZIP");
    if (!bq_dataset_known(w, from) || !bq_refresh_externals(w->c, w->k, w->a, w->err))
        return false;
    for (size_t i = 0; i < sl_val_count(uris); i++) {
        sl_str uri = sl_str_replace(w->a, sl_text(sl_at(uris, i)), SL_S("*"), SL_S("000000000000")), blob = sl_gcs_new_blob(w->c, w->a), path = sl_gcs_blob_path(w->c, w->a, blob), options;
        if (format.n == 0 || sl_str_eqc(format, "CSV"))
            options = sl_fmt(w->a, "FORMAT CSV, HEADER %s, DELIMITER %.*s%s", sl_get_bool(conf, "printHeader", true) ? "true" : "false", SL_ARG(sl_duck_text(w->a, delimiter.n ? delimiter : SL_S(","))),
                             gzip ? ", COMPRESSION gzip" : "");
        else if (sl_str_eqc(format, "NEWLINE_DELIMITED_JSON"))
            options = sl_fmt(w->a, "FORMAT JSON%s", gzip ? ", COMPRESSION gzip" : "");
        else if (sl_str_eqc(format, "PARQUET"))
            options = SL_S("FORMAT PARQUET");
        else
            return sl_err_set(w->err, SL_ERR_DATA, "invalid", "the local cloud does not write the format %.*s", SL_ARG(format));
        if (!bq_run(w, sl_fmt(w->a, "COPY (SELECT * FROM %.*s) TO %.*s (%.*s)", SL_ARG(bq_table_sql(w->a, from)), SL_ARG(sl_duck_text(w->a, path)), SL_ARG(options)), NULL) || !store_export(w, path, blob, uri))
            return false;
        sl_list_add(w->a, counts, sl_val_c(w->a, "1"));
    }
    sl_map_setc(w->a, extract, "destinationUriFileCounts", counts);
    sl_map_setc(w->a, w->stats, "extract", extract);
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
