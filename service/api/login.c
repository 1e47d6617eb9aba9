/* service/api/login.c: sessions of browsers. */
#include "base/arena.h"
#include "base/json.h"
#include "base/secret.h"
#include "service/api/api.h"
#include "service/session.h"

typedef struct change {
    sl_arena *arena;
    sl_str name, session;
    bool ends, ok;
    sl_err err;
} change;

static void apply(sl_engine *e, void *arg, int64_t now)
{
    change *x = arg;
    x->ok = x->ends ? sl_session_end(sl_engine_store(e), x->arena, x->session, &x->err) : sl_session_begin(sl_engine_store(e), x->arena, x->name, now, &x->session, &x->err);
}

static void set_cookie(sl_call *c, sl_str session, int life_s)
{
    bool secure = sl_str_ieq(sl_request_header(c->req, "x-forwarded-proto"), SL_S("https"));
    sl_str cookie = sl_fmt(c->arena, SL_SESSION_COOKIE "=%.*s; Path=/; Max-Age=%d; HttpOnly; SameSite=Strict%s", SL_ARG(session), life_s, secure ? "; Secure" : "");
    c->resp->headers = sl_map_of(c->arena, "Set-Cookie", sl_val_str(c->arena, cookie));
}

static void reply_who(sl_call *c, sl_str session)
{
    sl_val *out = sl_map_of(c->arena, "name", sl_val_c(c->arena, c->who.name));
    sl_map_set_str(c->arena, out, "role", sl_str_c(sl_role_name(c->who.role)));
    sl_map_set_str(c->arena, out, "namespace", sl_str_c(c->who.ns));
    if (session.n > 0)
        sl_map_set_str(c->arena, out, "csrfToken", sl_session_csrf(c->arena, session));
    sl_reply(c, 200, out);
}

static void login(sl_call *c)
{
    change x = { .arena = c->arena, .name = sl_get_text(c->json, "name") };
    sl_str password = sl_get_text(c->json, "password");
    sl_err err;
    sl_redact_add(password);
    if (x.name.n == 0 || password.n == 0) {
        sl_reply_error(c, 422, "Invalid entity: a login needs 'name' and 'password'");
        return;
    }
    if (!sl_access_password(sl_api_access(c->api), c->store, x.name, password, &c->who, &err) || !sl_engine_call(c->engine, apply, &x, &err)) {
        sl_reply_err(c, &err);
        return;
    }
    if (!x.ok) {
        sl_reply_err(c, &x.err);
        return;
    }
    reply_who(c, x.session);
    set_cookie(c, x.session, SL_SESSION_LIFE_S);
}

static void logout(sl_call *c)
{
    change x = { .arena = c->arena, .ends = true, .session = sl_session_cookie(sl_request_header(c->req, "cookie")) };
    sl_err err;
    bool called = sl_engine_call(c->engine, apply, &x, &err);
    if (!called || !x.ok) {
        sl_reply_err(c, called ? &x.err : &err);
        return;
    }
    sl_reply_empty(c, 204);
    set_cookie(c, SL_S(""), 0);
}

static void me(sl_call *c)
{
    reply_who(c, sl_request_header(c->req, "authorization").n ? SL_S("") : sl_session_cookie(sl_request_header(c->req, "cookie")));
}

const sl_api_route sl_api_login[] = {
    { "POST", "/login", SL_ROLE_NONE, SL_BODY_JSON, NULL, "Begins a session in a cookie: name, password. Its csrfToken goes into X-CSRF-Token of every request that changes something.", login },
    { "POST", "/logout", SL_ROLE_VIEWER, SL_BODY_NONE, NULL, "Ends the session.", logout },
    { "GET", "/me", SL_ROLE_VIEWER, SL_BODY_NONE, NULL, "Who the caller is; of a session, its csrfToken, too.", me },
    { 0 },
};
