/*
 * connectors/bigquery/load.c: Load (a stored file, sent with the job) and LoadFromGcs.
 * API: https://cloud.google.com/bigquery/docs/reference/api-uploads
 */
#include "base/arena.h"
#include "base/json.h"
#include "connectors/bigquery/bigquery.h"
#include "connectors/gcp/resumable.h"
#include "connectors/gcs/gcs.h"

typedef struct load_cfg {
    sl_gcp_cfg gcp;
    sl_bq_cfg bq;
    sl_bq_target target;
    sl_str file, format, partition_field, partition_type;
    const sl_val *from, *csv, *avro, *schema, *autodetect, *ignore_unknown, *max_bad, *update_options, *clustering;
    bool failed_on_empty;
} load_cfg;

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

#define COMMON \
    SL_BQ_OPTS(load_cfg), SL_BQ_TARGET_OPTS(load_cfg), \
    { .name = "format", .type = SL_OPT_ENUM, .offset = SL_FIELD(load_cfg, format), .values = "CSV JSON AVRO PARQUET ORC", .flags = SL_REQUIRED | SL_STATIC, .doc = "Format of the files; JSON has one value per line." }, \
    { .name = "csvOptions", .type = SL_OPT_MAP, .offset = SL_FIELD(load_cfg, csv), .sub = csv_opts, .doc = "How the CSV is written." }, \
    { .name = "avroOptions", .type = SL_OPT_MAP, .offset = SL_FIELD(load_cfg, avro), .sub = avro_opts, .doc = "How Avro is read." }, \
    { .name = "schema", .type = SL_OPT_MAP, .offset = SL_FIELD(load_cfg, schema), .doc = "{fields: [{name, type, mode, description, fields}]}." }, \
    { .name = "autodetect", .type = SL_OPT_ANY, .offset = SL_FIELD(load_cfg, autodetect), .doc = "Find the schema in the data." }, \
    { .name = "ignoreUnknownValues", .type = SL_OPT_ANY, .offset = SL_FIELD(load_cfg, ignore_unknown), .doc = "Leave out values without a column." }, \
    { .name = "maxBadRecords", .type = SL_OPT_ANY, .offset = SL_FIELD(load_cfg, max_bad), .doc = "So many bad rows are left out." }, \
    { .name = "schemaUpdateOptions", .type = SL_OPT_STRS, .offset = SL_FIELD(load_cfg, update_options), .doc = "Allowed changes of the schema." }, \
    { .name = "clusteringFields", .type = SL_OPT_STRS, .offset = SL_FIELD(load_cfg, clustering), .doc = "Fields to cluster by." }, \
    { .name = "timePartitioningField", .type = SL_OPT_STR, .offset = SL_FIELD(load_cfg, partition_field), .doc = "Field to partition by." }, \
    { .name = "timePartitioningType", .type = SL_OPT_ENUM, .offset = SL_FIELD(load_cfg, partition_type), .values = "DAY HOUR MONTH YEAR", .fallback = "DAY", .doc = "Size of a partition." }

static const sl_opt load_opts[] = {
    { .name = "from", .type = SL_OPT_STR, .offset = SL_FIELD(load_cfg, file), .flags = SL_REQUIRED, .doc = "The file (kestra:// URI)." },
    { .name = "failedOnEmpty", .type = SL_OPT_BOOL, .offset = SL_FIELD(load_cfg, failed_on_empty), .fallback = "true", .doc = "An empty file is an error; else nothing is loaded from it." },
    COMMON,
    { 0 },
};
static const sl_opt load_from_gcs_opts[] = {
    { .name = "from", .type = SL_OPT_STRS, .offset = SL_FIELD(load_cfg, from), .flags = SL_REQUIRED, .doc = "gs:// URIs, with at most one * each." },
    COMMON,
    { 0 },
};

static const sl_opt outs[] = {
    { .name = "jobId", .type = SL_OPT_STR, .doc = "Id of the job." }, { .name = "rows", .type = SL_OPT_INT, .doc = "Rows loaded." }, { .name = "destinationTable", .type = SL_OPT_STR, .doc = "project.dataset.table" }, { 0 },
};

static bool configuration(sl_bq *b, const load_cfg *c, const sl_val **ret, sl_err *err)
{
    sl_arena *a = b->arena;
    sl_val *l = sl_map(a);
    if (!sl_bq_put_target(b, l, &c->target, err))
        return false;
    sl_map_opt(a, l, "sourceUris", c->from);
    sl_map_set_str(a, l, "sourceFormat", sl_str_eqc(c->format, "JSON") ? SL_S("NEWLINE_DELIMITED_JSON") : c->format);
    sl_map_opt(a, l, "schema", c->schema);
    sl_map_opt(a, l, "autodetect", c->autodetect);
    sl_map_opt(a, l, "ignoreUnknownValues", c->ignore_unknown);
    sl_map_opt(a, l, "maxBadRecords", c->max_bad);
    sl_map_opt(a, l, "schemaUpdateOptions", c->update_options);
    for (size_t i = 0; i < sl_val_count(c->csv); i++) {
        sl_str name = c->csv->map.entries[i].key;
        /* The API spells this one with a small l. */
        sl_map_set(a, l, sl_str_eqc(name, "allowQuotedNewLines") ? SL_S("allowQuotedNewlines") : name, c->csv->map.entries[i].value);
    }
    sl_map_opt(a, l, "useAvroLogicalTypes", sl_get(c->avro, "useAvroLogicalTypes"));
    sl_bq_put_layout(a, l, c->clustering, c->partition_field, c->partition_type);
    *ret = sl_map_of(a, "load", l);
    return true;
}

static void outputs(sl_bq *b, const sl_val *job, const sl_val *table)
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

/* ---- files of a bucket ---- */

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
static bool same_place(sl_bq *b, const load_cfg *c, const sl_val *table, const sl_val *uris, sl_err *err)
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

static sl_outcome load_from_gcs_run(sl_task *t, void *cfg, sl_err *err)
{
    const load_cfg *c = cfg;
    sl_bq b;
    const sl_val *conf, *job;
    if (!sl_bq_open(&b, t, &c->gcp, &c->bq, err) || !configuration(&b, c, &conf, err))
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
        outputs(&b, job, table);
    return o;
}

/* ---- a file of our own ---- */

/* The job is the metadata of a resumable upload, and begins when the last byte has arrived. */
static bool send_file(void *self, sl_bq *b, const sl_val *job, const sl_val **ret, sl_err *err)
{
    const load_cfg *c = self;
    sl_arena *a = b->arena;
    sl_str path = sl_fmt(a, "%.*s/upload/bigquery/v2/projects/%.*s/jobs?uploadType=resumable", SL_ARG(b->g.base), SL_ARG(sl_percent(a, b->g.project, ":")));
    sl_resumable file = { .session = { .g = &b->g, .url = path, .metadata = sl_json(a, job), .target = c->target.table }, .checkpoint = sl_task_saved(b->task) };
    bool ok = sl_resumable_open(&file, c->file, err) && sl_resumable_send(&file, ret, err);
    sl_resumable_close(&file);
    return ok;
}

/* *empty: there is nothing to load, and that is fine. */
static bool check_file(sl_bq *b, const load_cfg *c, bool *empty, sl_err *err)
{
    sl_resumable file = { .session.g = &b->g };
    bool ok = sl_resumable_open(&file, c->file, err);
    sl_resumable_close(&file);
    *empty = ok && file.size == 0;
    if (*empty && c->failed_on_empty)
        return sl_err_set(err, SL_ERR_DATA, "bigquery.empty", "the file '%.*s' is empty, so nothing can be loaded into '%.*s'; set failedOnEmpty to false when that is fine", SL_ARG(c->file), SL_ARG(c->target.table));
    return ok;
}

static sl_outcome load_run(sl_task *t, void *cfg, sl_err *err)
{
    const load_cfg *c = cfg;
    sl_bq b;
    bool empty;
    const sl_val *conf, *job;
    if (!sl_bq_open(&b, t, &c->gcp, &c->bq, err) || !configuration(&b, c, &conf, err) || !check_file(&b, c, &empty, err))
        return SL_TASK_FAILED;
    if (empty) {
        sl_task_out_int(t, "rows", 0);
        return SL_TASK_DONE;
    }
    sl_outcome o = sl_bq_job_by(&b, send_file, cfg, conf, NULL, 0, &job, err);
    if (o == SL_TASK_DONE)
        outputs(&b, job, sl_get(sl_get(conf, "load"), "destinationTable"));
    return o;
}

static void kill_load(sl_task *t, void *cfg)
{
    const load_cfg *c = cfg;
    sl_bq b;
    sl_err err;
    if (sl_bq_open(&b, t, &c->gcp, &c->bq, &err))
        sl_session_cancel(&b.g, sl_get_text(sl_task_saved(t), "session"));
    sl_bq_cancel(t, &c->gcp, &c->bq);
}

#define BQ "io.kestra.plugin.gcp.bigquery."
const sl_task_type sl_bq_load = {
    .type = BQ "Load", .doc = "Loads a file into a table.", .cfg_size = sizeof(load_cfg), .opts = load_opts, .outs = outs, .run = load_run, .kill = kill_load,
};
const sl_task_type sl_bq_load_from_gcs = {
    .type = BQ "LoadFromGcs", .doc = "Loads files of a bucket into a table.", .cfg_size = sizeof(load_cfg), .opts = load_from_gcs_opts, .outs = outs, .run = load_from_gcs_run, .kill = kill_load,
};
