/*
 * connectors/bigquery/partition.c: CopyPartitions, DeletePartitions: the partitions of a table between two points.
 *
 * Which partitions there are is asked of INFORMATION_SCHEMA.PARTITIONS; their ids (20240131, 2024013114, 202401, 2024, or a
 * number) sort as the times do. Source: https://cloud.google.com/bigquery/docs/managing-partitioned-tables
 */
#include "base/arena.h"
#include "base/json.h"
#include "base/time.h"
#include "connectors/bigquery/bigquery.h"

typedef struct partition_cfg {
    sl_gcp_cfg gcp;
    sl_bq_cfg bq;
    sl_bq_target target;
    sl_str dataset, table, type, from, to;
    const sl_val *labels;
    int64_t timeout_ms;
    bool dry_run, skip_empty;
} partition_cfg;

#define RANGE                                                                                                                                                                                        \
    SL_BQ_OPTS(partition_cfg), { .name = "dataset", .type = SL_OPT_STR, .offset = SL_FIELD(partition_cfg, dataset), .flags = SL_REQUIRED, .doc = "The dataset." },                                   \
        { .name = "table", .type = SL_OPT_STR, .offset = SL_FIELD(partition_cfg, table), .flags = SL_REQUIRED, .doc = "The partitioned table." },                                                    \
        { .name = "partitionType", .type = SL_OPT_ENUM, .offset = SL_FIELD(partition_cfg, type), .values = "DAY HOUR MONTH YEAR RANGE", .flags = SL_REQUIRED, .doc = "How the table is partitioned." }, \
        { .name = "from", .type = SL_OPT_STR, .offset = SL_FIELD(partition_cfg, from), .flags = SL_REQUIRED, .doc = "The first partition: a date-time, or a number with RANGE." },                   \
        { .name = "to", .type = SL_OPT_STR, .offset = SL_FIELD(partition_cfg, to), .flags = SL_REQUIRED, .doc = "The last partition, included." }

static const sl_opt copy_opts[] = {
    RANGE,
    SL_BQ_TARGET_OPTS(partition_cfg),
    { .name = "jobTimeout", .type = SL_OPT_DURATION, .offset = SL_FIELD(partition_cfg, timeout_ms), .doc = "Longest time of the job." },
    { .name = "labels", .type = SL_OPT_MAP, .offset = SL_FIELD(partition_cfg, labels), .doc = "Labels of the job." },
    { .name = "dryRun", .type = SL_OPT_BOOL, .offset = SL_FIELD(partition_cfg, dry_run), .doc = "Only check." },
    { .name = "skipEmpty", .type = SL_OPT_BOOL, .offset = SL_FIELD(partition_cfg, skip_empty), .doc = "Nothing to copy is no error." },
    { 0 },
};
static const sl_opt delete_opts[] = { RANGE, { 0 } };

#define OUTPUTS                                                                                                                              \
    { .name = "projectId", .type = SL_OPT_STR, .doc = "The project." }, { .name = "datasetId", .type = SL_OPT_STR, .doc = "The dataset." }, \
        { .name = "table", .type = SL_OPT_STR, .doc = "The table." }, { .name = "partitions", .type = SL_OPT_LIST, .doc = "Ids of the partitions." }
static const sl_opt copy_outs[] = { OUTPUTS, { .name = "jobId", .type = SL_OPT_STR, .doc = "Id of the job." }, { 0 } };
static const sl_opt delete_outs[] = { OUTPUTS, { 0 } };

/* ---- which ones ---- */

static bool partition_id(sl_arena *a, sl_str type, const char *property, sl_str text, sl_str *ret, sl_err *err)
{
    static const char *const patterns[][2] = { { "DAY", "yyyyMMdd" }, { "HOUR", "yyyyMMddHH" }, { "MONTH", "yyyyMM" }, { "YEAR", "yyyy" } };
    sl_time time;
    int64_t number;
    if (sl_str_eqc(type, "RANGE")) {
        *ret = text;
        return sl_parse_int(text, &number) || sl_err_set(err, SL_ERR_CONFIG, "bigquery.partition", "'%s' is '%.*s', which is not an integer; partitionType RANGE needs one", property, SL_ARG(text));
    }
    if (!sl_time_parse(text, &time) || time.kind == SL_TIME_OF_DAY)
        return sl_err_set(err, SL_ERR_CONFIG, "bigquery.partition", "'%s' is '%.*s', which is not a date-time; write it like 2024-01-31T00:00", property, SL_ARG(text));
    /* Partitions are cut in UTC. */
    sl_time utc = time.kind == SL_TIME_ZONED ? sl_time_at(time.s, 0, sl_tz_utc()) : time;
    for (size_t i = 0; i < SL_COUNT(patterns); i++)
        if (sl_str_eqc(type, patterns[i][0]))
            return sl_time_format(a, utc, sl_str_c(patterns[i][1]), ret, err);
    return sl_err_set(err, SL_ERR_CONFIG, "bigquery.partition", "unknown partitionType '%.*s'", SL_ARG(type));
}

static bool between(sl_str type, sl_str id, sl_str from, sl_str to)
{
    int64_t n, first, last;
    if (sl_str_eqc(type, "RANGE"))
        return sl_parse_int(id, &n) && sl_parse_int(from, &first) && sl_parse_int(to, &last) && n >= first && n <= last;
    return id.n == from.n && sl_str_cmp(id, from) >= 0 && sl_str_cmp(id, to) <= 0;
}

/* A query without effect, so it is no job to remember. */
static bool ask(sl_bq *b, sl_str sql, const sl_val **ret, sl_err *err)
{
    sl_arena *a = b->arena;
    sl_val *body = sl_map(a);
    sl_map_set_str(a, body, "query", sql);
    sl_map_set_bool(a, body, "useLegacySql", false);
    sl_map_set_int(a, body, "timeoutMs", 60000);
    sl_map_opt_str(a, body, "location", b->cfg->location);
    if (!sl_gcp_call(&b->g, "POST", sl_bq_path(b, "queries"), body, true, ret, err))
        return false;
    while (!sl_get_bool(*ret, "jobComplete", true) && !sl_task_cancelled(b->task)) {
        const sl_val *job = sl_get(*ret, "jobReference");
        sl_str location = sl_get_text(job, "location");
        if (!sl_gcp_call(&b->g, "GET", sl_bq_path(b, "queries/%.*s?timeoutMs=60000%s%.*s", SL_ARG(sl_get_text(job, "jobId")), location.n ? "&location=" : "", SL_ARG(sl_percent(a, location, NULL))), NULL, true, ret, err))
            return false;
    }
    if (sl_get_text(*ret, "pageToken").n > 0)
        return sl_err_set(err, SL_ERR_DATA, "bigquery.partition", "the table has more partitions than one answer holds");
    return true;
}

static bool find_partitions(sl_bq *b, const partition_cfg *c, const sl_val **ret, sl_err *err)
{
    sl_arena *a = b->arena;
    sl_str from, to, table = c->table;
    const sl_val *answer, *dataset = sl_bq_dataset_ref(b, c->dataset);
    if (!partition_id(a, c->type, "from", c->from, &from, err) || !partition_id(a, c->type, "to", c->to, &to, err))
        return false;
    for (size_t i = 0; i < table.n; i++)
        if (strchr("`'\\\n", table.p[i]) != NULL)
            return sl_err_set(err, SL_ERR_CONFIG, "bigquery.table", "'%.*s' is not a table's name", SL_ARG(table));
    sl_str sql = sl_fmt(a, "SELECT partition_id FROM `%.*s.%.*s`.INFORMATION_SCHEMA.PARTITIONS WHERE table_name = '%.*s' ORDER BY partition_id", SL_ARG(sl_get_text(dataset, "projectId")),
                        SL_ARG(sl_get_text(dataset, "datasetId")), SL_ARG(table));
    if (!ask(b, sql, &answer, err))
        return sl_err_ctx(err, "asking for the partitions of %.*s.%.*s", SL_ARG(c->dataset), SL_ARG(table));
    const sl_val *rows = sl_get(answer, "rows");
    sl_val *ids = sl_list(a);
    for (size_t i = 0; i < sl_val_count(rows); i++) {
        sl_str id = sl_get_text(sl_at(sl_get(sl_at(rows, i), "f"), 0), "v");
        if (between(c->type, id, from, to))
            sl_list_add(a, ids, sl_val_str(a, id));
    }
    *ret = ids;
    return true;
}

static void outputs(sl_bq *b, const partition_cfg *c, const sl_val *ids)
{
    const sl_val *dataset = sl_bq_dataset_ref(b, c->dataset);
    sl_task_out_str(b->task, "projectId", sl_get_text(dataset, "projectId"));
    sl_task_out_str(b->task, "datasetId", sl_get_text(dataset, "datasetId"));
    sl_task_out_str(b->task, "table", c->table);
    sl_task_out(b->task, "partitions", ids);
}

/* ---- copy ---- */

static bool copy_configuration(sl_bq *b, const partition_cfg *c, const sl_val *ids, const sl_val **ret, sl_err *err)
{
    sl_arena *a = b->arena;
    sl_val *copy = sl_map(a), *sources = sl_list(a);
    const sl_val *dataset = sl_bq_dataset_ref(b, c->dataset);
    if (!sl_bq_put_target(b, copy, &c->target, err))
        return false;
    for (size_t i = 0; i < sl_val_count(ids); i++) {
        sl_val *ref = sl_map_shallow(a, dataset);
        sl_map_set_str(a, ref, "tableId", sl_fmt(a, "%.*s$%.*s", SL_ARG(c->table), SL_ARG(sl_text(sl_at(ids, i)))));
        sl_list_add(a, sources, ref);
    }
    sl_map_setc(a, copy, "sourceTables", sources);
    *ret = sl_map_of(a, "copy", copy);
    return true;
}

static sl_outcome copy_run(sl_task *t, void *cfg, sl_err *err)
{
    const partition_cfg *c = cfg;
    sl_bq b;
    const sl_val *ids, *conf, *job;
    if (!sl_bq_open(&b, t, &c->gcp, &c->bq, err) || !find_partitions(&b, c, &ids, err) || !copy_configuration(&b, c, ids, &conf, err))
        return SL_TASK_FAILED;
    outputs(&b, c, ids);
    /* A job that is under way goes on, whatever has become of the partitions since. */
    if (sl_val_count(ids) == 0 && sl_task_saved(t) == NULL) {
        sl_task_log(t, SL_WARN, "%.*s.%.*s has no partition from %.*s to %.*s", SL_ARG(c->dataset), SL_ARG(c->table), SL_ARG(c->from), SL_ARG(c->to));
        if (c->skip_empty)
            return SL_TASK_DONE;
        sl_err_set(err, SL_ERR_NOT_FOUND, "bigquery.partition", "%.*s.%.*s has no partition from %.*s to %.*s to copy; set skipEmpty to true when that is fine", SL_ARG(c->dataset), SL_ARG(c->table), SL_ARG(c->from),
                   SL_ARG(c->to));
        return SL_TASK_FAILED;
    }
    if (c->dry_run)
        return sl_bq_dry_run(&b, conf, &job, err) ? SL_TASK_DONE : SL_TASK_FAILED;
    sl_outcome o = sl_bq_job(&b, conf, c->labels, c->timeout_ms, &job, err);
    if (o == SL_TASK_DONE)
        sl_task_out_str(t, "jobId", sl_get_text(sl_get(job, "jobReference"), "jobId"));
    return o;
}

static void kill_job(sl_task *t, void *cfg)
{
    const partition_cfg *c = cfg;
    sl_bq_cancel(t, &c->gcp, &c->bq);
}

/* ---- delete ---- */

static bool delete_one(sl_bq *b, const partition_cfg *c, sl_str id, sl_err *err)
{
    const sl_val *d = sl_bq_dataset_ref(b, c->dataset);
    sl_http_response r;
    sl_str path = sl_fmt(b->arena, "/bigquery/v2/projects/%.*s/datasets/%.*s/tables/%.*s%%24%.*s", SL_ARG(sl_percent(b->arena, sl_get_text(d, "projectId"), ":")), SL_ARG(sl_percent(b->arena, sl_get_text(d, "datasetId"), NULL)),
                         SL_ARG(sl_percent(b->arena, c->table, NULL)), SL_ARG(sl_percent(b->arena, id, NULL)));
    if (!sl_gcp_send(&b->g, "DELETE", path, NULL, true, &r, err))
        return false;
    /* Just listed: a 404 is a repeated request, or somebody else's deletion. Gone it is. */
    return r.status / 100 == 2 || r.status == 404 || sl_gcp_error(&b->g, &r, sl_fmt(b->arena, "deleting the partition %.*s of %.*s.%.*s", SL_ARG(id), SL_ARG(c->dataset), SL_ARG(c->table)).p, err);
}

/* The list is on disk before the first deletion, so that an interrupted attempt reports all of it. */
static sl_outcome delete_run(sl_task *t, void *cfg, sl_err *err)
{
    const partition_cfg *c = cfg;
    sl_bq b;
    const sl_val *ids = sl_get(sl_task_saved(t), "partitions");
    if (!sl_bq_open(&b, t, &c->gcp, &c->bq, err))
        return SL_TASK_FAILED;
    if (ids == NULL && (!find_partitions(&b, c, &ids, err) || !sl_task_checkpoint(t, sl_map_of(b.arena, "partitions", ids), err)))
        return SL_TASK_FAILED;
    for (size_t i = 0; i < sl_val_count(ids); i++)
        if (!delete_one(&b, c, sl_text(sl_at(ids, i)), err))
            return SL_TASK_FAILED;
    outputs(&b, c, ids);
    sl_task_log(t, SL_INFO, "deleted %zu partitions of %.*s.%.*s", sl_val_count(ids), SL_ARG(c->dataset), SL_ARG(c->table));
    return SL_TASK_DONE;
}

#define BQ "io.kestra.plugin.gcp.bigquery."
const sl_task_type sl_bq_copy_partitions = {
    .type = BQ "CopyPartitions", .doc = "Copies partitions of a table.", .cfg_size = sizeof(partition_cfg), .opts = copy_opts, .outs = copy_outs, .run = copy_run, .kill = kill_job,
};
const sl_task_type sl_bq_delete_partitions = {
    .type = BQ "DeletePartitions", .doc = "Deletes partitions of a table.", .cfg_size = sizeof(partition_cfg), .opts = delete_opts, .outs = delete_outs, .run = delete_run,
};
