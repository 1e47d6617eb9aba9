/* service/cli_user.c: `user` and `token`, against a server. A password is never an argument: @FILE, or - for the standard input. */
#include "base/arena.h"
#include "base/fs.h"
#include "base/io.h"
#include "base/json.h"
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

static int print_rows(sl_cli *c, const sl_val *page, const char *const *columns)
{
    const sl_val *rows = sl_get(page, "results");
    if (c->json)
        sl_cli_print("%.*s\n", SL_ARG(sl_json(c->arena, page)));
    for (size_t i = 0; !c->json && i < sl_val_count(rows); i++) {
        for (size_t k = 0; columns[k] != NULL; k++)
            sl_cli_print("%s%-22.*s", k ? "  " : "", SL_ARG(sl_get_text(sl_at(rows, i), columns[k])));
        sl_cli_print("\n");
    }
    return 0;
}

static int user_add(sl_cli *c)
{
    sl_client *k = sl_client_open(c);
    sl_str password, role = sl_cli_text(c, "--role");
    const sl_val *v;
    int status;
    if (k == NULL || !read_password(c, &password))
        return 2;
    sl_val *body = sl_map(c->arena);
    sl_map_set_str(c->arena, body, "name", sl_str_c(c->words[0]));
    sl_map_set_str(c->arena, body, "password", password);
    sl_map_set_str(c->arena, body, "role", role.n ? role : SL_S("viewer"));
    sl_map_opt_str(c->arena, body, "namespace", sl_cli_text(c, "--namespace"));
    return sl_client_call(k, "POST", SL_S("/users"), "application/json", sl_json(c->arena, body), &v, &status) ? 0 : 2;
}

static int get_page(sl_cli *c, const char *path, const char *const *columns)
{
    sl_client *k = sl_client_open(c);
    const sl_val *page;
    int status;
    return k != NULL && sl_client_call(k, "GET", sl_str_c(path), NULL, (sl_str){ NULL, 0 }, &page, &status) ? print_rows(c, page, columns) : 1;
}

static int user_list(sl_cli *c)
{
    static const char *const columns[] = { "name", "role", "namespace", "created", NULL };
    return get_page(c, "/users", columns);
}

static int remove_path(sl_cli *c, sl_str path)
{
    sl_client *k = sl_client_open(c);
    const sl_val *v;
    int status;
    return k != NULL && sl_client_call(k, "DELETE", path, NULL, (sl_str){ NULL, 0 }, &v, &status) ? 0 : 1;
}

static int user_delete(sl_cli *c)
{
    return remove_path(c, sl_client_path(c, "/users/%s", c->words[0]));
}

static int token_create(sl_cli *c)
{
    sl_client *k = sl_client_open(c);
    const sl_val *v;
    int status;
    sl_str role = sl_cli_text(c, "--role");
    if (k == NULL)
        return 1;
    sl_val *body = sl_map(c->arena);
    sl_map_set_str(c->arena, body, "name", sl_str_c(c->words[0]));
    sl_map_set_str(c->arena, body, "role", role.n ? role : SL_S("viewer"));
    sl_map_opt_str(c->arena, body, "namespace", sl_cli_text(c, "--namespace"));
    sl_map_opt_str(c->arena, body, "maxAge", sl_cli_text(c, "--expires"));
    if (!sl_client_call(k, "POST", SL_S("/me/api-tokens"), "application/json", sl_json(c->arena, body), &v, &status))
        return 2;
    sl_cli_print("%.*s\n", SL_ARG(c->json ? sl_json(c->arena, v) : sl_get_text(v, "fullToken")));
    return 0;
}

static int token_list(sl_cli *c)
{
    static const char *const columns[] = { "id", "name", "owner", "role", "expires", NULL };
    return get_page(c, "/me/api-tokens", columns);
}

static int token_revoke(sl_cli *c)
{
    return remove_path(c, sl_client_path(c, "/me/api-tokens/%s", c->words[0]));
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
