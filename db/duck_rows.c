/* db/duck_rows.c: statements with bound values, and their rows block by block (see duck.h). */
#include "base/arena.h"
#include "db/duck_value.h"

#define f sl_duck_library_api.functions

enum { QUERY_RESULT = 3, SELECT = 1 }; /* duckdb_result_type, duckdb_statement_type */

static bool bind_one(duckdb_prepared_statement s, idx_t i, sl_arena *a, const sl_val *v)
{
    sl_str t;
    switch (v->type) {
    case SL_NULL: return f.bind_null(s, i) == 0;
    case SL_BOOL: return f.bind_boolean(s, i, v->b) == 0;
    case SL_INT: return f.bind_int64(s, i, v->i) == 0;
    case SL_DOUBLE: return f.bind_double(s, i, v->d) == 0;
    default: t = sl_val_text(a, v); return f.bind_varchar_length(s, i, t.p ? t.p : "", t.n) == 0;
    }
}

/* What comes behind the first paragraph is a picture of the place, for fixed-width eyes. */
static bool failed(sl_err *err, const char *message)
{
    sl_str whole = sl_str_c(message ? message : "unknown error");
    ptrdiff_t end = sl_str_find(whole, SL_S("\n\nLINE "));
    char line[400];
    (void)snprintf(line, sizeof line, "%.*s", (int)(end > 0 ? (size_t)end : whole.n), whole.p);
    for (char *p = line; *p != '\0'; p++)
        if (*p == '\n')
            *p = ' ';
    bool stopped = sl_str_starts(whole, SL_S("INTERRUPT Error"));
    return sl_err_set(err, stopped ? SL_ERR_CANCELLED : SL_ERR_DATA, stopped ? "cancelled" : "duckdb.query", "%s", line);
}

static bool each_chunk(sl_duck_rows *r, sl_arena *types, const sl_duck_column *columns, idx_t n, duckdb_data_chunk chunk, sl_err *err)
{
    bool ok = true;
    idx_t count = f.data_chunk_get_size(chunk);
    sl_arena_mark mark = sl_arena_get_mark(types);
    for (idx_t i = 0; ok && i < count; i++) {
        sl_val *row = sl_map(types);
        for (idx_t k = 0; k < n; k++)
            sl_map_set(types, row, columns[k].name, sl_duck_value(types, &columns[k], f.data_chunk_get_vector(chunk, k), i, r->zone));
        ok = r->each == NULL || r->each(r->self, row, err);
        sl_arena_rewind(types, mark);
    }
    return ok;
}

static bool each_row(sl_duck_rows *r, duckdb_result *result, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    idx_t n = f.column_count(result);
    sl_duck_column *columns = SL_ARRAY(a, sl_duck_column, n);
    for (idx_t k = 0; k < n; k++) {
        duckdb_logical_type type = f.column_logical_type(result, k);
        bool known = sl_duck_column_of(a, type, &columns[k], err);
        f.destroy_logical_type(&type);
        columns[k].name = sl_str_dup(a, sl_str_c(f.column_name(result, k)));
        if (!known)
            return sl_err_ctx(err, "column '%.*s'", SL_ARG(columns[k].name));
    }
    duckdb_data_chunk chunk;
    while ((chunk = f.fetch_chunk(*result)) != NULL) {
        bool some = f.data_chunk_get_size(chunk) > 0, ok = each_chunk(r, a, columns, n, chunk, err);
        f.destroy_data_chunk(&chunk);
        if (!ok)
            return false;
        if (!some)
            break;
    }
    const char *message = f.result_error(result); /* of a result that is still being made */
    return message == NULL || *message == '\0' || failed(err, message);
}

static bool run_prepared(sl_duck_rows *r, duckdb_prepared_statement s, const sl_val *values, bool last, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    duckdb_result result;
    memset(&result, 0, sizeof result);
    for (size_t i = 0; i < sl_val_count(values); i++)
        if (!bind_one(s, i + 1, a, sl_at(values, i)))
            return sl_err_set(err, SL_ERR_CONFIG, "duckdb.bind", "the value of parameter %zu cannot be bound", i + 1);
    /* Only a SELECT's rows come while it runs; the others' effects have to be there when this returns. */
    bool streams = f.prepared_statement_type(s) == SELECT;
    bool ok = (streams ? f.execute_prepared_streaming(s, &result) : f.execute_prepared(s, &result)) == 0;
    if (!ok)
        failed(err, f.result_error(&result));
    else if (last) {
        r->rows = f.result_return_type(result) == QUERY_RESULT;
        r->changed = r->rows ? 0 : (int64_t)f.rows_changed(&result);
        ok = !r->rows || each_row(r, &result, err);
    }
    f.destroy_result(&result);
    return ok;
}

bool sl_duck_each(sl_duck_con *c, sl_str sql, const sl_val *values, sl_duck_rows *r, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    duckdb_extracted_statements list = NULL;
    idx_t n = f.extract_statements(c->con, sl_cstr(a, sql), &list); /* one PRAGMA may stand for several statements */
    bool ok = n > 0 || failed(err, f.extract_statements_error(list));
    r->rows = false;
    r->changed = 0;
    for (idx_t i = 0; ok && i < n; i++) {
        duckdb_prepared_statement s = NULL;
        ok = f.prepare_extracted_statement(c->con, list, i, &s) == 0 ? run_prepared(r, s, values, i + 1 == n, err) : failed(err, f.prepare_error(s));
        f.destroy_prepare(&s);
    }
    f.destroy_extracted(&list);
    return ok;
}
