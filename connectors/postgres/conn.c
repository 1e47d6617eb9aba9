/* connectors/postgres/conn.c: connecting, statements, cancelling, errors. See pg.h. */
#include <openssl/ssl.h>
#include <poll.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/secret.h"
#include "connectors/postgres/pg.h"
#include "base/sql.h"

enum { CONNECT_MS = 30000, POLL_MS = 100, CANCEL_MS = 5000, KEYWORDS_MAX = 32, NOTICE_MAX = 2000 };

/* ---- errors ---- */

static sl_err_kind kind_of(const char *state)
{
    static const struct {
        const char *prefix;
        sl_err_kind kind;
    } known[] = { { "08", SL_ERR_TRANSIENT }, { "57P01", SL_ERR_TRANSIENT }, { "57P02", SL_ERR_TRANSIENT }, { "57P03", SL_ERR_TRANSIENT }, { "40001", SL_ERR_TRANSIENT }, { "40P01", SL_ERR_TRANSIENT },
                  { "53", SL_ERR_THROTTLED },  { "28", SL_ERR_AUTH },         { "42501", SL_ERR_AUTH },      { "3D", SL_ERR_NOT_FOUND },     { "42P01", SL_ERR_NOT_FOUND },  { "23505", SL_ERR_CONFLICT },
                  { "42P07", SL_ERR_CONFLICT }, { "22", SL_ERR_DATA },         { "23", SL_ERR_DATA } };
    for (size_t i = 0; state != NULL && i < SL_COUNT(known); i++)
        if (strncmp(state, known[i].prefix, strlen(known[i].prefix)) == 0)
            return known[i].kind;
    return SL_ERR_REMOTE;
}

static sl_str field(const PGresult *r, int code)
{
    return sl_str_trim(sl_str_c(PQresultErrorField(r, code)));
}

/* CrateDB's context is a stack trace of Java; ours of COPY says file, line and column. */
static sl_str context(const sl_pg *p, const PGresult *r)
{
    sl_str text = field(r, PG_DIAG_CONTEXT), line;
    if (p->dialect == SL_PG_CRATE || text.n == 0)
        return SL_S("");
    (void)sl_str_cut(&text, '\n', &line);
    return line;
}

static bool lost(sl_pg *p, sl_err *err)
{
    return sl_err_set(err, SL_ERR_TRANSIENT, "pg.lost", "the connection to the database was lost: %.*s", SL_ARG(sl_str_trim(sl_str_c(PQerrorMessage(p->conn)))));
}

bool sl_pg_failed(sl_pg *p, const PGresult *r, size_t offset, sl_err *err)
{
    sl_arena *a = p->arena;
    sl_str message = field(r, PG_DIAG_MESSAGE_PRIMARY), detail = field(r, PG_DIAG_MESSAGE_DETAIL), hint = field(r, PG_DIAG_MESSAGE_HINT), state = field(r, PG_DIAG_SQLSTATE), where = context(p, r);
    if (state.n == 0 && PQstatus(p->conn) == CONNECTION_BAD)
        return lost(p, err);
    if (message.n == 0)
        message = sl_str_trim(sl_str_c(r ? PQresultErrorMessage(r) : PQerrorMessage(p->conn)));
    sl_str first = message, rest = message;
    (void)sl_str_cut(&rest, '\n', &first); /* CrateDB's may have a stack trace behind it */
    if (p->dialect == SL_PG_CRATE)
        message = first;
    int64_t position = 0;
    sl_err_set(err, kind_of(state.p), sl_fmt(a, "pg.%.*s", SL_ARG(state)).p, "%.*s%s%.*s%s%.*s%s%.*s (SQLSTATE %.*s)", SL_ARG(message), detail.n ? "; " : "", SL_ARG(detail), where.n ? "; " : "", SL_ARG(where), hint.n ? "; " : "",
               SL_ARG(hint), SL_ARG(state));
    if (offset != SIZE_MAX && sl_parse_int(field(r, PG_DIAG_STATEMENT_POSITION), &position) && position > 0) {
        /* Counted in characters. */
        size_t at = offset;
        for (int64_t left = position - 1; left > 0 && at < p->sql.n; left--)
            do
                at++;
            while (at < p->sql.n && (p->sql.p[at] & 0xC0) == 0x80);
        sl_sql_place(p->sql, at, &err->line, &err->column);
        sl_err_ctx(err, "line %u, column %u of the SQL", err->line, err->column);
    }
    sl_redact_err(err);
    return false;
}

/* ---- waiting ---- */

static void cancel_statement(sl_pg *p)
{
    char ignored[256];
    PGcancel *c = PQgetCancel(p->conn);
    if (c != NULL)
        (void)PQcancel(c, ignored, sizeof ignored);
    PQfreeCancel(c);
}

/* libpq may take a part of a TLS record and leave the rest in OpenSSL, where poll does not see it. */
int sl_pg_poll(const sl_pg *p, bool write, int ms)
{
    struct pollfd f = { .fd = PQsocket(p->conn), .events = (short)(POLLIN | (write ? POLLOUT : 0)) };
    SSL *ssl = PQsslStruct(p->conn, "OpenSSL");
    return ssl != NULL && SSL_pending(ssl) > 0 ? 1 : poll(&f, 1, ms);
}

bool sl_pg_wait(sl_pg *p, bool write, sl_err *err)
{
    if (PQsocket(p->conn) < 0)
        return lost(p, err);
    while (sl_pg_poll(p, write, POLL_MS) == 0)
        if (sl_task_cancelled(p->task)) {
            cancel_statement(p);
            return sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped; the statement was cancelled on the server");
        }
    return true;
}

bool sl_pg_next(sl_pg *p, PGresult **ret, sl_err *err)
{
    while (PQisBusy(p->conn)) {
        int unsent = PQflush(p->conn);
        if (!sl_pg_wait(p, unsent == 1, err))
            return false;
        if (PQconsumeInput(p->conn) == 0)
            return lost(p, err);
    }
    if (sl_task_cancelled(p->task)) {
        cancel_statement(p);
        return sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped; the statement was cancelled on the server");
    }
    *ret = PQgetResult(p->conn);
    return true;
}

/* What is left of a statement that failed. */
void sl_pg_drain(sl_pg *p)
{
    int64_t until = sl_mono_ms() + CANCEL_MS;
    while (PQstatus(p->conn) == CONNECTION_OK && sl_mono_ms() < until) {
        if (PQisBusy(p->conn)) {
            if (sl_pg_poll(p, false, POLL_MS) > 0 && PQconsumeInput(p->conn) == 0)
                return;
            continue;
        }
        PGresult *r = PQgetResult(p->conn);
        if (r == NULL)
            return;
        bool endless = PQresultStatus(r) == PGRES_COPY_OUT || PQresultStatus(r) == PGRES_COPY_BOTH;
        if (PQresultStatus(r) == PGRES_COPY_IN)
            (void)PQputCopyEnd(p->conn, "stopped");
        PQclear(r);
        if (endless) /* the connection is closed instead */
            return;
    }
}

/* ---- connecting ---- */

static void on_notice(void *self, const PGresult *r)
{
    sl_pg *p = self;
    sl_str message = field(r, PG_DIAG_MESSAGE_PRIMARY), severity = field(r, PG_DIAG_SEVERITY_NONLOCALIZED);
    sl_task_log(p->task, sl_str_eqc(severity, "WARNING") ? SL_WARN : SL_DEBUG, "%.*s", (int)(message.n < NOTICE_MAX ? message.n : NOTICE_MAX), message.p);
}

static bool pem_file(sl_pg *p, sl_val *words, const char *keyword, const char *name, sl_str content, sl_err *err)
{
    sl_str dir;
    if (content.n == 0)
        return true;
    if (!sl_task_workdir(p->task, &dir, err))
        return false;
    sl_str path = sl_fmt(p->arena, "%.*s/.%s", SL_ARG(dir), name);
    sl_map_set_str(p->arena, words, keyword, path);
    return sl_fs_write_atomic(path.p, content, 0600, err);
}

static bool keywords(sl_pg *p, const sl_pg_cfg *c, bool redshift, sl_val *words, sl_err *err)
{
    sl_arena *a = p->arena;
    sl_map_set_str(a, words, "application_name", SL_S("sluice"));
    sl_map_set_str(a, words, "connect_timeout", SL_S("10"));
    if (redshift)
        sl_map_set_str(a, words, "gssencmode", SL_S("disable"));
    if (!sl_pg_keywords(a, c->url, redshift ? "redshift" : "postgresql", redshift ? "5439" : "5432", words, err))
        return false;
    sl_map_opt_str(a, words, "user", c->username);
    sl_map_opt_str(a, words, "password", c->password);
    sl_redact_add(sl_get_text(words, "password"));
    if (c->ssl && c->ssl_mode.n == 0)
        sl_map_set_str(a, words, "sslmode", SL_S("verify-full"));
    if (c->ssl_mode.n > 0)
        sl_map_set_str(a, words, "sslmode", sl_str_replace(a, sl_str_lower(a, c->ssl_mode), SL_S("_"), SL_S("-")));
    sl_str mode = sl_get_text(words, "sslmode");
    if (sl_str_starts(mode, SL_S("verify-")) && c->ssl_root.n == 0 && sl_get(words, "sslrootcert") == NULL)
        sl_map_set_str(a, words, "sslrootcert", SL_S("/etc/ssl/certs/ca-certificates.crt")); /* those of the machine, as a browser would */
    sl_map_opt_str(a, words, "sslpassword", c->ssl_key_password);
    sl_map_set_str(a, words, "client_encoding", SL_S("UTF8"));
    return pem_file(p, words, "sslrootcert", "root.crt", c->ssl_root, err) && pem_file(p, words, "sslcert", "client.crt", c->ssl_cert, err) && pem_file(p, words, "sslkey", "client.key", c->ssl_key, err);
}

static bool connect_failed(sl_pg *p, const sl_val *words, sl_err *err)
{
    sl_str host = sl_get_text(words, "host"), port = sl_get_text(words, "port"), why = sl_str_trim(sl_str_c(PQerrorMessage(p->conn)));
    bool password = sl_str_find(why, SL_S("password")) >= 0 || sl_str_find(why, SL_S("authentication")) >= 0 || sl_str_find(why, SL_S("role")) >= 0;
    bool tls = sl_str_find(why, SL_S("SSL")) >= 0 || sl_str_find(why, SL_S("certificate")) >= 0, missing = sl_str_find(why, SL_S("does not exist")) >= 0;
    ptrdiff_t fatal = sl_str_find(why, SL_S("FATAL:"));
    if (fatal >= 0)
        why = sl_str_trim(sl_str_sub(why, (size_t)fatal + 6, why.n));
    sl_err_set(err, password || tls ? SL_ERR_AUTH : missing ? SL_ERR_NOT_FOUND : SL_ERR_TRANSIENT, "pg.connect", "cannot log in to the database at %.*s:%.*s as '%.*s': %.*s", SL_ARG(host), SL_ARG(port),
               SL_ARG(sl_get_text(words, "user")), SL_ARG(sl_str_replace(p->arena, why, SL_S("\n"), SL_S("; "))));
    sl_redact_err(err);
    return false;
}

static bool handshake(sl_pg *p, const sl_val *words, sl_err *err)
{
    int64_t until = sl_mono_ms() + CONNECT_MS;
    PostgresPollingStatusType state = PGRES_POLLING_WRITING;
    while (state != PGRES_POLLING_OK) {
        struct pollfd f = { .fd = PQsocket(p->conn), .events = state == PGRES_POLLING_READING ? POLLIN : POLLOUT };
        if (state == PGRES_POLLING_FAILED)
            return connect_failed(p, words, err);
        if (sl_task_cancelled(p->task))
            return sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped while connecting to the database");
        if (sl_mono_ms() > until)
            return sl_err_set(err, SL_ERR_TRANSIENT, "pg.connect", "the database at %.*s:%.*s did not answer within %d s", SL_ARG(sl_get_text(words, "host")), SL_ARG(sl_get_text(words, "port")), CONNECT_MS / 1000);
        if (poll(&f, 1, POLL_MS) != 0)
            state = PQconnectPoll(p->conn);
    }
    return true;
}

static void learn_dialect(sl_pg *p, bool redshift)
{
    p->dialect = redshift ? SL_PG_REDSHIFT : PQparameterStatus(p->conn, "crate_version") != NULL ? SL_PG_CRATE : SL_PG_POSTGRES;
    if (!redshift && PQserverVersion(p->conn) > 0 && PQserverVersion(p->conn) < 90000)
        p->dialect = SL_PG_REDSHIFT; /* it calls itself 8.0.2 */
    p->knows_fate = p->dialect == SL_PG_POSTGRES && PQserverVersion(p->conn) >= 100000;
}

/* With the local cloud, Redshift is its own, with its own password: that of a flow that is meant for AWS is of no use to it. */
static bool use_local(sl_task *t, sl_pg_cfg *c, const char *url, sl_err *err)
{
    sl_aws_options any = { 0 };
    sl_aws_keys keys;
    sl_aws_cred *cred = sl_aws_find(sl_task_aws(t), &any, err);
    if (cred == NULL || !sl_aws_get_keys(cred, sl_task_arena(t), false, &keys, err))
        return false;
    c->url = sl_str_c(url);
    c->username = SL_S("local");
    c->password = keys.secret;
    return true;
}

bool sl_pg_open(sl_pg *p, sl_task *t, const sl_pg_cfg *given, bool redshift, sl_err *err)
{
    sl_pg_cfg own = *given;
    const sl_pg_cfg *c = &own;
    bool local;
    const char *url = redshift ? sl_task_endpoint(t, "redshift", &local) : NULL;
    if (url != NULL && !use_local(t, &own, url, err))
        return false;
    if (redshift && own.url.n == 0)
        return sl_err_set(err, SL_ERR_CONFIG, "redshift.url", "a task for Redshift needs 'url', or 'clusterIdentifier' or 'workgroupName' for the Data API");
    if (redshift && sl_str_starts(sl_str_trim(own.url), SL_S("jdbc:redshift:iam:")) && !sl_redshift_iam(t, own.aws, &own.url, &own.username, &own.password, err))
        return false;
    const char *names[KEYWORDS_MAX + 1] = { 0 }, *values[KEYWORDS_MAX + 1] = { 0 };
    sl_pg_close(p);
    p->task = t;
    p->arena = sl_task_arena(t);
    sl_val *words = sl_map(p->arena);
    if (c->zone.n > 0 && (p->zone = sl_tz_find(c->zone, err)) == NULL)
        return sl_err_ctx(err, "property 'timeZoneId'");
    if (p->zone == NULL)
        p->zone = sl_tz_local();
    if (!keywords(p, c, redshift, words, err))
        return false;
    sl_assert(words->map.n <= KEYWORDS_MAX);
    for (size_t i = 0; i < words->map.n; i++) {
        names[i] = sl_cstr(p->arena, words->map.entries[i].key);
        values[i] = sl_cstr(p->arena, words->map.entries[i].value->s);
    }
    p->conn = PQconnectStartParams(names, values, 0);
    if (p->conn == NULL || PQstatus(p->conn) == CONNECTION_BAD)
        return p->conn ? connect_failed(p, words, err) : sl_err_set(err, SL_ERR_LIMIT, "pg.memory", "there is no memory for a connection");
    (void)PQsetNoticeReceiver(p->conn, on_notice, p);
    if (!handshake(p, words, err) || PQsetnonblocking(p->conn, 1) != 0)
        return err->kind != SL_ERR_NONE ? false : lost(p, err);
    learn_dialect(p, redshift);
    return true;
}

void sl_pg_close(sl_pg *p)
{
    if (p->conn != NULL)
        PQfinish(p->conn);
    p->conn = NULL;
}

/* ---- statements ---- */

static bool send_statement(sl_pg *p, sl_str statement, const sl_val *values, sl_err *err)
{
    size_t n = sl_val_count(values);
    const char *text = sl_cstr(p->arena, statement), **bound = SL_ARRAY(p->arena, const char *, n + 1);
    for (size_t i = 0; i < n; i++)
        bound[i] = sl_pg_text(p->arena, sl_at(values, i), false);
    /* Redshift prefers the simple protocol for COPY, UNLOAD and the definition of tables. */
    int ok = n == 0 && p->dialect == SL_PG_REDSHIFT ? PQsendQuery(p->conn, text) : PQsendQueryParams(p->conn, text, (int)n, NULL, bound, NULL, NULL, 0);
    (void)PQsetSingleRowMode(p->conn);
    return ok == 1 || lost(p, err);
}

static bool add_row(sl_pg *p, const PGresult *r, sl_result *result, sl_err *err)
{
    sl_arena *a = p->arena;
    if (result == NULL)
        return true;
    bool keeps = sl_result_keeps(result);
    sl_arena_mark mark = sl_arena_get_mark(a);
    for (int k = 0; k < PQntuples(r); k++) {
        sl_val *row = sl_map(a);
        for (int i = 0; i < PQnfields(r); i++) {
            sl_str name = sl_str_dup(a, sl_str_c(PQfname(r, i))), text = { PQgetvalue(r, k, i), (size_t)PQgetlength(r, k, i) };
            sl_map_set(a, row, name, PQgetisnull(r, k, i) ? &sl_null_val : sl_pg_value(a, PQftype(r, i), sl_str_dup(a, text), p->zone));
        }
        if (!sl_result_add(result, row, err))
            return false;
    }
    if (!keeps)
        sl_arena_rewind(a, mark);
    return true;
}

static bool take(sl_pg *p, const PGresult *r, size_t offset, sl_result *result, bool *rows, sl_err *err)
{
    int64_t affected = 0;
    switch (PQresultStatus(r)) {
    case PGRES_SINGLE_TUPLE: *rows = true; return add_row(p, r, result, err);
    case PGRES_TUPLES_OK: *rows = true; return add_row(p, r, result, err);
    case PGRES_COMMAND_OK:
        if (sl_parse_int(sl_str_c(PQcmdTuples((PGresult *)(uintptr_t)r)), &affected))
            p->affected += affected;
        return true;
    case PGRES_EMPTY_QUERY: return true;
    case PGRES_COPY_IN:
    case PGRES_COPY_OUT:
    case PGRES_COPY_BOTH: return sl_err_set(err, SL_ERR_CONFIG, "pg.copy", "COPY … FROM STDIN and TO STDOUT are what the tasks CopyIn and CopyOut are for");
    default: return sl_pg_failed(p, r, offset, err);
    }
}

bool sl_pg_exec(sl_pg *p, sl_str statement, const sl_val *values, size_t offset, sl_result *result, bool *rows, sl_err *err)
{
    bool ignored, ok = send_statement(p, statement, values, err);
    rows = rows ? rows : &ignored;
    *rows = false;
    while (ok) {
        PGresult *r = NULL;
        ok = sl_pg_next(p, &r, err);
        if (r == NULL)
            break;
        ok = ok && take(p, r, offset, result, rows, err);
        PQclear(r);
    }
    if (!ok)
        sl_pg_drain(p);
    return ok;
}

bool sl_pg_run(sl_pg *p, const char *statement, sl_err *err)
{
    return sl_pg_exec(p, sl_str_c(statement), NULL, SIZE_MAX, NULL, NULL, err);
}

bool sl_pg_scalar(sl_pg *p, const char *statement, const char *value, sl_str *ret, sl_err *err)
{
    PGresult *r = NULL;
    bool ok = PQsendQueryParams(p->conn, statement, value ? 1 : 0, NULL, value ? &value : NULL, NULL, NULL, 0) == 1 || lost(p, err);
    *ret = SL_S("");
    while (ok && (ok = sl_pg_next(p, &r, err)) && r != NULL) {
        if (PQresultStatus(r) != PGRES_TUPLES_OK)
            ok = sl_pg_failed(p, r, SIZE_MAX, err);
        else if (PQntuples(r) > 0 && !PQgetisnull(r, 0, 0))
            *ret = sl_str_dup(p->arena, sl_str_c(PQgetvalue(r, 0, 0)));
        PQclear(r);
    }
    if (!ok)
        sl_pg_drain(p);
    return ok;
}
