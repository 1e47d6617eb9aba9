/* connectors/cratedb/cratedb.c: calls, values, and what COPY FROM keeps to itself. See cratedb.h. */
#include "connectors/cratedb/cratedb.h"

#include "base/arena.h"
#include "base/json.h"
#include "base/secret.h"
#include "base/sql.h"

enum { LINES_SHOWN = 5, REASONS_SHOWN = 3 };

bool sl_crate_open(sl_crate *c, sl_task *t, const sl_crate_cfg *cfg, sl_err *err)
{
    sl_arena *a = sl_task_arena(t);
    sl_url u;
    sl_str url = sl_str_trim(cfg->url);
    while (sl_str_ends(url, SL_S("/")))
        url.n--;
    if (!sl_url_parse(url, &u, err))
        return sl_err_set(err, SL_ERR_CONFIG, "cratedb.url", "'url' must be http://host:4200 or https://host:4200, not '%.*s'; over the PostgreSQL protocol CrateDB is reached with io.kestra.plugin.jdbc.postgresql", SL_ARG(url));
    sl_redact_add(cfg->password);
    *c = (sl_crate){ .task = t, .url = url, .schema = cfg->schema };
    c->authorization = sl_fmt(a, "Basic %.*s", SL_ARG(sl_base64(a, sl_fmt(a, "%.*s:%.*s", SL_ARG(cfg->username), SL_ARG(cfg->password)))));
    c->pool = sl_fmt(a, "cratedb %.*s", SL_ARG(cfg->username));
    return true;
}

/* 4091 is a duplicate key, 404x something unknown, 401x a login; 5xxx the cluster's own. */
static sl_err_kind kind_of(int status, int64_t code)
{
    return code == 4091 || code == 4093 ? SL_ERR_CONFLICT : code / 10 == 404 ? SL_ERR_NOT_FOUND : code / 10 == 401 ? SL_ERR_AUTH : status == 400 ? SL_ERR_DATA : sl_http_status_kind(status);
}

static bool refused(sl_crate *c, sl_arena *a, const sl_http_response *r, sl_err *err)
{
    sl_err ignored;
    const sl_val *e = sl_get(sl_json_parse(a, r->body, &ignored), "error");
    int64_t code = sl_get_int(e, "code", 0);
    sl_str message = sl_get_text(e, "message"), first;
    if (message.n == 0)
        message = sl_str_sub(sl_str_trim(r->body), 0, 300);
    (void)sl_str_cut(&message, '\n', &first); /* a stack trace may follow */
    ptrdiff_t expecting = sl_str_find(first, SL_S(" expecting {"));
    if (expecting > 0)
        first = sl_str_sub(first, 0, (size_t)expecting);
    sl_err_set(err, kind_of(r->status, code), code ? sl_fmt(a, "cratedb.%lld", (long long)code).p : "cratedb.http", "CrateDB at %.*s refused the statement: %.*s (HTTP %d)", SL_ARG(c->url), SL_ARG(first), r->status);
    sl_redact_err(err);
    return false;
}

bool sl_crate_call(sl_crate *c, sl_arena *a, sl_str statement, const sl_val *args, const sl_val *bulk, const sl_val **ret, sl_err *err)
{
    sl_http_response r;
    sl_val *body = sl_map_of(a, "stmt", sl_val_str(a, statement)), *headers = sl_map_of(a, "Content-Type", sl_val_c(a, "application/json"));
    if (bulk != NULL)
        sl_map_setc(a, body, "bulk_args", bulk);
    else if (sl_val_count(args) > 0)
        sl_map_setc(a, body, "args", args);
    sl_map_set_str(a, headers, "Authorization", c->authorization);
    sl_map_opt_str(a, headers, "Default-Schema", c->schema);
    sl_http_request req = { .method = "POST", .url = sl_fmt(a, "%.*s/_sql?types", SL_ARG(c->url)), .headers = headers, .body = sl_json_text(a, body), .pool = c->pool, .idempotent = sl_sql_reads(a, statement) || sl_sql_repeatable(a, statement),
                            .idle_ms = (int64_t)1 << 40, .total_ms = (int64_t)1 << 40 };
    sl_task_prepare(c->task, &req);
    if (!sl_http_call(sl_task_http(c->task), a, &req, &r, err))
        return false;
    if (r.status != 200)
        return refused(c, a, &r, err);
    *ret = sl_json_parse(a, r.body, err);
    return *ret != NULL || sl_err_ctx(err, "reading CrateDB's answer");
}

/* ---- values ---- */

/* col_types: https://cratedb.com/docs/crate/reference/en/latest/interfaces/http.html#column-types */
enum { TIMESTAMPTZ = 11, TIMESTAMP = 15, DATE = 24, ARRAY = 100 };

static const sl_val *from_epoch(sl_arena *a, int64_t ms, int64_t type)
{
    int64_t s = ms / 1000, part = ms % 1000;
    if (part < 0)
        part += 1000, s--;
    sl_time t = { .s = s, .ns = (int32_t)part * 1000000, .kind = type == TIMESTAMPTZ ? SL_TIME_INSTANT : type == DATE ? SL_TIME_DATE : SL_TIME_LOCAL };
    return sl_val_time(a, t);
}

const sl_val *sl_crate_value(sl_arena *a, const sl_val *v, const sl_val *type)
{
    int64_t id = type != NULL && type->type == SL_INT ? type->i : 0;
    if (sl_is(type, SL_LIST) && sl_is(v, SL_LIST) && sl_val_count(type) == 2 && sl_at(type, 0)->type == SL_INT && sl_at(type, 0)->i == ARRAY) {
        sl_val *list = sl_list(a);
        for (size_t i = 0; i < sl_val_count(v); i++)
            sl_list_add(a, list, sl_crate_value(a, sl_at(v, i), sl_at(type, 1)));
        return list;
    }
    if ((id == TIMESTAMPTZ || id == TIMESTAMP || id == DATE) && v->type == SL_INT)
        return from_epoch(a, v->i, id);
    return v;
}

/* ---- COPY FROM ---- */

bool sl_crate_is_copy_from(sl_arena *a, sl_str statement)
{
    sl_str rest = statement, word;
    if (!sl_str_eqc(sl_sql_verb(a, statement), "COPY"))
        return false;
    while ((word = sl_sql_token(&rest)).n > 0)
        if (sl_str_ieq(word, SL_S("FROM")) || sl_str_ieq(word, SL_S("TO")))
            return sl_str_ieq(word, SL_S("FROM"));
    return false;
}

sl_str sl_crate_with_summary(sl_arena *a, sl_str statement)
{
    sl_str rest = statement, word, before = SL_S(""), last = SL_S("");
    while ((word = sl_sql_token(&rest)).n > 0) {
        before = last;
        last = word;
    }
    bool has = sl_str_ieq(before, SL_S("RETURN")) && sl_str_ieq(last, SL_S("SUMMARY"));
    return has ? statement : sl_fmt(a, "%.*s\nRETURN SUMMARY", SL_ARG(statement));
}

bool sl_crate_check_summary(sl_arena *a, const sl_val *row, int64_t *loaded, sl_err *err)
{
    int64_t failed = sl_get_int(row, "error_count", 0);
    const sl_val *errors = sl_get(row, "errors");
    *loaded += sl_get_int(row, "success_count", 0);
    if (failed == 0 && sl_val_count(errors) == 0)
        return true;
    sl_buf why = sl_buf_new(a, 4000);
    for (size_t i = 0; sl_is(errors, SL_MAP) && i < errors->map.n && i < REASONS_SHOWN; i++) {
        const sl_entry *e = &errors->map.entries[i];
        const sl_val *lines = sl_get(e->value, "line_numbers");
        sl_buf_fmt(&why, "%s%.*s (%lld rows, lines", i ? "; " : "", SL_ARG(e->key), (long long)sl_get_int(e->value, "count", 0));
        for (size_t k = 0; k < sl_val_count(lines) && k < LINES_SHOWN; k++) {
            sl_str line = sl_val_text(a, sl_at(lines, k));
            sl_buf_fmt(&why, "%s%.*s", k ? ", " : " ", SL_ARG(line));
        }
        sl_buf_addc(&why, sl_val_count(lines) > LINES_SHOWN ? ", …)" : ")");
    }
    sl_str text = sl_buf_str(&why), uri = sl_get_text(row, "uri");
    return sl_err_set(err, SL_ERR_DATA, "cratedb.copy", "CrateDB has loaded %lld rows of %.*s and refused %lld: %.*s; names in the header must be those of the columns, in the same case", (long long)sl_get_int(row, "success_count", 0), SL_ARG(uri),
                      (long long)failed, SL_ARG(text.n > 0 ? text : SL_S("it does not say why")));
}
