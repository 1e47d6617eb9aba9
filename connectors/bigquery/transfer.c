/* connectors/bigquery/transfer.c: ExtractToGcs and Copy. */
#include "base/arena.h"
#include "connectors/bigquery/bigquery.h"

typedef struct transfer_cfg {
    sl_gcp_cfg gcp;
    sl_bq_cfg bq;
    sl_bq_target target;
    sl_str source, format, compression, delimiter, operation;
    const sl_val *uris, *header, *avro_types, *labels, *sources;
    int64_t timeout_ms;
    bool dry_run;
} transfer_cfg;

#define LABELS { .name = "labels", .type = SL_OPT_MAP, .offset = SL_FIELD(transfer_cfg, labels), .doc = "Labels of the job." }

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
    { .name = "operationType", .type = SL_OPT_ENUM, .offset = SL_FIELD(transfer_cfg, operation), .values = "COPY SNAPSHOT RESTORE CLONE", .doc = "Kind of copy." },
    SL_BQ_TARGET_OPTS(transfer_cfg),
    { .name = "jobTimeout", .type = SL_OPT_DURATION, .offset = SL_FIELD(transfer_cfg, timeout_ms), .doc = "Longest time of the job." },
    LABELS,
    { .name = "dryRun", .type = SL_OPT_BOOL, .offset = SL_FIELD(transfer_cfg, dry_run), .doc = "Only check." },
    { 0 },
};

static const sl_opt extract_outs[] = {
    { .name = "jobId", .type = SL_OPT_STR, .doc = "Id of the job." },           { .name = "sourceTable", .type = SL_OPT_STR, .doc = "The table." },
    { .name = "destinationUris", .type = SL_OPT_LIST, .doc = "Where it went." }, { .name = "fileCounts", .type = SL_OPT_LIST, .doc = "Files per URI." },
    { 0 },
};
static const sl_opt copy_outs[] = { { .name = "jobId", .type = SL_OPT_STR, .doc = "Id of the job." }, { 0 } };

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
    sl_map_opt_str(a, e, "compression", c->compression);
    sl_map_opt_str(a, e, "fieldDelimiter", c->delimiter);
    sl_map_opt(a, e, "useAvroLogicalTypes", c->avro_types);
    sl_map_opt(a, e, "printHeader", c->header);
    sl_outcome o = sl_bq_job(&b, sl_map_of(a, "extract", e), c->labels, c->timeout_ms, &job, err);
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
    sl_arena *a = sl_task_arena(t);
    sl_val *copy = sl_map(a), *sources = sl_list(a);
    if (!sl_bq_open(&b, t, &c->gcp, &c->bq, err) || !sl_bq_put_target(&b, copy, &c->target, err))
        return SL_TASK_FAILED;
    for (size_t i = 0; i < sl_val_count(c->sources); i++) {
        if (!sl_bq_table_ref(&b, sl_text(sl_at(c->sources, i)), &ref, err))
            return SL_TASK_FAILED;
        sl_list_add(a, sources, ref);
    }
    sl_map_setc(a, copy, "sourceTables", sources);
    sl_map_opt_str(a, copy, "operationType", c->operation);
    if (c->dry_run)
        return sl_bq_dry_run(&b, sl_map_of(a, "copy", copy), &job, err) ? SL_TASK_DONE : SL_TASK_FAILED;
    sl_outcome o = sl_bq_job(&b, sl_map_of(a, "copy", copy), c->labels, c->timeout_ms, &job, err);
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
const sl_task_type sl_bq_extract = {
    .type = BQ "ExtractToGcs", .doc = "Writes a table to files in a bucket.", .cfg_size = sizeof(transfer_cfg), .opts = extract_opts, .outs = extract_outs, .run = extract_run, .kill = kill_job,
};
const sl_task_type sl_bq_copy = { .type = BQ "Copy", .doc = "Copies tables.", .cfg_size = sizeof(transfer_cfg), .opts = copy_opts, .outs = copy_outs, .run = copy_run, .kill = kill_job };
