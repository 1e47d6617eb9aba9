/* service/api/openapi.c: the OpenAPI 3.1 document of the route table. */
#include "base/arena.h"
#include "service/api/api.h"

static const char *media_of(sl_body body)
{
    static const char *const types[] = { [SL_BODY_NONE] = NULL, [SL_BODY_JSON] = "application/json", [SL_BODY_YAML] = "application/x-yaml", [SL_BODY_MULTIPART] = "multipart/form-data",
                                         [SL_BODY_TEXT] = "text/plain", [SL_BODY_ANY] = "*/*" };
    return types[body];
}

static const sl_val *parameter(sl_arena *a, sl_str name, const char *in)
{
    sl_val *p = sl_map_of(a, "name", sl_val_str(a, name));
    sl_map_set_str(a, p, "in", sl_str_c(in));
    if (strcmp(in, "path") == 0)
        sl_map_set_bool(a, p, "required", true);
    sl_map_setc(a, p, "schema", sl_map_of(a, "type", sl_val_c(a, "string")));
    return p;
}

static const sl_val *operation(sl_arena *a, const sl_api_route *r)
{
    sl_val *op = sl_map_of(a, "summary", sl_val_c(a, r->doc)), *parameters = sl_list(a), *answers = sl_map(a);
    sl_str rest = sl_str_c(r->path), piece;
    while (sl_str_cut(&rest, '/', &piece))
        if (sl_str_starts(piece, SL_S("{")))
            sl_list_add(a, parameters, parameter(a, sl_str_sub(piece, 1, piece.n - 1), "path"));
    rest = sl_str_c(r->query ? r->query : "");
    while (rest.n > 0 && sl_str_cut(&rest, ' ', &piece))
        sl_list_add(a, parameters, parameter(a, piece, "query"));
    if (parameters->list.n > 0)
        sl_map_setc(a, op, "parameters", parameters);
    const char *media = media_of(r->body);
    if (media != NULL)
        sl_map_setc(a, op, "requestBody", sl_map_of(a, "content", sl_map_of(a, media, sl_map(a))));
    sl_map_setc(a, answers, "default", sl_map_of(a, "description", sl_val_c(a, "JSON; errors have a message.")));
    sl_map_setc(a, op, "responses", answers);
    sl_map_set_str(a, op, "x-role", sl_str_c(sl_role_name(r->role)));
    if (r->role == SL_ROLE_NONE)
        sl_map_setc(a, op, "security", sl_list(a));
    return op;
}

static sl_str lower_method(sl_arena *a, const char *method)
{
    return sl_str_lower(a, sl_str_c(method));
}

static const sl_val *security(sl_arena *a)
{
    sl_val *schemes = sl_map(a), *basic = sl_map_of(a, "type", sl_val_c(a, "http")), *bearer = sl_map_of(a, "type", sl_val_c(a, "http"));
    sl_map_set_str(a, basic, "scheme", SL_S("basic"));
    sl_map_set_str(a, bearer, "scheme", SL_S("bearer"));
    sl_map_setc(a, schemes, "basic", basic);
    sl_map_setc(a, schemes, "token", bearer);
    return sl_map_of(a, "securitySchemes", schemes);
}

const sl_val *sl_api_document(sl_arena *a)
{
    sl_val *doc = sl_map(a), *info = sl_map(a), *paths = sl_map(a), *either = sl_list(a);
    sl_map_set_str(a, doc, "openapi", SL_S("3.1.0"));
    sl_map_set_str(a, info, "title", SL_S("Sluice"));
    sl_map_set_str(a, info, "version", SL_S(SL_VERSION));
    sl_map_setc(a, doc, "info", info);
    for (const sl_api_route *const *t = sl_api_tables; *t != NULL; t++)
        for (const sl_api_route *r = *t; r->method != NULL; r++) {
            bool top = sl_str_starts(sl_str_c(r->path), SL_S("//"));
            sl_str path = top ? sl_str_c(r->path + 1) : sl_fmt(a, "/api/v1/main%s", r->path);
            sl_val *item = sl_map_shallow(a, sl_get_str(paths, path));
            sl_map_set(a, item, lower_method(a, r->method), operation(a, r));
            sl_map_set(a, paths, path, item);
        }
    sl_map_setc(a, doc, "paths", paths);
    sl_map_setc(a, doc, "components", security(a));
    sl_list_add(a, either, sl_map_of(a, "basic", sl_list(a)));
    sl_list_add(a, either, sl_map_of(a, "token", sl_list(a)));
    sl_map_setc(a, doc, "security", either);
    return doc;
}
