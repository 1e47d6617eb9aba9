/*
 * base/redact.c: finds known secret values in text.
 *
 * A bitmap over a hash of four bytes rejects almost every position with one load; the few others look at a chain of patterns.
 * Patterns are only ever added, so that readers need no lock beyond a shared one.
 */
#include <openssl/evp.h>
#include <pthread.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/secret.h"

enum { KEY = 4, SLOTS = 1 << 16, LINE_MIN = 8 };

typedef struct pattern {
    struct pattern *next;
    size_t n;
    char text[];
} pattern;

static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static uint64_t bitmap[SLOTS / 64];
static pattern *table[SLOTS];
static size_t count;

static uint32_t slot_of(const char *p)
{
    uint32_t x;
    memcpy(&x, p, sizeof x);
    return x * 2654435761U >> 16;
}

static void add_locked(sl_str text)
{
    if (text.n < KEY || count >= SL_SECRET_COUNT_MAX * 12)
        return;
    uint32_t slot = slot_of(text.p);
    for (pattern *p = table[slot]; p != NULL; p = p->next)
        if (p->n == text.n && memcmp(p->text, text.p, text.n) == 0)
            return;
    pattern *p = sl_malloc(sizeof *p + text.n);
    p->n = text.n;
    memcpy(p->text, text.p, text.n);
    /* Longest first, so that a value that contains another one is hidden whole. */
    pattern **at = &table[slot];
    while (*at != NULL && (*at)->n > p->n)
        at = &(*at)->next;
    p->next = *at;
    *at = p;
    bitmap[slot / 64] |= 1ULL << (slot % 64);
    count++;
}

/* Base64 of a text that contains the value at any of three alignments: the characters that depend on it alone. */
static void add_base64(sl_arena *a, sl_str value)
{
    for (size_t shift = 0; shift < 3; shift++) {
        sl_buf padded = sl_buf_new(a, value.n + 3);
        for (size_t i = 0; i < shift; i++)
            sl_buf_char(&padded, 'x');
        sl_buf_add(&padded, value);
        sl_str text = sl_base64(a, sl_buf_str(&padded)), url = sl_base64url(a, sl_buf_str(&padded));
        size_t from = (shift * 8 + 5) / 6, to = (shift + value.n) * 8 / 6;
        if (to >= from + 8) {
            add_locked(sl_str_sub(text, from, to));
            add_locked(sl_str_sub(url, from, to));
        }
    }
}

static void add_html(sl_arena *a, sl_str value)
{
    sl_buf b = sl_buf_new(a, value.n * 6 + 1);
    for (size_t i = 0; i < value.n; i++) {
        const char *escaped = value.p[i] == '<' ? "&lt;" : value.p[i] == '>' ? "&gt;" : value.p[i] == '&' ? "&amp;" : value.p[i] == '"' ? "&quot;" : NULL;
        if (escaped)
            sl_buf_addc(&b, escaped);
        else
            sl_buf_char(&b, value.p[i]);
    }
    add_locked(sl_buf_str(&b));
}

static void add_forms(sl_arena *a, sl_str value)
{
    add_locked(value);
    sl_buf quoted = sl_buf_new(a, value.n * 6 + 8);
    sl_json_quote(&quoted, value);
    sl_str json = sl_buf_str(&quoted);
    add_locked(sl_str_sub(json, 1, json.n - 1));
    sl_str url = sl_percent(a, value, NULL);
    add_locked(url);
    sl_buf low = sl_buf_new(a, url.n + 1);
    for (size_t i = 0; i < url.n; i++)
        sl_buf_char(&low, i > 0 && (url.p[i - 1] == '%' || (i > 1 && url.p[i - 2] == '%')) && url.p[i] >= 'A' && url.p[i] <= 'F' ? (char)(url.p[i] + 32) : url.p[i]);
    add_locked(sl_buf_str(&low));
    sl_str hex = sl_hex(a, value);
    add_locked(hex);
    add_locked(sl_str_upper(a, hex));
    add_base64(a, value);
    add_html(a, value);
}

void sl_redact_add(sl_str value)
{
    value = sl_str_trim(value);
    if (value.n < KEY)
        return;
    SL_ARENA a = sl_arena_new();
    pthread_rwlock_wrlock(&lock);
    add_forms(a, value);
    if (memchr(value.p, '\n', value.n) != NULL) {
        sl_str rest = value, line;
        while (sl_str_cut(&rest, '\n', &line)) {
            line = sl_str_trim(line);
            /* The fixed first and last line of a PEM key are no secret, and hiding them would hide what went wrong. */
            if (line.n >= LINE_MIN && !sl_str_starts(line, SL_S("-----")) && line.p[0] != '"')
                add_forms(a, line);
        }
    }
    pthread_rwlock_unlock(&lock);
}

void sl_redact_reset(void)
{
    pthread_rwlock_wrlock(&lock);
    for (size_t i = 0; i < SLOTS; i++)
        while (table[i] != NULL) {
            pattern *p = table[i];
            table[i] = p->next;
            sl_wipe(p->text, p->n);
            free(p);
        }
    memset(bitmap, 0, sizeof bitmap);
    count = 0;
    pthread_rwlock_unlock(&lock);
}

static size_t match_at(const char *p, size_t left)
{
    if (left < KEY)
        return 0;
    uint32_t slot = slot_of(p);
    if ((bitmap[slot / 64] >> (slot % 64) & 1) == 0)
        return 0;
    for (const pattern *c = table[slot]; c != NULL; c = c->next)
        if (c->n <= left && memcmp(c->text, p, c->n) == 0)
            return c->n;
    return 0;
}

sl_str sl_redact(sl_arena *arena, sl_str text)
{
    static const char mask[] = "******";
    sl_buf b = { 0 };
    size_t from = 0;
    pthread_rwlock_rdlock(&lock);
    for (size_t i = 0; count > 0 && i + KEY <= text.n;) {
        size_t n = match_at(text.p + i, text.n - i);
        if (n == 0) {
            i++;
            continue;
        }
        if (b.arena == NULL)
            b = sl_buf_new(arena, SIZE_MAX / 4);
        sl_buf_add(&b, sl_str_sub(text, from, i));
        sl_buf_addc(&b, mask);
        i += n;
        from = i;
    }
    pthread_rwlock_unlock(&lock);
    if (b.arena == NULL)
        return text;
    sl_buf_add(&b, sl_str_sub(text, from, text.n));
    return sl_buf_str(&b);
}

void sl_redact_err(sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    sl_str clean = sl_redact(a, sl_str_c(err->message));
    if (clean.p != err->message)
        (void)snprintf(err->message, sizeof err->message, "%.*s", SL_ARG(clean));
}

const sl_val *sl_redact_val(sl_arena *arena, const sl_val *v)
{
    if (v == NULL || count == 0)
        return v;
    if (v->type == SL_STRING) {
        sl_str clean = sl_redact(arena, v->s);
        return clean.p == v->s.p ? v : sl_val_str(arena, clean);
    }
    if (v->type == SL_LIST) {
        sl_val *list = sl_list(arena);
        for (size_t i = 0; i < v->list.n; i++)
            sl_list_add(arena, list, sl_redact_val(arena, v->list.items[i]));
        return list;
    }
    if (v->type == SL_MAP) {
        sl_val *map = sl_map(arena);
        for (size_t i = 0; i < v->map.n; i++)
            sl_map_set(arena, map, sl_redact(arena, v->map.entries[i].key), sl_redact_val(arena, v->map.entries[i].value));
        return map;
    }
    return v;
}
