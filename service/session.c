/* service/session.c: see session.h. The rows are those of tokens, of another kind. */
#include "service/session.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/secret.h"

static sl_str digest_of(sl_arena *a, const char *prefix, sl_str session)
{
    return sl_hex(a, sl_digest(a, "SHA256", sl_fmt(a, "%s%.*s", prefix, SL_ARG(session))));
}

bool sl_session_begin(sl_store *store, sl_arena *a, sl_str name, int64_t now, sl_str *ret, sl_err *err)
{
    uint8_t raw[32];
    char id[23];
    sl_random(raw, sizeof raw);
    sl_random_id(id);
    *ret = sl_base64url(a, (sl_str){ (const char *)raw, sizeof raw });
    sl_wipe(raw, sizeof raw);
    sl_redact_add(*ret);
    return sl_db_run(sl_store_db(store), err, "DELETE FROM tokens WHERE kind='session' AND expires_ms<=?", "i", now)
           && sl_db_run(sl_store_db(store), err, "INSERT INTO tokens(hash, id, name, owner, prefix, role, ns, kind, created_ms, expires_ms) VALUES(?,?,'session',?,'','','','session',?,?)", "sssii",
                        digest_of(a, "", *ret), sl_str_c(id), name, now, now + SL_SESSION_LIFE_S * INT64_C(1000));
}

bool sl_session_end(sl_store *store, sl_arena *a, sl_str session, sl_err *err)
{
    return sl_db_run(sl_store_db(store), err, "DELETE FROM tokens WHERE hash=? AND kind='session'", "s", digest_of(a, "", session));
}

sl_str sl_session_cookie(sl_str cookies)
{
    sl_str rest = cookies, one, name;
    while (rest.n > 0 && sl_str_cut(&rest, ';', &one)) {
        sl_str value = sl_str_trim(one);
        if (sl_str_cut(&value, '=', &name) && value.p != NULL && sl_str_eqc(name, SL_SESSION_COOKIE))
            return value;
    }
    return SL_S("");
}

sl_str sl_session_csrf(sl_arena *a, sl_str session)
{
    return digest_of(a, "csrf ", session);
}

bool sl_session_check(sl_store *store, sl_arena *a, sl_str session, sl_principal *ret, sl_err *err)
{
    sl_stmt *q = sl_db_query(sl_store_db(store), err, "SELECT u.name, u.role, u.ns FROM tokens t JOIN users u ON u.name = t.owner WHERE t.hash=? AND t.kind='session' AND t.expires_ms>?", "si",
                             digest_of(a, "", session), sl_now_ms());
    int rc = q ? sl_stmt_next(q, err) : -1;
    if (rc < 0)
        return false;
    if (rc == 0)
        return sl_err_set(err, SL_ERR_AUTH, "session.over", "the session is over; log in again");
    *ret = (sl_principal){ 0 };
    sl_str name = sl_col_str(q, a, 0), role = sl_col_str(q, a, 1), ns = sl_col_str(q, a, 2);
    sl_stmt_done(q);
    (void)snprintf(ret->name, sizeof ret->name, "%.*s", SL_ARG(name));
    (void)snprintf(ret->ns, sizeof ret->ns, "%.*s", SL_ARG(ns));
    return sl_role_parse(role, &ret->role) || sl_err_set(err, SL_ERR_AUTH, "session.role", "the user has no role");
}
