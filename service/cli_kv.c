/* service/cli_kv.c: `kv` and `secret`. Values of secrets are never printed. */
#include <unistd.h>

#include "base/arena.h"
#include "base/fs.h"
#include "base/io.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/secret.h"
#include "service/cli.h"

static sl_kv *open_store(sl_cli *c, sl_err *err)
{
    if (!sl_fs_mkdirs(c->data_dir, err))
        return NULL;
    sl_kv *kv = sl_kv_open(sl_fmt(c->arena, "%s/kv.db", c->data_dir).p, c->data_dir, sl_cli_has(c, "--accept-rollback"), err);
    if (kv != NULL && sl_kv_kek(kv)->from_environment)
        (void)sl_cli_fail(0, "warning: the key comes from the environment, where other programs of this user may see it; a key file is safer");
    return kv;
}

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

static const sl_val *entry_json(sl_arena *a, const sl_kv_entry *e)
{
    sl_val *v = sl_map(a);
    sl_map_set_str(a, v, "namespace", e->ns);
    sl_map_set_str(a, v, "key", e->key);
    sl_map_set_str(a, v, "type", e->type);
    sl_map_set_int(a, v, "version", e->version);
    sl_map_set_str(a, v, "creationDate", sl_time_rfc3339(a, e->created_ms));
    sl_map_set_str(a, v, "updateDate", sl_time_rfc3339(a, e->updated_ms));
    if (e->expires_ms > 0)
        sl_map_set_str(a, v, "expirationDate", sl_time_rfc3339(a, e->expires_ms));
    if (e->description.n > 0)
        sl_map_set_str(a, v, "description", e->description);
    sl_map_set_str(a, v, "fingerprint", e->fingerprint);
    return v;
}

static int list(sl_cli *c, sl_kv *kv, sl_kv_kind kind)
{
    sl_kv_entry *entries;
    size_t n;
    sl_err err;
    sl_str all = { NULL, 0 };
    if (!sl_kv_entries(kv, c->arena, kind, sl_cli_has(c, "--namespace") ? namespace_of(c) : all, SL_S(""), &entries, &n, &err))
        return sl_cli_error(1, &err);
    sl_val *out = sl_list(c->arena);
    for (size_t i = 0; i < n; i++) {
        if (c->json)
            sl_list_add(c->arena, out, entry_json(c->arena, &entries[i]));
        else
            sl_cli_print("%-20.*s %-32.*s %-8.*s v%-4lld %.*s  %.*s\n", SL_ARG(entries[i].ns), SL_ARG(entries[i].key), SL_ARG(entries[i].type), (long long)entries[i].version,
                         SL_ARG(sl_time_rfc3339(c->arena, entries[i].updated_ms)), SL_ARG(entries[i].fingerprint));
    }
    if (c->json)
        sl_cli_print("%.*s\n", SL_ARG(sl_json(c->arena, out)));
    return 0;
}

static int set(sl_cli *c, sl_kv *kv, sl_kv_kind kind)
{
    sl_err err;
    sl_str value, json, type = sl_str_upper(c->arena, sl_cli_text(c, "--type")), own;
    if (c->word_count != 3)
        return sl_cli_fail(2, "usage: sluice %s set [-n NAMESPACE] KEY VALUE|@FILE|-", kind == SL_KV_SECRET ? "secret" : "kv");
    if (kind == SL_KV_SECRET && c->words[2][0] != '@' && strcmp(c->words[2], "-") != 0)
        return sl_cli_fail(2, "a secret on the command line would stay in the shell's history; give it as @FILE or on the standard input with -");
    sl_kv_options o = { .description = sl_cli_text(c, "--description") };
    sl_str ttl = sl_cli_text(c, "--ttl");
    if (ttl.n > 0 && !sl_duration_parse(ttl, &o.ttl_ms))
        return sl_cli_fail(2, "--ttl must be a duration such as PT1H or P30D");
    if (!read_value(c, c->words[2], &value, &err))
        return sl_cli_error(1, &err);
    if (kind == SL_KV_SECRET)
        sl_redact_add(value);
    json = value;
    if (kind == SL_KV_VALUE) {
        if (!sl_kv_encode(c->arena, sl_val_str(c->arena, value), type, &json, &own, &err))
            return sl_cli_error(2, &err);
        o.type = own;
    }
    if (!sl_kv_put(kv, kind, namespace_of(c), sl_str_c(c->words[1]), json, &o, &err))
        return sl_cli_error(1, &err);
    return 0;
}

static int get(sl_cli *c, sl_kv *kv)
{
    sl_kv_entry e;
    bool found;
    sl_err err;
    if (c->word_count != 2)
        return sl_cli_fail(2, "usage: sluice kv get [-n NAMESPACE] KEY");
    if (!sl_kv_find(kv, c->arena, SL_KV_VALUE, namespace_of(c), sl_str_c(c->words[1]), true, &found, &e, &err))
        return sl_cli_error(1, &err);
    const sl_val *v = found ? sl_kv_decode(c->arena, &e, &err) : NULL;
    if (v == NULL)
        return sl_cli_fail(1, "The key '%s' does not exist in the namespace '%.*s'.", c->words[1], SL_ARG(namespace_of(c)));
    sl_cli_print("%.*s\n", SL_ARG(c->json ? sl_json(c->arena, v) : sl_val_text(c->arena, v)));
    return 0;
}

static int delete(sl_cli *c, sl_kv *kv, sl_kv_kind kind)
{
    bool existed;
    sl_err err;
    if (c->word_count != 2)
        return sl_cli_fail(2, "usage: sluice %s delete [-n NAMESPACE] KEY", kind == SL_KV_SECRET ? "secret" : "kv");
    if (!sl_kv_remove(kv, kind, namespace_of(c), sl_str_c(c->words[1]), &existed, &err))
        return sl_cli_error(1, &err);
    return existed ? 0 : sl_cli_fail(1, "there is no '%s' in the namespace '%.*s'", c->words[1], SL_ARG(namespace_of(c)));
}

/* Export: all values of a namespace (or of all) as one JSON document; import takes the same. Secrets are not in it. */
static int export_all(sl_cli *c, sl_kv *kv)
{
    sl_kv_entry *entries, e;
    size_t n;
    sl_err err;
    bool found;
    sl_str all = { NULL, 0 };
    sl_val *out = sl_list(c->arena);
    if (!sl_kv_entries(kv, c->arena, SL_KV_VALUE, sl_cli_has(c, "--namespace") ? namespace_of(c) : all, SL_S(""), &entries, &n, &err))
        return sl_cli_error(1, &err);
    for (size_t i = 0; i < n; i++) {
        if (!sl_kv_find(kv, c->arena, SL_KV_VALUE, entries[i].ns, entries[i].key, false, &found, &e, &err))
            return sl_cli_error(1, &err);
        const sl_val *v = sl_json_parse(c->arena, e.value, &err);
        if (v == NULL)
            return sl_cli_error(1, &err);
        sl_val *one = sl_map(c->arena);
        sl_map_set_str(c->arena, one, "namespace", e.ns);
        sl_map_set_str(c->arena, one, "key", e.key);
        sl_map_set_str(c->arena, one, "type", e.type);
        sl_map_setc(c->arena, one, "value", v);
        sl_list_add(c->arena, out, one);
    }
    sl_cli_print("%.*s\n", SL_ARG(sl_json_pretty(c->arena, out)));
    return 0;
}

static int import_all(sl_cli *c, sl_kv *kv)
{
    sl_err err;
    sl_str text, json, own;
    if (c->word_count != 2)
        return sl_cli_fail(2, "usage: sluice kv import FILE");
    if (!read_value(c, strcmp(c->words[1], "-") == 0 ? "-" : sl_fmt(c->arena, "@%s", c->words[1]).p, &text, &err))
        return sl_cli_error(1, &err);
    const sl_val *list_of = sl_json_parse(c->arena, text, &err);
    if (!sl_is(list_of, SL_LIST))
        return sl_cli_fail(2, "%s is not what `sluice kv export` writes", c->words[1]);
    for (size_t i = 0; i < list_of->list.n; i++) {
        const sl_val *one = list_of->list.items[i];
        if (!sl_kv_encode(c->arena, sl_get(one, "value") ? sl_get(one, "value") : &sl_null_val, sl_get_text(one, "type"), &json, &own, &err)
            || !sl_kv_put(kv, SL_KV_VALUE, sl_get_text(one, "namespace"), sl_get_text(one, "key"), json, &(sl_kv_options){ .type = own }, &err))
            return sl_cli_fail(1, "entry %zu: %s", i + 1, err.message);
    }
    sl_cli_print("%zu values\n", list_of->list.n);
    return 0;
}

static int rotate(sl_cli *c, sl_kv *kv)
{
    sl_err err;
    int64_t records = 0;
    sl_str file = sl_cli_text(c, "--kek");
    if (file.n > 0) {
        SL_SECRET key = NULL;
        if (!sl_kek_read_file(file.p, &key, &err) || !sl_kv_rewrap(kv, key, &err))
            return sl_cli_error(1, &err);
        sl_cli_print("the data keys are wrapped with %s now; start Sluice with SLUICE_KEK_FILE=%s (or put it in the place of %s)\n", file.p, file.p, sl_kv_kek(kv)->source);
        return 0;
    }
    if (!sl_kv_rotate(kv, &records, &err))
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

static int dispatch(sl_cli *c, sl_kv_kind kind)
{
    const char *verb = c->words[0];
    sl_err err;
    if (kind == SL_KV_SECRET && strcmp(verb, "keygen") == 0)
        return keygen(c);
    sl_kv *kv = open_store(c, &err);
    if (kv == NULL)
        return sl_cli_error(1, &err);
    int rc;
    if (strcmp(verb, "set") == 0)
        rc = set(c, kv, kind);
    else if (strcmp(verb, "list") == 0)
        rc = list(c, kv, kind);
    else if (strcmp(verb, "delete") == 0)
        rc = delete (c, kv, kind);
    else if (kind == SL_KV_VALUE && strcmp(verb, "get") == 0)
        rc = get(c, kv);
    else if (kind == SL_KV_VALUE && strcmp(verb, "export") == 0)
        rc = export_all(c, kv);
    else if (kind == SL_KV_VALUE && strcmp(verb, "import") == 0)
        rc = import_all(c, kv);
    else if (kind == SL_KV_SECRET && strcmp(verb, "rotate") == 0)
        rc = rotate(c, kv);
    else
        rc = sl_cli_fail(2, "there is no `sluice %s %s`; there are %s", kind == SL_KV_SECRET ? "secret" : "kv", verb,
                         kind == SL_KV_SECRET ? "set, list, delete, rotate and keygen" : "set, get, list, delete, export and import");
    sl_kv_close(kv);
    return rc;
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
