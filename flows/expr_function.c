/* flows/expr_function.c: functions (flow language section 5.9). What reaches out goes through the host's table. */
#include <openssl/evp.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/secret.h"
#include "base/yaml.h"
#include "flows/expr_ast.h"
#include "base/ion.h"

#define FUNCTION(name) static const sl_val *name(ex_context *x, const ex_node *at, const sl_val *in, const sl_val *const *args)

static const sl_val *needs(ex_context *x, const ex_node *at, const char *what)
{
    return ex_fail(x, at, "expr.args", "`%.*s` needs %s", SL_ARG(at->name), what);
}

static const sl_val *not_here(ex_context *x, const ex_node *at)
{
    return ex_fail(x, at, "expr.host", "`%.*s` is not available here", SL_ARG(at->name));
}

/* An error of the host's, with the place added. */
static const sl_val *passed_on(ex_context *x, const ex_node *at)
{
    sl_err inner = *x->err;
    ex_fail(x, at, inner.code, "%s", inner.message);
    x->err->kind = inner.kind;
    return NULL;
}

static sl_str text(ex_context *x, const sl_val *v)
{
    return v && v->type != SL_NULL ? sl_val_text(x->arena, v) : (sl_str){ NULL, 0 };
}

FUNCTION(f_render)
{
    (void)in;
    if (args[0] == NULL)
        return needs(x, at, "a text");
    bool recursive = !sl_is(args[1], SL_BOOL) || args[1]->b;
    return ex_render_again(x, at, args[0], recursive);
}

FUNCTION(f_render_once)
{
    (void)in;
    return args[0] ? ex_render_again(x, at, args[0], false) : needs(x, at, "a text");
}

FUNCTION(f_from_json)
{
    (void)in;
    if (sl_is_null(args[0]))
        return &sl_null_val;
    if (args[0]->type != SL_STRING)
        return ex_fail(x, at, "expr.type", "`fromJson` needs a text, not a %s", sl_type_name(args[0]->type));
    const sl_val *v = sl_json_parse(x->arena, args[0]->s, x->err);
    return v ? v : passed_on(x, at);
}

FUNCTION(f_from_ion)
{
    (void)in;
    if (sl_is_null(args[0]))
        return &sl_null_val;
    sl_str rest = text(x, args[0]);
    bool all = sl_is(args[1], SL_BOOL) && args[1]->b;
    sl_val *rows = sl_list(x->arena);
    const sl_val *v;
    while ((v = sl_ion_read(x->arena, &rest, x->err)) != NULL) {
        if (!all)
            return v;
        sl_list_add(x->arena, rows, v);
    }
    if (x->err->kind != SL_ERR_NONE)
        return passed_on(x, at);
    return all ? rows : &sl_null_val;
}

FUNCTION(f_yaml)
{
    (void)in;
    if (sl_is_null(args[0]))
        return &sl_null_val;
    const sl_val *v = sl_yaml_parse(x->arena, text(x, args[0]), x->err);
    return v ? v : passed_on(x, at);
}

FUNCTION(f_kv)
{
    (void)in;
    const sl_expr_host *h = x->env->host;
    if (args[0] == NULL)
        return needs(x, at, "a key");
    if (h == NULL || h->kv == NULL)
        return not_here(x, at);
    const sl_val *v = NULL;
    sl_str key = text(x, args[0]), ns = text(x, args[1]);
    if (!h->kv(h->self, x->arena, key, ns, &v, x->err))
        return passed_on(x, at);
    if (v != NULL)
        return v;
    bool error_on_missing = !sl_is(args[2], SL_BOOL) || args[2]->b;
    if (!error_on_missing)
        return &sl_null_val;
    sl_str where = ns.p ? ns : sl_get_text(sl_get(x->env->vars, "flow"), "namespace");
    ex_fail(x, at, "expr.kv", "The key '%.*s' does not exist in the namespace '%.*s'; set it with `sluice kv set -n %.*s %.*s VALUE`", SL_ARG(key), SL_ARG(where),
            SL_ARG(where), SL_ARG(key));
    x->err->kind = SL_ERR_NOT_FOUND;
    return NULL;
}

FUNCTION(f_secret)
{
    (void)in;
    const sl_expr_host *h = x->env->host;
    if (args[0] == NULL)
        return needs(x, at, "a key");
    if (h == NULL || h->secret == NULL)
        return not_here(x, at);
    sl_str value;
    if (!h->secret(h->self, x->arena, text(x, args[0]), text(x, args[1]), &value, x->err))
        return passed_on(x, at);
    if (args[2] == NULL)
        return sl_val_str(x->arena, value);
    sl_err ignored;
    const sl_val *doc = sl_json_parse(x->arena, value, &ignored), *field = sl_get_str(doc, text(x, args[2]));
    if (field == NULL)
        return ex_fail(x, at, "expr.secret", "the secret '%.*s' has no field '%.*s'", SL_ARG(text(x, args[0])), SL_ARG(text(x, args[2])));
    sl_redact_add(sl_val_text(x->arena, field));
    return field;
}

FUNCTION(f_read)
{
    (void)in;
    const sl_expr_host *h = x->env->host;
    sl_str out;
    if (args[0] == NULL)
        return needs(x, at, "a path");
    if (h == NULL || h->read == NULL)
        return not_here(x, at);
    return h->read(h->self, x->arena, text(x, args[0]), &out, x->err) ? sl_val_str(x->arena, out) : passed_on(x, at);
}

FUNCTION(f_file_uri)
{
    (void)in;
    const sl_expr_host *h = x->env->host;
    sl_str out;
    if (args[0] == NULL)
        return needs(x, at, "a path");
    if (h == NULL || h->file_uri == NULL)
        return not_here(x, at);
    return h->file_uri(h->self, x->arena, text(x, args[0]), &out, x->err) ? sl_val_str(x->arena, out) : passed_on(x, at);
}

FUNCTION(f_file_size)
{
    (void)in;
    const sl_expr_host *h = x->env->host;
    int64_t size = 0;
    if (args[0] == NULL)
        return needs(x, at, "a URI");
    if (h == NULL || h->file_size == NULL)
        return not_here(x, at);
    if (!h->file_size(h->self, text(x, args[0]), &size, x->err)) {
        bool exists_asked = sl_str_eqc(at->name, "fileExists");
        return exists_asked && x->err->kind == SL_ERR_NOT_FOUND ? &sl_false_val : passed_on(x, at);
    }
    if (sl_str_eqc(at->name, "fileSize"))
        return sl_val_int(x->arena, size);
    return sl_val_bool(sl_str_eqc(at->name, "fileExists") || size == 0);
}

FUNCTION(f_error_logs)
{
    (void)in;
    (void)args;
    const sl_expr_host *h = x->env->host;
    const sl_val *v = NULL;
    if (h == NULL || h->error_logs == NULL)
        return not_here(x, at);
    return h->error_logs(h->self, x->arena, &v, x->err) ? v : passed_on(x, at);
}

FUNCTION(f_tasks_with_state)
{
    (void)in;
    const sl_val *runs = sl_get(x->env->vars, SL_CONTEXT_RUNS);
    if (args[0] == NULL)
        return needs(x, at, "a state");
    if (runs == NULL)
        return not_here(x, at);
    sl_val *found = sl_list(x->arena);
    sl_str state = text(x, args[0]);
    for (size_t i = 0; i < sl_val_count(runs); i++)
        if (sl_str_ieq(sl_get_text(sl_at(runs, i), "state"), state))
            sl_list_add(x->arena, found, sl_at(runs, i));
    return found;
}

/* outputs.t[outermost]…[taskrun.value] for the loops around the current task. */
FUNCTION(f_current_each_output)
{
    (void)in;
    const sl_val *v = args[0], *parents = sl_get(x->env->vars, "parents"), *own = sl_get(sl_get(x->env->vars, "taskrun"), "value");
    if (v == NULL)
        return needs(x, at, "the outputs of a task");
    for (size_t i = sl_val_count(parents); i-- > 0 && v != NULL;) {
        const sl_val *value = sl_get(sl_get(sl_at(parents, i), "taskrun"), "value");
        if (value != NULL)
            v = sl_get_str(v, sl_val_text(x->arena, value));
    }
    if (v != NULL && own != NULL)
        v = sl_get_str(v, sl_val_text(x->arena, own));
    return v ? v : ex_fail(x, at, "expr.undefined", "Unable to find an output for the current value");
}

static bool aes_key(ex_context *x, const ex_node *at, const sl_val *v, sl_str *key)
{
    if (!sl_base64_decode(x->arena, text(x, v), key) || (key->n != 16 && key->n != 24 && key->n != 32))
        return ex_fail(x, at, "expr.key", "`%.*s` needs a base64 key of 16, 24 or 32 bytes", SL_ARG(at->name)) != NULL;
    sl_redact_add(text(x, v));
    return true;
}

static const EVP_CIPHER *gcm(size_t key_size)
{
    return key_size == 16 ? EVP_aes_128_gcm() : key_size == 24 ? EVP_aes_192_gcm() : EVP_aes_256_gcm();
}

/* AES-GCM: base64 of 12 bytes IV, ciphertext, 16 bytes tag. */
FUNCTION(f_encrypt)
{
    (void)in;
    sl_str key, plain = text(x, args[1]);
    if (args[0] == NULL || args[1] == NULL)
        return needs(x, at, "a key and a text");
    if (!aes_key(x, at, args[0], &key))
        return NULL;
    unsigned char *out = sl_alloc(x->arena, 12 + plain.n + 16);
    sl_random(out, 12);
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    int n = 0;
    bool ok = EVP_EncryptInit_ex(c, gcm(key.n), NULL, (const unsigned char *)key.p, out) == 1
              && EVP_EncryptUpdate(c, out + 12, &n, (const unsigned char *)(plain.p ? plain.p : ""), (int)plain.n) == 1
              && EVP_EncryptFinal_ex(c, out + 12 + n, &n) == 1 && EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, 16, out + 12 + plain.n) == 1;
    EVP_CIPHER_CTX_free(c);
    return ok ? sl_val_str(x->arena, sl_base64(x->arena, (sl_str){ (const char *)out, 28 + plain.n })) : ex_fail(x, at, "expr.crypto", "the text cannot be encrypted");
}

FUNCTION(f_decrypt)
{
    (void)in;
    sl_str key, data;
    if (args[0] == NULL || args[1] == NULL)
        return needs(x, at, "a key and an encrypted text");
    if (!aes_key(x, at, args[0], &key))
        return NULL;
    if (!sl_base64_decode(x->arena, text(x, args[1]), &data) || data.n < 28)
        return ex_fail(x, at, "expr.crypto", "the text to decrypt is not base64 of an encrypted text");
    size_t size = data.n - 28;
    unsigned char *out = sl_alloc(x->arena, size + 1);
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    int n = 0;
    bool ok = EVP_DecryptInit_ex(c, gcm(key.n), NULL, (const unsigned char *)key.p, (const unsigned char *)data.p) == 1
              && EVP_DecryptUpdate(c, out, &n, (const unsigned char *)data.p + 12, (int)size) == 1
              && EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, 16, (void *)(uintptr_t)(data.p + 12 + size)) == 1 && EVP_DecryptFinal_ex(c, out + n, &n) == 1;
    EVP_CIPHER_CTX_free(c);
    if (!ok)
        return ex_fail(x, at, "expr.crypto", "the text cannot be decrypted: wrong key, or it was changed");
    sl_redact_add((sl_str){ (const char *)out, size });
    return sl_val_str(x->arena, (sl_str){ (const char *)out, size });
}

/* https://github.com/segmentio/ksuid: seconds since 2014-05-13T16:53:20Z and 16 random bytes, as 27 digits of base 62. */
FUNCTION(f_ksuid)
{
    (void)in;
    (void)at;
    (void)args;
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    unsigned char b[20];
    char text[27];
    uint32_t seconds = (uint32_t)(sl_now_ms() / 1000 - 1400000000);
    sl_random(b + 4, 16);
    for (int i = 0; i < 4; i++)
        b[i] = (unsigned char)(seconds >> (24 - 8 * i));
    for (size_t i = sizeof text; i-- > 0;) {
        unsigned rest = 0;
        for (size_t k = 0; k < sizeof b; k++) {
            rest = rest * 256 + b[k];
            b[k] = (unsigned char)(rest / 62);
            rest %= 62;
        }
        text[i] = digits[rest];
    }
    return sl_val_str(x->arena, sl_str_dup(x->arena, (sl_str){ text, sizeof text }));
}

/* https://github.com/ai/nanoid: characters of an alphabet, each as likely as the others. A length that is no number counts as none. */
FUNCTION(f_nano_id)
{
    (void)in;
    enum { LENGTH = 21, LENGTH_MAX = 1000 };
    sl_str alphabet = sl_is(args[1], SL_STRING) ? args[1]->s : SL_S("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_");
    int64_t length = sl_is(args[0], SL_INT) ? args[0]->i : LENGTH;
    if (length < 0 || length > LENGTH_MAX)
        return ex_fail(x, at, "expr.args", "`nanoId` has a length from 0 to %d, not %lld", LENGTH_MAX, (long long)length);
    size_t n = 0, starts[256];
    for (size_t i = 0; i < alphabet.n; i++) {
        if (((unsigned char)alphabet.p[i] & 0xC0) == 0x80)
            continue;
        if (n == SL_COUNT(starts) - 1)
            return ex_fail(x, at, "expr.args", "the alphabet of `nanoId` has at most %zu characters", SL_COUNT(starts) - 1);
        starts[n++] = i;
    }
    if (n == 0)
        return needs(x, at, "an alphabet that is not empty");
    starts[n] = alphabet.n;
    sl_buf b = sl_buf_new(x->arena, SL_EXPR_OUTPUT_MAX);
    while (length > 0) {
        unsigned char r;
        sl_random(&r, sizeof r);
        if (r >= 256 / n * n)
            continue;
        sl_buf_add(&b, sl_str_sub(alphabet, starts[r % n], starts[r % n + 1]));
        length--;
    }
    return sl_val_str(x->arena, sl_buf_str(&b));
}

FUNCTION(f_uuid)
{
    (void)in;
    (void)at;
    (void)args;
    unsigned char b[16];
    sl_random(b, sizeof b);
    b[6] = (unsigned char)((b[6] & 0x0F) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3F) | 0x80);
    sl_str h = sl_hex(x->arena, (sl_str){ (const char *)b, 16 });
    return sl_val_str(x->arena, sl_fmt(x->arena, "%.8s-%.4s-%.4s-%.4s-%.12s", h.p, h.p + 8, h.p + 12, h.p + 16, h.p + 20));
}

FUNCTION(f_id)
{
    (void)in;
    (void)at;
    (void)args;
    char id[23];
    sl_random_id(id);
    return sl_val_c(x->arena, id);
}

FUNCTION(f_random_int)
{
    (void)in;
    if (!sl_is(args[0], SL_INT) || !sl_is(args[1], SL_INT))
        return needs(x, at, "two integers, lower and upper");
    int64_t lower = args[0]->i, upper = args[1]->i;
    if (upper < lower)
        return ex_fail(x, at, "expr.range", "randomInt's upper bound %lld is less than its lower bound %lld", (long long)upper, (long long)lower);
    return sl_val_int(x->arena, upper == lower ? lower : lower + (int64_t)sl_random_below((uint64_t)(upper - lower)));
}

FUNCTION(f_random_port)
{
    (void)in;
    (void)args;
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && bind(fd, (struct sockaddr *)&a, n) == 0 && getsockname(fd, (struct sockaddr *)&a, &n) == 0;
    if (fd >= 0)
        close(fd);
    return ok ? sl_val_int(x->arena, ntohs(a.sin_port)) : ex_fail(x, at, "expr.port", "no free port was found");
}

FUNCTION(f_range)
{
    (void)in;
    return args[0] && args[1] ? ex_range(x, at, args[0], args[1], args[2]) : needs(x, at, "a start and an end");
}

static const sl_val *extreme(ex_context *x, const ex_node *at, const sl_val *const *args, int sign)
{
    const sl_val *best = args[0];
    if (best == NULL)
        return needs(x, at, "at least one value");
    for (int i = 1; i < EX_ARGS_MAX && args[i] != NULL; i++)
        if (ex_compare(args[i], best) * sign > 0)
            best = args[i];
    return best;
}

FUNCTION(f_max)
{
    (void)in;
    return extreme(x, at, args, 1);
}

FUNCTION(f_min)
{
    (void)in;
    return extreme(x, at, args, -1);
}

/* All variables as a map, without what is secret. */
FUNCTION(f_fetch_context)
{
    (void)in;
    (void)at;
    (void)args;
    sl_val *shown = sl_map_shallow(x->arena, x->env->vars);
    (void)sl_map_remove(shown, SL_S(SL_CONTEXT_RUNS));
    return sl_redact_val(x->arena, shown);
}

FUNCTION(f_print_context)
{
    return sl_val_str(x->arena, sl_json(x->arena, f_fetch_context(x, at, in, args)));
}

FUNCTION(f_http)
{
    (void)in;
    static const char *const names[] = { "uri", "method", "query", "body", "contentType", "headers", "options", "accept" };
    const sl_expr_host *h = x->env->host;
    const sl_val *v = NULL;
    if (args[0] == NULL)
        return needs(x, at, "a uri");
    if (h == NULL || h->http == NULL)
        return not_here(x, at);
    sl_val *request = sl_map(x->arena);
    for (size_t i = 0; i < SL_COUNT(names); i++)
        if (args[i] != NULL)
            sl_map_setc(x->arena, request, names[i], args[i]);
    return h->http(h->self, x->arena, request, &v, x->err) ? v : passed_on(x, at);
}

const ex_entry ex_functions[] = {
    { "render", "toRender recursive", f_render, false },
    { "renderOnce", "toRender", f_render_once, false },
    { "fromJson", "json", f_from_json, false },
    { "json", "json", f_from_json, false },
    { "fromIon", "ion allRows", f_from_ion, false },
    { "yaml", "yaml", f_yaml, false },
    { "kv", "key namespace errorOnMissing", f_kv, false },
    { "secret", "key namespace subkey", f_secret, false },
    { "read", "path", f_read, false },
    { "fileURI", "path", f_file_uri, false },
    { "fileSize", "uri", f_file_size, false },
    { "fileExists", "uri", f_file_size, false },
    { "isFileEmpty", "uri", f_file_size, false },
    { "fileEmpty", "uri", f_file_size, false },
    { "errorLogs", "", f_error_logs, false },
    { "tasksWithState", "state", f_tasks_with_state, false },
    { "currentEachOutput", "outputs", f_current_each_output, false },
    { "iterationOutput", "outputs", f_current_each_output, false },
    { "encrypt", "key plaintext", f_encrypt, false },
    { "decrypt", "key encrypted", f_decrypt, false },
    { "uuid", "", f_uuid, false },
    { "id", "", f_id, false },
    { "ksuid", "", f_ksuid, false },
    { "nanoId", "length alphabet", f_nano_id, false },
    { "randomInt", "lower upper", f_random_int, false },
    { "randomPort", "", f_random_port, false },
    { "range", "start end increment", f_range, false },
    { "max", "a b c d e f g h", f_max, false },
    { "min", "a b c d e f g h", f_min, false },
    { "printContext", "", f_print_context, false },
    { "fetchContext", "", f_fetch_context, false },
    { "http", "uri method query body contentType headers options accept", f_http, false },
    { 0 },
};
