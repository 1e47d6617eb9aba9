/*
 * local/dynamo_read.c: Query and Scan, of a table or of a secondary index, a page at a time.
 *
 * A table is read in the order of its keys. An index is what its items are, sorted anew for every page: what a laptop holds.
 */
#include <stdlib.h>

#include "base/arena.h"
#include "base/io.h"
#include "base/json.h"
#include "local/dynamo.h"

enum { PAGE_BYTES = 1 << 20 };

typedef struct entry {
    sl_ddb_key table, index;   /* index: of the index that is read */
    const sl_val *item;
} entry;

typedef struct look {
    sl_ddb_call *x;
    sl_ddb_names n;
    sl_str condition, filter, projection;
    const sl_val *index;          /* NULL: the table itself */
    const sl_val *partition;      /* only items with this value of the hash key */
    int64_t limit, scanned;
    int64_t segment, segments;    /* of a parallel scan; segments 0: all of it */
    size_t bytes;
    sl_val *items;
    bool global, count_only, backwards, full;
    entry start;                  /* ExclusiveStartKey, when `after` */
    bool after;
    const sl_val *last;           /* key of the last item that was looked at, when there may be more */
} look;

static int compare(const entry *a, const entry *b, bool index)
{
    int order = index ? sl_ddb_key_cmp(&a->index, &b->index) : 0;
    return order != 0 ? order : sl_ddb_key_cmp(&a->table, &b->table);
}

static int by_index(const void *a, const void *b)
{
    return compare(a, b, true);
}

/* What the index keeps of the item. */
static const sl_val *kept(look *l, const entry *e)
{
    const sl_val *projection = sl_get(l->index, "Projection"), *extra = sl_get(projection, "NonKeyAttributes");
    if (l->index == NULL || sl_str_eqc(sl_get_text(projection, "ProjectionType"), "ALL"))
        return e->item;
    sl_val *out = sl_map_shallow(l->x->a, e->table.map);
    for (size_t i = 0; i < e->index.map->map.n; i++)
        sl_map_set(l->x->a, out, e->index.map->map.entries[i].key, e->index.map->map.entries[i].value);
    for (size_t i = 0; i < sl_val_count(extra); i++)
        if (sl_get_str(e->item, sl_at(extra, i)->s) != NULL)
            sl_map_set(l->x->a, out, sl_at(extra, i)->s, sl_get_str(e->item, sl_at(extra, i)->s));
    return out;
}

/* Items of one hash key are in one segment. */
static bool elsewhere(const look *l, const entry *e)
{
    sl_str key = l->index != NULL ? e->index.partition : e->table.partition;
    return l->segments > 0 && sl_crc32c(0, key.p, key.n) % (uint64_t)l->segments != (uint64_t)l->segment;
}

/* false: an error. l->full: the page ends behind this item. */
static bool consider(look *l, const entry *e)
{
    sl_ddb_call *x = l->x;
    sl_arena *a = x->a;
    bool hit, shows;
    /* A local index reads from the table what it lacks. */
    const sl_val *shown, *item = kept(l, e), *whole = l->index != NULL && !l->global && l->projection.n > 0 ? e->item : item;
    int order = l->after ? compare(e, &l->start, l->index != NULL) : 1;
    if ((l->after && (l->backwards ? order >= 0 : order <= 0)) || elsewhere(l, e))
        return true;
    if (!sl_ddb_holds(a, l->condition, &l->n, item, &hit, &x->why))
        return false;
    if (!hit)
        return true;
    l->scanned++;
    l->bytes += sl_json(a, item).n;
    if (!sl_ddb_holds(a, l->filter, &l->n, item, &shows, &x->why) || !sl_ddb_project(a, l->projection, &l->n, whole, &shown, &x->why))
        return false;
    if (shows)
        sl_list_add(a, l->items, shown);
    sl_val *last = sl_map_shallow(a, e->table.map);
    for (size_t i = 0; l->index != NULL && i < e->index.map->map.n; i++)
        sl_map_set(a, last, e->index.map->map.entries[i].key, e->index.map->map.entries[i].value);
    l->last = last;
    l->full = (l->limit > 0 && l->scanned == l->limit) || l->bytes > PAGE_BYTES;
    return true;
}

/* ---- where the items come from ---- */

static sl_stmt *open_items(look *l, sl_err *err)
{
    sl_db *db = l->x->c->db;
    sl_str name = l->x->name, partition = l->start.table.partition;
    sl_ddb_key k = l->start.table;
    if (l->index == NULL && l->partition != NULL) {
        partition = l->partition->s;
        return l->backwards ? sl_db_query(db, err, "SELECT item FROM ddb_items WHERE tab=? AND pk=? ORDER BY ord DESC, sk DESC", "ss", name, partition)
                            : sl_db_query(db, err, "SELECT item FROM ddb_items WHERE tab=? AND pk=? ORDER BY ord, sk", "ss", name, partition);
    }
    if (l->index == NULL && l->after)
        return sl_db_query(db, err, "SELECT item FROM ddb_items WHERE tab=? AND (pk, ord, sk) > (?,?,?) ORDER BY pk, ord, sk", "ssds", name, k.partition, k.order, k.sort);
    return sl_db_query(db, err, "SELECT item FROM ddb_items WHERE tab=? ORDER BY pk, ord, sk", "s", name);
}

static bool take(look *l, sl_str text, entry *e, bool *in, sl_err *err)
{
    sl_ddb_call *x = l->x;
    *e = (entry){ .item = sl_json_parse(x->a, text, err) };
    if (e->item == NULL)
        return sl_ddb_broken(x, err);
    *in = l->index == NULL || sl_ddb_index_key(x, sl_get(l->index, "KeySchema"), e->item, &e->index);
    *in = *in && (l->index == NULL || l->partition == NULL || sl_str_eq(e->index.partition, l->partition->s));
    return sl_ddb_read_key(x, e->item, false, &e->table);
}

static bool walk(look *l)
{
    sl_err err;
    bool ok = true, in = false;
    size_t count = 0, capacity = 0;
    entry one, *sorted = NULL;
    sl_db_lock(l->x->c->db);
    sl_stmt *s = open_items(l, &err);
    bool opened = s != NULL;
    while (s != NULL && ok && !l->full && sl_stmt_next(s, &err) == 1) {
        ok = take(l, sl_col_str(s, l->x->a, 0), &one, &in, &err);
        if (ok && in && l->index == NULL)
            ok = consider(l, &one);
        else if (ok && in) {
            if (count == capacity)
                sorted = sl_realloc(l->x->a, sorted, capacity * sizeof *sorted, (capacity + capacity / 2 + 64) * sizeof *sorted), capacity += capacity / 2 + 64;
            sorted[count++] = one;
        }
    }
    if (s != NULL)
        sl_stmt_done(s);
    sl_db_unlock(l->x->c->db);
    if (count > 0)
        qsort(sorted, count, sizeof *sorted, by_index);
    for (size_t i = 0; ok && !l->full && i < count; i++)
        ok = consider(l, &sorted[l->backwards ? count - 1 - i : i]);
    if (!l->full)
        l->last = NULL;
    return opened ? ok : sl_ddb_broken(l->x, &err);
}

/* ---- the request ---- */

static bool choose_index(look *l)
{
    sl_ddb_call *x = l->x;
    sl_str name = sl_get_text(x->body, "IndexName");
    if (sl_get(x->body, "IndexName") == NULL)
        return true;
    l->index = sl_ddb_index(x, name, &l->global);
    if (l->index == NULL)
        return sl_refuse(&x->why, x->a, 400, SL_DDB_INVALID, "The table does not have the specified index: %.*s", SL_ARG(name));
    if (l->global && sl_get_bool(x->body, "ConsistentRead", false))
        return sl_ddb_invalid(x, "Consistent reads are not supported on global secondary indexes");
    return true;
}

static bool choose_start(look *l)
{
    sl_ddb_call *x = l->x;
    const sl_val *start = sl_get(x->body, "ExclusiveStartKey");
    if (start == NULL)
        return true;
    l->after = true;
    if (!sl_ddb_read_key(x, start, l->index == NULL, &l->start.table))
        return false;
    return l->index == NULL || sl_ddb_index_key(x, sl_get(l->index, "KeySchema"), start, &l->start.index) || sl_ddb_invalid(x, "The provided starting key is invalid");
}

/* A query names one value of the hash key. */
static bool choose_partition(look *l)
{
    sl_ddb_call *x = l->x;
    sl_str name = sl_get_text(sl_at(sl_get(l->index != NULL ? l->index : x->table, "KeySchema"), 0), "AttributeName"), text;
    const sl_val *v = sl_ddb_key_asked(x->a, l->condition, &l->n, name, &x->why);
    if (x->why.status != 0)
        return false;
    if (v == NULL)
        return sl_refuse(&x->why, x->a, 400, SL_DDB_INVALID, "Query condition missed key schema element: %.*s", SL_ARG(name));
    text = sl_get_text(v, sl_ddb_type(v).n ? sl_cstr(x->a, sl_ddb_type(v)) : "S");
    if (sl_str_eqc(sl_ddb_type(v), "N") && !sl_ddb_number(x->a, text, &text))
        return sl_refuse(&x->why, x->a, 400, SL_DDB_INVALID, "The parameter cannot be converted to a numeric value: %.*s", SL_ARG(text));
    l->partition = sl_val_str(x->a, text);
    return true;
}

static bool choose_segment(look *l)
{
    enum { SEGMENTS_MAX = 1000000 };
    sl_ddb_call *x = l->x;
    bool has = sl_get(x->body, "Segment") != NULL, of = sl_get(x->body, "TotalSegments") != NULL;
    if (!has && !of)
        return true;
    if (!has || !of)
        return sl_ddb_invalid(x, has ? "The TotalSegments parameter is required but was not present in the request when Segment parameter is present"
                                     : "The Segment parameter is required but was not present in the request when parameter TotalSegments is present");
    l->segment = sl_get_int(x->body, "Segment", -1);
    l->segments = sl_get_int(x->body, "TotalSegments", 0);
    if (l->segments < 1 || l->segments > SEGMENTS_MAX)
        return sl_ddb_invalid(x, "TotalSegments must be between 1 and 1000000");
    if (l->segment < 0 || l->segment >= l->segments)
        return sl_refuse(&x->why, x->a, 400, SL_DDB_INVALID, "The Segment parameter is zero-based and must be less than parameter TotalSegments: Segment: %lld is not less than TotalSegments: %lld", (long long)l->segment, (long long)l->segments);
    return true;
}

static bool read_many(sl_ddb_call *x, bool query)
{
    look l = { .x = x, .n = sl_ddb_names_of(x), .filter = sl_get_text(x->body, "FilterExpression"), .projection = sl_get_text(x->body, "ProjectionExpression"), .limit = sl_get_int(x->body, "Limit", 0), .items = sl_list(x->a),
               .count_only = sl_str_eqc(sl_get_text(x->body, "Select"), "COUNT"), .backwards = query && !sl_get_bool(x->body, "ScanIndexForward", true) };
    bool ignored;
    if (!sl_ddb_need_table(x) || !choose_index(&l) || (!query && !choose_segment(&l)))
        return false;
    if (query && (l.condition = sl_get_text(x->body, "KeyConditionExpression")).n == 0)
        return sl_ddb_invalid(x, "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.");
    if (sl_get(x->body, "Limit") != NULL && l.limit < 1)
        return sl_ddb_invalid(x, "Limit must be greater than or equal to 1");
    /* Wrong expressions are refused for an empty table, too. */
    if ((query && !choose_partition(&l)) || !sl_ddb_holds(x->a, l.filter, &l.n, NULL, &ignored, &x->why) || !choose_start(&l) || !walk(&l))
        return false;
    if (!l.count_only)
        sl_map_setc(x->a, x->answer, "Items", l.items);
    sl_map_set_int(x->a, x->answer, "Count", (int64_t)l.items->list.n);
    sl_map_set_int(x->a, x->answer, "ScannedCount", l.scanned);
    sl_map_opt(x->a, x->answer, "LastEvaluatedKey", l.last);
    return true;
}

bool sl_ddb_query(sl_ddb_call *x)
{
    return read_many(x, true);
}

bool sl_ddb_scan(sl_ddb_call *x)
{
    return read_many(x, false);
}
