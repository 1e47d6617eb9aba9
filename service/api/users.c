/* service/api/users.c: users and API tokens. */
#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "service/api/api.h"
#include "service/audit.h"

typedef struct change {
    sl_call *call;
    enum { PUT_USER, DELETE_USER, MAKE_TOKEN, DELETE_TOKEN } what;
    sl_str name, password, ns, id, token;
    sl_role role;
    int64_t expires_ms;
    bool ok, existed;
    sl_err err;
} change;

static void apply(sl_engine *e, void *arg, int64_t now)
{
    change *x = arg;
    sl_store *s = sl_engine_store(e);
    sl_str owner = sl_str_c(x->call->who.name);
    switch (x->what) {
    case PUT_USER: x->ok = sl_access_put_user(s, x->name, x->password, x->role, x->ns, now, &x->err); break;
    case DELETE_USER: x->ok = sl_access_delete_user(s, x->name, &x->existed, &x->err); break;
    case MAKE_TOKEN: x->ok = sl_access_make_token(s, x->call->arena, x->name, owner, x->role, x->ns, now, x->expires_ms, &x->token, &x->id, &x->err); break;
    case DELETE_TOKEN: x->ok = sl_access_delete_token(s, x->id, &x->existed, &x->err); break;
    }
}

static bool perform(sl_call *c, change *x)
{
    sl_err err;
    x->call = c;
    bool ok = sl_engine_call(c->engine, apply, x, &err);
    sl_access_forget(sl_api_access(c->api));
    if (ok && x->ok)
        return true;
    sl_reply_err(c, ok ? &x->err : &err);
    return false;
}

static bool take_role(sl_call *c, sl_role *ret)
{
    sl_str name = sl_get_text(c->json, "role");
    if (sl_role_parse(name, ret))
        return true;
    sl_reply_error(c, 422, "Invalid entity: 'role' is viewer, operator, author or admin, not '%.*s'", SL_ARG(name));
    return false;
}

static void list_users(sl_call *c)
{
    const sl_val *list;
    sl_err err;
    if (sl_access_users(c->store, c->arena, &list, &err))
        sl_reply_page(c, list, (int64_t)sl_val_count(list));
    else
        sl_reply_err(c, &err);
}

static void put_user(sl_call *c)
{
    change x = { .what = PUT_USER, .name = sl_get_text(c->json, "name"), .password = sl_get_text(c->json, "password"), .ns = sl_get_text(c->json, "namespace") };
    if (take_role(c, &x.role) && perform(c, &x))
        sl_reply_empty(c, 201);
}

static void delete_user(sl_call *c)
{
    change x = { .what = DELETE_USER, .name = c->args[0] };
    if (!perform(c, &x))
        return;
    if (x.existed)
        sl_reply_empty(c, 204);
    else
        sl_reply_error(c, 404, "Not Found: there is no user '%.*s'", SL_ARG(x.name));
}

static void list_tokens(sl_call *c)
{
    const sl_val *list;
    sl_err err;
    sl_val *own = sl_list(c->arena);
    if (!sl_access_tokens(c->store, c->arena, &list, &err)) {
        sl_reply_err(c, &err);
        return;
    }
    for (size_t i = 0; i < sl_val_count(list); i++)
        if (c->who.role == SL_ROLE_ADMIN || sl_str_eqc(sl_get_text(sl_at(list, i), "owner"), c->who.name))
            sl_list_add(c->arena, own, sl_at(list, i));
    sl_reply_page(c, own, (int64_t)own->list.n);
}

/* Nobody gives more than he has. */
static void make_token(sl_call *c)
{
    change x = { .what = MAKE_TOKEN, .name = sl_get_text(c->json, "name"), .ns = sl_get_text(c->json, "namespace") };
    sl_str life = sl_get_text(c->json, "maxAge");
    int64_t ms;
    if (!take_role(c, &x.role))
        return;
    if (x.ns.n == 0)
        x.ns = sl_str_c(c->who.ns);
    if (!sl_principal_may(&c->who, x.role, x.ns)) {
        sl_reply_error(c, 403, "Forbidden: a token can have at most your own role and namespace");
        return;
    }
    if (life.n > 0 && (!sl_duration_parse(life, &ms) || ms <= 0)) {
        sl_reply_error(c, 422, "Invalid entity: 'maxAge' must be a duration such as P30D, not '%.*s'", SL_ARG(life));
        return;
    }
    x.expires_ms = life.n > 0 ? sl_now_ms() + ms : 0;
    if (!perform(c, &x))
        return;
    sl_val *out = sl_map_of(c->arena, "id", sl_val_str(c->arena, x.id));
    sl_map_set_str(c->arena, out, "name", x.name);
    sl_map_set_str(c->arena, out, "fullToken", x.token);
    sl_reply(c, 201, out);
}

static void delete_token(sl_call *c)
{
    change x = { .what = DELETE_TOKEN, .id = c->args[0] };
    const sl_val *list;
    sl_err err;
    bool mine = c->who.role == SL_ROLE_ADMIN;
    if (!sl_access_tokens(c->store, c->arena, &list, &err)) {
        sl_reply_err(c, &err);
        return;
    }
    for (size_t i = 0; i < sl_val_count(list); i++)
        mine |= sl_str_eq(sl_get_text(sl_at(list, i), "id"), x.id) && sl_str_eqc(sl_get_text(sl_at(list, i), "owner"), c->who.name);
    if (mine && !perform(c, &x))
        return;
    if (x.existed)
        sl_reply_empty(c, 204);
    else
        sl_reply_error(c, 404, "Not Found: you have no token '%.*s'", SL_ARG(x.id));
}

static void audit_log(sl_call *c)
{
    const sl_val *list;
    int64_t offset, size, total;
    sl_err err;
    if (!sl_query_page(c, &offset, &size))
        return;
    if (sl_audit_list(c->store, c->arena, offset, size, &list, &total, &err))
        sl_reply_page(c, list, total);
    else
        sl_reply_err(c, &err);
}

const sl_api_route sl_api_users[] = {
    { "GET", "/auditlogs/search", SL_ROLE_ADMIN, SL_BODY_NONE, "page size", "Who has changed what, newest first.", audit_log },
    { "GET", "/users", SL_ROLE_ADMIN, SL_BODY_NONE, NULL, "All users.", list_users },
    { "POST", "/users", SL_ROLE_ADMIN, SL_BODY_JSON, NULL, "A new user, or another password or role for one: name, password, role, namespace.", put_user },
    { "DELETE", "/users/{name}", SL_ROLE_ADMIN, SL_BODY_NONE, NULL, "Removes a user and his tokens.", delete_user },
    { "GET", "/me/api-tokens", SL_ROLE_VIEWER, SL_BODY_NONE, NULL, "The caller's tokens; an administrator sees all.", list_tokens },
    { "POST", "/me/api-tokens", SL_ROLE_VIEWER, SL_BODY_JSON, NULL, "A new token: name, role, namespace, maxAge. It is shown once.", make_token },
    { "DELETE", "/me/api-tokens/{tokenId}", SL_ROLE_VIEWER, SL_BODY_NONE, NULL, "Revokes a token.", delete_token },
    { 0 },
};
