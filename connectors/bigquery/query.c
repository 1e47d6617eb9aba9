/* connectors/bigquery/query.c: io.kestra.plugin.gcp.bigquery.Query. */
#include "base/arena.h"
#include "base/json.h"
#include "connectors/bigquery/bigquery.h"
#include "connectors/result.h"

typedef struct query_cfg {
    sl_gcp_cfg gcp;
    sl_bq_cfg bq;
    sl_str sql, fetch_type, destination, write, create, partition_field, partition_type, range_field, default_dataset, priority;
    bool fetch, store, fetch_one, legacy, use_legacy, flatten, dry_run;
    const sl_val *large, *cache, *update_options, *clustering, *labels, *max_bytes, *billing_tier, *max_results;
    int64_t range_start, range_end, range_interval, timeout_ms;
} query_cfg;

#define FETCH_OPTS \
    { .name = "sql", .type = SL_OPT_STR, .offset = SL_FIELD(query_cfg, sql), .flags = SL_REQUIRED, .doc = "One statement, or several." }, \
    { .name = "fetchType", .type = SL_OPT_ENUM, .offset = SL_FIELD(query_cfg, fetch_type), .values = SL_FETCH_TYPES, .fallback = "NONE", .doc = "What becomes of the rows." }, \
    { .name = "fetch", .type = SL_OPT_BOOL, .offset = SL_FIELD(query_cfg, fetch), .flags = SL_DEPRECATED, .doc = "Older form of fetchType FETCH." }, \
    { .name = "store", .type = SL_OPT_BOOL, .offset = SL_FIELD(query_cfg, store), .flags = SL_DEPRECATED, .doc = "Older form of fetchType STORE." }, \
    { .name = "fetchOne", .type = SL_OPT_BOOL, .offset = SL_FIELD(query_cfg, fetch_one), .flags = SL_DEPRECATED, .doc = "Older form of fetchType FETCH_ONE." }, \
    { .name = "legacySql", .type = SL_OPT_BOOL, .offset = SL_FIELD(query_cfg, legacy), .doc = "The SQL is legacy SQL." }, \
    { .name = "useLegacySql", .type = SL_OPT_BOOL, .offset = SL_FIELD(query_cfg, use_legacy), .doc = "The same." }

static const sl_opt opts[] = {
    SL_BQ_OPTS(query_cfg),
    FETCH_OPTS,
    { .name = "destinationTable", .type = SL_OPT_STR, .offset = SL_FIELD(query_cfg, destination), .doc = "Table for the result." },
    { .name = "writeDisposition", .type = SL_OPT_ENUM, .offset = SL_FIELD(query_cfg, write), .values = "WRITE_TRUNCATE WRITE_APPEND WRITE_EMPTY", .doc = "What to do with rows that are there." },
    { .name = "createDisposition", .type = SL_OPT_ENUM, .offset = SL_FIELD(query_cfg, create), .values = "CREATE_IF_NEEDED CREATE_NEVER", .doc = "Whether the table is made." },
    { .name = "schemaUpdateOptions", .type = SL_OPT_STRS, .offset = SL_FIELD(query_cfg, update_options), .doc = "Allowed changes of the schema." },
    { .name = "clusteringFields", .type = SL_OPT_STRS, .offset = SL_FIELD(query_cfg, clustering), .doc = "Fields to cluster by." },
    { .name = "timePartitioningField", .type = SL_OPT_STR, .offset = SL_FIELD(query_cfg, partition_field), .doc = "Field to partition by." },
    { .name = "timePartitioningType", .type = SL_OPT_ENUM, .offset = SL_FIELD(query_cfg, partition_type), .values = "DAY HOUR MONTH YEAR", .fallback = "DAY", .doc = "Size of a partition." },
    { .name = "rangePartitioningField", .type = SL_OPT_STR, .offset = SL_FIELD(query_cfg, range_field), .doc = "Integer field to partition by." },
    { .name = "rangePartitioningStart", .type = SL_OPT_INT, .offset = SL_FIELD(query_cfg, range_start), .doc = "First value." },
    { .name = "rangePartitioningEnd", .type = SL_OPT_INT, .offset = SL_FIELD(query_cfg, range_end), .doc = "End, exclusive." },
    { .name = "rangePartitioningInterval", .type = SL_OPT_INT, .offset = SL_FIELD(query_cfg, range_interval), .doc = "Width of a partition." },
    { .name = "defaultDataset", .type = SL_OPT_STR, .offset = SL_FIELD(query_cfg, default_dataset), .doc = "Dataset of tables without one." },
    { .name = "priority", .type = SL_OPT_ENUM, .offset = SL_FIELD(query_cfg, priority), .values = "INTERACTIVE BATCH", .fallback = "INTERACTIVE", .doc = "Priority of the job." },
    { .name = "allowLargeResults", .type = SL_OPT_ANY, .offset = SL_FIELD(query_cfg, large), .doc = "Legacy SQL only." },
    { .name = "useQueryCache", .type = SL_OPT_ANY, .offset = SL_FIELD(query_cfg, cache), .doc = "Use cached results." },
    { .name = "flattenResults", .type = SL_OPT_BOOL, .offset = SL_FIELD(query_cfg, flatten), .fallback = "true", .doc = "Legacy SQL only." },
    { .name = "maximumBillingTier", .type = SL_OPT_ANY, .offset = SL_FIELD(query_cfg, billing_tier), .doc = "Limit of the billing tier." },
    { .name = "maximumBytesBilled", .type = SL_OPT_ANY, .offset = SL_FIELD(query_cfg, max_bytes), .doc = "The job fails before it costs more than this." },
    { .name = "maxResults", .type = SL_OPT_ANY, .offset = SL_FIELD(query_cfg, max_results), .doc = "Rows of one page." },
    { .name = "jobTimeout", .type = SL_OPT_DURATION, .offset = SL_FIELD(query_cfg, timeout_ms), .doc = "Longest time of the job." },
    { .name = "labels", .type = SL_OPT_MAP, .offset = SL_FIELD(query_cfg, labels), .doc = "Labels of the job." },
    { .name = "dryRun", .type = SL_OPT_BOOL, .offset = SL_FIELD(query_cfg, dry_run), .doc = "Only check the SQL and estimate the bytes." },
    { 0 },
};

static const sl_opt trigger_opts[] = { SL_BQ_OPTS(query_cfg), FETCH_OPTS, { 0 } };

static const sl_opt outs[] = {
    { .name = "jobId", .type = SL_OPT_STR, .doc = "Id of the job." },
    { .name = "rows", .type = SL_OPT_LIST, .doc = "FETCH: the rows." },
    { .name = "row", .type = SL_OPT_MAP, .doc = "FETCH_ONE: the first row." },
    { .name = "size", .type = SL_OPT_INT, .doc = "Number of rows." },
    { .name = "uri", .type = SL_OPT_STR, .doc = "STORE: the file, Ion text." },
    { .name = "destinationTable", .type = SL_OPT_MAP, .doc = "{project, dataset, table} of the result." },
    { 0 },
};

static bool configuration(sl_bq *b, const query_cfg *c, const sl_val **ret, sl_err *err)
{
    sl_arena *a = b->arena;
    sl_val *q = sl_map(a);
    const sl_val *ref;
    bool legacy = c->legacy || c->use_legacy;
    sl_map_set_str(a, q, "query", c->sql);
    sl_map_set_bool(a, q, "useLegacySql", legacy);
    if (c->destination.n > 0) {
        if (!sl_bq_table_ref(b, c->destination, &ref, err))
            return false;
        sl_map_setc(a, q, "destinationTable", ref);
    }
    sl_map_opt_str(a, q, "writeDisposition", c->write);
    sl_map_opt_str(a, q, "createDisposition", c->create);
    sl_map_opt_str(a, q, "priority", c->priority);
    if (c->default_dataset.n > 0)
        sl_map_setc(a, q, "defaultDataset", sl_bq_dataset_ref(b, c->default_dataset));
    sl_map_opt(a, q, "schemaUpdateOptions", c->update_options);
    sl_bq_put_layout(a, q, c->clustering, c->partition_field, c->partition_type);
    if (c->range_field.n > 0) {
        sl_val *v = sl_map(a), *range = sl_map(a);
        sl_map_set_str(a, range, "start", sl_fmt(a, "%lld", (long long)c->range_start));
        sl_map_set_str(a, range, "end", sl_fmt(a, "%lld", (long long)c->range_end));
        sl_map_set_str(a, range, "interval", sl_fmt(a, "%lld", (long long)c->range_interval));
        sl_map_set_str(a, v, "field", c->range_field);
        sl_map_setc(a, v, "range", range);
        sl_map_setc(a, q, "rangePartitioning", v);
    }
    sl_map_opt(a, q, "useQueryCache", c->cache);
    sl_map_opt(a, q, "allowLargeResults", c->large);
    sl_map_opt(a, q, "maximumBillingTier", c->billing_tier);
    if (legacy)
        sl_map_set_bool(a, q, "flattenResults", c->flatten);
    if (c->max_bytes != NULL)
        sl_map_set_str(a, q, "maximumBytesBilled", sl_val_text(a, c->max_bytes));
    *ret = sl_map_of(a, "query", q);
    return true;
}

/* ---- results ---- */

typedef struct sink {
    sl_bq *b;
    const sl_val *schema;
    sl_result result;
} sink;

static bool take_rows(sink *s, const sl_val *answer, sl_err *err)
{
    const sl_val *rows = sl_get(answer, "rows");
    sl_arena *a = s->b->arena;
    if (sl_get(answer, "schema") != NULL)
        s->schema = sl_get(answer, "schema");
    for (size_t i = 0; i < sl_val_count(rows); i++) {
        /* A stored result may be of any size: each row's memory is given back. */
        bool keeps = sl_result_keeps(&s->result);
        sl_arena_mark mark = sl_arena_get_mark(a);
        if (!sl_result_add(&s->result, sl_bq_row(a, s->schema, sl_at(rows, i)), err))
            return false;
        if (!keeps)
            sl_arena_rewind(a, mark);
    }
    return true;
}

static bool page(sl_bq *b, sl_str id, sl_str location, const query_cfg *c, bool one, sl_str token, const sl_val **ret, sl_err *err)
{
    sl_buf q = sl_buf_new(b->arena, 4096);
    sl_buf_addc(&q, "formatOptions.useInt64Timestamp=true&timeoutMs=10000");
    if (location.n > 0)
        sl_buf_fmt(&q, "&location=%.*s", SL_ARG(sl_percent(b->arena, location, NULL)));
    if (one)
        sl_buf_addc(&q, "&maxResults=1");
    else if (c->max_results != NULL)
        sl_buf_fmt(&q, "&maxResults=%.*s", SL_ARG(sl_percent(b->arena, sl_val_text(b->arena, c->max_results), NULL)));
    if (token.n > 0)
        sl_buf_fmt(&q, "&pageToken=%.*s", SL_ARG(sl_percent(b->arena, token, NULL)));
    return sl_gcp_call(&b->g, "GET", sl_bq_path(b, "queries/%.*s?%.*s", SL_ARG(id), SL_ARG(sl_buf_str(&q))), NULL, true, ret, err);
}

static bool fetch(sl_bq *b, const query_cfg *c, const sl_val *job, sl_str how, sink *s, sl_err *err)
{
    const sl_val *ref = sl_get(job, "jobReference"), *answer;
    sl_str token = SL_S("");
    bool one = sl_str_eqc(how, "FETCH_ONE");
    int64_t total = 0;
    do {
        if (sl_task_cancelled(b->task))
            return sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped while reading the result");
        if (!page(b, sl_get_text(ref, "jobId"), sl_get_text(ref, "location"), c, one, token, &answer, err))
            return sl_err_ctx(err, "reading the result");
        if (!sl_get_bool(answer, "jobComplete", true))
            continue;
        total = sl_get_int(answer, "totalRows", 0);
        if (!take_rows(s, answer, err))
            return false;
        token = sl_get_text(answer, "pageToken");
    } while (token.n > 0 && !one);
    if (!one && s->result.count != total)
        return sl_err_set(err, SL_ERR_REMOTE, "bigquery.rows", "only %lld of %lld rows came back", (long long)s->result.count, (long long)total);
    return true;
}

/* Without fetching them. */
static bool count_rows(sl_bq *b, const query_cfg *c, const sl_val *job, int64_t *ret, sl_err *err)
{
    const sl_val *ref = sl_get(job, "jobReference"), *answer;
    if (!page(b, sl_get_text(ref, "jobId"), sl_get_text(ref, "location"), c, true, SL_S(""), &answer, err))
        return sl_err_ctx(err, "reading the result");
    *ret = sl_get_int(answer, "totalRows", 0);
    return true;
}

static bool results(sl_bq *b, const query_cfg *c, const sl_val *job, sl_str how, int64_t *ret_size, sl_err *err)
{
    sink s = { .b = b };
    bool ok = sl_result_open(&s.result, b->task, how, 0, err) && fetch(b, c, job, how, &s, err) && sl_result_out(&s.result, err);
    sl_result_close(&s.result);
    if (ret_size != NULL)
        *ret_size = s.result.count;
    return ok;
}

static void statistics(sl_bq *b, const sl_val *job)
{
    const sl_val *s = sl_get(job, "statistics"), *q = sl_get(s, "query");
    static const struct {
        const char *field, *metric;
        bool top;
    } counters[] = { { "totalBytesProcessed", "total.bytes.processed", true }, { "totalBytesBilled", "total.bytes.billed", false }, { "numDmlAffectedRows", "num.dml.affected.rows", false }, { "totalSlotMs", "total.slot.ms", true } };
    for (size_t i = 0; i < SL_COUNT(counters); i++)
        if (sl_get(counters[i].top ? s : q, counters[i].field) != NULL)
            sl_task_counter(b->task, counters[i].metric, (double)sl_get_int(counters[i].top ? s : q, counters[i].field, 0));
    if (sl_get(q, "numDmlAffectedRows") != NULL)
        sl_task_log(b->task, SL_INFO, "%.*s: %lld rows affected", SL_ARG(sl_get_text(q, "statementType")), (long long)sl_get_int(q, "numDmlAffectedRows", 0));
    int64_t start = sl_get_int(s, "startTime", 0), end = sl_get_int(s, "endTime", 0);
    if (start > 0 && end >= start)
        sl_task_timer(b->task, "duration", (double)(end - start) / 1000);
}

static bool fetch_kind(const query_cfg *c, sl_str *ret, sl_err *err)
{
    *ret = c->fetch ? SL_S("FETCH") : c->store ? SL_S("STORE") : c->fetch_one ? SL_S("FETCH_ONE") : c->fetch_type;
    if ((c->fetch || c->fetch_one) && c->store)
        return sl_err_set(err, SL_ERR_CONFIG, "bigquery.fetch", "'fetch' or 'fetchOne' cannot be used together with 'store'");
    if (!sl_str_eqc(*ret, "NONE") && c->destination.n > 0)
        return sl_err_set(err, SL_ERR_CONFIG, "bigquery.fetch", "rows cannot be fetched when there is a 'destinationTable'");
    return true;
}

/* ret_size: rows of the result; NULL = it does not matter. */
static sl_outcome query(sl_task *t, const query_cfg *c, int64_t *ret_size, sl_err *err)
{
    sl_bq b;
    sl_str how;
    const sl_val *conf, *job;
    if (!fetch_kind(c, &how, err) || !sl_bq_open(&b, t, &c->gcp, &c->bq, err) || !configuration(&b, c, &conf, err))
        return SL_TASK_FAILED;
    if (c->dry_run) {
        if (!sl_bq_dry_run(&b, conf, &job, err))
            return SL_TASK_FAILED;
        sl_task_log(t, SL_INFO, "dry run: %lld bytes would be processed", (long long)sl_get_int(sl_get(job, "statistics"), "totalBytesProcessed", 0));
        statistics(&b, job);
        return SL_TASK_DONE;
    }
    sl_outcome o = sl_bq_job(&b, conf, c->labels, c->timeout_ms, &job, err);
    if (o != SL_TASK_DONE)
        return o;
    sl_task_out_str(t, "jobId", sl_get_text(sl_get(job, "jobReference"), "jobId"));
    const sl_val *destination = sl_get(sl_get(sl_get(job, "configuration"), "query"), "destinationTable");
    if (destination != NULL) {
        sl_val *v = sl_map(b.arena);
        sl_map_set_str(b.arena, v, "project", sl_get_text(destination, "projectId"));
        sl_map_set_str(b.arena, v, "dataset", sl_get_text(destination, "datasetId"));
        sl_map_set_str(b.arena, v, "table", sl_get_text(destination, "tableId"));
        sl_task_out(t, "destinationTable", v);
    }
    statistics(&b, job);
    if (sl_str_eqc(how, "NONE"))
        return ret_size == NULL || count_rows(&b, c, job, ret_size, err) ? SL_TASK_DONE : SL_TASK_FAILED;
    return results(&b, c, job, how, ret_size, err) ? SL_TASK_DONE : SL_TASK_FAILED;
}

static sl_outcome run(sl_task *t, void *cfg, sl_err *err)
{
    return query(t, cfg, NULL, err);
}

static sl_outcome trigger_run(sl_task *t, void *cfg, sl_err *err)
{
    int64_t size = 0;
    sl_outcome o = query(t, cfg, &size, err);
    if (o == SL_TASK_DONE) {
        sl_task_out_int(t, "size", size);
        sl_task_polled(t, size > 0, NULL, false);
    }
    return o;
}


static void kill_query(sl_task *t, void *cfg)
{
    const query_cfg *c = cfg;
    sl_bq_cancel(t, &c->gcp, &c->bq);
}

const sl_task_type sl_bq_query = {
    .type = "io.kestra.plugin.gcp.bigquery.Query", .doc = "Runs SQL in BigQuery.", .cfg_size = sizeof(query_cfg), .opts = opts, .outs = outs, .run = run, .kill = kill_query,
};

const sl_task_type sl_bq_trigger = {
    .type = "io.kestra.plugin.gcp.bigquery.Trigger", .doc = "Fires when a query has rows.", .cfg_size = sizeof(query_cfg), .opts = trigger_opts, .outs = outs, .run = trigger_run, .kill = kill_query,
};
