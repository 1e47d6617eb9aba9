/* connectors/postgres/copy.c: CopyIn and CopyOut: COPY streamed, in one transaction, nothing on the disk between. */
#include "base/arena.h"
#include "base/limits.h"
#include "connectors/postgres/pg.h"
#include "base/sql.h"

enum { FATE_POLL_MS = 500 };

typedef struct copy_cfg {
    sl_pg_cfg pg;
    sl_str from, sql, table, format, delimiter, quote, escape, null_text, encoding;
    const sl_val *columns, *force_quote, *force_not_null, *force_null, *header, *socket_timeout;
    bool freeze, oids;
} copy_cfg;

#define TEXT(yaml, field, words) { .name = yaml, .type = SL_OPT_STR, .offset = SL_FIELD(copy_cfg, field), .doc = words }
#define NAMES(yaml, field, words) { .name = yaml, .type = SL_OPT_STRS, .offset = SL_FIELD(copy_cfg, field), .doc = words }
#define COPY_OPTS                                                                                                                                                                            \
    { .name = "url", .type = SL_OPT_STR, .offset = SL_FIELD(copy_cfg, pg.url), .flags = SL_REQUIRED, .doc = "jdbc:postgresql://host:port/database." },                                      \
        { .name = "username", .type = SL_OPT_STR, .offset = SL_FIELD(copy_cfg, pg.username), .doc = "Who logs in." },                                                                       \
        { .name = "password", .type = SL_OPT_SECRET, .offset = SL_FIELD(copy_cfg, pg.password), .doc = "With which password." }, SL_PG_SSL_OPTS(copy_cfg),                                  \
        TEXT("table", table, "The table, as SQL names it."), NAMES("columns", columns, "Its columns, in the file's order, as SQL names them."),                                               \
        { .name = "format", .type = SL_OPT_ENUM, .offset = SL_FIELD(copy_cfg, format), .values = "TEXT CSV BINARY", .fallback = "TEXT", .doc = "Format of the file." },                      \
        { .name = "header", .type = SL_OPT_ANY, .offset = SL_FIELD(copy_cfg, header), .doc = "The first line holds names." }, TEXT("delimiter", delimiter, "Between columns."),             \
        TEXT("nullString", null_text, "What stands for null."), TEXT("quote", quote, "Around values."), TEXT("escape", escape, "Before a quote in a value."),                               \
        NAMES("forceQuote", force_quote, "Columns that are always quoted; * for all."), NAMES("forceNotNull", force_not_null, "Columns in which nothing stands for null."),                  \
        NAMES("forceNull", force_null, "Columns in which a quoted nullString is null, too."), TEXT("encoding", encoding, "Encoding of the file."),                                          \
        { .name = "freeze", .type = SL_OPT_BOOL, .offset = SL_FIELD(copy_cfg, freeze), .doc = "Rows are frozen, as VACUUM FREEZE does." },                                                  \
        { .name = "oids", .type = SL_OPT_BOOL, .offset = SL_FIELD(copy_cfg, oids), .flags = SL_DEPRECATED, .doc = "Servers before version 12 only." },                                      \
        { .name = "socketTimeout", .type = SL_OPT_ANY, .offset = SL_FIELD(copy_cfg, socket_timeout), .doc = "Accepted: give the task a timeout." }

static const sl_opt in_opts[] = { { .name = "from", .type = SL_OPT_STR, .offset = SL_FIELD(copy_cfg, from), .flags = SL_REQUIRED, .doc = "The file (kestra:// URI); gzip is unpacked." }, COPY_OPTS, { 0 } };
static const sl_opt out_opts[] = { TEXT("sql", sql, "A query whose rows are copied, in place of a table."), COPY_OPTS, { 0 } };
static const sl_opt in_outs[] = { { .name = "rowCount", .type = SL_OPT_INT, .doc = "Rows that were copied." }, { 0 } };
static const sl_opt out_outs[] = { { .name = "uri", .type = SL_OPT_STR, .doc = "The file." }, { .name = "rowCount", .type = SL_OPT_INT, .doc = "Rows that were copied." }, { 0 } };

/* ---- the statement ---- */

static void names(sl_arena *a, sl_buf *b, const char *keyword, const sl_val *list)
{
    if (sl_val_count(list) == 0)
        return;
    sl_buf_fmt(b, ", %s ", keyword);
    if (sl_val_count(list) == 1 && sl_str_eqc(sl_val_text(a, sl_at(list, 0)), "*")) {
        sl_buf_addc(b, "*");
        return;
    }
    for (size_t i = 0; i < sl_val_count(list); i++) {
        sl_str name = sl_val_text(a, sl_at(list, i));
        sl_buf_fmt(b, "%s%.*s", i ? ", " : "(", SL_ARG(name));
    }
    sl_buf_addc(b, ")");
}

static void literal(sl_arena *a, sl_buf *b, const char *keyword, sl_str value)
{
    sl_str text = sl_sql_text(a, value);
    if (value.p != NULL)
        sl_buf_fmt(b, ", %s %.*s", keyword, SL_ARG(text));
}

/* Names of tables and columns are SQL, as in Kestra: VendorID is folded to lower case by the server. */
static sl_str statement(sl_arena *a, const copy_cfg *c, bool in)
{
    sl_buf b = sl_buf_new(a, 1 << 20);
    sl_str query = sl_str_trim(c->sql);
    while (query.n > 0 && query.p[query.n - 1] == ';')
        query.n--;
    if (!in && query.n > 0)
        sl_buf_fmt(&b, "COPY (%.*s)", SL_ARG(query));
    else
        sl_buf_fmt(&b, "COPY %.*s", SL_ARG(c->table));
    for (size_t i = 0; i < sl_val_count(c->columns) && (in || query.n == 0); i++) {
        sl_str name = sl_val_text(a, sl_at(c->columns, i));
        sl_buf_fmt(&b, "%s%.*s%s", i ? ", " : " (", SL_ARG(name), i + 1 == sl_val_count(c->columns) ? ")" : "");
    }
    sl_buf_fmt(&b, in ? " FROM STDIN WITH (FORMAT %.*s" : " TO STDOUT WITH (FORMAT %.*s", SL_ARG(c->format));
    if (c->oids)
        sl_buf_addc(&b, ", OIDS");
    if (c->freeze)
        sl_buf_addc(&b, ", FREEZE");
    literal(a, &b, "DELIMITER", c->delimiter);
    literal(a, &b, "NULL", c->null_text);
    if (c->header != NULL && c->header->type != SL_NULL)
        sl_buf_addc(&b, sl_str_ieq(sl_val_text(a, c->header), SL_S("true")) ? ", HEADER TRUE" : ", HEADER FALSE");
    literal(a, &b, "QUOTE", c->quote);
    literal(a, &b, "ESCAPE", c->escape);
    names(a, &b, "FORCE_QUOTE", c->force_quote);
    names(a, &b, "FORCE_NOT_NULL", c->force_not_null);
    names(a, &b, "FORCE_NULL", c->force_null);
    literal(a, &b, "ENCODING", c->encoding);
    sl_buf_addc(&b, ")");
    return sl_buf_str(&b);
}

static bool start(sl_pg *p, sl_str text, ExecStatusType wanted, sl_err *err)
{
    PGresult *r = NULL;
    p->sql = text;
    if (PQsendQuery(p->conn, text.p) != 1)
        return sl_pg_failed(p, NULL, SIZE_MAX, err);
    if (!sl_pg_next(p, &r, err))
        return false;
    bool ok = r != NULL && PQresultStatus(r) == wanted;
    if (!ok)
        sl_pg_failed(p, r, SIZE_MAX, err);
    PQclear(r);
    if (!ok)
        sl_pg_drain(p);
    return ok;
}

/* The end of a COPY: how many rows, or what went wrong. */
bool sl_pg_copy_end(sl_pg *p, int64_t *rows, sl_err *err)
{
    bool ok = true;
    *rows = 0;
    for (;;) {
        PGresult *r = NULL;
        if (!sl_pg_next(p, &r, err))
            return false;
        if (r == NULL)
            return ok;
        if (PQresultStatus(r) == PGRES_COMMAND_OK)
            (void)sl_parse_int(sl_str_c(PQcmdTuples(r)), rows);
        else if (ok)
            ok = sl_pg_failed(p, r, SIZE_MAX, err);
        PQclear(r);
    }
}

/* ---- CopyIn ---- */

/* Everything sent, while answers are read: the server says at once what it does not like. */
static bool flush(sl_pg *p, bool *refused, sl_err *err)
{
    int left;
    while ((left = PQflush(p->conn)) == 1) {
        if (!sl_pg_wait(p, true, err))
            return false;
        if (PQconsumeInput(p->conn) == 0)
            break;
    }
    if (sl_pg_poll(p, false, 0) > 0 && PQconsumeInput(p->conn) == 1)
        *refused = PQisBusy(p->conn) == 0 && left == 0;
    return true;
}

bool sl_pg_copy_begin(sl_pg *p, sl_str statement, sl_err *err)
{
    return start(p, statement, PGRES_COPY_IN, err);
}

bool sl_pg_copy_send(sl_pg *p, sl_str bytes, bool *refused, sl_err *err)
{
    if (PQputCopyData(p->conn, bytes.p, (int)bytes.n) == 1)
        return flush(p, refused, err);
    *refused = true; /* the result says why */
    return true;
}

static bool feed(sl_pg *p, sl_reader *in, int64_t *bytes, sl_err *err)
{
    char *block = sl_malloc(SL_IO_BLOCK);
    bool ok = true, refused = false;
    ptrdiff_t n = 0;
    while (ok && !refused && (n = in->read(in, block, SL_IO_BLOCK, err)) > 0) {
        if (sl_task_cancelled(p->task))
            ok = sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped while copying");
        else
            ok = sl_pg_copy_send(p, (sl_str){ block, (size_t)n }, &refused, err);
        *bytes += n;
        sl_task_progress(p->task, *bytes, -1);
    }
    free(block);
    return ok && n >= 0;
}

static bool copy_in(sl_pg *p, const copy_cfg *c, int64_t *rows, int64_t *bytes, sl_err *err)
{
    SL_READER in = NULL;
    sl_err ignored;
    bool refused = false;
    if (!sl_task_open_in(p->task, c->from, &in, err) || (in = sl_reader_unpacked(in, err)) == NULL || !start(p, statement(p->arena, c, true), PGRES_COPY_IN, err))
        return false;
    if (!feed(p, in, bytes, err)) {
        (void)PQputCopyEnd(p->conn, "stopped");
        (void)sl_pg_copy_end(p, rows, &ignored);
        return false;
    }
    (void)PQputCopyEnd(p->conn, NULL);
    return flush(p, &refused, err) && sl_pg_copy_end(p, rows, err);
}

static sl_outcome in_run(sl_task *t, void *cfg, sl_err *err)
{
    const copy_cfg *c = cfg;
    sl_pg p = { 0 };
    sl_pg_work w = { .p = &p, .cfg = &c->pg };
    const sl_val *state = NULL;
    int64_t rows = 0, bytes = 0;
    bool wait = false, ok;
    if (c->table.n == 0) {
        sl_err_set(err, SL_ERR_CONFIG, "pg.table", "CopyIn needs 'table'");
        return SL_TASK_FAILED;
    }
    ok = sl_pg_open(&p, t, &c->pg, false, err) && sl_pg_fate(&w, &state, &wait, err);
    if (ok && p.dialect == SL_PG_CRATE)
        ok = sl_err_set(err, SL_ERR_CONFIG, "crate.copy", "CrateDB has no COPY FROM STDIN; use COPY FROM with a URL in a Query, or Batch");
    if (ok && !wait && state != NULL)
        rows = sl_get_int(state, "rowCount", 0);
    else if (ok && !wait) {
        ok = sl_pg_run(&p, "BEGIN", err) && copy_in(&p, c, &rows, &bytes, err);
        sl_val *done = sl_map(sl_task_arena(t));
        sl_map_set_int(sl_task_arena(t), done, "rowCount", rows);
        ok = ok && sl_pg_commit(&w, done, err);
    }
    sl_pg_close(&p);
    if (ok && wait)
        return sl_task_wait(t, FATE_POLL_MS);
    if (!ok) {
        (void)sl_err_ctx(err, "copying %.*s into %.*s", SL_ARG(c->from), SL_ARG(c->table));
        return SL_TASK_FAILED;
    }
    sl_task_out_int(t, "rowCount", rows);
    sl_task_counter(t, "row.count", (double)rows);
    sl_task_log(t, SL_INFO, "%lld rows copied into %.*s", (long long)rows, SL_ARG(c->table));
    return SL_TASK_DONE;
}

/* ---- CopyOut ---- */

static bool drain_out(sl_pg *p, sl_writer *out, sl_err *err)
{
    for (;;) {
        char *data = NULL;
        int n = PQgetCopyData(p->conn, &data, 1);
        if (n > 0) {
            bool ok = out->write(out, data, (size_t)n, err);
            PQfreemem(data);
            if (!ok)
                return false;
            continue;
        }
        if (n < 0)
            return n == -1 || sl_pg_failed(p, NULL, SIZE_MAX, err);
        if (!sl_pg_wait(p, false, err))
            return false;
        if (PQconsumeInput(p->conn) == 0)
            return sl_pg_failed(p, NULL, SIZE_MAX, err);
    }
}

static bool copy_out(sl_pg *p, const copy_cfg *c, sl_str *uri, int64_t *rows, sl_err *err)
{
    SL_WRITER out = NULL;
    const char *name = sl_str_eqc(c->format, "CSV") ? "copy.csv" : sl_str_eqc(c->format, "BINARY") ? "copy.bin" : "copy.tsv";
    return sl_task_open_out(p->task, sl_str_c(name), &out, uri, err) && start(p, statement(p->arena, c, false), PGRES_COPY_OUT, err) && drain_out(p, out, err) && sl_pg_copy_end(p, rows, err) && out->finish(out, err);
}

static sl_outcome out_run(sl_task *t, void *cfg, sl_err *err)
{
    const copy_cfg *c = cfg;
    sl_pg p = { 0 };
    sl_str uri;
    int64_t rows = 0;
    if ((c->table.n > 0) == (c->sql.n > 0)) {
        sl_err_set(err, SL_ERR_CONFIG, "pg.table", "CopyOut needs one of 'table' and 'sql'");
        return SL_TASK_FAILED;
    }
    bool ok = sl_pg_open(&p, t, &c->pg, false, err) && copy_out(&p, c, &uri, &rows, err);
    sl_pg_close(&p);
    if (!ok)
        return SL_TASK_FAILED;
    sl_task_out_str(t, "uri", uri);
    sl_task_out_int(t, "rowCount", rows);
    sl_task_counter(t, "row.count", (double)rows);
    return SL_TASK_DONE;
}

#define PG "io.kestra.plugin.jdbc.postgresql."
const sl_task_type sl_pg_copy_in = { .type = PG "CopyIn", .doc = "Copies a file into a table of PostgreSQL.", .cfg_size = sizeof(copy_cfg), .opts = in_opts, .outs = in_outs, .run = in_run };
const sl_task_type sl_pg_copy_out = { .type = PG "CopyOut", .doc = "Copies a table or a query's rows of PostgreSQL to a file.", .cfg_size = sizeof(copy_cfg), .opts = out_opts, .outs = out_outs, .run = out_run };
