/*
 * service/cli_user.c: `user` and `token`, against a server, or on a data folder that no server has open. A password is never an
 * argument: @FILE, or - for the standard input.
 */
#include <stdlib.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/io.h"
#include "base/json.h"
#include "service/access.h"
#include "service/cli_client.h"

static bool read_password(sl_cli *c, sl_str *ret)
{
    sl_str from = sl_cli_text(c, "--password");
    sl_err err;
    if (from.n == 0 || (from.p[0] != '@' && !sl_str_eqc(from, "-")))
        return sl_cli_fail(2, "the password is given as --password @FILE, or - for the standard input: an argument would be seen by others") == 0;
    const char *path = from.p[0] == '@' ? from.p + 1 : "/dev/stdin";
    SL_READER r = sl_reader_file(path, &err);
    if (r == NULL || !sl_io_read_all(c->arena, r, 4096, ret, &err))
        return sl_cli_error(2, &err) == 0;
    *ret = sl_str_trim(*ret);
    return true;
}

/* ---- where users are: on the server, or, where none runs, in the data folder ---- */

typedef struct place {
    sl_client *client;            /* NULL: the folder */
    int lock;
    sl_kv *kv;
    sl_store *store;
} place;

static void leave(place *p)
{
    sl_store_close(p->store);
    sl_kv_close(p->kv);
    if (p->lock >= 0)
        close(p->lock);
}

static bool open_folder(sl_cli *c, place *p, sl_err *err)
{
    p->kv = sl_kv_open(sl_fmt(c->arena, "%s/kv.db", c->data_dir).p, c->data_dir, false, err);
    p->store = p->kv ? sl_store_open(sl_fmt(c->arena, "%s/state.db", c->data_dir).p, p->kv, err) : NULL;
    return p->store != NULL;
}

/* false after a message. To be left in any case. */
static bool enter(sl_cli *c, place *p)
{
    const char *url = getenv("SLUICE_URL");
    sl_err err;
    *p = (place){ .lock = -1 };
    if ((url == NULL || *url == '\0') && sl_fs_mkdirs(c->data_dir, &err))
        p->lock = sl_fs_lock(sl_fmt(c->arena, "%s/lock", c->data_dir).p, 0, &err);
    if (p->lock >= 0)
        return open_folder(c, p, &err) || sl_cli_error(1, &err) == 0;
    p->client = sl_client_open(c);
    return p->client != NULL;
}

static int told(bool ok, const sl_err *err)
{
    return ok ? 0 : sl_cli_error(2, err);
}

/* A server's answer to a request without a body. */
static bool ask(place *p, const char *method, sl_str path, const sl_val **ret)
{
    int status;
    return sl_client_call(p->client, method, path, NULL, (sl_str){ NULL, 0 }, ret, &status);
}

static int print_rows(sl_cli *c, const sl_val *rows, const char *const *columns)
{
    if (c->json) {
        sl_val *page = sl_map_of(c->arena, "results", rows);
        sl_map_set_int(c->arena, page, "total", (int64_t)sl_val_count(rows));
        sl_cli_print("%.*s\n", SL_ARG(sl_json(c->arena, page)));
    }
    for (size_t i = 0; !c->json && i < sl_val_count(rows); i++) {
        for (size_t k = 0; columns[k] != NULL; k++)
            sl_cli_print("%s%-22.*s", k ? "  " : "", SL_ARG(sl_get_text(sl_at(rows, i), columns[k])));
        sl_cli_print("\n");
    }
    return 0;
}

static int print_all(sl_cli *c, const char *path, bool (*read)(sl_store *store, sl_arena *arena, const sl_val **ret, sl_err *err), const char *const *columns)
{
    place p;
    const sl_val *rows = NULL, *page;
    sl_err err;
    bool ok = enter(c, &p);
    if (ok && p.client != NULL) {
        ok = ask(&p, "GET", sl_str_c(path), &page);
        rows = ok ? sl_get(page, "results") : NULL;
    } else if (ok)
        ok = read(p.store, c->arena, &rows, &err) || sl_cli_error(1, &err) == 0;
    leave(&p);
    return ok ? print_rows(c, rows, columns) : 1;
}

static int remove_one(sl_cli *c, const char *path, const char *what, bool (*remove)(sl_store *store, sl_str name, bool *existed, sl_err *err))
{
    place p;
    const sl_val *ignored;
    bool existed = true;
    sl_err err;
    int rc = enter(c, &p) ? 0 : 1;
    if (rc == 0 && p.client != NULL)
        rc = ask(&p, "DELETE", sl_fmt(c->arena, "%s/%.*s", path, SL_ARG(sl_percent(c->arena, sl_str_c(c->words[0]), NULL))), &ignored) ? 0 : 1;
    else if (rc == 0)
        rc = told(remove(p.store, sl_str_c(c->words[0]), &existed, &err), &err);
    leave(&p);
    return rc == 0 && !existed ? sl_cli_fail(1, "there is no %s '%s'", what, c->words[0]) : rc;
}

static bool role_of(sl_cli *c, sl_str *ret_name, sl_role *ret)
{
    sl_str given = sl_cli_text(c, "--role");
    *ret_name = given.n ? given : SL_S("viewer");
    return sl_role_parse(*ret_name, ret) || sl_cli_fail(2, "--role is viewer, operator, author or admin, not '%.*s'", SL_ARG(given)) == 0;
}

/* ---- users ---- */

/* Whoever comes first has to be able to make others. */
static bool may_be_first(place *p, sl_arena *a, sl_role role, sl_str ns, sl_err *err)
{
    const sl_val *users;
    return sl_access_users(p->store, a, &users, err)
           && (sl_val_count(users) > 0 || (role == SL_ROLE_ADMIN && ns.n == 0)
               || sl_err_set(err, SL_ERR_CONFIG, "user.first", "there is no user yet: the first one has to be an admin of all namespaces (--role admin, without --namespace)"));
}

static int user_add(sl_cli *c)
{
    place p;
    sl_str password, role_name, name = sl_str_c(c->words[0]), ns = sl_cli_text(c, "--namespace");
    sl_role role;
    sl_err err;
    const sl_val *v;
    int status;
    if (!role_of(c, &role_name, &role) || !read_password(c, &password))
        return 2;
    int rc = enter(c, &p) ? 0 : 1;
    if (rc == 0 && p.client != NULL) {
        sl_val *body = sl_map(c->arena);
        sl_map_set_str(c->arena, body, "name", name);
        sl_map_set_str(c->arena, body, "password", password);
        sl_map_set_str(c->arena, body, "role", role_name);
        sl_map_opt_str(c->arena, body, "namespace", ns);
        rc = sl_client_call(p.client, "POST", SL_S("/users"), "application/json", sl_json(c->arena, body), &v, &status) ? 0 : 2;
    } else if (rc == 0)
        rc = told(may_be_first(&p, c->arena, role, ns, &err) && sl_access_put_user(p.store, name, password, role, ns, sl_now_ms(), &err), &err);
    leave(&p);
    return rc;
}

static int user_list(sl_cli *c)
{
    static const char *const columns[] = { "name", "role", "namespace", "created", NULL };
    return print_all(c, "/users", sl_access_users, columns);
}

static int user_delete(sl_cli *c)
{
    return remove_one(c, "/users", "user", sl_access_delete_user);
}

/* ---- tokens ---- */

static int token_of_folder(sl_cli *c, place *p, sl_role role, sl_str ns, sl_str life)
{
    sl_err err;
    sl_str token, id;
    int64_t ms = 0, now = sl_now_ms();
    if (life.n > 0 && (!sl_duration_parse(life, &ms) || ms <= 0))
        return sl_cli_fail(2, "--expires must be a duration such as P30D, not '%.*s'", SL_ARG(life));
    if (!sl_access_make_token(p->store, c->arena, sl_str_c(c->words[0]), SL_S("local"), role, ns, now, ms > 0 ? now + ms : 0, &token, &id, &err))
        return sl_cli_error(2, &err);
    sl_val *out = sl_map_of(c->arena, "id", sl_val_str(c->arena, id));
    sl_map_set_str(c->arena, out, "name", sl_str_c(c->words[0]));
    sl_map_set_str(c->arena, out, "fullToken", token);
    (void)printf("%.*s\n", SL_ARG(c->json ? sl_json(c->arena, out) : token)); /* once, and past the redactor */
    return 0;
}

static int token_of_server(sl_cli *c, place *p, sl_str role_name, sl_str ns, sl_str life)
{
    const sl_val *v;
    int status;
    sl_val *body = sl_map(c->arena);
    sl_map_set_str(c->arena, body, "name", sl_str_c(c->words[0]));
    sl_map_set_str(c->arena, body, "role", role_name);
    sl_map_opt_str(c->arena, body, "namespace", ns);
    sl_map_opt_str(c->arena, body, "maxAge", life);
    if (!sl_client_call(p->client, "POST", SL_S("/me/api-tokens"), "application/json", sl_json(c->arena, body), &v, &status))
        return 2;
    sl_cli_print("%.*s\n", SL_ARG(c->json ? sl_json(c->arena, v) : sl_get_text(v, "fullToken")));
    return 0;
}

static int token_create(sl_cli *c)
{
    place p;
    sl_str role_name, ns = sl_cli_text(c, "--namespace"), life = sl_cli_text(c, "--expires");
    sl_role role;
    if (!role_of(c, &role_name, &role))
        return 2;
    int rc = !enter(c, &p) ? 1 : p.client ? token_of_server(c, &p, role_name, ns, life) : token_of_folder(c, &p, role, ns, life);
    leave(&p);
    return rc;
}

static int token_list(sl_cli *c)
{
    static const char *const columns[] = { "id", "name", "owner", "role", "expires", NULL };
    return print_all(c, "/me/api-tokens", sl_access_tokens, columns);
}

static int token_revoke(sl_cli *c)
{
    return remove_one(c, "/me/api-tokens", "token", sl_access_delete_token);
}

static const sl_cli_opt no_opts[] = { { 0 } };
static const sl_cli_opt user_opts[] = { { "--role", NULL, "ROLE", false, "viewer (default), operator, author or admin" }, { "--namespace", "-n", "NAMESPACE", false, "only there and below" },
                                        { "--password", NULL, "@FILE|-", false, "where the password is read from" }, { 0 } };
static const sl_cli_opt token_opts[] = { { "--role", NULL, "ROLE", false, "viewer (default), operator, author or admin" }, { "--namespace", "-n", "NAMESPACE", false, "only there and below" },
                                         { "--expires", NULL, "DURATION", false, "how long it is good (P90D)" }, { 0 } };

const sl_command sl_command_user_add = { "user add", "NAME --password @FILE|- [--role ROLE] [-n NAMESPACE]", "Makes a user, or changes one.", user_opts, 1, 1, user_add };
const sl_command sl_command_user_list = { "user list", "", "Lists the users.", no_opts, 0, 0, user_list };
const sl_command sl_command_user_delete = { "user delete", "NAME", "Removes a user and his tokens.", no_opts, 1, 1, user_delete };
const sl_command sl_command_token_create = { "token create", "NAME [--role ROLE] [-n NAMESPACE] [--expires DURATION]", "Makes an API token; it is shown once.", token_opts, 1, 1, token_create };
const sl_command sl_command_token_list = { "token list", "", "Lists API tokens.", no_opts, 0, 0, token_list };
const sl_command sl_command_token_revoke = { "token revoke", "ID", "Revokes an API token.", no_opts, 1, 1, token_revoke };
