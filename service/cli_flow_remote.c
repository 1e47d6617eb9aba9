/* service/cli_flow_remote.c: `flow apply|list|get|delete|diff|sync`, against a server. */
#include <stdlib.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/yaml.h"
#include "service/cli_client.h"

typedef struct source {
    const char *path;
    sl_str text;
    const sl_flow *flow;
} source;

typedef struct collection {
    sl_cli *cli;
    source *items;
    size_t n, capacity;
    sl_str dir;
    bool bad;
} collection;

static void add(collection *k, const char *path)
{
    sl_problems problems = { .arena = k->cli->arena };
    sl_err err;
    source s = { .path = path };
    if (k->n == k->capacity) {
        size_t wanted = k->capacity ? k->capacity * 2 : 16;
        k->items = sl_realloc(k->cli->arena, k->items, k->capacity * sizeof *k->items, wanted * sizeof *k->items);
        k->capacity = wanted;
    }
    if (!sl_fs_read(k->cli->arena, path, SL_YAML_SIZE_MAX, &s.text, &err)) {
        k->bad = true;
        (void)sl_cli_error(2, &err);
        return;
    }
    s.flow = sl_flow_parse(k->cli->arena, &sl_all_connectors, NULL, s.text, &problems);
    if (s.flow == NULL) {
        k->bad = true;
        sl_cli_problems(path, &problems);
        return;
    }
    k->items[k->n++] = s;
}

static bool visit(void *self, sl_str relative, int64_t size, sl_err *err)
{
    collection *k = self;
    (void)size;
    (void)err;
    if (sl_str_ends(relative, SL_S(".yaml")) || sl_str_ends(relative, SL_S(".yml")))
        add(k, sl_fmt(k->cli->arena, "%.*s/%.*s", SL_ARG(k->dir), SL_ARG(relative)).p);
    return true;
}

/* Files and folders of the command line, all checked before anything is sent. */
static bool collect(sl_cli *c, collection *k)
{
    enum { FILES_MAX = 10000 };
    *k = (collection){ .cli = c };
    for (int i = 0; i < c->word_count; i++) {
        sl_err err;
        if (!sl_fs_is_dir(c->words[i])) {
            add(k, c->words[i]);
            continue;
        }
        k->dir = sl_str_c(c->words[i]);
        if (!sl_fs_walk(c->words[i], FILES_MAX, visit, k, &err))
            return sl_cli_error(2, &err) == 0;
    }
    return !k->bad;
}

/* The flow as the server has it; NULL: it has none. false after a message. */
static bool remote(sl_cli *c, sl_client *k, const sl_flow *f, const sl_val **ret)
{
    int status;
    const sl_val *v;
    if (!sl_client_try(k, "GET", sl_client_path(c, "/flows/%s/%s?source=true", f->ns.p, f->id.p), NULL, (sl_str){ NULL, 0 }, &v, &status))
        return false;
    *ret = status == 200 ? v : NULL;
    return status == 200 || status == 404 || sl_cli_fail(1, "%.*s", SL_ARG(sl_get_text(v, "message"))) == 0;
}

/* Lines that differ, around the part that both have at the start and at the end. */
static void print_diff(sl_arena *a, sl_str old, sl_str new)
{
    sl_val *lists[2] = { sl_list(a), sl_list(a) };
    sl_str texts[2] = { old, new };
    for (int i = 0; i < 2; i++) {
        sl_str rest = texts[i], line;
        while (rest.n > 0 && sl_str_cut(&rest, '\n', &line))
            sl_list_add(a, lists[i], sl_val_str(a, line));
    }
    size_t n = lists[0]->list.n, m = lists[1]->list.n, head = 0, tail = 0;
    while (head < n && head < m && sl_val_eq(lists[0]->list.items[head], lists[1]->list.items[head]))
        head++;
    while (tail < n - head && tail < m - head && sl_val_eq(lists[0]->list.items[n - 1 - tail], lists[1]->list.items[m - 1 - tail]))
        tail++;
    sl_cli_print("@@ line %zu @@\n", head + 1);
    for (size_t i = head; i < n - tail; i++)
        sl_cli_print("-%.*s\n", SL_ARG(lists[0]->list.items[i]->s));
    for (size_t i = head; i < m - tail; i++)
        sl_cli_print("+%.*s\n", SL_ARG(lists[1]->list.items[i]->s));
}

/* '+' new, '~' changed, '=' the same; the number of those that differ, -1 after a message. */
static int compare(sl_cli *c, sl_client *k, const collection *all, bool lines)
{
    int differ = 0;
    for (size_t i = 0; i < all->n; i++) {
        const sl_flow *f = all->items[i].flow;
        const sl_val *have;
        if (!remote(c, k, f, &have))
            return -1;
        bool same = have != NULL && sl_str_eq(sl_yaml_unmarked(sl_get_text(have, "source")), sl_yaml_unmarked(all->items[i].text));
        differ += !same;
        if (!same || !lines)
            sl_cli_print("%c %.*s.%.*s\n", have == NULL ? '+' : same ? '=' : '~', SL_ARG(f->ns), SL_ARG(f->id));
        if (lines && have != NULL && !same)
            print_diff(c->arena, sl_get_text(have, "source"), all->items[i].text);
    }
    return differ;
}

static bool send_all(sl_cli *c, sl_client *k, const collection *all)
{
    sl_buf b = sl_buf_new(c->arena, 60 << 20);
    const sl_val *v;
    int status;
    for (size_t i = 0; i < all->n; i++) {
        sl_str text = all->items[i].text;
        bool marked = sl_str_starts(text, SL_S("---"));
        sl_buf_fmt(&b, "%s%.*s%s", i > 0 && !marked ? "---\n" : "", SL_ARG(text), text.n && text.p[text.n - 1] == '\n' ? "" : "\n");
    }
    return sl_client_call(k, "POST", SL_S("/flows/bulk"), "application/x-yaml", sl_buf_str(&b), &v, &status);
}

/* One at a time keeps each text exactly as it is; used where there is only one. */
static bool send_one(sl_cli *c, sl_client *k, const source *s)
{
    const sl_val *have, *v;
    int status;
    if (!remote(c, k, s->flow, &have))
        return false;
    sl_str path = have ? sl_client_path(c, "/flows/%s/%s", s->flow->ns.p, s->flow->id.p) : SL_S("/flows");
    return sl_client_call(k, have ? "PUT" : "POST", path, "application/x-yaml", s->text, &v, &status);
}

static int apply(sl_cli *c)
{
    collection all;
    sl_client *k = NULL;
    if (!collect(c, &all) || (k = sl_client_open(c)) == NULL)
        return k == NULL && !all.bad ? 1 : 2;
    int differ = compare(c, k, &all, false);
    if (differ < 0)
        return 1;
    if (differ > 0 && !(all.n == 1 ? send_one(c, k, &all.items[0]) : send_all(c, k, &all)))
        return 2;
    sl_cli_print("%d of %zu flows changed\n", differ, all.n);
    return 0;
}

static int diff(sl_cli *c)
{
    collection all;
    sl_client *k = NULL;
    if (!collect(c, &all) || (k = sl_client_open(c)) == NULL)
        return 2;
    int differ = compare(c, k, &all, true);
    return differ < 0 ? 2 : differ > 0;
}

/* ---- sync: the folder is the truth ---- */

static bool known(const collection *all, sl_str ns, sl_str id)
{
    for (size_t i = 0; i < all->n; i++)
        if (sl_str_eq(all->items[i].flow->ns, ns) && sl_str_eq(all->items[i].flow->id, id))
            return true;
    return false;
}

static int delete_others(sl_cli *c, sl_client *k, const collection *all, sl_str ns, bool really)
{
    const sl_val *rows, *v;
    int status, n = 0;
    if (!sl_client_call(k, "GET", sl_client_path(c, "/flows/%s", ns.p), NULL, (sl_str){ NULL, 0 }, &rows, &status))
        return -1;
    for (size_t i = 0; i < sl_val_count(rows); i++) {
        sl_str id = sl_get_text(sl_at(rows, i), "id"), own = sl_get_text(sl_at(rows, i), "namespace");
        if (!sl_str_eq(own, ns) || known(all, own, id))
            continue;
        n++;
        sl_cli_print("- %.*s.%.*s%s\n", SL_ARG(own), SL_ARG(id), really ? "" : " (stays: --delete removes it)");
        if (really && !sl_client_call(k, "DELETE", sl_client_path(c, "/flows/%s/%s", own.p, id.p), NULL, (sl_str){ NULL, 0 }, &v, &status))
            return -1;
    }
    return n;
}

static int sync_once(sl_cli *c, bool quiet_when_same)
{
    collection all;
    sl_client *k = NULL;
    if (!collect(c, &all) || (k = sl_client_open(c)) == NULL)
        return 2;
    int differ = compare(c, k, &all, true);
    if (differ < 0 || (differ > 0 && !sl_cli_has(c, "--dry-run") && !(all.n == 1 ? send_one(c, k, &all.items[0]) : send_all(c, k, &all))))
        return 1;
    sl_val *seen = sl_map(c->arena);
    int others = 0;
    for (size_t i = 0; i < all.n; i++) {
        sl_str ns = all.items[i].flow->ns;
        if (sl_get_str(seen, ns) != NULL)
            continue;
        sl_map_set(c->arena, seen, ns, &sl_true_val);
        int more = quiet_when_same && !sl_cli_has(c, "--delete") ? 0 : delete_others(c, k, &all, ns, sl_cli_has(c, "--delete") && !sl_cli_has(c, "--dry-run"));
        if (more < 0)
            return 1;
        others += more;
    }
    if (!quiet_when_same || differ > 0 || (others > 0 && sl_cli_has(c, "--delete")))
        sl_cli_print("%d of %zu flows changed%s\n", differ, all.n, sl_cli_has(c, "--dry-run") ? " (nothing was done)" : "");
    (void)fflush(stdout);
    return 0;
}

static int sync_dir(sl_cli *c)
{
    enum { LOOK_MS = 1000 };
    int rc = sync_once(c, false);
    while (sl_cli_has(c, "--watch") && (rc == 0 || rc == 2)) { /* a file that is being edited may be wrong for a moment */
        sl_sleep_ms(LOOK_MS);
        sl_arena *own = c->arena;
        c->arena = sl_arena_new();
        rc = sync_once(c, true);
        sl_arena_free(c->arena);
        c->arena = own;
    }
    return rc;
}

/* ---- the rest ---- */

static int list(sl_cli *c)
{
    sl_client *k = sl_client_open(c);
    const sl_val *page;
    int status;
    sl_str ns = sl_cli_text(c, "--namespace");
    if (k == NULL || !sl_client_call(k, "GET", sl_client_path(c, "/flows/search?size=1000&namespace=%s", ns.p ? ns.p : ""), NULL, (sl_str){ NULL, 0 }, &page, &status))
        return 1;
    if (c->json) {
        sl_cli_print("%.*s\n", SL_ARG(sl_json(c->arena, page)));
        return 0;
    }
    for (size_t i = 0; i < sl_val_count(sl_get(page, "results")); i++) {
        const sl_val *f = sl_at(sl_get(page, "results"), i);
        sl_cli_print("%.*s.%.*s  revision %lld%s\n", SL_ARG(sl_get_text(f, "namespace")), SL_ARG(sl_get_text(f, "id")), (long long)sl_get_int(f, "revision", 0),
                     sl_get_bool(f, "disabled", false) ? "  disabled" : "");
    }
    return 0;
}

static int get(sl_cli *c)
{
    sl_client *k = sl_client_open(c);
    const sl_val *f;
    int status;
    sl_str revision = sl_cli_text(c, "--revision");
    if (k == NULL || !sl_client_call(k, "GET", sl_client_path(c, "/flows/%s/%s?source=true&revision=%s", c->words[0], c->words[1], revision.p ? revision.p : ""), NULL, (sl_str){ NULL, 0 }, &f, &status))
        return 1;
    sl_cli_print("%.*s%s", SL_ARG(c->json ? sl_json(c->arena, f) : sl_get_text(f, "source")), c->json ? "\n" : "");
    return 0;
}

static int delete_one(sl_cli *c)
{
    sl_client *k = sl_client_open(c);
    const sl_val *v;
    int status;
    return k != NULL && sl_client_call(k, "DELETE", sl_client_path(c, "/flows/%s/%s", c->words[0], c->words[1]), NULL, (sl_str){ NULL, 0 }, &v, &status) ? 0 : 1;
}

static const sl_cli_opt no_opts[] = { { 0 } };
static const sl_cli_opt list_opts[] = { { "--namespace", "-n", "NAMESPACE", false, "only of this namespace and below" }, { 0 } };
static const sl_cli_opt get_opts[] = { { "--revision", NULL, "N", false, "an older one" }, { 0 } };
static const sl_cli_opt sync_opts[] = { { "--watch", NULL, NULL, false, "go on looking for changes" }, { "--delete", NULL, NULL, false, "remove flows of these namespaces that have no file" },
                                        { "--dry-run", NULL, NULL, false, "only show what would change" }, { 0 } };

const sl_command sl_command_flow_apply = { "flow apply", "FILE...|DIR", "Stores flows on a server: all of them, or none when one is invalid.", no_opts, 1, 64, apply };
const sl_command sl_command_flow_list = { "flow list", "[-n NAMESPACE]", "Lists the flows of a server.", list_opts, 0, 0, list };
const sl_command sl_command_flow_get = { "flow get", "NAMESPACE FLOW", "Prints a flow as it is stored.", get_opts, 2, 2, get };
const sl_command sl_command_flow_delete = { "flow delete", "NAMESPACE FLOW", "Removes a flow; its executions stay.", no_opts, 2, 2, delete_one };
const sl_command sl_command_flow_diff = { "flow diff", "FILE...|DIR", "Shows how files differ from what is stored; 1 when they do.", no_opts, 1, 64, diff };
const sl_command sl_command_flow_sync = { "flow sync", "DIR [--watch] [--delete] [--dry-run]", "Makes a server's flows those of a folder.", sync_opts, 1, 64, sync_dir };
