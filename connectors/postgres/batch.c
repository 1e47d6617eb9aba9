/*
 * connectors/postgres/batch.c: Batch: records of a file bound to a statement, a transaction for each chunk.
 *
 * The number of rows that are through is part of each transaction's state, so that an interrupted batch goes on behind them.
 */
#include "base/arena.h"
#include "connectors/postgres/pg.h"
#include "connectors/records.h"
#include "base/sql.h"

enum { FATE_POLL_MS = 500, CHUNK_MAX = 100000 };

typedef struct batch_cfg {
    sl_pg_cfg pg;
    sl_str from, sql, table;
    const sl_val *columns, *max_retries, *backoff, *scope, *handling, *buffer, *resume;
    int64_t chunk;
} batch_cfg;

#define ACCEPTED(yaml, field) { .name = yaml, .type = SL_OPT_ANY, .offset = SL_FIELD(batch_cfg, field), .doc = "Accepted: use the task's retry; what was committed is not sent again." }

static const sl_opt opts[] = {
    SL_PG_OPTS(batch_cfg),
    SL_PG_SSL_OPTS(batch_cfg),
    { .name = "from", .type = SL_OPT_STR, .offset = SL_FIELD(batch_cfg, from), .flags = SL_REQUIRED, .doc = "A stored file of records (Ion): maps or lists." },
    { .name = "sql", .type = SL_OPT_STR, .offset = SL_FIELD(batch_cfg, sql), .doc = "A statement with a ? for each value; else an INSERT into 'table'." },
    { .name = "table", .type = SL_OPT_STR, .offset = SL_FIELD(batch_cfg, table), .doc = "The table, as SQL names it, when there is no 'sql'." },
    { .name = "columns", .type = SL_OPT_STRS, .offset = SL_FIELD(batch_cfg, columns), .doc = "Keys of the records, in the order of the ?; else all, in their order." },
    { .name = "chunk", .type = SL_OPT_INT, .offset = SL_FIELD(batch_cfg, chunk), .fallback = "1000", .doc = "Rows of a transaction." },
    ACCEPTED("maxRetries", max_retries),
    ACCEPTED("retryBackoff", backoff),
    ACCEPTED("retryScope", scope),
    ACCEPTED("inputHandling", handling),
    ACCEPTED("localBufferMaxBytes", buffer),
    ACCEPTED("resumeOnRetry", resume),
    { 0 },
};
static const sl_opt outs[] = { { .name = "rowCount", .type = SL_OPT_INT, .doc = "Records." }, { .name = "updatedCount", .type = SL_OPT_INT, .doc = "Rows that were changed." }, { 0 } };

typedef struct batch {
    sl_pg p;
    sl_pg_work work;
    const batch_cfg *c;
    size_t places;                /* of the statement */
    bool *array;                  /* is that parameter one? */
    int64_t done, updated;        /* records that are committed; rows changed, those of the open transaction too */
    int64_t settled;              /* rows changed, committed */
    sl_arena *rows;               /* of the chunk */
    size_t sent;                  /* of the chunk */
} batch;

/* The table's columns, as the server knows them. */
static bool discover(batch *b, sl_val *names, sl_err *err)
{
    PGresult *r = NULL;
    sl_arena *a = b->p.arena;
    bool ok = PQsendQuery(b->p.conn, sl_fmt(a, "SELECT * FROM %.*s LIMIT 0", SL_ARG(b->c->table)).p) == 1 || sl_pg_failed(&b->p, NULL, SIZE_MAX, err);
    while (ok && (ok = sl_pg_next(&b->p, &r, err)) && r != NULL) {
        if (PQresultStatus(r) != PGRES_TUPLES_OK)
            ok = sl_pg_failed(&b->p, r, SIZE_MAX, err);
        for (int i = 0; ok && i < PQnfields(r); i++)
            sl_list_add(a, names, sl_val_str(a, sl_str_dup(a, sl_str_c(PQfname(r, i)))));
        PQclear(r);
    }
    return ok;
}

static bool statement(batch *b, sl_str *ret, sl_err *err)
{
    sl_arena *a = b->p.arena;
    const batch_cfg *c = b->c;
    if (c->sql.n > 0) {
        sl_statement *list;
        if (sl_sql_split(a, c->sql, &list) != 1)
            return sl_err_set(err, SL_ERR_CONFIG, "sql.batch", "'sql' of a Batch must be one statement");
        *ret = sl_sql_positions(a, list->text, &b->places);
        return b->places > 0 || sl_err_set(err, SL_ERR_CONFIG, "sql.batch", "'sql' of a Batch must have a ? for each value");
    }
    sl_val *found = sl_list(a);
    if (c->table.n == 0)
        return sl_err_set(err, SL_ERR_CONFIG, "sql.batch", "a Batch needs 'sql' or 'table'");
    if (sl_val_count(c->columns) == 0 && !discover(b, found, err))
        return false;
    const sl_val *columns = sl_val_count(c->columns) > 0 ? c->columns : found;
    sl_buf names = sl_buf_new(a, 1 << 20), places = sl_buf_new(a, 1 << 20);
    b->places = sl_val_count(columns);
    for (size_t i = 0; i < b->places; i++) {
        sl_str name = sl_val_text(a, sl_at(columns, i)), quoted = sl_val_count(c->columns) > 0 ? name : sl_sql_name(a, name);
        sl_buf_fmt(&names, "%s%.*s", i ? ", " : "", SL_ARG(quoted));
        sl_buf_fmt(&places, "%s$%zu", i ? ", " : "", i + 1);
    }
    *ret = sl_fmt(a, "INSERT INTO %.*s (%s) VALUES (%s)", SL_ARG(c->table), sl_buf_str(&names).p, sl_buf_str(&places).p);
    return true;
}

/* Prepares it; which parameters are arrays is for the server to say. */
static bool prepare(batch *b, sl_err *err)
{
    sl_str text;
    PGresult *r = NULL;
    if (!statement(b, &text, err))
        return false;
    b->array = SL_ARRAY(b->p.arena, bool, b->places + 1);
    for (int step = 0; step < 2; step++) {
        int sent = step == 0 ? PQsendPrepare(b->p.conn, "batch", text.p, 0, NULL) : PQsendDescribePrepared(b->p.conn, "batch");
        bool ok = sent == 1 || sl_pg_failed(&b->p, NULL, SIZE_MAX, err);
        while (ok && (ok = sl_pg_next(&b->p, &r, err)) && r != NULL) {
            if (PQresultStatus(r) != PGRES_COMMAND_OK)
                ok = sl_pg_failed(&b->p, r, SIZE_MAX, err);
            for (int i = 0; ok && step == 1 && i < PQnparams(r) && (size_t)i < b->places; i++)
                b->array[i] = sl_pg_is_array(PQparamtype(r, i));
            PQclear(r);
        }
        if (!ok)
            return false;
    }
    return true;
}

/* ---- a chunk ---- */

static const sl_val *value_at(batch *b, const sl_val *row, size_t i)
{
    if (row->type == SL_LIST)
        return i < row->list.n ? row->list.items[i] : NULL;
    if (sl_val_count(b->c->columns) > 0)
        return i < sl_val_count(b->c->columns) ? sl_get_str(row, sl_val_text(b->rows, sl_at(b->c->columns, i))) : NULL;
    return i < row->map.n ? row->map.entries[i].value : NULL;
}

/* With PostgreSQL a chunk goes out without waiting for each row's answer. */
static bool send_row(batch *b, const sl_val *row, sl_err *err)
{
    const char **values = SL_ARRAY(b->rows, const char *, b->places + 1);
    for (size_t i = 0; i < b->places; i++)
        values[i] = sl_pg_text(b->rows, value_at(b, row, i), b->array[i]);
    b->sent++;
    return PQsendQueryPrepared(b->p.conn, "batch", (int)b->places, values, NULL, NULL, 0) == 1 || sl_pg_failed(&b->p, NULL, SIZE_MAX, err);
}

static bool one_answer(batch *b, size_t row, sl_err *err)
{
    PGresult *r = NULL;
    bool ok = true;
    for (;;) {
        int64_t n = 0;
        if (!sl_pg_next(&b->p, &r, err))
            return false;
        if (r == NULL)
            return ok;
        ExecStatusType status = PQresultStatus(r);
        if (status == PGRES_COMMAND_OK && sl_parse_int(sl_str_c(PQcmdTuples(r)), &n))
            b->updated += n;
        else if (ok && status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_PIPELINE_SYNC) {
            ok = sl_pg_failed(&b->p, r, SIZE_MAX, err);
            sl_err_ctx(err, "record %lld of %.*s", (long long)(b->done + (int64_t)row + 1), SL_ARG(b->c->from));
        }
        PQclear(r);
        if (status == PGRES_PIPELINE_SYNC)
            return ok;
    }
}

static bool answers(batch *b, bool pipelined, sl_err *err)
{
    bool ok = true;
    if (!pipelined)
        return one_answer(b, b->sent - 1, err);
    if (PQpipelineSync(b->p.conn) != 1)
        return sl_pg_failed(&b->p, NULL, SIZE_MAX, err);
    for (size_t i = 0; i < b->sent && ok; i++)
        ok = one_answer(b, i, err);
    sl_err ignored;
    (void)one_answer(b, b->sent, ok ? err : &ignored); /* the end of the pipeline */
    return ok;
}

/* before: what holds when the transaction is rolled back. */
static const sl_val *state(batch *b, int64_t done)
{
    sl_arena *a = b->p.arena;
    sl_val *v = sl_map(a), *before = sl_map(a);
    sl_map_set_int(a, v, "done", done);
    sl_map_set_int(a, v, "updated", b->updated);
    sl_map_set_int(a, before, "done", b->done);
    sl_map_set_int(a, before, "updated", b->settled);
    sl_map_setc(a, v, "before", before);
    return v;
}

/* Reads up to a chunk of records and sends them. *more: there may be others. */
static bool chunk(batch *b, sl_records *in, bool *more, sl_err *err)
{
    const sl_val *row;
    bool pipelined = b->p.dialect == SL_PG_POSTGRES, ok = true;
    int got = 0;
    b->sent = 0;
    if (pipelined ? !sl_pg_run(&b->p, "BEGIN", err) || PQenterPipelineMode(b->p.conn) != 1 : !sl_pg_bare(&b->work, b->c->sql.n ? b->c->sql : b->c->table, state(b, b->done), err))
        return false;
    while (ok && b->sent < (size_t)b->c->chunk && (got = sl_records_next(in, b->rows, &row, err)) == 1) {
        ok = row->type == SL_MAP || row->type == SL_LIST || sl_err_set(err, SL_ERR_DATA, "sql.record", "record %lld of %.*s is neither a map nor a list", (long long)in->count, SL_ARG(b->c->from));
        ok = ok && send_row(b, row, err) && (pipelined || answers(b, false, err));
    }
    *more = got == 1;
    ok = ok && got >= 0 && (!pipelined || answers(b, true, err));
    if (pipelined && ok && PQexitPipelineMode(b->p.conn) != 1)
        ok = sl_pg_failed(&b->p, NULL, SIZE_MAX, err);
    if (!ok)
        return false;
    const sl_val *next = state(b, b->done + (int64_t)b->sent);
    ok = b->sent == 0 || (pipelined ? sl_pg_commit(&b->work, next, err) : sl_pg_done(&b->work, next, err));
    b->done += (int64_t)b->sent;
    b->settled = b->updated;
    return ok;
}

static bool run_all(batch *b, sl_err *err)
{
    sl_records in;
    SL_ARENA rows = sl_arena_new();
    sl_arena_mark mark = sl_arena_get_mark(rows);
    bool more = true, ok = prepare(b, err) && sl_records_open(&in, b->p.task, b->c->from, err);
    if (!ok)
        return false;
    b->rows = rows;
    ok = sl_records_skip(&in, b->done, err); /* those are through */
    while (ok && more) {
        ok = chunk(b, &in, &more, err);
        sl_arena_rewind(rows, mark);
        sl_task_progress(b->p.task, b->done, -1);
    }
    sl_records_close(&in);
    return ok;
}

static sl_outcome run(sl_task *t, void *cfg, sl_err *err)
{
    const batch_cfg *c = cfg;
    batch b = { .c = c };
    const sl_val *saved = NULL;
    bool wait = false;
    if (c->chunk < 1 || c->chunk > CHUNK_MAX) {
        sl_err_set(err, SL_ERR_CONFIG, "sql.chunk", "'chunk' must be from 1 to %d", CHUNK_MAX);
        return SL_TASK_FAILED;
    }
    bool ok = sl_pg_open(&b.p, t, &c->pg, false, err);
    b.work = (sl_pg_work){ .p = &b.p, .cfg = &c->pg };
    ok = ok && sl_pg_fate(&b.work, &saved, &wait, err);
    b.done = sl_get_int(saved, "done", 0);
    b.updated = b.settled = sl_get_int(saved, "updated", 0);
    ok = ok && (wait || run_all(&b, err));
    sl_pg_close(&b.p);
    if (ok && wait)
        return sl_task_wait(t, FATE_POLL_MS);
    if (!ok)
        return SL_TASK_FAILED;
    sl_task_out_int(t, "rowCount", b.done);
    sl_task_out_int(t, "updatedCount", b.updated);
    sl_task_counter(t, "records", (double)b.done);
    sl_task_log(t, SL_INFO, "%lld records, %lld rows changed", (long long)b.done, (long long)b.updated);
    return SL_TASK_DONE;
}

const sl_task_type sl_pg_batch = {
    .type = "io.kestra.plugin.jdbc.postgresql.Batch", .doc = "Sends the records of a file to PostgreSQL or CrateDB, in chunks.", .cfg_size = sizeof(batch_cfg), .opts = opts, .outs = outs, .run = run,
};
