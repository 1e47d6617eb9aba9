/* base/yaml.c: libyaml's event stream to a value tree. */
#include "base/yaml.h"

#include <yaml.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/limits.h"

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
    (void)snprintf(text, sizeof text, "not valid YAML: %s%s%s; check the indentation and the quotes around this place", problem,
                   *context ? " " : "", context);
    at(l, mark, "yaml.syntax", text);
    return false;
}

const sl_val *sl_yaml_scalar(sl_arena *arena, sl_str word)
{
    int64_t i;
    double d;
    if (word.n == 0 || sl_str_eqc(word, "~") || sl_str_eqc(word, "null") || sl_str_eqc(word, "Null") || sl_str_eqc(word, "NULL"))
        return &sl_null_val;
    if (sl_str_eqc(word, "true") || sl_str_eqc(word, "True") || sl_str_eqc(word, "TRUE"))
        return &sl_true_val;
    if (sl_str_eqc(word, "false") || sl_str_eqc(word, "False") || sl_str_eqc(word, "FALSE"))
        return &sl_false_val;
    bool leading_zero = word.n > 1 && word.p[0] == '0' && word.p[1] >= '0' && word.p[1] <= '9';
    if (!leading_zero && sl_parse_int(word, &i))
        return sl_val_int(arena, i);
    bool number_like = (word.p[0] >= '0' && word.p[0] <= '9') || word.p[0] == '-' || word.p[0] == '+' || word.p[0] == '.';
    if (number_like && !leading_zero && sl_parse_double(word, &d))
        return sl_val_double(arena, d);
    return NULL;
}

static const sl_val *load_node(loader *l, yaml_event_t *event);

static const sl_val *load_scalar(loader *l, const yaml_event_t *event)
{
    sl_str text = sl_str_dup(l->arena, (sl_str){ (const char *)event->data.scalar.value, event->data.scalar.length });
    bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    const sl_val *typed = plain ? sl_yaml_scalar(l->arena, text) : NULL;
    sl_val *v = sl_val_str(l->arena, text);
    if (typed != NULL)
        *v = *typed;
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
    if (event_tag(event) != NULL && strcmp(event_tag(event), "!") != 0) {
        at(l, mark, "yaml.tag", "tags (!...) are not supported");
        return NULL;
    }
    const char *anchor_text = event_anchor(event);
    sl_str anchor_name = anchor_text ? sl_str_dup(l->arena, sl_str_c(anchor_text)) : (sl_str){ 0 };
    sl_val *v;
    if (event->type == YAML_SCALAR_EVENT)
        v = (sl_val *)(uintptr_t)load_scalar(l, event);
    else {
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

const sl_val *sl_yaml_parse_all(sl_arena *arena, sl_str text, sl_err *err)
{
    if (text.n > SL_YAML_SIZE_MAX) {
        sl_err_set(err, SL_ERR_LIMIT, "yaml.size", "YAML text of %zu bytes is larger than the limit of %d", text.n, SL_YAML_SIZE_MAX);
        return NULL;
    }
    loader l = { .arena = arena, .err = err };
    if (!yaml_parser_initialize(&l.parser)) {
        sl_err_set(err, SL_ERR_BUG, "yaml.init", "the YAML reader cannot start: out of memory");
        return NULL;
    }
    yaml_parser_set_encoding(&l.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&l.parser, (const unsigned char *)(text.p ? text.p : ""), text.n);
    sl_val *documents = sl_list(arena);
    bool ok = load_documents(&l, documents);
    yaml_parser_delete(&l.parser);
    return ok ? documents : NULL;
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

static bool needs_quotes(sl_arena *arena, sl_str s)
{
    if (sl_yaml_scalar(arena, s) != NULL || s.n == 0)
        return true;
    if (strchr("-?:,[]{}#&*!|>'\"%@` ", s.p[0]) != NULL || s.p[s.n - 1] == ' ' || s.p[s.n - 1] == ':')
        return true;
    return sl_str_find(s, SL_S(": ")) >= 0 || sl_str_find(s, SL_S(" #")) >= 0 || memchr(s.p, '\n', s.n) != NULL;
}

static void write_scalar(sl_buf *b, sl_arena *arena, const sl_val *v)
{
    sl_str s = v->type == SL_NULL ? SL_S("null") : sl_val_text(arena, v);
    if (v->type == SL_STRING && needs_quotes(arena, s))
        sl_json_quote(b, s);
    else
        sl_buf_add(b, s);
}

static void write_node(sl_buf *b, sl_arena *arena, const sl_val *v, int indent, bool inline_first);

static void write_child(sl_buf *b, sl_arena *arena, const sl_val *v, int indent, bool after_dash)
{
    bool block = sl_val_count(v) > 0;
    if (block && !after_dash)
        sl_buf_char(b, '\n');
    else
        sl_buf_char(b, ' ');
    write_node(b, arena, v, indent, block && after_dash);
}

static void write_node(sl_buf *b, sl_arena *arena, const sl_val *v, int indent, bool inline_first)
{
    if (sl_val_count(v) == 0) {
        if (v->type == SL_LIST || v->type == SL_MAP)
            sl_buf_addc(b, v->type == SL_LIST ? "[]" : "{}");
        else
            write_scalar(b, arena, v);
        sl_buf_char(b, '\n');
        return;
    }
    size_t n = sl_val_count(v);
    for (size_t i = 0; i < n; i++) {
        if (i > 0 || !inline_first)
            sl_buf_fmt(b, "%*s", v->type == SL_LIST ? indent + 1 : indent, "");
        if (v->type == SL_LIST) {
            sl_buf_char(b, '-');
            write_child(b, arena, v->list.items[i], indent + 3, true);
        } else {
            write_scalar(b, arena, sl_val_str(arena, v->map.entries[i].key));
            sl_buf_char(b, ':');
            write_child(b, arena, v->map.entries[i].value, v->map.entries[i].value->type == SL_LIST ? indent : indent + 2, false);
        }
    }
}

sl_str sl_yaml_write(sl_arena *arena, const sl_val *v)
{
    sl_buf b = sl_buf_new(arena, SIZE_MAX / 4);
    write_node(&b, arena, v, 0, false);
    return sl_buf_str(&b);
}
