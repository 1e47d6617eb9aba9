/* service/cli_kv.c: `kv` and `secret`. Values of secrets are never printed. */
#include "base/arena.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/io.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/secret.h"
#include "service/cli_values.h"

/* VALUE, @FILE, or - for the standard input. */
static bool read_value(sl_cli *c, const char *word, sl_str *ret, sl_err *err)
{
    if (word[0] == '@')
        return sl_fs_read(c->arena, word + 1, SL_KV_VALUE_MAX, ret, err);
    if (strcmp(word, "-") != 0) {
        *ret = sl_str_c(word);
        return true;
    }
    SL_READER in = sl_reader_file("/dev/stdin", err);
    return in != NULL && sl_io_read_all(c->arena, in, SL_KV_VALUE_MAX, ret, err);
}

static sl_str namespace_of(const sl_cli *c)
{
    sl_str ns = sl_cli_text(c, "--namespace");
    return ns.n ? ns : SL_S("default");
}

/* All namespaces, unless one is named. */
static sl_str namespace_or_all(const sl_cli *c)
{
    return sl_cli_has(c, "--namespace") ? namespace_of(c) : (sl_str){ NULL, 0 };
}

static const char *name_of(sl_kv_kind kind)
{
    return kind == SL_KV_SECRET ? "secret" : "kv";
}

static int list(sl_cli *c, sl_values *v)
{
    const sl_val *entries;
    if (!v->list(v, namespace_or_all(c), &entries))
        return 1;
    if (c->json)
        sl_cli_print("%.*s\n", SL_ARG(sl_json(c->arena, entries)));
    for (size_t i = 0; !c->json && i < sl_val_count(entries); i++) {
        const sl_val *e = sl_at(entries, i);
        sl_cli_print("%-20.*s %-32.*s %-8.*s v%-4lld %.*s  %.*s\n", SL_ARG(sl_get_text(e, "namespace")), SL_ARG(sl_get_text(e, "key")), SL_ARG(sl_get_text(e, "type")),
                     (long long)sl_get_int(e, "version", 0), SL_ARG(sl_get_text(e, "updateDate")), SL_ARG(sl_get_text(e, "fingerprint")));
    }
    return 0;
}

static int set(sl_cli *c, sl_values *v)
{
    sl_err err;
    sl_str value, json, type = sl_str_upper(c->arena, sl_cli_text(c, "--type")), own;
    if (c->word_count != 3)
        return sl_cli_fail(2, "usage: sluice %s set [-n NAMESPACE] KEY VALUE|@FILE|-", name_of(v->kind));
    if (v->kind == SL_KV_SECRET && c->words[2][0] != '@' && strcmp(c->words[2], "-") != 0)
        return sl_cli_fail(2, "a secret on the command line would stay in the shell's history; give it as @FILE or on the standard input with -");
    sl_kv_options o = { .description = sl_cli_text(c, "--description") };
    sl_str ttl = sl_cli_text(c, "--ttl");
    if (ttl.n > 0 && !sl_duration_parse(ttl, &o.ttl_ms))
        return sl_cli_fail(2, "--ttl must be a duration such as PT1H or P30D");
    if (!read_value(c, c->words[2], &value, &err))
        return sl_cli_error(1, &err);
    if (v->kind == SL_KV_SECRET)
        sl_redact_add(value);
    json = value;
    if (v->kind == SL_KV_VALUE) {
        if (!sl_kv_encode(c->arena, sl_val_str(c->arena, value), type, &json, &own, &err))
            return sl_cli_error(2, &err);
        o.type = own;
    }
    return v->put(v, namespace_of(c), sl_str_c(c->words[1]), json, &o) ? 0 : 1;
}

/* As a flow of the namespace would see it: what a namespace lacks, those above it may have. */
static int get(sl_cli *c, sl_values *v)
{
    const sl_val *value = NULL;
    if (c->word_count != 2)
        return sl_cli_fail(2, "usage: sluice kv get [-n NAMESPACE] KEY");
    for (sl_str ns = namespace_of(c); value == NULL;) {
        if (!v->get(v, ns, sl_str_c(c->words[1]), &value))
            return 1;
        ptrdiff_t dot = sl_str_rfind(ns, SL_S("."));
        if (value == NULL && dot <= 0)
            return sl_cli_fail(1, "The key '%s' does not exist in the namespace '%.*s'.", c->words[1], SL_ARG(namespace_of(c)));
        ns = sl_str_sub(ns, 0, dot > 0 ? (size_t)dot : ns.n);
    }
    sl_cli_print("%.*s\n", SL_ARG(c->json ? sl_json(c->arena, value) : sl_val_text(c->arena, value)));
    return 0;
}

static int delete(sl_cli *c, sl_values *v)
{
    bool existed;
    if (c->word_count != 2)
        return sl_cli_fail(2, "usage: sluice %s delete [-n NAMESPACE] KEY", name_of(v->kind));
    if (!v->remove(v, namespace_of(c), sl_str_c(c->words[1]), &existed))
        return 1;
    return existed ? 0 : sl_cli_fail(1, "there is no '%s' in the namespace '%.*s'", c->words[1], SL_ARG(namespace_of(c)));
}

/* Export: all values of a namespace (or of all) as one JSON document; import takes the same. Secrets are not in it. */
static int export_all(sl_cli *c, sl_values *v)
{
    static const char *const kept[] = { "namespace", "key", "type", "description", "expirationDate" };
    const sl_val *entries, *value;
    sl_val *out = sl_list(c->arena);
    if (!v->list(v, namespace_or_all(c), &entries))
        return 1;
    for (size_t i = 0; i < sl_val_count(entries); i++) {
        const sl_val *e = sl_at(entries, i);
        if (!v->get(v, sl_get_text(e, "namespace"), sl_get_text(e, "key"), &value))
            return 1;
        sl_val *one = sl_map(c->arena);
        for (size_t k = 0; k < SL_COUNT(kept); k++)
            if (sl_get(e, kept[k]) != NULL)
                sl_map_setc(c->arena, one, kept[k], sl_get(e, kept[k]));
        sl_map_setc(c->arena, one, "value", value);
        if (value != NULL) /* else it is gone meanwhile */
            sl_list_add(c->arena, out, one);
    }
    sl_cli_print("%.*s\n", SL_ARG(sl_json_pretty(c->arena, out)));
    return 0;
}

/* *ret_ttl_ms: what is left of its life; 0 = for ever, below: it is over. */
static bool life_of(const sl_val *entry, int64_t *ret_ttl_ms)
{
    sl_str expires = sl_get_text(entry, "expirationDate");
    sl_time t;
    *ret_ttl_ms = 0;
    if (expires.n == 0)
        return true;
    if (!sl_time_parse(expires, &t))
        return false;
    *ret_ttl_ms = t.s * 1000 + t.ns / 1000000 - sl_now_ms();
    *ret_ttl_ms -= *ret_ttl_ms == 0;
    return true;
}

static int import_all(sl_cli *c, sl_values *v)
{
    sl_err err;
    sl_str text, json, own;
    size_t stored = 0;
    if (c->word_count != 2)
        return sl_cli_fail(2, "usage: sluice kv import FILE");
    if (!read_value(c, strcmp(c->words[1], "-") == 0 ? "-" : sl_fmt(c->arena, "@%s", c->words[1]).p, &text, &err))
        return sl_cli_error(1, &err);
    const sl_val *entries = sl_json_parse(c->arena, text, &err);
    if (!sl_is(entries, SL_LIST))
        return sl_cli_fail(2, "%s is not what `sluice kv export` writes%s%s", c->words[1], entries ? "" : ": ", entries ? "" : err.message);
    for (size_t i = 0; i < entries->list.n; i++) {
        const sl_val *e = entries->list.items[i], *value = sl_get(e, "value");
        sl_kv_options o = { .description = sl_get_text(e, "description") };
        if (!life_of(e, &o.ttl_ms))
            return sl_cli_fail(2, "entry %zu: 'expirationDate' is no date", i + 1);
        if (o.ttl_ms < 0)
            continue;
        if (!sl_kv_encode(c->arena, value ? value : &sl_null_val, sl_get_text(e, "type"), &json, &own, &err))
            return sl_cli_fail(2, "entry %zu: %s", i + 1, err.message);
        o.type = own;
        if (!v->put(v, sl_get_text(e, "namespace"), sl_get_text(e, "key"), json, &o))
            return sl_cli_fail(1, "entry %zu could not be stored; %zu before it are", i + 1, stored);
        stored++;
    }
    sl_cli_print("%zu values%s\n", stored, stored < entries->list.n ? " (the others have expired)" : "");
    return 0;
}

static int rotate(sl_cli *c, sl_values *v)
{
    sl_err err;
    int64_t records = 0;
    sl_str file = sl_cli_text(c, "--kek");
    if (v->kv == NULL)
        return sl_cli_fail(2, "keys are rotated on the machine that has the data folder: run this there, without SLUICE_URL");
    if (file.n > 0) {
        SL_SECRET key = NULL;
        const char *path = sl_fs_absolute(c->arena, file.p).p;
        if (!sl_kek_read_file(path, &key, &err) || !sl_kv_rewrap(v->kv, key, &err))
            return sl_cli_error(1, &err);
        sl_cli_print("the data keys are wrapped with %s now; start Sluice with SLUICE_KEK_FILE=%s (or put it in the place of %s)\n", path, path, sl_kv_kek(v->kv)->source);
        return 0;
    }
    if (!sl_kv_rotate(v->kv, &records, &err))
        return sl_cli_error(1, &err);
    sl_cli_print("%lld records are encrypted with a new data key\n", (long long)records);
    return 0;
}

static int keygen(sl_cli *c)
{
    sl_err err;
    if (c->word_count != 2)
        return sl_cli_fail(2, "usage: sluice secret keygen FILE");
    return sl_kek_generate(c->words[1], &err) ? 0 : sl_cli_error(1, &err);
}

static const struct {
    const char *name;
    bool values, secrets;
    int (*run)(sl_cli *c, sl_values *v);
} verbs[] = {
    { "set", true, true, set }, { "get", true, false, get }, { "list", true, true, list }, { "delete", true, true, delete }, { "export", true, false, export_all }, { "import", true, false, import_all }, { "rotate", false, true, rotate },
};

static int dispatch(sl_cli *c, sl_kv_kind kind)
{
    if (kind == SL_KV_SECRET && strcmp(c->words[0], "keygen") == 0)
        return keygen(c);
    for (size_t i = 0; i < SL_COUNT(verbs); i++) {
        if (strcmp(c->words[0], verbs[i].name) != 0 || !(kind == SL_KV_SECRET ? verbs[i].secrets : verbs[i].values))
            continue;
        sl_values *v = sl_values_open(c, kind);
        int rc = v ? verbs[i].run(c, v) : 1;
        if (v != NULL)
            v->close(v);
        return rc;
    }
    return sl_cli_fail(2, "there is no `sluice %s %s`; there are %s", name_of(kind), c->words[0],
                       kind == SL_KV_SECRET ? "set, list, delete, rotate and keygen (values of secrets are never printed)" : "set, get, list, delete, export and import");
}

static int run_kv(sl_cli *c)
{
    return dispatch(c, SL_KV_VALUE);
}

static int run_secret(sl_cli *c)
{
    return dispatch(c, SL_KV_SECRET);
}

#define SHARED                                                                                                   \
    { "--namespace", "-n", "NAMESPACE", false, "the namespace (default)" },                                      \
    { "--ttl", NULL, "DURATION", false, "how long the value is valid, such as P30D" },                           \
    { "--description", NULL, "TEXT", false, "for people" },                                                      \
    { "--accept-rollback", NULL, NULL, false, "take an older copy of the store as the truth from now on" }

static const sl_cli_opt kv_opts[] = { SHARED, { "--type", NULL, "TYPE", false, "STRING, NUMBER, BOOLEAN, DATETIME, DATE, DURATION or JSON" }, { 0 } };
static const sl_cli_opt secret_opts[] = { SHARED, { "--kek", NULL, "FILE", false, "rotate: wrap the data keys with this key" }, { 0 } };

const sl_command sl_command_kv = { "kv", "set|get|list|delete|export|import [-n NAMESPACE] KEY [VALUE|@FILE|-]", "Values that flows read with kv('KEY').", kv_opts, 1, 3, run_kv };
const sl_command sl_command_secret = { "secret", "set|list|delete|rotate|keygen [-n NAMESPACE] KEY [@FILE|-]", "Secrets that flows read with secret('KEY'); they are never printed.", secret_opts, 1, 3,
                                       run_secret };
