/*
 * connectors/redshift/unload.c: io.sluice.redshift.Unload: rows to S3, with the SQL that everybody writes for this, written and shown.
 * Source: https://docs.aws.amazon.com/redshift/latest/dg/r_UNLOAD.html
 */
#include "base/arena.h"
#include "connectors/redshift/ready.h"

typedef struct unload_cfg {
    sl_pg_cfg pg;
    sl_redshift_cfg redshift;
    sl_redshift_grant grant;
    sl_str query, to, format, delimiter, null_text, compression, region, on_exists, max_size, extension;
    const sl_val *partitions;
    bool header, quotes, manifest, serial;
} unload_cfg;

#define TEXT(yaml, field, words) { .name = yaml, .type = SL_OPT_STR, .offset = SL_FIELD(unload_cfg, field), .doc = words }
static const sl_opt opts[] = {
    SL_PG_REDSHIFT_OPTS(unload_cfg),
    { .name = "query", .type = SL_OPT_STR, .offset = SL_FIELD(unload_cfg, query), .flags = SL_REQUIRED, .doc = "The SELECT whose rows are written." },
    { .name = "to", .type = SL_OPT_STR, .offset = SL_FIELD(unload_cfg, to), .flags = SL_REQUIRED, .doc = "s3://bucket/prefix: the beginning of the objects' keys." },
    { .name = "format", .type = SL_OPT_ENUM, .offset = SL_FIELD(unload_cfg, format), .values = "CSV TEXT PARQUET JSON", .fallback = "CSV", .doc = "Format of the objects; TEXT: delimited, without quotes." },
    { .name = "header", .type = SL_OPT_BOOL, .offset = SL_FIELD(unload_cfg, header), .doc = "CSV and TEXT: names in the first line of each object." },
    TEXT("delimiter", delimiter, "Between columns."),
    TEXT("nullString", null_text, "What is written for null."),
    { .name = "addQuotes", .type = SL_OPT_BOOL, .offset = SL_FIELD(unload_cfg, quotes), .doc = "TEXT: quotes around every value." },
    { .name = "compression", .type = SL_OPT_ENUM, .offset = SL_FIELD(unload_cfg, compression), .values = "NONE GZIP BZIP2 ZSTD", .fallback = "NONE", .doc = "How the objects are packed." },
    { .name = "ifExists", .type = SL_OPT_ENUM, .offset = SL_FIELD(unload_cfg, on_exists), .values = "ERROR OVERWRITE CLEAN", .fallback = "ERROR", .doc = "Objects under the prefix: OVERWRITE those of the same name, or CLEAN all away. With both, an interrupted task may run again." },
    { .name = "serial", .type = SL_OPT_BOOL, .offset = SL_FIELD(unload_cfg, serial), .doc = "PARALLEL OFF: one object after the other, in the query's order." },
    { .name = "manifest", .type = SL_OPT_BOOL, .offset = SL_FIELD(unload_cfg, manifest), .doc = "Write a manifest beside them." },
    { .name = "partitionBy", .type = SL_OPT_STRS, .offset = SL_FIELD(unload_cfg, partitions), .doc = "Columns that become folders, column=value." },
    TEXT("maxFileSize", max_size, "Such as '100 MB'."),
    TEXT("extension", extension, "End of the objects' keys."),
    SL_REDSHIFT_GRANT_OPTS(unload_cfg),
    TEXT("region", region, "The bucket's region, when it is another one."),
    { 0 },
};
static const sl_opt outs[] = { { .name = "sql", .type = SL_OPT_STR, .doc = "What was run, without secrets." }, { .name = "uri", .type = SL_OPT_STR, .doc = "The prefix." }, { 0 } };

/* shown: without secrets. */
static sl_str sql_of(sl_arena *a, const unload_cfg *c, bool shown)
{
    sl_buf b = sl_buf_new(a, 1 << 20);
    sl_str query = sl_sql_text(a, sl_str_trim(c->query));
    sl_buf_fmt(&b, "UNLOAD (%.*s)", SL_ARG(query));
    sl_redshift_add_text(a, &b, "TO", c->to);
    sl_redshift_add_grant(a, &b, &c->grant, shown);
    if (!sl_str_eqc(c->format, "TEXT"))
        sl_buf_fmt(&b, "\n  FORMAT AS %.*s", SL_ARG(c->format));
    if (sl_val_count(c->partitions) > 0) {
        sl_buf_addc(&b, "\n  PARTITION BY (");
        for (size_t i = 0; i < sl_val_count(c->partitions); i++) {
            sl_str name = sl_text(sl_at(c->partitions, i));
            sl_buf_fmt(&b, "%s%.*s", i ? ", " : "", SL_ARG(name));
        }
        sl_buf_char(&b, ')');
    }
    sl_buf_addc(&b, c->header ? "\n  HEADER" : "");
    sl_redshift_add_text(a, &b, "DELIMITER AS", c->delimiter);
    sl_redshift_add_text(a, &b, "NULL AS", c->null_text);
    sl_redshift_add_text(a, &b, "EXTENSION", c->extension);
    sl_redshift_add_text(a, &b, "REGION AS", c->region);
    sl_buf_addc(&b, c->quotes ? "\n  ADDQUOTES" : "");
    if (!sl_str_eqc(c->compression, "NONE"))
        sl_buf_fmt(&b, "\n  %.*s", SL_ARG(c->compression));
    if (c->max_size.n > 0)
        sl_buf_fmt(&b, "\n  MAXFILESIZE %.*s", SL_ARG(c->max_size));
    sl_buf_addc(&b, c->serial ? "\n  PARALLEL OFF" : "");
    sl_buf_addc(&b, c->manifest ? "\n  MANIFEST VERBOSE" : "");
    sl_buf_addc(&b, sl_str_eqc(c->on_exists, "OVERWRITE") ? "\n  ALLOWOVERWRITE" : sl_str_eqc(c->on_exists, "CLEAN") ? "\n  CLEANPATH" : "");
    return sl_buf_str(&b);
}

static bool check(const unload_cfg *c, sl_err *err)
{
    bool plain = sl_str_eqc(c->format, "CSV") || sl_str_eqc(c->format, "TEXT");
    if (!sl_str_starts(c->to, SL_S("s3://")))
        return sl_err_set(err, SL_ERR_CONFIG, "redshift.to", "'to' must be s3://bucket/prefix, not '%.*s'", SL_ARG(c->to));
    if (!sl_redshift_check_grant(&c->grant, "Unload", err))
        return false;
    if (!plain && (c->header || c->delimiter.n > 0 || c->quotes))
        return sl_err_set(err, SL_ERR_CONFIG, "redshift.format", "'header', 'delimiter' and 'addQuotes' are for the formats CSV and TEXT, not %.*s", SL_ARG(c->format));
    if (c->max_size.n > 0)
        for (size_t i = 0; i < c->max_size.n; i++)
            if (strchr("0123456789. MGBmgb", c->max_size.p[i]) == NULL)
                return sl_err_set(err, SL_ERR_CONFIG, "redshift.size", "'maxFileSize' must be a size such as '100 MB', not '%.*s'", SL_ARG(c->max_size));
    return true;
}

static sl_outcome run(sl_task *t, void *cfg, sl_err *err)
{
    const unload_cfg *c = cfg;
    if (!check(c, err))
        return SL_TASK_FAILED;
    sl_arena *a = sl_task_arena(t);
    sl_outcome o = sl_redshift_ready(t, &c->pg, &c->redshift, sql_of(a, c, false), sql_of(a, c, true), true, err);
    if (o == SL_TASK_DONE)
        sl_task_out_str(t, "uri", c->to);
    return o;
}

const sl_task_type sl_redshift_unload_task = { .type = "io.sluice.redshift.Unload", .doc = "Writes the rows of a query in Redshift to S3.", .cfg_size = sizeof(unload_cfg), .opts = opts, .outs = outs, .run = run, .kill = sl_redshift_ready_kill };
