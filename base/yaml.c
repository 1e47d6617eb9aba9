/* base/yaml.c: libyaml's event stream to a value tree. */
#include "base/yaml.h"

#include <yaml.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/limits.h"

#define TAGS "tag:yaml.org,2002:"

enum { READ_AGAIN_MAX = 64 << 20 }; /* bytes: each text in quotes with such escapes costs another reading */

typedef struct anchor {
    struct anchor *next;
    sl_str name;
    const sl_val *value;
} anchor;

typedef struct loader {
    sl_arena *arena;
    sl_err *err;
    yaml_parser_t parser;
    anchor *anchors;
    size_t nodes;
    int depth;
    bool surrogate;          /* reading ended at an escape that libyaml takes for none */
    yaml_mark_t surrogate_mark;
} loader;

static bool at(loader *l, yaml_mark_t mark, const char *code, const char *what)
{
    uint32_t line = (uint32_t)mark.line + 1, column = (uint32_t)mark.column + 1;
    return sl_err_at(l->err, line, column, SL_ERR_CONFIG, code, "%s", what);
}

static bool next_event(loader *l, yaml_event_t *event)
{
    if (yaml_parser_parse(&l->parser, event))
        return true;
    const yaml_parser_t *p = &l->parser;
    yaml_mark_t mark = p->problem_mark.line || p->problem_mark.column ? p->problem_mark : p->context_mark;
    const char *problem = p->problem ? p->problem : "unreadable";
    const char *context = p->context ? p->context : "";
    char text[400];
    l->surrogate = p->problem != NULL && strstr(p->problem, "invalid Unicode character escape code") != NULL;
    l->surrogate_mark = mark;
    (void)snprintf(text, sizeof text, "not valid YAML: %s%s%s; check the indentation and the quotes around this place", problem,
                   *context ? " " : "", context);
    at(l, mark, "yaml.syntax", text);
    return false;
}

/* ---- what an unquoted word means ---- */

/* true, True, TRUE */
static bool is_word(sl_str word, const char *lower)
{
    size_t n = strlen(lower), capitals = 0;
    if (word.n != n)
        return false;
    for (size_t i = 0; i < n; i++) {
        bool capital = word.p[i] >= 'A' && word.p[i] <= 'Z';
        if ((char)(capital ? word.p[i] + 32 : word.p[i]) != lower[i])
            return false;
        capitals += capital;
    }
    return capitals == 0 || capitals == n || (capitals == 1 && word.p[0] < 'a');
}

static bool is_one_of(sl_str word, const char *const *words)
{
    while (*words != NULL && !is_word(word, *words))
        words++;
    return *words != NULL;
}

/* Digits of the base, _ between them. false: it is no such number, or too large. */
static bool digits(sl_str word, unsigned base, bool minus, int64_t *ret)
{
    uint64_t v = 0;
    size_t count = 0;
    for (size_t i = 0; i < word.n; i++) {
        char c = word.p[i];
        unsigned digit = c >= '0' && c <= '9' ? (unsigned)(c - '0') : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10 : 99;
        if (c == '_')
            continue;
        if (digit >= base || __builtin_mul_overflow(v, base, &v) || __builtin_add_overflow(v, digit, &v))
            return false;
        count++;
    }
    if (count == 0 || v > (uint64_t)INT64_MAX + minus)
        return false;
    *ret = minus ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

static bool integer(sl_str word, int64_t *ret)
{
    bool sign = word.p[0] == '-' || word.p[0] == '+', minus = word.p[0] == '-';
    sl_str rest = sl_str_sub(word, sign, word.n);
    if (rest.n == 0 || rest.p[0] < '0' || rest.p[0] > '9')
        return false;
    if (rest.n > 2 && rest.p[0] == '0' && (rest.p[1] == 'x' || rest.p[1] == 'b'))
        return digits(sl_str_sub(rest, 2, rest.n), rest.p[1] == 'x' ? 16 : 2, minus, ret);
    return digits(rest, rest.n > 1 && rest.p[0] == '0' ? 8 : 10, minus, ret);
}

static bool all_digits(sl_str word)
{
    for (size_t i = word.p[0] == '-' || word.p[0] == '+'; i < word.n; i++)
        if (word.p[i] < '0' || word.p[i] > '9')
            return false;
    return true;
}

const sl_val *sl_yaml_scalar(sl_arena *arena, sl_str word)
{
    static const char *const yes[] = { "true", "yes", "on", NULL }, *const no[] = { "false", "no", "off", NULL };
    int64_t i;
    double d;
    if (word.n == 0 || sl_str_eqc(word, "~") || is_word(word, "null"))
        return &sl_null_val;
    if (is_one_of(word, yes))
        return &sl_true_val;
    if (is_one_of(word, no))
        return &sl_false_val;
    if (strchr("0123456789-+.", word.p[0]) == NULL)
        return NULL;
    if (integer(word, &i))
        return sl_val_int(arena, i);
    bool leading_zero = word.n > 1 && word.p[0] == '0' && word.p[1] >= '0' && word.p[1] <= '9';
    if (leading_zero || all_digits(word)) /* an integer of any length stays what it is */
        return NULL;
    sl_str plain = word.p[0] != '.' && memchr(word.p, '_', word.n) != NULL ? sl_str_replace(arena, word, SL_S("_"), SL_S("")) : word;
    return sl_parse_double(plain, &d) ? sl_val_double(arena, d) : NULL;
}

/* ---- reading ---- */

static const sl_val *load_node(loader *l, yaml_event_t *event);

/* !!int '5' is 5, !!str 5 is "5". NULL: it is not what its tag says. */
static const sl_val *tagged(loader *l, const char *name, sl_str text)
{
    const sl_val *typed = sl_yaml_scalar(l->arena, text);
    sl_type type = typed ? typed->type : SL_STRING;
    if (strcmp(name, "str") == 0 || strcmp(name, "binary") == 0)
        return sl_val_str(l->arena, text);
    if (strcmp(name, "float") == 0 && type == SL_INT)
        return sl_val_double(l->arena, (double)typed->i);
    bool fits = (strcmp(name, "int") == 0 && type == SL_INT) || (strcmp(name, "float") == 0 && type == SL_DOUBLE) || (strcmp(name, "bool") == 0 && type == SL_BOOL) || (strcmp(name, "null") == 0 && type == SL_NULL);
    return fits ? typed : NULL;
}

static const sl_val *load_scalar(loader *l, const yaml_event_t *event)
{
    sl_str text = sl_str_dup(l->arena, (sl_str){ (const char *)event->data.scalar.value, event->data.scalar.length });
    bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    const char *tag = (const char *)event->data.scalar.tag;
    bool own = tag != NULL && strncmp(tag, TAGS, strlen(TAGS)) == 0;
    const sl_val *typed = own ? tagged(l, tag + strlen(TAGS), text) : plain && tag == NULL ? sl_yaml_scalar(l->arena, text) : NULL;
    if (own && typed == NULL) {
        at(l, event->start_mark, "yaml.tag", "this is not what its tag (!!) says");
        return NULL;
    }
    sl_val *v = sl_val_str(l->arena, text);
    if (typed != NULL)
        *v = *typed;
    if (v->type == SL_INT || v->type == SL_DOUBLE || v->type == SL_BOOL)
        v->written = text;
    v->quoted = !plain;
    return v;
}

/* A key is text, whatever it looks like: `2024:` and `true:` are the keys "2024" and "true". */
static bool load_key(loader *l, yaml_event_t *event, const sl_val *map, sl_str *key)
{
    if (event->type != YAML_SCALAR_EVENT)
        return at(l, event->start_mark, "yaml.key", "a key must be a plain text");
    *key = sl_str_dup(l->arena, (sl_str){ (const char *)event->data.scalar.value, event->data.scalar.length });
    const sl_entry *old = sl_map_entry(map, *key);
    if (old == NULL)
        return true;
    char text[300];
    (void)snprintf(text, sizeof text, "the key '%.*s' is written twice, first on line %u; remove one of them", SL_ARG(*key), old->line);
    return at(l, event->start_mark, "yaml.duplicate", text);
}

static bool merge(loader *l, sl_val *map, const sl_val *from, yaml_mark_t mark)
{
    if (from->type == SL_LIST) {
        for (size_t i = 0; i < from->list.n; i++)
            if (!merge(l, map, from->list.items[i], mark))
                return false;
        return true;
    }
    if (from->type != SL_MAP)
        return at(l, mark, "yaml.merge", "the merge key << needs a map");
    for (size_t i = 0; i < from->map.n; i++)
        if (sl_map_entry(map, from->map.entries[i].key) == NULL)
            sl_map_set(l->arena, map, from->map.entries[i].key, from->map.entries[i].value);
    return true;
}

static bool load_map(loader *l, sl_val *map)
{
    const sl_val *merges = NULL;
    yaml_mark_t merge_mark = { 0 };
    for (;;) {
        yaml_event_t event;
        if (!next_event(l, &event))
            return false;
        if (event.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&event);
            return merges == NULL || merge(l, map, merges, merge_mark);
        }
        sl_str key = { 0 };
        yaml_mark_t mark = event.start_mark;
        bool plain = event.type == YAML_SCALAR_EVENT && event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
        bool ok = load_key(l, &event, map, &key);
        yaml_event_delete(&event);
        if (!ok || !next_event(l, &event))
            return false;
        const sl_val *value = load_node(l, &event);
        yaml_event_delete(&event);
        if (value == NULL)
            return false;
        if (plain && sl_str_eqc(key, "<<")) {
            merges = value;
            merge_mark = mark;
            continue;
        }
        sl_map_set(l->arena, map, key, value);
        map->map.entries[map->map.n - 1].line = (uint32_t)mark.line + 1;
        map->map.entries[map->map.n - 1].column = (uint32_t)mark.column + 1;
    }
}

static bool load_list(loader *l, sl_val *list)
{
    for (;;) {
        yaml_event_t event;
        if (!next_event(l, &event))
            return false;
        if (event.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&event);
            return true;
        }
        const sl_val *item = load_node(l, &event);
        yaml_event_delete(&event);
        if (item == NULL)
            return false;
        sl_list_add(l->arena, list, item);
    }
}

static size_t count_nodes(const sl_val *v)
{
    size_t n = 1;
    if (v->type == SL_LIST)
        for (size_t i = 0; i < v->list.n; i++)
            n += count_nodes(v->list.items[i]);
    if (v->type == SL_MAP)
        for (size_t i = 0; i < v->map.n; i++)
            n += count_nodes(v->map.entries[i].value);
    return n;
}

static const sl_val *load_alias(loader *l, const yaml_event_t *event)
{
    sl_str name = sl_str_c((const char *)event->data.alias.anchor);
    for (anchor *a = l->anchors; a != NULL; a = a->next)
        if (sl_str_eq(a->name, name)) {
            l->nodes += count_nodes(a->value);
            if (l->nodes > SL_YAML_NODES_MAX) {
                at(l, event->start_mark, "yaml.nodes", "too many nodes once the aliases are expanded");
                return NULL;
            }
            return a->value;
        }
    at(l, event->start_mark, "yaml.alias", "this alias names an anchor that does not exist");
    return NULL;
}

static const char *event_anchor(const yaml_event_t *e)
{
    const yaml_char_t *a = e->type == YAML_SCALAR_EVENT           ? e->data.scalar.anchor
                           : e->type == YAML_SEQUENCE_START_EVENT ? e->data.sequence_start.anchor
                                                                  : e->data.mapping_start.anchor;
    return (const char *)a;
}

static const char *event_tag(const yaml_event_t *e)
{
    const yaml_char_t *t = e->type == YAML_SCALAR_EVENT           ? e->data.scalar.tag
                           : e->type == YAML_SEQUENCE_START_EVENT ? e->data.sequence_start.tag
                                                                  : e->data.mapping_start.tag;
    return (const char *)t;
}

static const sl_val *load_node(loader *l, yaml_event_t *event)
{
    yaml_mark_t mark = event->start_mark;
    if (event->type == YAML_ALIAS_EVENT)
        return load_alias(l, event);
    if (++l->nodes > SL_YAML_NODES_MAX) {
        at(l, mark, "yaml.nodes", "too many nodes for one document");
        return NULL;
    }
    if (event_tag(event) != NULL && strcmp(event_tag(event), "!") != 0 && strncmp(event_tag(event), TAGS, strlen(TAGS)) != 0) {
        at(l, mark, "yaml.tag", "tags of your own (!...) are not supported");
        return NULL;
    }
    const char *anchor_text = event_anchor(event);
    sl_str anchor_name = anchor_text ? sl_str_dup(l->arena, sl_str_c(anchor_text)) : (sl_str){ 0 };
    sl_val *v;
    if (event->type == YAML_SCALAR_EVENT) {
        v = (sl_val *)(uintptr_t)load_scalar(l, event);
        if (v == NULL)
            return NULL;
    } else {
        if (++l->depth > SL_YAML_DEPTH_MAX) {
            at(l, mark, "yaml.depth", "nested too deeply (more than 50 levels)");
            return NULL;
        }
        bool is_map = event->type == YAML_MAPPING_START_EVENT;
        v = is_map ? sl_map(l->arena) : sl_list(l->arena);
        if (!(is_map ? load_map(l, v) : load_list(l, v)))
            return NULL;
        l->depth--;
    }
    v->line = (uint32_t)mark.line + 1;
    v->column = (uint32_t)mark.column + 1;
    if (anchor_name.p != NULL) {
        anchor *a = SL_NEW(l->arena, anchor);
        *a = (anchor){ l->anchors, anchor_name, v };
        l->anchors = a;
    }
    return v;
}

static bool load_documents(loader *l, sl_val *documents)
{
    for (;;) {
        yaml_event_t event;
        if (!next_event(l, &event))
            return false;
        yaml_event_type_t type = event.type;
        if (type == YAML_STREAM_END_EVENT) {
            yaml_event_delete(&event);
            return true;
        }
        if (type == YAML_STREAM_START_EVENT || type == YAML_DOCUMENT_START_EVENT || type == YAML_DOCUMENT_END_EVENT) {
            yaml_event_delete(&event);
            continue;
        }
        l->anchors = NULL;
        const sl_val *v = load_node(l, &event);
        yaml_event_delete(&event);
        if (v == NULL)
            return false;
        sl_list_add(l->arena, documents, v);
    }
}

/* Where a mark of libyaml lies: it counts characters. */
static size_t offset_of(sl_str text, yaml_mark_t mark)
{
    size_t at = 0, line = 0, column = 0;
    while (at < text.n && line < mark.line)
        line += text.p[at++] == '\n';
    for (; at < text.n && (column < mark.column || ((unsigned char)text.p[at] & 0xC0) == 0x80); at++)
        column += ((unsigned char)text.p[at] & 0xC0) != 0x80;
    return at;
}

static bool half(sl_str text, size_t at, unsigned from, unsigned *ret)
{
    *ret = 0;
    if (at + 6 > text.n || text.p[at] != '\\' || text.p[at + 1] != 'u')
        return false;
    for (size_t i = at + 2; i < at + 6; i++) {
        char c = text.p[i];
        unsigned digit = c >= '0' && c <= '9' ? (unsigned)(c - '0') : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10 : 99;
        if (digit > 15)
            return false;
        *ret = *ret * 16 + digit;
    }
    return *ret >= from && *ret < from + 0x400;
}

/*
 * JSON writes characters beyond U+FFFF as two escapes, \ud83c\udf89, and JSON is YAML to Kestra's reader. From the place on where
 * libyaml refused the first of two, up to the end of its quotes, each pair becomes its character. false: it was no pair.
 */
static bool join_surrogates(sl_arena *arena, sl_str *text, size_t from)
{
    sl_buf b = sl_buf_new(arena, SL_YAML_SIZE_MAX);
    unsigned high, low;
    size_t i = from, joined = 0;
    sl_buf_add(&b, sl_str_sub(*text, 0, from));
    for (; i < text->n && text->p[i] != '"'; i++) {
        if (half(*text, i, 0xD800, &high) && half(*text, i + 6, 0xDC00, &low)) {
            unsigned c = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
            const char utf8[] = { (char)(0xF0 | c >> 18), (char)(0x80 | (c >> 12 & 0x3F)), (char)(0x80 | (c >> 6 & 0x3F)), (char)(0x80 | (c & 0x3F)) };
            sl_buf_add(&b, (sl_str){ utf8, sizeof utf8 });
            i += 11;
            joined++;
        } else if (text->p[i] == '\\' && i + 1 < text->n) {
            sl_buf_add(&b, sl_str_sub(*text, i, i + 2));
            i++;
        } else
            sl_buf_char(&b, text->p[i]);
    }
    sl_buf_add(&b, sl_str_sub(*text, i, text->n));
    *text = sl_buf_str(&b);
    return joined > 0;
}

static bool load_text(loader *l, sl_str text, sl_val *documents)
{
    if (!yaml_parser_initialize(&l->parser))
        return sl_err_set(l->err, SL_ERR_BUG, "yaml.init", "the YAML reader cannot start: out of memory");
    yaml_parser_set_encoding(&l->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&l->parser, (const unsigned char *)(text.p ? text.p : ""), text.n);
    bool ok = load_documents(l, documents);
    yaml_parser_delete(&l->parser);
    return ok;
}

const sl_val *sl_yaml_parse_all(sl_arena *arena, sl_str text, sl_err *err)
{
    if (text.n > SL_YAML_SIZE_MAX) {
        sl_err_set(err, SL_ERR_LIMIT, "yaml.size", "YAML text of %zu bytes is larger than the limit of %d", text.n, SL_YAML_SIZE_MAX);
        return NULL;
    }
    for (int n = 0;; n++) {
        loader l = { .arena = arena, .err = err };
        sl_val *documents = sl_list(arena);
        if (load_text(&l, text, documents))
            return documents;
        size_t digits_at = l.surrogate ? offset_of(text, l.surrogate_mark) : 0; /* behind \u */
        if (digits_at < 2 || (size_t)n * text.n > READ_AGAIN_MAX || !join_surrogates(arena, &text, digits_at - 2))
            return NULL;
        sl_err_clear(err);
    }
}

sl_str sl_yaml_unmarked(sl_str text)
{
    if (sl_str_starts(text, SL_S("---\n")))
        return sl_str_sub(text, 4, text.n);
    return sl_str_starts(text, SL_S("---\r\n")) ? sl_str_sub(text, 5, text.n) : text;
}

bool sl_yaml_cut(sl_str *rest, sl_str *document)
{
    if (rest->p == NULL)
        return false;
    *rest = sl_yaml_unmarked(*rest);
    for (size_t i = 0; i + 3 <= rest->n; i++) {
        bool line = i == 0 || rest->p[i - 1] == '\n', mark = line && memcmp(rest->p + i, "---", 3) == 0;
        char next = i + 3 < rest->n ? rest->p[i + 3] : '\n';
        if (!mark || i == 0 || (next != '\n' && next != '\r' && next != ' '))
            continue;
        *document = sl_str_sub(*rest, 0, i);
        *rest = sl_str_sub(*rest, i, rest->n);
        return true;
    }
    *document = *rest;
    *rest = (sl_str){ NULL, 0 };
    return true;
}

const sl_val *sl_yaml_parse(sl_arena *arena, sl_str text, sl_err *err)
{
    const sl_val *documents = sl_yaml_parse_all(arena, text, err);
    if (documents == NULL)
        return NULL;
    if (documents->list.n > 1) {
        const sl_val *second = documents->list.items[1];
        sl_err_at(err, second->line, second->column, SL_ERR_CONFIG, "yaml.documents",
                  "a second document starts here; put each flow into a file of its own");
        return NULL;
    }
    return documents->list.n == 0 ? &sl_null_val : documents->list.items[0];
}

/* ---- writing ---- */

/* As Jackson with minimal quotes: words that mean something, and what would end or begin something else. */
static bool needs_quotes(sl_str s)
{
    static const char *const words[] = { "true", "false", "yes", "no", "on", "off", "y", "n", "null", NULL };
    if (s.n == 0 || sl_str_eqc(s, "~") || is_one_of(s, words))
        return true;
    return s.p[0] == '#' || s.p[0] == ',' || s.p[0] == '[' || s.p[0] == ']' || s.p[0] == '{' || s.p[0] == '}' || s.p[s.n - 1] == ':' || sl_str_find(s, SL_S(": ")) >= 0 || sl_str_find(s, SL_S(" #")) >= 0
           || memchr(s.p, '\n', s.n) != NULL || memchr(s.p, '\t', s.n) != NULL;
}

/* What cannot stand without quotes, though nothing in it needs an escape; a number with a leading zero would be read as octal. */
static bool needs_single_quotes(sl_str s)
{
    bool octal = s.n > 1 && s.p[0] == '0';
    for (size_t i = 1; i < s.n; i++)
        octal &= s.p[i] >= '0' && s.p[i] <= '9';
    bool indicator = strchr("&*!|>'\"%@`", s.p[0]) != NULL || (strchr("-?:", s.p[0]) != NULL && (s.n == 1 || s.p[1] == ' '));
    return octal || indicator || s.p[0] == ' ' || s.p[s.n - 1] == ' ';
}

static void write_text(sl_buf *b, sl_arena *arena, sl_str s)
{
    if (needs_quotes(s))
        sl_json_quote(b, s);
    else if (needs_single_quotes(s)) {
        sl_str doubled = sl_str_replace(arena, s, SL_S("'"), SL_S("''"));
        sl_buf_fmt(b, "'%.*s'", SL_ARG(doubled));
    } else
        sl_buf_add(b, s);
}

static void write_scalar(sl_buf *b, sl_arena *arena, const sl_val *v)
{
    if (v->type == SL_STRING)
        write_text(b, arena, v->s);
    else
        sl_buf_add(b, v->type == SL_NULL ? SL_S("null") : sl_val_text(arena, v));
}

/* A key that looks like a number is quoted, a value is not. */
static void write_key(sl_buf *b, sl_arena *arena, sl_str key)
{
    const sl_val *typed = sl_yaml_scalar(arena, key);
    if (typed != NULL && (typed->type == SL_INT || typed->type == SL_DOUBLE))
        sl_json_quote(b, key);
    else
        write_text(b, arena, key);
}

/* Maps begin at their column; dashes stand one column before that of what follows them. */
static void write_node(sl_buf *b, sl_arena *arena, const sl_val *v, int indent)
{
    bool list = v->type == SL_LIST;
    for (size_t i = 0; i < sl_val_count(v); i++) {
        const sl_val *child = list ? v->list.items[i] : v->map.entries[i].value;
        sl_buf_fmt(b, "%*s", list ? indent - 1 : indent, "");
        if (list)
            sl_buf_char(b, '-');
        else {
            write_key(b, arena, v->map.entries[i].key);
            sl_buf_char(b, ':');
        }
        if (sl_val_count(child) > 0) {
            sl_buf_char(b, '\n');
            write_node(b, arena, child, child->type == SL_LIST || !list ? indent + 2 : indent);
            continue;
        }
        sl_buf_char(b, ' ');
        if (child->type == SL_LIST || child->type == SL_MAP)
            sl_buf_addc(b, child->type == SL_LIST ? "[]" : "{}");
        else
            write_scalar(b, arena, child);
        sl_buf_char(b, '\n');
    }
}

sl_str sl_yaml_write(sl_arena *arena, const sl_val *v)
{
    sl_buf b = sl_buf_new(arena, SIZE_MAX / 4);
    if (sl_val_count(v) > 0)
        write_node(&b, arena, v, v->type == SL_LIST ? 2 : 0);
    else if (v->type == SL_LIST || v->type == SL_MAP)
        sl_buf_addc(&b, v->type == SL_LIST ? "[]\n" : "{}\n");
    else {
        write_scalar(&b, arena, v);
        sl_buf_addc(&b, v->type == SL_NULL ? "" : "\n");
    }
    return sl_buf_str(&b);
}
