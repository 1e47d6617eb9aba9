/* service/cli_trigger_remote.c: `trigger list|why|enable|disable|backfill`, against a server. */
#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "service/cli_client.h"

static sl_val *trigger_body(sl_cli *c)
{
    sl_val *body = sl_map(c->arena);
    sl_map_set_str(c->arena, body, "namespace", sl_str_c(c->words[0]));
    sl_map_set_str(c->arena, body, "flowId", sl_str_c(c->words[1]));
    sl_map_set_str(c->arena, body, "triggerId", sl_str_c(c->words[2]));
    return body;
}

static bool send(sl_cli *c, sl_client *k, const char *method, const char *path, const sl_val *body, const sl_val **ret)
{
    int status;
    return sl_client_call(k, method, sl_str_c(path), "application/json", sl_json(c->arena, body), ret, &status);
}

static void print_state(const sl_val *t)
{
    const sl_val *b = sl_get(t, "backfill");
    sl_str next = sl_get_text(t, "nextExecutionDate");
    sl_cli_print("%.*s.%.*s %.*s: %s%.*s%s", SL_ARG(sl_get_text(t, "namespace")), SL_ARG(sl_get_text(t, "flowId")), SL_ARG(sl_get_text(t, "triggerId")),
                 sl_get_bool(t, "disabled", false) ? "disabled, " : "", SL_ARG(next.n ? next : SL_S("no next date")), b ? "" : "\n");
    if (b != NULL)
        sl_cli_print("; backfill %.*s to %.*s, now at %.*s%s\n", SL_ARG(sl_get_text(b, "start")), SL_ARG(sl_get_text(b, "end")), SL_ARG(sl_get_text(b, "currentDate")),
                     sl_get_bool(b, "paused", false) ? ", paused" : "");
}

static int list(sl_cli *c)
{
    sl_client *k = sl_client_open(c);
    const sl_val *page;
    int status;
    sl_str ns = sl_cli_text(c, "--namespace");
    if (k == NULL || !sl_client_call(k, "GET", sl_client_path(c, "/triggers/search?size=1000&namespace=%s", ns.p ? ns.p : ""), NULL, (sl_str){ NULL, 0 }, &page, &status))
        return 1;
    if (c->json)
        sl_cli_print("%.*s\n", SL_ARG(sl_json(c->arena, page)));
    for (size_t i = 0; !c->json && i < sl_val_count(sl_get(page, "results")); i++)
        print_state(sl_get(sl_at(sl_get(page, "results"), i), "triggerContext"));
    return 0;
}

static int why(sl_cli *c)
{
    sl_client *k = sl_client_open(c);
    const sl_val *v;
    int status;
    if (k == NULL || !sl_client_call(k, "GET", sl_client_path(c, "/triggers/%s/%s/%s/why", c->words[0], c->words[1], c->words[2]), NULL, (sl_str){ NULL, 0 }, &v, &status))
        return 1;
    sl_cli_print("%.*s\n", SL_ARG(c->json ? sl_json(c->arena, v) : sl_get_text(v, "why")));
    return 0;
}

static int set_disabled(sl_cli *c, bool disabled)
{
    sl_client *k = sl_client_open(c);
    const sl_val *v;
    sl_val *body = trigger_body(c);
    sl_map_set_bool(c->arena, body, "disabled", disabled);
    if (k == NULL || !send(c, k, "PUT", "/triggers", body, &v))
        return 1;
    print_state(v);
    return 0;
}

static int enable(sl_cli *c) { return set_disabled(c, false); }
static int disable(sl_cli *c) { return set_disabled(c, true); }

/* ---- backfill ---- */

static bool backfill_body(sl_cli *c, sl_val **ret)
{
    sl_val *body = trigger_body(c), *b = sl_map(c->arena), *labels = sl_map(c->arena);
    const sl_val *inputs, *given = sl_get(c->options, "--label");
    sl_str start = sl_cli_text(c, "--start"), parallel = sl_cli_text(c, "--parallel");
    int64_t number = 1;
    if (start.n == 0)
        return sl_cli_fail(2, "a backfill needs --start DATE") == 0;
    if (parallel.n > 0 && (!sl_parse_int(parallel, &number) || number < 1))
        return sl_cli_fail(2, "--parallel must be a number from 1") == 0;
    if (!sl_cli_inputs(c, &inputs))
        return false;
    for (size_t i = 0; i < sl_val_count(given); i++) {
        sl_str rest = sl_text(sl_at(given, i)), key;
        (void)sl_str_cut(&rest, '=', &key);
        sl_map_set(c->arena, labels, key, sl_val_str(c->arena, rest.p ? rest : SL_S("")));
    }
    sl_map_set_str(c->arena, b, "start", start);
    sl_map_opt_str(c->arena, b, "end", sl_cli_text(c, "--end"));
    sl_map_opt_str(c->arena, b, "only", sl_cli_text(c, "--only"));
    sl_map_set_int(c->arena, b, "parallel", number);
    if (sl_val_count(inputs) > 0)
        sl_map_setc(c->arena, b, "inputs", inputs);
    if (labels->map.n > 0)
        sl_map_setc(c->arena, b, "labels", labels);
    sl_map_setc(c->arena, body, "backfill", b);
    *ret = body;
    return true;
}

static int plan(sl_cli *c, sl_client *k, const sl_val *body)
{
    const sl_val *dates;
    int64_t n = 0;
    if (!send(c, k, "POST", "/triggers/backfill/plan", body, &dates))
        return 2;
    if (c->json) {
        sl_cli_print("%.*s\n", SL_ARG(sl_json(c->arena, dates)));
        return 0;
    }
    for (size_t i = 0; i < sl_val_count(dates); i++) {
        const sl_val *d = sl_at(dates, i);
        sl_str state = sl_get_text(d, "state");
        bool runs = sl_get_bool(d, "runs", false);
        n += runs;
        sl_cli_print("%.*s  %-10.*s %s\n", SL_ARG(sl_get_text(d, "date")), SL_ARG(state.n ? state : SL_S("-")), runs ? "runs" : sl_get_bool(d, "conditions", true) ? "left out" : "left out by the conditions");
    }
    sl_cli_print("%lld of %zu dates run (nothing was started)\n", (long long)n, sl_val_count(dates));
    return 0;
}

/* Until the trigger has no backfill any more. */
static int wait_for(sl_cli *c, sl_client *k)
{
    for (;;) {
        const sl_val *page, *mine = NULL;
        int status;
        if (!sl_client_call(k, "GET", sl_client_path(c, "/triggers/%s/%s?size=1000", c->words[0], c->words[1]), NULL, (sl_str){ NULL, 0 }, &page, &status))
            return 1;
        for (size_t i = 0; i < sl_val_count(sl_get(page, "results")); i++)
            if (sl_str_eqc(sl_get_text(sl_at(sl_get(page, "results"), i), "triggerId"), c->words[2]))
                mine = sl_at(sl_get(page, "results"), i);
        if (sl_get(mine, "backfill") == NULL)
            return 0;
        sl_sleep_ms(200);
    }
}

static int backfill(sl_cli *c)
{
    static const struct {
        const char *option, *method, *path;
    } verbs[] = { { "--pause", "PUT", "/triggers/backfill/pause" }, { "--resume", "PUT", "/triggers/backfill/unpause" }, { "--cancel", "POST", "/triggers/backfill/delete" } };
    sl_client *k = sl_client_open(c);
    const sl_val *v;
    sl_val *body;
    if (k == NULL)
        return 1;
    for (size_t i = 0; i < SL_COUNT(verbs); i++)
        if (sl_cli_has(c, verbs[i].option)) {
            if (!send(c, k, verbs[i].method, verbs[i].path, trigger_body(c), &v))
                return 1;
            print_state(v);
            return 0;
        }
    if (!backfill_body(c, &body))
        return 2;
    if (sl_cli_has(c, "--dry-run"))
        return plan(c, k, body);
    if (!send(c, k, "PUT", "/triggers", body, &v))
        return 2;
    if (!sl_cli_has(c, "--quiet"))
        print_state(v);
    return sl_cli_has(c, "--wait") ? wait_for(c, k) : 0;
}

static const sl_cli_opt no_opts[] = { { 0 } };
static const sl_cli_opt list_opts[] = { { "--namespace", "-n", "NAMESPACE", false, "only of this namespace" }, { 0 } };
static const sl_cli_opt backfill_opts[] = {
    { "--start", NULL, "DATE", false, "first date, included" },
    { "--end", NULL, "DATE", false, "last date, included (now)" },
    { "--input", "-i", "KEY=VALUE", true, "input of the executions, over the trigger's" },
    { "--input-json", NULL, "FILE", false, "inputs as a JSON map" },
    { "--label", NULL, "KEY=VALUE", true, "label of the executions" },
    { "--parallel", NULL, "N", false, "executions at a time (1); each that ends makes room for the next" },
    { "--only", NULL, "missing|failed", false, "only dates without an execution, or whose last one has failed" },
    { "--dry-run", NULL, NULL, false, "show the dates and what exists for each, start nothing" },
    { "--wait", NULL, NULL, false, "until the last one has ended" },
    { "--pause", NULL, NULL, false, "no further dates until --resume" },
    { "--resume", NULL, NULL, false, "go on" },
    { "--cancel", NULL, NULL, false, "end it; what runs goes on" },
    { "--quiet", "-q", NULL, false, "print nothing" },
    { 0 },
};

const sl_command sl_command_trigger_list = { "trigger list", "[-n NAMESPACE]", "Lists the triggers of a server and how they stand.", list_opts, 0, 0, list };
const sl_command sl_command_trigger_why = { "trigger why", "NAMESPACE FLOW TRIGGER", "Says when a trigger fires next, or why it does not.", no_opts, 3, 3, why };
const sl_command sl_command_trigger_enable = { "trigger enable", "NAMESPACE FLOW TRIGGER", "Lets a trigger fire again.", no_opts, 3, 3, enable };
const sl_command sl_command_trigger_disable = { "trigger disable", "NAMESPACE FLOW TRIGGER", "Keeps a trigger from firing.", no_opts, 3, 3, disable };
const sl_command sl_command_trigger_backfill = { "trigger backfill", "NAMESPACE FLOW TRIGGER --start DATE [--end DATE] [--parallel N] [--dry-run]", "Runs the dates of a schedule that are past.", backfill_opts, 3, 3, backfill };
