/*
 * connectors/redshift/load.c: io.sluice.redshift.CopyFromS3 and Merge: the SQL that everybody writes for this, written and shown.
 * Sources: https://docs.aws.amazon.com/redshift/latest/dg/r_COPY.html, …/r_MERGE.html
 */
#include "base/arena.h"
#include "connectors/redshift/ready.h"

typedef struct load_cfg {
    sl_pg_cfg pg;
    sl_redshift_cfg redshift;
    sl_redshift_grant grant;
    sl_str table, from, format, delimiter, quote, null_text, compression, region, date_format, time_format, mode;
    sl_str staging, matched;
    const sl_val *columns, *keys;
    int64_t skip, max_error;
    bool manifest, empty_as_null, blanks_as_null, clear_staging;
} load_cfg;

#define TEXT(yaml, field, words) { .name = yaml, .type = SL_OPT_STR, .offset = SL_FIELD(load_cfg, field), .doc = words }
#define TABLE { .name = "table", .type = SL_OPT_STR, .offset = SL_FIELD(load_cfg, table), .flags = SL_REQUIRED, .doc = "The table, as SQL names it." }

static const sl_opt copy_opts[] = {
    SL_PG_REDSHIFT_OPTS(load_cfg),
    TABLE,
    { .name = "columns", .type = SL_OPT_STRS, .offset = SL_FIELD(load_cfg, columns), .doc = "Its columns, in the file's order; else all." },
    { .name = "from", .type = SL_OPT_STR, .offset = SL_FIELD(load_cfg, from), .flags = SL_REQUIRED, .doc = "s3://bucket/prefix: all objects whose keys begin so; or a manifest." },
    { .name = "manifest", .type = SL_OPT_BOOL, .offset = SL_FIELD(load_cfg, manifest), .doc = "'from' is a manifest." },
    { .name = "format", .type = SL_OPT_ENUM, .offset = SL_FIELD(load_cfg, format), .values = "CSV TEXT JSON PARQUET AVRO ORC", .fallback = "CSV", .doc = "Format of the objects; TEXT: delimited, without quotes." },
    { .name = "ignoreHeader", .type = SL_OPT_INT, .offset = SL_FIELD(load_cfg, skip), .doc = "Lines to leave out at the beginning of each object." },
    TEXT("delimiter", delimiter, "Between columns."),
    TEXT("quote", quote, "Around values of CSV."),
    TEXT("nullString", null_text, "What stands for null."),
    { .name = "compression", .type = SL_OPT_ENUM, .offset = SL_FIELD(load_cfg, compression), .values = "NONE GZIP BZIP2 LZOP ZSTD", .fallback = "NONE", .doc = "How the objects are packed." },
    { .name = "emptyAsNull", .type = SL_OPT_BOOL, .offset = SL_FIELD(load_cfg, empty_as_null), .doc = "Empty texts are null." },
    { .name = "blanksAsNull", .type = SL_OPT_BOOL, .offset = SL_FIELD(load_cfg, blanks_as_null), .doc = "Texts of blanks are null." },
    TEXT("dateFormat", date_format, "'auto', or a format."),
    TEXT("timeFormat", time_format, "'auto', 'epochsecs', 'epochmillisecs', or a format."),
    { .name = "maxError", .type = SL_OPT_INT, .offset = SL_FIELD(load_cfg, max_error), .doc = "So many bad lines are left out." },
    SL_REDSHIFT_GRANT_OPTS(load_cfg),
    TEXT("region", region, "The bucket's region, when it is another one."),
    { .name = "mode", .type = SL_OPT_ENUM, .offset = SL_FIELD(load_cfg, mode), .values = "APPEND REPLACE", .fallback = "APPEND", .doc = "REPLACE: rows that are there go, in the same transaction." },
    { 0 },
};
static const sl_opt merge_opts[] = {
    SL_PG_REDSHIFT_OPTS(load_cfg),
    TABLE,
    { .name = "from", .type = SL_OPT_STR, .offset = SL_FIELD(load_cfg, staging), .flags = SL_REQUIRED, .doc = "The table with the new rows, as SQL names it." },
    { .name = "keys", .type = SL_OPT_STRS, .offset = SL_FIELD(load_cfg, keys), .flags = SL_REQUIRED, .doc = "Columns that say whether a row is there." },
    { .name = "columns", .type = SL_OPT_STRS, .offset = SL_FIELD(load_cfg, columns), .flags = SL_REQUIRED, .doc = "All columns that are written, the keys among them." },
    { .name = "ifMatched", .type = SL_OPT_ENUM, .offset = SL_FIELD(load_cfg, matched), .values = "UPDATE IGNORE", .fallback = "UPDATE", .doc = "What becomes of rows that are there." },
    { .name = "clearStaging", .type = SL_OPT_BOOL, .offset = SL_FIELD(load_cfg, clear_staging), .doc = "The new rows are deleted from 'from', in the same transaction." },
    { 0 },
};

static void add_names(sl_buf *b, const sl_val *list)
{
    for (size_t i = 0; i < sl_val_count(list); i++) {
        sl_str name = sl_text(sl_at(list, i));
        sl_buf_fmt(b, "%s%.*s", i ? ", " : "", SL_ARG(name));
    }
}

/* shown: without secrets. */
static sl_str copy_sql(sl_arena *a, const load_cfg *c, bool shown)
{
    sl_buf b = sl_buf_new(a, 1 << 20);
    if (sl_str_eqc(c->mode, "REPLACE"))
        sl_buf_fmt(&b, "DELETE FROM %.*s;\n", SL_ARG(c->table));
    sl_buf_fmt(&b, "COPY %.*s", SL_ARG(c->table));
    if (sl_val_count(c->columns) > 0) {
        sl_buf_addc(&b, " (");
        add_names(&b, c->columns);
        sl_buf_addc(&b, ")");
    }
    sl_redshift_add_text(a, &b, "FROM", c->from);
    sl_redshift_add_grant(a, &b, &c->grant, shown);
    if (sl_str_eqc(c->format, "JSON"))
        sl_buf_addc(&b, "\n  FORMAT AS JSON 'auto'");
    else if (!sl_str_eqc(c->format, "TEXT"))
        sl_buf_fmt(&b, "\n  FORMAT AS %.*s", SL_ARG(c->format));
    sl_redshift_add_text(a, &b, "QUOTE", c->quote);
    sl_redshift_add_text(a, &b, "DELIMITER", c->delimiter);
    sl_redshift_add_text(a, &b, "NULL AS", c->null_text);
    sl_redshift_add_text(a, &b, "DATEFORMAT", c->date_format);
    sl_redshift_add_text(a, &b, "TIMEFORMAT", c->time_format);
    sl_redshift_add_text(a, &b, "REGION", c->region);
    if (c->skip > 0)
        sl_buf_fmt(&b, "\n  IGNOREHEADER %lld", (long long)c->skip);
    if (c->max_error > 0)
        sl_buf_fmt(&b, "\n  MAXERROR %lld", (long long)c->max_error);
    if (!sl_str_eqc(c->compression, "NONE"))
        sl_buf_fmt(&b, "\n  %.*s", SL_ARG(c->compression));
    sl_buf_addc(&b, c->empty_as_null ? "\n  EMPTYASNULL" : "");
    sl_buf_addc(&b, c->blanks_as_null ? "\n  BLANKSASNULL" : "");
    sl_buf_addc(&b, c->manifest ? "\n  MANIFEST" : "");
    return sl_buf_str(&b);
}

static sl_outcome copy_run(sl_task *t, void *cfg, sl_err *err)
{
    const load_cfg *c = cfg;
    if (!sl_str_starts(c->from, SL_S("s3://"))) {
        sl_err_set(err, SL_ERR_CONFIG, "redshift.from", "'from' must be s3://bucket/prefix, not '%.*s'", SL_ARG(c->from));
        return SL_TASK_FAILED;
    }
    if (!sl_redshift_check_grant(&c->grant, "CopyFromS3", err))
        return SL_TASK_FAILED;
    return sl_redshift_ready(t, &c->pg, &c->redshift, copy_sql(sl_task_arena(t), c, false), copy_sql(sl_task_arena(t), c, true), false, err);
}

/* ---- Merge ---- */

static void add_match(sl_buf *b, const load_cfg *c)
{
    for (size_t i = 0; i < sl_val_count(c->keys); i++) {
        sl_str key = sl_text(sl_at(c->keys, i));
        sl_buf_fmt(b, "%s%.*s.%.*s = %.*s.%.*s", i ? " AND " : "", SL_ARG(c->table), SL_ARG(key), SL_ARG(c->staging), SL_ARG(key));
    }
}

static bool listed(const sl_val *list, sl_str name)
{
    for (size_t i = 0; i < sl_val_count(list); i++)
        if (sl_str_ieq(sl_text(sl_at(list, i)), name))
            return true;
    return false;
}

static sl_str merge_sql(sl_arena *a, const load_cfg *c)
{
    sl_buf b = sl_buf_new(a, 1 << 20);
    size_t set = 0;
    if (sl_str_eqc(c->matched, "IGNORE")) { /* Redshift's MERGE must say what becomes of rows that match */
        sl_buf_fmt(&b, "INSERT INTO %.*s (", SL_ARG(c->table));
        add_names(&b, c->columns);
        sl_buf_addc(&b, ")\nSELECT ");
        add_names(&b, c->columns);
        sl_buf_fmt(&b, " FROM %.*s\nWHERE NOT EXISTS (SELECT 1 FROM %.*s WHERE ", SL_ARG(c->staging), SL_ARG(c->table));
        add_match(&b, c);
        sl_buf_addc(&b, ")");
    } else {
        sl_buf_fmt(&b, "MERGE INTO %.*s USING %.*s ON ", SL_ARG(c->table), SL_ARG(c->staging));
        add_match(&b, c);
        sl_buf_addc(&b, "\nWHEN MATCHED THEN UPDATE SET ");
        for (size_t i = 0; i < sl_val_count(c->columns); i++) {
            sl_str name = sl_text(sl_at(c->columns, i));
            if (!listed(c->keys, name))
                sl_buf_fmt(&b, "%s%.*s = %.*s.%.*s", set++ ? ", " : "", SL_ARG(name), SL_ARG(c->staging), SL_ARG(name));
        }
        sl_buf_addc(&b, "\nWHEN NOT MATCHED THEN INSERT (");
        add_names(&b, c->columns);
        sl_buf_addc(&b, ") VALUES (");
        for (size_t i = 0; i < sl_val_count(c->columns); i++) {
            sl_str name = sl_text(sl_at(c->columns, i));
            sl_buf_fmt(&b, "%s%.*s.%.*s", i ? ", " : "", SL_ARG(c->staging), SL_ARG(name));
        }
        sl_buf_addc(&b, ")");
    }
    if (c->clear_staging)
        sl_buf_fmt(&b, ";\nDELETE FROM %.*s", SL_ARG(c->staging)); /* TRUNCATE would commit */
    return sl_buf_str(&b);
}

static sl_outcome merge_run(sl_task *t, void *cfg, sl_err *err)
{
    const load_cfg *c = cfg;
    size_t others = 0;
    bool all = sl_val_count(c->keys) > 0;
    for (size_t i = 0; i < sl_val_count(c->keys); i++)
        all &= listed(c->columns, sl_text(sl_at(c->keys, i)));
    for (size_t i = 0; i < sl_val_count(c->columns); i++)
        others += !listed(c->keys, sl_text(sl_at(c->columns, i)));
    if (!all || (others == 0 && sl_str_eqc(c->matched, "UPDATE"))) {
        sl_err_set(err, SL_ERR_CONFIG, "redshift.keys", all ? "'columns' holds the keys alone, so there is nothing to update; set 'ifMatched: IGNORE'" : "'columns' must hold all of 'keys', and there must be some");
        return SL_TASK_FAILED;
    }
    sl_str sql = merge_sql(sl_task_arena(t), c);
    return sl_redshift_ready(t, &c->pg, &c->redshift, sql, sql, false, err);
}

const sl_task_type sl_redshift_copy_from_s3 = { .type = "io.sluice.redshift.CopyFromS3", .doc = "Loads objects of S3 into a table of Redshift.", .cfg_size = sizeof(load_cfg), .opts = copy_opts, .outs = sl_redshift_ready_outs, .run = copy_run, .kill = sl_redshift_ready_kill };
const sl_task_type sl_redshift_merge = { .type = "io.sluice.redshift.Merge", .doc = "Merges a table of Redshift into another by key.", .cfg_size = sizeof(load_cfg), .opts = merge_opts, .outs = sl_redshift_ready_outs, .run = merge_run, .kill = sl_redshift_ready_kill };
