/* local/redshift.c: sessions of the Redshift face: transactions, results and their types. See redshift.h. */
#include "local/redshift.h"

#include "base/arena.h"
#include "base/fs.h"
#include "base/sql.h"
#include "local/redshift_copy.h"
#include "local/tls.h"

/* DuckDB's numbers of types (duckdb.h) and PostgreSQL's. */
static const struct {
    int duck, oid;
} types[] = { { 1, 16 }, { 2, 21 }, { 3, 21 }, { 4, 23 }, { 5, 20 }, { 6, 21 }, { 7, 23 }, { 8, 20 }, { 9, 1700 }, { 10, 700 }, { 11, 701 }, { 12, 1114 }, { 13, 1082 }, { 14, 1083 }, { 16, 1700 }, { 17, 1043 }, { 19, 1700 },
              { 20, 1114 }, { 21, 1114 }, { 22, 1114 }, { 31, 1184 } };

enum { DUCK_BOOLEAN = 1, DUCK_FLOAT = 10, DUCK_DOUBLE = 11, VARCHAR_OID = 1043 };

/* Tables of files and of earlier versions may have names in upper case. */
static sl_str lower(sl_arena *a, sl_str name)
{
    sl_buf b = sl_buf_new(a, SIZE_MAX / 4);
    for (size_t i = 0; i < name.n; i++)
        sl_buf_char(&b, name.p[i] >= 'A' && name.p[i] <= 'Z' ? (char)(name.p[i] + 32) : name.p[i]);
    return sl_buf_str(&b);
}

static const sl_val *with_oids(sl_arena *a, const sl_val *columns)
{
    sl_val *out = sl_list(a);
    if (columns == NULL)
        return NULL;
    for (size_t i = 0; i < sl_val_count(columns); i++) {
        sl_val *one = sl_map_shallow(a, sl_at(columns, i));
        int64_t type = sl_get_int(one, "type", 0), oid = VARCHAR_OID;
        for (size_t k = 0; k < SL_COUNT(types); k++)
            if (types[k].duck == type)
                oid = types[k].oid;
        sl_map_set_int(a, one, "oid", oid);
        sl_map_set_str(a, one, "name", lower(a, sl_get_text(one, "name")));
        sl_list_add(a, out, one);
    }
    return out;
}

/* A truth value or a float as PostgreSQL writes it. */
static const sl_val *as_text(sl_arena *a, int64_t type, const sl_val *v)
{
    if (v->type == SL_NULL)
        return v;
    if (type == DUCK_BOOLEAN)
        return sl_val_c(a, sl_str_eqc(v->s, "true") ? "t" : "f");
    if (sl_str_ends(v->s, SL_S(".0")))
        return sl_val_str(a, sl_str_sub(v->s, 0, v->s.n - 2));
    return sl_str_eqc(v->s, "inf") ? sl_val_c(a, "Infinity") : sl_str_eqc(v->s, "-inf") ? sl_val_c(a, "-Infinity") : sl_str_eqc(v->s, "nan") ? sl_val_c(a, "NaN") : v;
}

static bool differs(int64_t type)
{
    return type == DUCK_BOOLEAN || type == DUCK_FLOAT || type == DUCK_DOUBLE;
}

static const sl_val *as_texts(sl_arena *a, const sl_val *columns, const sl_val *rows)
{
    bool any = false;
    for (size_t k = 0; k < sl_val_count(columns); k++)
        any |= differs(sl_get_int(sl_at(columns, k), "type", 0));
    if (!any)
        return rows;
    sl_val *out = sl_list(a);
    for (size_t i = 0; i < sl_val_count(rows); i++) {
        sl_val *row = sl_list(a);
        for (size_t k = 0; k < sl_val_count(columns); k++) {
            int64_t type = sl_get_int(sl_at(columns, k), "type", 0);
            const sl_val *v = sl_at(sl_at(rows, i), k);
            sl_list_add(a, row, differs(type) ? as_text(a, type, v) : v);
        }
        sl_list_add(a, out, row);
    }
    return out;
}

static sl_str tag_of(sl_arena *a, sl_str verb, const sl_pgwire_result *r, int64_t changed)
{
    if (sl_str_eqc(verb, "INSERT"))
        return sl_fmt(a, "INSERT 0 %lld", (long long)changed);
    if (sl_str_eqc(verb, "UPDATE") || sl_str_eqc(verb, "DELETE") || sl_str_eqc(verb, "MERGE"))
        return sl_fmt(a, "%.*s %lld", SL_ARG(verb), (long long)changed);
    if (r->columns != NULL)
        return sl_fmt(a, "SELECT %zu", sl_val_count(r->rows));
    return verb;
}

static bool failed(sl_redshift_session *s, sl_err *err)
{
    /* "Catalog Error: Table with name x does not exist!" and the like: the class is told by the first words. */
    static const struct {
        const char *words, *code;
    } known[] = { { "Catalog Error: Table with name", "pg.42P01" }, { "Binder Error: Referenced column", "pg.42703" }, { "Catalog Error: Scalar Function", "pg.42883" }, { "Parser Error", "pg.42601" }, { "Conversion Error", "pg.22P02" },
                  { "Constraint Error", "pg.23505" },               { "TransactionContext Error", "pg.40001" } };
    SL_ARENA a = sl_arena_new();
    sl_redshift_text type;
    const char *null = strstr(err->message, "NOT NULL constraint failed: ");
    if (strstr(err->message, "string 'division by zero'") != NULL) /* rs_divisor */
        (void)sl_err_set(err, SL_ERR_DATA, "pg.22012", "division by zero");
    else if (sl_redshift_too_long(err->message, &type))
        (void)sl_err_set(err, SL_ERR_DATA, "pg.22001", "value too long for type %s", sl_redshift_text_name(a, type).p);
    else if (null != NULL && (null = strrchr(null, '.')) != NULL)
        (void)sl_err_set(err, SL_ERR_DATA, "pg.23502", "Cannot insert a NULL value into column %s", sl_fmt(a, "%s", null + 1).p);
    for (size_t i = 0; i < SL_COUNT(known); i++)
        if (strncmp(err->message, known[i].words, strlen(known[i].words)) == 0)
            (void)snprintf(err->code, sizeof err->code, "%s", known[i].code);
    if (s->status == 'T')
        s->status = 'E';
    return false;
}

/* BEGIN, COMMIT, ROLLBACK; *handled: it was one of them. */
static bool transaction(sl_redshift_session *s, sl_str verb, bool *handled, sl_str *tag, sl_err *err)
{
    bool begin = sl_str_eqc(verb, "BEGIN") || sl_str_eqc(verb, "START"), commit = sl_str_eqc(verb, "COMMIT") || sl_str_eqc(verb, "END"), rollback = sl_str_eqc(verb, "ROLLBACK") || sl_str_eqc(verb, "ABORT");
    *handled = begin || commit || rollback;
    if (!*handled)
        return true;
    bool back = rollback || (commit && s->status == 'E');
    *tag = begin ? SL_S("BEGIN") : back ? SL_S("ROLLBACK") : SL_S("COMMIT");
    if (begin ? s->status != 'I' : s->status == 'I')
        return true; /* a warning there, no error */
    bool ok = sl_duck_exec(s->con, begin ? "BEGIN" : back ? "ROLLBACK" : "COMMIT", err);
    s->status = begin && ok ? 'T' : 'I';
    return ok;
}

/* All of them, or none. */
static bool run_parts(sl_redshift_session *s, sl_arena *a, const sl_val *parts, sl_err *err)
{
    bool own = s->status == 'I', ok = !own || sl_duck_exec(s->con, "BEGIN", err);
    sl_err ignored;
    for (size_t i = 0; ok && i < sl_val_count(parts); i++)
        ok = sl_duck_run(s->con, a, sl_text(sl_at(parts, i)), NULL, NULL, err);
    ok = ok && (!own || sl_duck_exec(s->con, "COMMIT", err));
    if (own && !ok)
        (void)sl_duck_exec(s->con, "ROLLBACK", &ignored);
    return ok;
}

static bool run(void *self, sl_arena *a, sl_str statement, sl_pgwire_result *ret, sl_err *err)
{
    sl_redshift_session *s = self;
    sl_str verb = sl_sql_verb(a, statement), sql;
    bool handled;
    int64_t changed = 0;
    if (!transaction(s, verb, &handled, &ret->tag, err) || handled)
        return handled && ret->tag.n > 0 && err->kind == SL_ERR_NONE;
    if (s->status == 'E')
        return sl_err_set(err, SL_ERR_DATA, "pg.25P02", "current transaction is aborted, commands ignored until end of transaction block");
    if (!sl_redshift_external(s, a, statement, &handled, &ret->tag, err))
        return failed(s, err);
    if (handled)
        return true;
    if (!sl_redshift_external_refresh(s, a, err))
        return failed(s, err);
    if (sl_str_eqc(verb, "COPY")) {
        ret->tag = SL_S("COPY");
        return sl_redshift_copy(s, a, statement, &s->copied, err) || failed(s, err);
    }
    if (sl_str_eqc(verb, "UNLOAD")) {
        ret->tag = SL_S("UNLOAD");
        return sl_redshift_unload(s, a, statement, &changed, err) || failed(s, err);
    }
    const sl_val *columns, *parts;
    if (!sl_redshift_parts(s, a, statement, &parts, err))
        return failed(s, err);
    if (sl_val_count(parts) > 0) {
        ret->tag = verb;
        return run_parts(s, a, parts, err) || failed(s, err);
    }
    if (!sl_redshift_rewrite(s, a, statement, &sql, err) || !sl_duck_query(s->con, a, sql, &ret->rows, &columns, &changed, err))
        return failed(s, err);
    ret->columns = with_oids(a, columns);
    ret->rows = as_texts(a, ret->columns, ret->rows);
    ret->tag = tag_of(a, verb, ret, changed);
    return true;
}

static bool describe(void *self, sl_arena *a, sl_str statement, const sl_val **columns, sl_err *err)
{
    sl_redshift_session *s = self;
    sl_str sql;
    const sl_val *rows;
    *columns = NULL;
    if (!sl_sql_reads(a, statement) && !sl_str_eqc(sl_sql_verb(a, statement), "WITH"))
        return true;
    /* Parameters are nulls here: only the columns count. */
    sl_val *nulls = sl_list(a);
    for (int i = 0; i < 64; i++)
        sl_list_add(a, nulls, &sl_null_val);
    if (!sl_sql_fill(a, statement, nulls, &sql) || !sl_redshift_rewrite(s, a, sql, &sql, err))
        return sl_err_set(err, SL_ERR_DATA, "pg.0A000", "the statement has too many parameters");
    if (!sl_redshift_external_refresh(s, a, err))
        return failed(s, err);
    if (!sl_duck_query(s->con, a, sl_fmt(a, "SELECT * FROM (%.*s) LIMIT 0", SL_ARG(sql)), &rows, columns, NULL, err))
        return failed(s, err);
    *columns = with_oids(a, *columns);
    return true;
}

/* ---- sessions ---- */

static bool open_warehouse(sl_cloud *c, sl_err *err)
{
    static const char *const setup[] = {
        "SET default_null_order = 'nulls_last_on_asc_first_on_desc'",
        "CREATE SCHEMA IF NOT EXISTS _sl",
        "CREATE TABLE IF NOT EXISTS _sl.statements(id VARCHAR, token VARCHAR, status VARCHAR, doc VARCHAR)",
    };
    SL_ARENA a = sl_arena_new();
    pthread_mutex_lock(&c->lock);
    bool opens = c->redshift_duck == NULL && !c->stopping, ok = !opens || (c->redshift_duck = sl_duck_open(sl_fmt(a, "%s/redshift.duckdb", c->dir).p, err)) != NULL;
    sl_duck_con *con = opens && ok ? sl_duck_connect(c->redshift_duck, err) : NULL;
    for (size_t i = 0; con != NULL && ok && i < SL_COUNT(setup); i++)
        ok = sl_duck_exec(con, setup[i], err);
    ok = ok && (con == NULL || sl_redshift_errors_upgrade(con, err));
    for (size_t i = 0; con != NULL && ok && sl_redshift_errors_setup[i] != NULL; i++)
        ok = sl_duck_exec(con, sl_redshift_errors_setup[i], err);
    for (size_t i = 0; con != NULL && ok && sl_redshift_macros[i] != NULL; i++)
        ok = sl_duck_exec(con, sl_redshift_macros[i], err);
    for (size_t i = 0; con != NULL && ok && sl_redshift_external_setup[i] != NULL; i++)
        ok = sl_duck_exec(con, sl_redshift_external_setup[i], err);
    ok = ok && (!opens || con != NULL);
    if (opens && !ok) { /* the next connection tries again */
        sl_duck_disconnect(con);
        sl_duck_close(c->redshift_duck);
        c->redshift_duck = NULL;
    }
    pthread_mutex_unlock(&c->lock);
    if (opens && ok) {
        ok = sl_redshift_data_take_up(c, con, err);
        sl_duck_disconnect(con);
    }
    return ok && (c->redshift_duck != NULL || sl_err_set(err, SL_ERR_CANCELLED, "pg.57P01", "the local cloud stops"));
}

static void *open_session(void *self, sl_err *err)
{
    sl_cloud *c = self;
    static _Atomic int next_pid = 1000;
    if (!open_warehouse(c, err))
        return NULL;
    sl_redshift_session *s = sl_malloc(sizeof *s);
    *s = (sl_redshift_session){ .c = c, .pid = next_pid++, .status = 'I', .con = sl_duck_connect(c->redshift_duck, err) };
    /* Redshift compares numbers with texts, and integers by integers are integers. */
    if (s->con != NULL && sl_duck_exec(s->con, "SET old_implicit_casting=true", err) && sl_duck_exec(s->con, "SET integer_division=true", err))
        return s;
    sl_duck_disconnect(s->con);
    free(s);
    return NULL;
}

static void close_session(void *self)
{
    sl_redshift_session *s = self;
    sl_err ignored;
    if (s->status != 'I')
        (void)sl_duck_exec(s->con, "ROLLBACK", &ignored);
    sl_duck_disconnect(s->con);
    free(s);
}

sl_redshift_session *sl_redshift_session_open(sl_cloud *c, sl_err *err)
{
    return open_session(c, err);
}

void sl_redshift_session_close(sl_redshift_session *s)
{
    close_session(s);
}

bool sl_redshift_session_run(sl_redshift_session *s, sl_arena *arena, sl_str statement, sl_pgwire_result *ret, sl_err *err)
{
    sl_err_clear(err);
    return run(s, arena, statement, ret, err);
}

static void started(void *self)
{
    sl_redshift_session *s = self;
    SL_ARENA a = sl_arena_new();
    const sl_val *rows;
    sl_err ignored;
    if (sl_duck_run(s->con, a, SL_S("SELECT current_setting('search_path')"), &rows, NULL, &ignored)) {
        sl_str path = sl_text(sl_at(sl_at(rows, 0), 0));
        (void)snprintf(s->path, sizeof s->path, "%.*s", path.n < sizeof s->path ? (int)path.n : 0, path.p);
    }
}

static char status_of(void *self)
{
    return ((sl_redshift_session *)self)->status;
}

static int pid_of(void *self)
{
    return ((sl_redshift_session *)self)->pid;
}

static bool read_port(sl_cloud *c, int64_t *ret)
{
    SL_ARENA a = sl_arena_new();
    sl_str text;
    sl_err ignored;
    return sl_fs_read(a, sl_fmt(a, "%s/redshift-port", c->dir).p, 32, &text, &ignored) && sl_parse_int(sl_str_trim(text), ret);
}

static void keep_url(sl_cloud *c, int64_t port)
{
    (void)snprintf(c->redshift_url, sizeof c->redshift_url, "jdbc:redshift://127.0.0.1:%lld/dev", (long long)port);
}

bool sl_redshift_start(sl_cloud *c, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    int64_t last = 0;
    sl_pgwire_backend b = { .self = c, .open = open_session, .close = close_session, .run = run, .describe = describe, .started = started, .status = status_of, .pid = pid_of, .password = sl_secret_reveal(c->aws_secret), .version = "8.0.2" };
    if ((c->redshift_tls = b.tls = sl_tls_server(c->dir, "redshift", err)) == NULL)
        return false;
    (void)read_port(c, &last);
    c->redshift = sl_pgwire_start(&b, (int)last, err);
    if (c->redshift == NULL)
        c->redshift = sl_pgwire_start(&b, 0, err);
    if (c->redshift == NULL)
        return false;
    keep_url(c, sl_pgwire_port(c->redshift));
    return sl_fs_write_atomic(sl_fmt(a, "%s/redshift-port", c->dir).p, sl_fmt(a, "%d\n", sl_pgwire_port(c->redshift)), 0600, err);
}

bool sl_redshift_join(sl_cloud *c, sl_err *err)
{
    int64_t port;
    if (!read_port(c, &port))
        return sl_err_set(err, SL_ERR_IO, "local.redshift", "the running local cloud has no Redshift; it is of an older version");
    keep_url(c, port);
    return true;
}

void sl_redshift_stop(sl_cloud *c)
{
    sl_redshift_data_stop(c);
    sl_pgwire_stop(c->redshift);
    SSL_CTX_free(c->redshift_tls);
    sl_duck_close(c->redshift_duck);
}
