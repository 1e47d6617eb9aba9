/* connectors/bigquery/transfer.c: LoadFromGcs, ExtractToGcs, Copy: jobs that move whole tables. */
#include "base/arena.h"
#include "connectors/bigquery/bigquery.h"
#include "base/json.h"
#include "connectors/gcs/gcs.h"

typedef struct transfer_cfg {
    sl_gcp_cfg gcp;
    sl_bq_cfg bq;
    sl_str source, destination, format, write, create, partition_field, partition_type, compression, delimiter, operation;
    const sl_val *from, *csv, *avro, *schema, *autodetect, *ignore_unknown, *max_bad, *update_options, *clustering, *uris, *header, *avro_types, *labels, *sources;
    int64_t timeout_ms;
    bool dry_run;
} transfer_cfg;

static const sl_opt csv_opts[] = {
    { .name = "allowJaggedRows", .type = SL_OPT_BOOL, .doc = "Rows may lack columns at their end." },
    { .name = "allowQuotedNewLines", .type = SL_OPT_BOOL, .doc = "Quoted values may hold line breaks." },
    { .name = "encoding", .type = SL_OPT_STR, .doc = "UTF-8 or ISO-8859-1." },
    { .name = "fieldDelimiter", .type = SL_OPT_STR, .doc = "Between values (,)." },
    { .name = "quote", .type = SL_OPT_STR, .doc = "Around values (\")." },
    { .name = "skipLeadingRows", .type = SL_OPT_INT, .doc = "Lines of heading." },
    { 0 },
};
static const sl_opt avro_opts[] = { { .name = "useAvroLogicalTypes", .type = SL_OPT_BOOL, .doc = "Logical types become BigQuery's." }, { 0 } };

#define DESTINATION { .name = "destinationTable", .type = SL_OPT_STR, .offset = SL_FIELD(transfer_cfg, destination), .flags = SL_REQUIRED, .doc = "The table (dataset.table or project.dataset.table)." }
#define DISPOSITIONS                                                                                                                                                                              \
    { .name = "writeDisposition", .type = SL_OPT_ENUM, .offset = SL_FIELD(transfer_cfg, write), .values = "WRITE_TRUNCATE WRITE_APPEND WRITE_EMPTY", .doc = "What to do with rows that are there." }, \
    { .name = "createDisposition", .type = SL_OPT_ENUM, .offset = SL_FIELD(transfer_cfg, create), .values = "CREATE_IF_NEEDED CREATE_NEVER", .doc = "Whether the table is made." }
#define LABELS { .name = "labels", .type = SL_OPT_MAP, .offset = SL_FIELD(transfer_cfg, labels), .doc = "Labels of the job." }

static const sl_opt load_opts[] = {
    SL_BQ_OPTS(transfer_cfg),
    { .name = "from", .type = SL_OPT_STRS, .offset = SL_FIELD(transfer_cfg, from), .flags = SL_REQUIRED, .doc = "gs:// URIs, with at most one * each." },
    DESTINATION,
    { .name = "format", .type = SL_OPT_ENUM, .offset = SL_FIELD(transfer_cfg, format), .values = "CSV JSON AVRO PARQUET ORC", .flags = SL_REQUIRED | SL_STATIC, .doc = "Format of the files; JSON has one value per line." },
    { .name = "csvOptions", .type = SL_OPT_MAP, .offset = SL_FIELD(transfer_cfg, csv), .sub = csv_opts, .doc = "How the CSV is written." },
    { .name = "avroOptions", .type = SL_OPT_MAP, .offset = SL_FIELD(transfer_cfg, avro), .sub = avro_opts, .doc = "How Avro is read." },
    { .name = "schema", .type = SL_OPT_MAP, .offset = SL_FIELD(transfer_cfg, schema), .doc = "{fields: [{name, type, mode, description, fields}]}." },
    { .name = "autodetect", .type = SL_OPT_ANY, .offset = SL_FIELD(transfer_cfg, autodetect), .doc = "Find the schema in the data." },
    { .name = "ignoreUnknownValues", .type = SL_OPT_ANY, .offset = SL_FIELD(transfer_cfg, ignore_unknown), .doc = "Leave out values without a column." },
    { .name = "maxBadRecords", .type = SL_OPT_ANY, .offset = SL_FIELD(transfer_cfg, max_bad), .doc = "So many bad rows are left out." },
    DISPOSITIONS,
    { .name = "schemaUpdateOptions", .type = SL_OPT_STRS, .offset = SL_FIELD(transfer_cfg, update_options), .doc = "Allowed changes of the schema." },
    { .name = "clusteringFields", .type = SL_OPT_STRS, .offset = SL_FIELD(transfer_cfg, clustering), .doc = "Fields to cluster by." },
    { .name = "timePartitioningField", .type = SL_OPT_STR, .offset = SL_FIELD(transfer_cfg, partition_field), .doc = "Field to partition by." },
    { .name = "timePartitioningType", .type = SL_OPT_ENUM, .offset = SL_FIELD(transfer_cfg, partition_type), .values = "DAY HOUR MONTH YEAR", .fallback = "DAY", .doc = "Size of a partition." },
    { 0 },
};
static const sl_opt extract_opts[] = {
    SL_BQ_OPTS(transfer_cfg),
    { .name = "sourceTable", .type = SL_OPT_STR, .offset = SL_FIELD(transfer_cfg, source), .flags = SL_REQUIRED, .doc = "The table." },
    { .name = "destinationUris", .type = SL_OPT_STRS, .offset = SL_FIELD(transfer_cfg, uris), .flags = SL_REQUIRED, .doc = "gs:// URIs; * for several files." },
    { .name = "compression", .type = SL_OPT_ENUM, .offset = SL_FIELD(transfer_cfg, compression), .values = "GZIP DEFLATE SNAPPY NONE", .doc = "Compression." },
    { .name = "fieldDelimiter", .type = SL_OPT_STR, .offset = SL_FIELD(transfer_cfg, delimiter), .doc = "CSV: between values." },
    { .name = "format", .type = SL_OPT_ENUM, .offset = SL_FIELD(transfer_cfg, format), .values = "CSV NEWLINE_DELIMITED_JSON AVRO PARQUET", .fallback = "CSV", .doc = "Format of the files." },
    { .name = "useAvroLogicalTypes", .type = SL_OPT_ANY, .offset = SL_FIELD(transfer_cfg, avro_types), .doc = "BigQuery's types become logical types." },
    { .name = "printHeader", .type = SL_OPT_ANY, .offset = SL_FIELD(transfer_cfg, header), .doc = "CSV: a first line with names (true)." },
    { .name = "jobTimeoutMs", .type = SL_OPT_INT, .offset = SL_FIELD(transfer_cfg, timeout_ms), .doc = "Longest time of the job, in milliseconds." },
    LABELS,
    { 0 },
};
static const sl_opt copy_opts[] = {
    SL_BQ_OPTS(transfer_cfg),
    { .name = "sourceTables", .type = SL_OPT_STRS, .offset = SL_FIELD(transfer_cfg, sources), .flags = SL_REQUIRED, .doc = "The tables." },
    DESTINATION,
    { .name = "operationType", .type = SL_OPT_ENUM, .offset = SL_FIELD(transfer_cfg, operation), .values = "COPY SNAPSHOT RESTORE CLONE", .doc = "Kind of copy." },
    DISPOSITIONS,
    { .name = "jobTimeout", .type = SL_OPT_DURATION, .offset = SL_FIELD(transfer_cfg, timeout_ms), .doc = "Longest time of the job." },
    LABELS,
    { .name = "dryRun", .type = SL_OPT_BOOL, .offset = SL_FIELD(transfer_cfg, dry_run), .doc = "Only check." },
    { 0 },
};

static const sl_opt load_outs[] = {
    { .name = "jobId", .type = SL_OPT_STR, .doc = "Id of the job." }, { .name = "rows", .type = SL_OPT_INT, .doc = "Rows loaded." }, { .name = "destinationTable", .type = SL_OPT_STR, .doc = "project.dataset.table" }, { 0 },
};
static const sl_opt extract_outs[] = {
    { .name = "jobId", .type = SL_OPT_STR, .doc = "Id of the job." },           { .name = "sourceTable", .type = SL_OPT_STR, .doc = "The table." },
    { .name = "destinationUris", .type = SL_OPT_LIST, .doc = "Where it went." }, { .name = "fileCounts", .type = SL_OPT_LIST, .doc = "Files per URI." },
    { 0 },
};
static const sl_opt copy_outs[] = { { .name = "jobId", .type = SL_OPT_STR, .doc = "Id of the job." }, { 0 } };

static void put(sl_arena *a, sl_val *v, const char *name, sl_str text)
{
    if (text.n > 0)
        sl_map_set_str(a, v, name, text);
}

static void put_val(sl_arena *a, sl_val *v, const char *name, const sl_val *value)
{
    if (value != NULL)
        sl_map_setc(a, v, name, value);
}

static const sl_val *wrap(sl_arena *a, const char *name, const sl_val *inner)
{
    sl_val *v = sl_map(a);
    sl_map_setc(a, v, name, inner);
    return v;
}

/* ---- load ---- */

static bool load_configuration(sl_bq *b, const transfer_cfg *c, const sl_val **ret, sl_err *err)
{
    sl_arena *a = b->arena;
    sl_val *l = sl_map(a);
    const sl_val *ref;
    if (!sl_bq_table_ref(b, c->destination, &ref, err))
        return false;
    sl_map_setc(a, l, "sourceUris", c->from);
    sl_map_setc(a, l, "destinationTable", ref);
    sl_map_set_str(a, l, "sourceFormat", sl_str_eqc(c->format, "JSON") ? SL_S("NEWLINE_DELIMITED_JSON") : c->format);
    put_val(a, l, "schema", c->schema);
    put_val(a, l, "autodetect", c->autodetect);
    put_val(a, l, "ignoreUnknownValues", c->ignore_unknown);
    put_val(a, l, "maxBadRecords", c->max_bad);
    put_val(a, l, "schemaUpdateOptions", c->update_options);
    put(a, l, "writeDisposition", c->write);
    put(a, l, "createDisposition", c->create);
    for (size_t i = 0; i < sl_val_count(c->csv); i++) {
        sl_str name = c->csv->map.entries[i].key;
        /* The API spells this one with a small l. */
        sl_map_set(a, l, sl_str_eqc(name, "allowQuotedNewLines") ? SL_S("allowQuotedNewlines") : name, c->csv->map.entries[i].value);
    }
    put_val(a, l, "useAvroLogicalTypes", sl_get(c->avro, "useAvroLogicalTypes"));
    if (c->clustering != NULL)
        sl_map_setc(a, l, "clustering", wrap(a, "fields", c->clustering));
    if (c->partition_field.n > 0) {
        sl_val *v = sl_map(a);
        sl_map_set_str(a, v, "type", c->partition_type);
        sl_map_set_str(a, v, "field", c->partition_field);
        sl_map_setc(a, l, "timePartitioning", v);
    }
    *ret = wrap(a, "load", l);
    return true;
}

static bool is_region(sl_str location)
{
    return sl_str_find(location, SL_S("-")) > 0; /* europe-west2; EU and US are multi-regions, EUR4 and NAM4 dual ones */
}

static bool location_of(sl_gcp *g, sl_str path, sl_str *ret, sl_err *err)
{
    sl_http_response r;
    *ret = SL_S("");
    if (!sl_gcp_send(g, "GET", path, NULL, true, &r, err))
        return false;
    const sl_val *v = r.status == 200 ? sl_json_parse(g->arena, r.body, err) : NULL;
    *ret = sl_get_text(v, "location");
    return true; /* whoever may not see it may still load: the service decides */
}

/* Different regions fail only after the job has waited; said here before anything is submitted. */
static bool same_place(sl_bq *b, const transfer_cfg *c, const sl_val *table, const sl_val *uris, sl_err *err)
{
    sl_gcp gcs;
    sl_gs_uri uri;
    sl_str dataset, bucket;
    sl_str path = sl_fmt(b->arena, "/bigquery/v2/projects/%.*s/datasets/%.*s", SL_ARG(sl_percent(b->arena, sl_get_text(table, "projectId"), ":")), SL_ARG(sl_percent(b->arena, sl_get_text(table, "datasetId"), NULL)));
    if (!sl_gs_parse(b->arena, sl_text(sl_at(uris, 0)), false, &uri, err) || !sl_gcp_open(&gcs, b->task, "gcs", &c->gcp, err) || !location_of(&b->g, path, &dataset, err)
        || !location_of(&gcs, sl_fmt(b->arena, "/storage/v1/b/%.*s", SL_ARG(sl_percent(b->arena, uri.bucket, NULL))), &bucket, err))
        return false;
    if (!is_region(dataset) || !is_region(bucket) || sl_str_ieq(dataset, bucket))
        return true;
    return sl_err_set(err, SL_ERR_CONFIG, "bigquery.location", "the dataset '%.*s' lies in %.*s, but the bucket '%.*s' in %.*s; BigQuery needs both in one place: make one of them anew there",
                      SL_ARG(sl_get_text(table, "datasetId")), SL_ARG(dataset), SL_ARG(uri.bucket), SL_ARG(sl_str_lower(b->arena, bucket)));
}

static void load_outputs(sl_bq *b, const sl_val *job, const sl_val *table)
{
    static const char *const metrics[][2] = { { "outputRows", "output.rows" }, { "outputBytes", "output.bytes" }, { "badRecords", "bad.records" }, { "inputFileBytes", "input.bytes" }, { "inputFiles", "input.files" } };
    const sl_val *s = sl_get(sl_get(job, "statistics"), "load");
    for (size_t i = 0; i < SL_COUNT(metrics); i++)
        if (sl_get(s, metrics[i][0]) != NULL)
            sl_task_counter(b->task, metrics[i][1], (double)sl_get_int(s, metrics[i][0], 0));
    sl_str name = sl_fmt(b->arena, "%.*s.%.*s.%.*s", SL_ARG(sl_get_text(table, "projectId")), SL_ARG(sl_get_text(table, "datasetId")), SL_ARG(sl_get_text(table, "tableId")));
    sl_task_out_str(b->task, "jobId", sl_get_text(sl_get(job, "jobReference"), "jobId"));
    sl_task_out_int(b->task, "rows", sl_get_int(s, "outputRows", 0));
    sl_task_out_str(b->task, "destinationTable", name);
    sl_task_log(b->task, SL_INFO, "%lld rows loaded into %.*s", (long long)sl_get_int(s, "outputRows", 0), SL_ARG(name));
}

static sl_outcome load_run(sl_task *t, void *cfg, sl_err *err)
{
    const transfer_cfg *c = cfg;
    sl_bq b;
    const sl_val *conf, *job;
    if (!sl_bq_open(&b, t, &c->gcp, &c->bq, err) || !load_configuration(&b, c, &conf, err))
        return SL_TASK_FAILED;
    const sl_val *table = sl_get(sl_get(conf, "load"), "destinationTable");
    if (sl_val_count(c->from) == 0) {
        sl_err_set(err, SL_ERR_CONFIG, "bigquery.load", "'from' is empty; give at least one gs:// URI");
        return SL_TASK_FAILED;
    }
    if (sl_task_saved(t) == NULL && !same_place(&b, c, table, c->from, err))
        return SL_TASK_FAILED;
    sl_outcome o = sl_bq_job(&b, conf, NULL, 0, &job, err);
    if (o == SL_TASK_DONE)
        load_outputs(&b, job, table);
    return o;
}

/* ---- extract ---- */

static sl_outcome extract_run(sl_task *t, void *cfg, sl_err *err)
{
    const transfer_cfg *c = cfg;
    sl_bq b;
    const sl_val *ref, *job;
    if (!sl_bq_open(&b, t, &c->gcp, &c->bq, err) || !sl_bq_table_ref(&b, c->source, &ref, err))
        return SL_TASK_FAILED;
    sl_arena *a = b.arena;
    sl_val *e = sl_map(a), *counts = sl_list(a);
    sl_map_setc(a, e, "sourceTable", ref);
    sl_map_setc(a, e, "destinationUris", c->uris);
    sl_map_set_str(a, e, "destinationFormat", c->format);
    put(a, e, "compression", c->compression);
    put(a, e, "fieldDelimiter", c->delimiter);
    put_val(a, e, "useAvroLogicalTypes", c->avro_types);
    put_val(a, e, "printHeader", c->header);
    sl_outcome o = sl_bq_job(&b, wrap(a, "extract", e), c->labels, c->timeout_ms, &job, err);
    if (o != SL_TASK_DONE)
        return o;
    const sl_val *files = sl_get(sl_get(sl_get(job, "statistics"), "extract"), "destinationUriFileCounts");
    for (size_t i = 0; i < sl_val_count(files); i++) {
        int64_t n = 0;
        (void)sl_parse_int(sl_val_text(a, sl_at(files, i)), &n);
        sl_list_add(a, counts, sl_val_int(a, n));
    }
    sl_task_out_str(t, "jobId", sl_get_text(sl_get(job, "jobReference"), "jobId"));
    sl_task_out_str(t, "sourceTable", c->source);
    sl_task_out(t, "destinationUris", c->uris);
    sl_task_out(t, "fileCounts", counts);
    return SL_TASK_DONE;
}

/* ---- copy ---- */

static sl_outcome copy_run(sl_task *t, void *cfg, sl_err *err)
{
    const transfer_cfg *c = cfg;
    sl_bq b;
    const sl_val *ref, *job;
    if (!sl_bq_open(&b, t, &c->gcp, &c->bq, err) || !sl_bq_table_ref(&b, c->destination, &ref, err))
        return SL_TASK_FAILED;
    sl_arena *a = b.arena;
    sl_val *copy = sl_map(a), *sources = sl_list(a);
    sl_map_setc(a, copy, "destinationTable", ref);
    for (size_t i = 0; i < sl_val_count(c->sources); i++) {
        if (!sl_bq_table_ref(&b, sl_text(sl_at(c->sources, i)), &ref, err))
            return SL_TASK_FAILED;
        sl_list_add(a, sources, ref);
    }
    sl_map_setc(a, copy, "sourceTables", sources);
    put(a, copy, "operationType", c->operation);
    put(a, copy, "writeDisposition", c->write);
    put(a, copy, "createDisposition", c->create);
    if (c->dry_run)
        return sl_bq_dry_run(&b, wrap(a, "copy", copy), &job, err) ? SL_TASK_DONE : SL_TASK_FAILED;
    sl_outcome o = sl_bq_job(&b, wrap(a, "copy", copy), c->labels, c->timeout_ms, &job, err);
    if (o == SL_TASK_DONE)
        sl_task_out_str(t, "jobId", sl_get_text(sl_get(job, "jobReference"), "jobId"));
    return o;
}

static void kill_job(sl_task *t, void *cfg)
{
    const transfer_cfg *c = cfg;
    sl_bq_cancel(t, &c->gcp, &c->bq);
}

#define BQ "io.kestra.plugin.gcp.bigquery."
const sl_task_type sl_bq_load_from_gcs = {
    .type = BQ "LoadFromGcs", .doc = "Loads files of a bucket into a table.", .cfg_size = sizeof(transfer_cfg), .opts = load_opts, .outs = load_outs, .run = load_run, .kill = kill_job,
};
const sl_task_type sl_bq_extract = {
    .type = BQ "ExtractToGcs", .doc = "Writes a table to files in a bucket.", .cfg_size = sizeof(transfer_cfg), .opts = extract_opts, .outs = extract_outs, .run = extract_run, .kill = kill_job,
};
const sl_task_type sl_bq_copy = { .type = BQ "Copy", .doc = "Copies tables.", .cfg_size = sizeof(transfer_cfg), .opts = copy_opts, .outs = copy_outs, .run = copy_run, .kill = kill_job };
