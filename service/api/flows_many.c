/* service/api/flows_many.c: several flows at once: deleted, disabled, exported, imported. */
#include "base/arena.h"
#include "base/io.h"
#include "service/api/flow_call.h"

/* The flows of the body, [{namespace, id}], or those that the query finds. false: answered. */
static bool chosen(sl_call *c, sl_flow_row **rows, size_t *n)
{
    sl_err err;
    bool found;
    if (c->route->body == SL_BODY_NONE)
        return sl_call_flows_found(c, &(sl_flow_search){ .ns = sl_query_filter(c, "namespace"), .text = sl_query_filter(c, "q"), .labels = sl_query_all(c, "labels"), .size = SL_FLOWS_FOUND_MAX }, rows, n);
    *n = sl_val_count(c->json);
    *rows = SL_ARRAY(c->arena, sl_flow_row, *n + 1);
    for (size_t i = 0; i < *n; i++) {
        sl_str ns = sl_get_text(sl_at(c->json, i), "namespace"), id = sl_get_text(sl_at(c->json, i), "id");
        if (!sl_call_may(c, ns))
            return false;
        if (!sl_repository_flow(c->store, c->arena, ns, id, 0, &(*rows)[i], &found, &err)) {
            sl_reply_err(c, &err);
            return false;
        }
        if (!found || (*rows)[i].deleted) {
            sl_reply_error(c, 404, "Not Found: there is no flow '%.*s' in '%.*s'", SL_ARG(id), SL_ARG(ns));
            return false;
        }
    }
    return true;
}

static void delete_flows(sl_call *c)
{
    sl_flow_row *rows;
    size_t n;
    if (!chosen(c, &rows, &n))
        return;
    for (size_t i = 0; i < n; i++) {
        sl_flow_change change = { .delete_ns = rows[i].ns, .delete_id = rows[i].id };
        if (!sl_call_flows_put(c, &change))
            return;
    }
    sl_reply_count(c, (int64_t)n, NULL);
}

sl_str sl_flow_source_with(sl_arena *arena, sl_str source, const char *key, sl_str value)
{
    sl_buf b = sl_buf_new(arena, SIZE_MAX / 4);
    sl_str rest = source, line, wanted = sl_fmt(arena, "%s:", key);
    bool done = false;
    while (rest.n > 0) {
        ptrdiff_t end = sl_str_find(rest, SL_S("\n"));
        line = sl_str_sub(rest, 0, end < 0 ? rest.n : (size_t)end + 1);
        rest = sl_str_sub(rest, line.n, rest.n);
        if (sl_str_starts(line, wanted) && !done) {
            sl_buf_fmt(&b, "%.*s %.*s\n", SL_ARG(wanted), SL_ARG(value));
            done = true;
        } else
            sl_buf_add(&b, line);
    }
    if (!done)
        sl_buf_fmt(&b, "%s%.*s %.*s\n", b.n > 0 && source.p[source.n - 1] != '\n' ? "\n" : "", SL_ARG(wanted), SL_ARG(value));
    return sl_buf_str(&b);
}

/* All in one transaction: a new revision of each that is not so already. */
static void set_disabled(sl_call *c, bool disabled)
{
    sl_flow_row *rows;
    size_t n, changed = 0;
    if (!chosen(c, &rows, &n))
        return;
    sl_flow **flows = SL_ARRAY(c->arena, sl_flow *, n + 1);
    for (size_t i = 0; i < n; i++) {
        if (rows[i].disabled == disabled)
            continue;
        if (!sl_call_flow_parse(c, sl_flow_source_with(c->arena, rows[i].source, "disabled", disabled ? SL_S("true") : SL_S("false")), &flows[changed]))
            return;
        changed++;
    }
    sl_flow_change change = { .flows = flows, .count = changed, .if_revision = -1 };
    if (changed == 0 || sl_call_flows_put(c, &change))
        sl_reply_count(c, (int64_t)changed, NULL);
}

static void disable(sl_call *c)
{
    set_disabled(c, true);
}

static void enable(sl_call *c)
{
    set_disabled(c, false);
}

static void export_flows(sl_call *c)
{
    sl_flow_row *rows;
    size_t n;
    sl_val *entries = sl_list(c->arena);
    if (!chosen(c, &rows, &n))
        return;
    for (size_t i = 0; i < n; i++) {
        sl_val *entry = sl_map(c->arena);
        sl_map_set_str(c->arena, entry, "name", sl_fmt(c->arena, "%.*s.%.*s.yml", SL_ARG(rows[i].ns), SL_ARG(rows[i].id)));
        sl_map_set_str(c->arena, entry, "text", rows[i].source);
        sl_list_add(c->arena, entries, entry);
    }
    sl_call_reply_zip(c, entries, "flows.zip");
}

static bool is_yaml(sl_str name)
{
    return sl_str_ends(name, SL_S(".yml")) || sl_str_ends(name, SL_S(".yaml"));
}

/* A file of YAML documents, or a ZIP file of such files: all are stored, or none when one is not valid. */
static void import_flows(sl_call *c)
{
    const sl_val *parts = sl_call_parts(c), *entries;
    sl_flow **flows = NULL;
    size_t n = 0;
    for (size_t i = 0; i < sl_val_count(parts); i++) {
        sl_str name = sl_get_text(sl_at(parts, i), "filename"), data = sl_get_text(sl_at(parts, i), "data");
        if (!sl_str_ends(name, SL_S(".zip"))) {
            if (!sl_call_flows_parse(c, data, &flows, &n))
                return;
            continue;
        }
        if ((entries = sl_call_unzip(c, data)) == NULL)
            return;
        for (size_t k = 0; k < sl_val_count(entries); k++)
            if (is_yaml(sl_get_text(sl_at(entries, k), "name")) && !sl_call_flows_parse(c, sl_get_text(sl_at(entries, k), "text"), &flows, &n))
                return;
    }
    if (parts == NULL)
        return;
    if (n == 0) {
        sl_reply_error(c, 422, "Invalid entity: there is no flow in it; the part fileUpload is a file of YAML, or a .zip of such files");
        return;
    }
    sl_flow_change change = { .flows = flows, .count = n, .if_revision = -1 };
    if (sl_call_flows_put(c, &change))
        sl_reply(c, 200, sl_list(c->arena)); /* those that could not be stored */
}

#define BOTH(method, name, function, words)                                                                                       \
    { method, "/flows/" name "/by-ids", SL_ROLE_AUTHOR, SL_BODY_JSON, NULL, words " of a list.", function },                              \
    { method, "/flows/" name "/by-query", SL_ROLE_AUTHOR, SL_BODY_NONE, "q namespace labels", words " that match.", function }

const sl_api_route sl_api_flows_many[] = {
    BOTH("DELETE", "delete", delete_flows, "Deletes the flows"),
    BOTH("POST", "disable", disable, "Disables the flows"),
    BOTH("POST", "enable", enable, "Enables the flows"),
    { "POST", "/flows/export/by-ids", SL_ROLE_VIEWER, SL_BODY_JSON, NULL, "A ZIP file of the flows of a list.", export_flows },
    { "GET", "/flows/export/by-query", SL_ROLE_VIEWER, SL_BODY_NONE, "q namespace labels", "A ZIP file of the flows that match.", export_flows },
    { "POST", "/flows/import", SL_ROLE_AUTHOR, SL_BODY_MULTIPART, NULL, "Stores the flows of a file of YAML or a ZIP file (the part fileUpload): all, or none when one is invalid.", import_flows },
    { 0 },
};
