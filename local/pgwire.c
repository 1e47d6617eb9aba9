/* local/pgwire.c: see pgwire.h. */
#include "local/pgwire.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/sql.h"
#include "local/pgwire_value.h"

enum { CONNECTIONS_MAX = 64, MESSAGE_MAX = 64 << 20, PROTOCOL = 196608, SSL_REQUEST = 80877103, GSS_REQUEST = 80877104, CANCEL_REQUEST = 80877102, OUT_BLOCK = 256 << 10, TEXT_OID = 25 };

struct sl_pgwire {
    sl_pgwire_backend backend;
    int fd, port;
    pthread_t listener;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    int open[CONNECTIONS_MAX];    /* the rest: under the lock; -1: free */
    int count;
    bool stopping;
};

typedef struct conn {
    sl_pgwire *w;
    int fd, slot;
    SSL *tls;                     /* NULL: plain */
    sl_arena *arena;              /* of the connection: prepared statements and portals */
    sl_arena *turn;               /* of the message at hand */
    sl_buf out;
    void *session;
    sl_val *statements;           /* name -> {sql, oids} */
    sl_val *portals;              /* name -> {sql, formats} */
    const sl_val *formats;        /* of the result at hand: codes of its columns; NULL: text */
    sl_pgwire_result done;        /* of the portal that was described: it has run */
    sl_str done_portal;
    bool skipping;                /* an error: messages are passed over until Sync */
} conn;

/* ---- bytes ---- */

static void put16(sl_buf *b, int v)
{
    sl_buf_char(b, (char)(v >> 8 & 255));
    sl_buf_char(b, (char)(v & 255));
}

static void put32(sl_buf *b, int64_t v)
{
    put16(b, (int)(v >> 16 & 65535));
    put16(b, (int)(v & 65535));
}

static void put_text(sl_buf *b, sl_str s)
{
    sl_buf_add(b, s);
    sl_buf_char(b, '\0');
}

static int64_t get32(const char *p)
{
    const unsigned char *u = (const unsigned char *)p;
    return (int32_t)((uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3]);
}

/* A message: its length is filled in at the end. */
static size_t begin(conn *c, char type)
{
    sl_buf_char(&c->out, type);
    put32(&c->out, 0);
    return c->out.n - 4;
}

static void end(conn *c, size_t at)
{
    uint32_t n = (uint32_t)(c->out.n - at);
    for (int i = 0; i < 4; i++)
        c->out.p[at + (size_t)i] = (char)(n >> (24 - 8 * i) & 255);
}

static bool flush(conn *c)
{
    size_t at = 0;
    while (at < c->out.n) {
        size_t left = c->out.n - at;
        ssize_t n = c->tls ? SSL_write(c->tls, c->out.p + at, left > INT32_MAX ? INT32_MAX : (int)left) : send(c->fd, c->out.p + at, left, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        at += (size_t)n;
    }
    c->out.n = 0;
    return true;
}

static bool receive(conn *c, char *to, size_t n)
{
    while (n > 0) {
        ssize_t got = c->tls ? SSL_read(c->tls, to, n > INT32_MAX ? INT32_MAX : (int)n) : recv(c->fd, to, n, 0);
        if (got <= 0)
            return false;
        to += got;
        n -= (size_t)got;
    }
    return true;
}

/* A body of the length that was announced, NUL behind. NULL: too long, or the client is gone. */
static char *body_of(conn *c, int64_t length)
{
    if (length < 4 || length > MESSAGE_MAX)
        return NULL;
    char *body = sl_alloc(c->turn, (size_t)length - 3);
    return receive(c, body, (size_t)length - 4) ? body : NULL;
}

/* A text of a message; moves past it. NULL .p: there is none. */
static sl_str take_text(sl_str *rest)
{
    const char *zero = rest->n ? memchr(rest->p, '\0', rest->n) : NULL;
    if (zero == NULL)
        return (sl_str){ 0 };
    sl_str s = { rest->p, (size_t)(zero - rest->p) };
    *rest = sl_str_sub(*rest, s.n + 1, rest->n);
    return s;
}

static bool take_int(sl_str *rest, size_t bytes, int64_t *ret)
{
    if (rest->n < bytes)
        return false;
    const unsigned char *u = (const unsigned char *)rest->p;
    *ret = bytes == 2 ? (int16_t)(u[0] << 8 | u[1]) : get32(rest->p);
    *rest = sl_str_sub(*rest, bytes, rest->n);
    return true;
}

/* ---- answers ---- */

static void say_error(conn *c, const char *state, const char *message)
{
    size_t at = begin(c, 'E');
    const char *const fields[][2] = { { "S", "ERROR" }, { "V", "ERROR" }, { "C", state }, { "M", message } };
    for (size_t i = 0; i < SL_COUNT(fields); i++) {
        sl_buf_addc(&c->out, fields[i][0]);
        put_text(&c->out, sl_str_c(fields[i][1]));
    }
    sl_buf_char(&c->out, '\0');
    end(c, at);
}

static void say_err(conn *c, const sl_err *err)
{
    say_error(c, strncmp(err->code, "pg.", 3) == 0 && strlen(err->code) == 8 ? err->code + 3 : "XX000", err->message);
}

static void say_ready(conn *c)
{
    size_t at = begin(c, 'Z');
    sl_buf_char(&c->out, c->w->backend.status(c->session));
    end(c, at);
}

static void say_empty(conn *c, char type)
{
    end(c, begin(c, type));
}

static void say_setting(conn *c, const char *name, const char *value)
{
    size_t at = begin(c, 'S');
    put_text(&c->out, sl_str_c(name));
    put_text(&c->out, sl_str_c(value));
    end(c, at);
}

/* 1 where the client wants the column in binary form: one code is for all. */
static int64_t format_of(const conn *c, size_t column)
{
    size_t n = sl_val_count(c->formats);
    return n == 0 ? 0 : n == 1 ? sl_at(c->formats, 0)->i : column < n ? sl_at(c->formats, column)->i : 0;
}

static void say_columns(conn *c, const sl_val *columns)
{
    size_t at = begin(c, 'T');
    put16(&c->out, (int)sl_val_count(columns));
    for (size_t i = 0; i < sl_val_count(columns); i++) {
        int64_t oid = sl_get_int(sl_at(columns, i), "oid", TEXT_OID);
        put_text(&c->out, sl_get_text(sl_at(columns, i), "name"));
        put32(&c->out, 0);
        put16(&c->out, 0);
        put32(&c->out, oid);
        put16(&c->out, sl_pgwire_width(oid));
        put32(&c->out, -1);
        put16(&c->out, (int)format_of(c, i));
    }
    end(c, at);
}

static bool put_value(conn *c, const sl_pgwire_result *r, size_t column, const sl_val *v)
{
    if (v->type == SL_NULL) {
        put32(&c->out, -1);
        return true;
    }
    if (format_of(c, column) == 1)
        return sl_pgwire_put_binary(&c->out, sl_get_int(sl_at(r->columns, column), "oid", TEXT_OID), v->s);
    put32(&c->out, (int64_t)v->s.n);
    sl_buf_add(&c->out, v->s);
    return true;
}

static void wrong(conn *c, const char *state, const char *message);

static bool say_rows(conn *c, const sl_pgwire_result *r)
{
    for (size_t i = 0; r->columns != NULL && i < sl_val_count(r->rows); i++) {
        const sl_val *row = sl_at(r->rows, i);
        size_t at = begin(c, 'D');
        put16(&c->out, (int)sl_val_count(row));
        for (size_t k = 0; k < sl_val_count(row); k++)
            if (!put_value(c, r, k, sl_at(row, k))) {
                c->out.n = at - 1; /* the row that was begun */
                wrong(c, "0A000", "a column of this type is given as text only, not in binary form");
                return true;
            }
        end(c, at);
        if (c->out.n > OUT_BLOCK && !flush(c))
            return false;
    }
    return true;
}

static void say_tag(conn *c, sl_str tag)
{
    size_t at = begin(c, 'C');
    put_text(&c->out, tag);
    end(c, at);
}

/* ---- login ---- */

static sl_str md5_hex(sl_arena *a, sl_str x, sl_str y)
{
    return sl_hex(a, sl_digest(a, "MD5", sl_fmt(a, "%.*s%.*s", SL_ARG(x), SL_ARG(y))));
}

static bool check_password(conn *c, sl_str user)
{
    char salt[4], head[5];
    sl_random(salt, sizeof salt);
    size_t at = begin(c, 'R');
    put32(&c->out, 5);
    sl_buf_add(&c->out, (sl_str){ salt, 4 });
    end(c, at);
    if (!flush(c) || !receive(c, head, 5) || head[0] != 'p')
        return false;
    char *body = body_of(c, get32(head + 1));
    if (body == NULL)
        return false;
    sl_buf salted = sl_buf_new(c->turn, 256);
    sl_buf_add(&salted, md5_hex(c->turn, c->w->backend.password, user));
    sl_buf_add(&salted, (sl_str){ salt, 4 });
    sl_str wanted = sl_fmt(c->turn, "md5%s", sl_hex(c->turn, sl_digest(c->turn, "MD5", sl_buf_str(&salted))).p);
    bool ok = strlen(body) == wanted.n && CRYPTO_memcmp(body, wanted.p, wanted.n) == 0;
    if (!ok) {
        say_error(c, "28P01", sl_fmt(c->turn, "password authentication failed for user \"%.*s\"", SL_ARG(user)).p);
        (void)flush(c);
    }
    return ok;
}

static bool begin_tls(conn *c)
{
    c->tls = SSL_new(c->w->backend.tls);
    return c->tls != NULL && SSL_set_fd(c->tls, c->fd) == 1 && SSL_accept(c->tls) == 1;
}

/* "-c name=value --name=value": settings of the session. What cannot be set, such as a path to a schema that is not there yet, is passed over, as by SET in Redshift. */
static void set_options(conn *c, sl_str options)
{
    sl_str word;
    while (options.n > 0) {
        sl_pgwire_result ignored = { 0 };
        sl_err none;
        (void)sl_str_cut(&options, ' ', &word);
        if (sl_str_starts(word, SL_S("-c")) || sl_str_starts(word, SL_S("--")))
            word = sl_str_sub(word, 2, word.n);
        sl_str value = word, name;
        if (sl_str_cut(&value, '=', &name) && name.n > 0 && value.n > 0)
            (void)c->w->backend.run(c->session, c->turn, sl_fmt(c->turn, "SET %.*s TO %.*s", SL_ARG(name), SL_ARG(value)), &ignored, &none);
    }
}

/* Startup, with the requests for TLS and GSSAPI that may come first. false: the connection ends. */
static bool log_in(conn *c)
{
    char head[8];
    sl_err err;
    for (;;) {
        if (!receive(c, head, 8))
            return false;
        int64_t code = get32(head + 4);
        if (code != SSL_REQUEST && code != GSS_REQUEST)
            break;
        bool tls = code == SSL_REQUEST && c->tls == NULL && c->w->backend.tls != NULL;
        if (send(c->fd, tls ? "S" : "N", 1, MSG_NOSIGNAL) != 1 || (tls && !begin_tls(c)))
            return false;
    }
    int64_t length = get32(head);
    if (get32(head + 4) != PROTOCOL || length < 8 || length > 65536)
        return false; /* a request to cancel among them: statements here are short */
    char *body = sl_alloc(c->turn, (size_t)length - 7);
    if (!receive(c, body, (size_t)length - 8))
        return false;
    sl_str rest = { body, (size_t)length - 8 }, name, user = SL_S(""), options = SL_S("");
    while ((name = take_text(&rest)).n > 0) {
        sl_str value = take_text(&rest);
        if (sl_str_eqc(name, "user"))
            user = value;
        else if (sl_str_eqc(name, "options"))
            options = value;
    }
    if (!check_password(c, user))
        return false;
    if ((c->session = c->w->backend.open(c->w->backend.self, &err)) == NULL) {
        say_err(c, &err);
        (void)flush(c);
        return false;
    }
    size_t at = begin(c, 'R');
    put32(&c->out, 0);
    end(c, at);
    const char *const settings[][2] = { { "server_version", c->w->backend.version }, { "server_encoding", "UTF8" }, { "client_encoding", "UTF8" }, { "DateStyle", "ISO, MDY" }, { "TimeZone", "UTC" }, { "integer_datetimes", "on" },
                                        { "standard_conforming_strings", "off" } };
    for (size_t i = 0; i < SL_COUNT(settings); i++)
        say_setting(c, settings[i][0], settings[i][1]);
    at = begin(c, 'K');
    put32(&c->out, c->w->backend.pid(c->session));
    put32(&c->out, 0);
    end(c, at);
    set_options(c, options);
    c->w->backend.started(c->session);
    say_ready(c);
    return flush(c);
}

/* ---- queries ---- */

static bool run(conn *c, sl_str statement, sl_pgwire_result *ret)
{
    sl_err err;
    sl_err_clear(&err);
    *ret = (sl_pgwire_result){ 0 };
    if (c->w->backend.run(c->session, c->turn, statement, ret, &err))
        return true;
    say_err(c, &err);
    return false;
}

/* BEGIN, COMMIT and their like, which begin or end a transaction themselves. */
static bool controls(sl_str verb)
{
    static const char *const words[] = { "BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT" };
    for (size_t i = 0; i < SL_COUNT(words); i++)
        if (sl_str_eqc(verb, words[i]))
            return true;
    return false;
}

/* Several statements in one message are one transaction, unless they say otherwise. */
static bool simple_query(conn *c, sl_str text)
{
    c->formats = NULL;
    sl_statement *list;
    sl_pgwire_result r, ignored;
    size_t n = sl_sql_split(c->turn, text, &list);
    bool implicit = false, ok = true;
    if (n == 0)
        say_empty(c, 'I');
    for (size_t i = 0; ok && i < n; i++) {
        if (controls(sl_sql_verb(c->turn, list[i].text)))
            implicit = false; /* from here on it is the client's own */
        else if (n > 1 && c->w->backend.status(c->session) == 'I')
            ok = implicit = run(c, SL_S("BEGIN"), &ignored);
        if (!ok || !(ok = run(c, list[i].text, &r)))
            break;
        if (r.columns != NULL)
            say_columns(c, r.columns);
        if (!say_rows(c, &r))
            return false;
        if (implicit && i + 1 == n)
            ok = run(c, SL_S("COMMIT"), &ignored);
        if (ok)
            say_tag(c, r.tag);
    }
    if (!ok && implicit && c->w->backend.status(c->session) != 'I')
        (void)run(c, SL_S("ROLLBACK"), &ignored);
    say_ready(c);
    return flush(c);
}

static void wrong(conn *c, const char *state, const char *message)
{
    say_error(c, state, message);
    c->skipping = true;
}

/* Parse: name, text, types of parameters. */
static void parse(conn *c, sl_str rest)
{
    sl_str name = take_text(&rest), text = take_text(&rest);
    sl_statement *list;
    int64_t n = 0, oid;
    sl_val *one = sl_map(c->arena), *oids = sl_list(c->arena);
    if (text.p == NULL || !take_int(&rest, 2, &n)) {
        wrong(c, "08P01", "a Parse message is not well-formed");
        return;
    }
    for (int64_t i = 0; i < n && take_int(&rest, 4, &oid); i++)
        sl_list_add(c->arena, oids, sl_val_int(c->arena, oid));
    if (sl_sql_split(c->turn, text, &list) > 1) {
        wrong(c, "42601", "cannot insert multiple commands into a prepared statement");
        return;
    }
    sl_map_set_str(c->arena, one, "sql", sl_str_dup(c->arena, text));
    sl_map_setc(c->arena, one, "oids", oids);
    sl_map_set(c->arena, c->statements, sl_str_dup(c->arena, name), one);
    say_empty(c, '1');
}

static bool take_values(conn *c, sl_str *rest, const sl_val *oids, sl_val *values)
{
    int64_t count = 0, n = 0, length;
    if (!take_int(rest, 2, &count) || count < 0 || rest->n < (size_t)count * 2)
        return false;
    sl_str codes = sl_str_sub(*rest, 0, (size_t)count * 2);
    *rest = sl_str_sub(*rest, (size_t)count * 2, rest->n);
    if (!take_int(rest, 2, &n))
        return false;
    for (int64_t i = 0; i < n; i++) {
        if (!take_int(rest, 4, &length) || (length >= 0 && rest->n < (size_t)length))
            return false;
        if (length < 0) {
            sl_list_add(c->turn, values, &sl_null_val);
            continue;
        }
        sl_str raw = sl_str_sub(*rest, 0, (size_t)length), text = raw;
        int64_t at = count == 1 ? 0 : i;
        bool binary = at < count && codes.p[2 * at + 1] == 1;
        const sl_val *oid = (size_t)i < sl_val_count(oids) ? sl_at(oids, (size_t)i) : NULL;
        if (binary && !sl_pgwire_text(c->turn, oid ? oid->i : 0, raw, &text))
            return false;
        sl_list_add(c->turn, values, sl_val_str(c->turn, text));
        *rest = sl_str_sub(*rest, (size_t)length, rest->n);
    }
    return true;
}

static void bind_portal(conn *c, sl_str rest)
{
    sl_str portal = take_text(&rest), name = take_text(&rest), sql;
    const sl_val *statement = sl_get_str(c->statements, name);
    sl_val *values = sl_list(c->turn);
    int64_t n = 0, code = 0;
    if (statement == NULL) {
        wrong(c, "26000", "there is no such prepared statement");
        return;
    }
    if (!take_values(c, &rest, sl_get(statement, "oids"), values) || !sl_sql_fill(c->arena, sl_get_text(statement, "sql"), values, &sql)) {
        wrong(c, "08P01", "the values do not fit the statement's parameters, or are in a form that is not understood");
        return;
    }
    (void)take_int(&rest, 2, &n);
    sl_val *one = sl_map_of(c->arena, "sql", sl_val_str(c->arena, sql)), *formats = sl_list(c->arena);
    for (int64_t i = 0; i < n && take_int(&rest, 2, &code); i++)
        sl_list_add(c->arena, formats, sl_val_int(c->arena, code));
    sl_map_setc(c->arena, one, "formats", formats);
    sl_map_set(c->arena, c->portals, sl_str_dup(c->arena, portal), one);
    c->done_portal.p = NULL;
    say_empty(c, '2');
}

/* A portal runs when it is described: only then are its columns known for certain. */
static bool ran(conn *c, sl_str portal)
{
    const sl_val *one = sl_get_str(c->portals, portal), *sql = sl_get(one, "sql");
    c->formats = sl_get(one, "formats");
    if (c->done_portal.p != NULL && sl_str_eq(c->done_portal, portal))
        return true;
    if (sql == NULL) {
        wrong(c, "34000", "there is no such portal");
        return false;
    }
    sl_statement *list;
    c->done = (sl_pgwire_result){ 0 };
    if (sl_sql_split(c->turn, sql->s, &list) > 0 && !run(c, list->text, &c->done)) {
        c->skipping = true;
        return false;
    }
    c->done_portal = sl_str_dup(c->turn, portal);
    return true;
}

static void describe(conn *c, sl_str rest)
{
    bool portal = rest.n > 0 && rest.p[0] == 'P';
    rest = sl_str_sub(rest, 1, rest.n);
    sl_str name = take_text(&rest);
    const sl_val *statement = sl_get_str(c->statements, name), *columns = NULL;
    sl_err err;
    if (portal) {
        if (!ran(c, name))
            return;
        columns = c->done.columns;
    } else if (statement == NULL) {
        wrong(c, "26000", "there is no such prepared statement");
        return;
    } else {
        const sl_val *oids = sl_get(statement, "oids");
        c->formats = NULL;
        size_t at = begin(c, 't');
        put16(&c->out, (int)sl_val_count(oids));
        for (size_t i = 0; i < sl_val_count(oids); i++)
            put32(&c->out, sl_at(oids, i)->i ? sl_at(oids, i)->i : TEXT_OID);
        end(c, at);
        if (!c->w->backend.describe(c->session, c->turn, sl_get_text(statement, "sql"), &columns, &err)) {
            say_err(c, &err);
            c->skipping = true;
            return;
        }
    }
    if (columns != NULL)
        say_columns(c, columns);
    else
        say_empty(c, 'n');
}

static bool execute(conn *c, sl_str rest)
{
    sl_str name = take_text(&rest);
    if (!ran(c, name))
        return true;
    c->done_portal.p = NULL;
    if (!say_rows(c, &c->done))
        return false;
    if (c->skipping)
        return true;
    if (c->done.tag.n > 0)
        say_tag(c, c->done.tag);
    else
        say_empty(c, 'I');
    return true;
}

/* One message; false: the connection ends. */
static bool message(conn *c, char type, sl_str body)
{
    if (type == 'X')
        return false;
    if (type == 'S') {
        c->skipping = false;
        say_ready(c);
        return flush(c);
    }
    if (c->skipping)
        return true;
    switch (type) {
    case 'Q': return simple_query(c, take_text(&body));
    case 'P': parse(c, body); return true;
    case 'B': bind_portal(c, body); return true;
    case 'D': describe(c, body); return true;
    case 'E': return execute(c, body);
    case 'C': say_empty(c, '3'); return true;
    case 'H': return flush(c);
    default: wrong(c, "08P01", "this kind of message is not understood"); return true;
    }
}

/* What a turn has made, the results of a portal among them, lives until the next Sync. */
static void serve(conn *c)
{
    char head[5];
    if (!log_in(c))
        return;
    while (receive(c, head, 5)) {
        char *body = body_of(c, get32(head + 1));
        if (body == NULL || !message(c, head[0], (sl_str){ body, (size_t)get32(head + 1) - 4 }))
            return;
        if (head[0] == 'S' || head[0] == 'Q') {
            sl_arena_free(c->turn);
            c->turn = sl_arena_new();
            c->done_portal.p = NULL;
        }
    }
}

/* ---- connections ---- */

static void *connection(void *self)
{
    conn *c = self;
    sl_pgwire *w = c->w;
    c->arena = sl_arena_new();
    c->turn = sl_arena_new();
    c->out = sl_buf_new(c->arena, SIZE_MAX / 4);
    c->statements = sl_map(c->arena);
    c->portals = sl_map(c->arena);
    serve(c);
    if (c->tls != NULL)
        (void)SSL_shutdown(c->tls);
    SSL_free(c->tls);
    if (c->session != NULL)
        w->backend.close(c->session);
    sl_arena_free(c->turn);
    sl_arena_free(c->arena);
    pthread_mutex_lock(&w->lock);
    w->open[c->slot] = -1;
    close(c->fd);
    w->count--;
    pthread_cond_broadcast(&w->ended);
    pthread_mutex_unlock(&w->lock);
    free(c);
    return NULL;
}

static void take(sl_pgwire *w, int fd)
{
    pthread_t t;
    int slot = 0, one = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    pthread_mutex_lock(&w->lock);
    while (slot < CONNECTIONS_MAX && w->open[slot] >= 0)
        slot++;
    conn *c = slot < CONNECTIONS_MAX && !w->stopping ? sl_malloc(sizeof *c) : NULL;
    if (c != NULL) {
        *c = (conn){ .w = w, .fd = fd, .slot = slot };
        w->open[slot] = fd;
        w->count++;
    }
    pthread_mutex_unlock(&w->lock);
    if (c != NULL && pthread_create(&t, NULL, connection, c) == 0) {
        pthread_detach(t);
        return;
    }
    if (c != NULL) {
        pthread_mutex_lock(&w->lock);
        w->open[slot] = -1;
        w->count--;
        pthread_mutex_unlock(&w->lock);
        free(c);
    }
    close(fd);
}

static void *listener(void *self)
{
    sl_pgwire *w = self;
    for (;;) {
        int fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC);
        pthread_mutex_lock(&w->lock);
        bool stopping = w->stopping;
        pthread_mutex_unlock(&w->lock);
        if (stopping) {
            if (fd >= 0)
                close(fd);
            return NULL;
        }
        if (fd >= 0)
            take(w, fd);
        else
            sl_sleep_ms(10);
    }
}

sl_pgwire *sl_pgwire_start(const sl_pgwire_backend *backend, int port, sl_err *err)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 64) != 0 || getsockname(fd, (struct sockaddr *)&address, &size) != 0) {
        if (fd >= 0)
            close(fd);
        sl_err_errno(err, "listen on", "a port of 127.0.0.1");
        return NULL;
    }
    sl_pgwire *w = sl_malloc(sizeof *w);
    *w = (sl_pgwire){ .backend = *backend, .fd = fd, .port = ntohs(address.sin_port) };
    for (int i = 0; i < CONNECTIONS_MAX; i++)
        w->open[i] = -1;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->ended, NULL);
    if (pthread_create(&w->listener, NULL, listener, w) == 0)
        return w;
    close(fd);
    free(w);
    sl_err_set(err, SL_ERR_LIMIT, "pgwire.thread", "no thread could be started");
    return NULL;
}

int sl_pgwire_port(const sl_pgwire *w)
{
    return w->port;
}

void sl_pgwire_stop(sl_pgwire *w)
{
    if (w == NULL)
        return;
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    for (int i = 0; i < CONNECTIONS_MAX; i++)
        if (w->open[i] >= 0)
            (void)shutdown(w->open[i], SHUT_RDWR);
    pthread_mutex_unlock(&w->lock);
    (void)shutdown(w->fd, SHUT_RDWR);
    pthread_join(w->listener, NULL);
    pthread_mutex_lock(&w->lock);
    while (w->count > 0)
        pthread_cond_wait(&w->ended, &w->lock);
    pthread_mutex_unlock(&w->lock);
    close(w->fd);
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->ended);
    free(w);
}
