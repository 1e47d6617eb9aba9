/* local/dynamo_key.c: keys of items, of a table's schema or an index's; items by their key. See dynamo.h. */
#include "base/arena.h"
#include "base/json.h"
#include "local/dynamo.h"

enum { ITEM_MAX = 400 << 10 };

static sl_str key_type(const sl_ddb_call *x, sl_str name)
{
    const sl_val *list = sl_get(x->table, "AttributeDefinitions");
    for (size_t i = 0; i < sl_val_count(list); i++)
        if (sl_str_eq(sl_get_text(sl_at(list, i), "AttributeName"), name))
            return sl_get_text(sl_at(list, i), "AttributeType");
    return SL_S("S");
}

/* One element of a schema goes into the key. NULL, or what is wrong with a number. */
static bool add(const sl_ddb_call *x, const sl_val *element, const sl_val *inner, sl_ddb_key *ret)
{
    sl_str text = inner->s;
    double number = 0;
    if (sl_str_eqc(key_type(x, sl_get_text(element, "AttributeName")), "N") && (!sl_ddb_number(x->a, inner->s, &text) || !sl_parse_double(text, &number)))
        return false;
    bool first = sl_str_eqc(sl_get_text(element, "KeyType"), "HASH");
    *(first ? &ret->partition : &ret->sort) = text; /* 1 and 1.0 are one key */
    if (!first)
        ret->order = number;
    return true;
}

bool sl_ddb_read_key(sl_ddb_call *x, const sl_val *item, bool alone, sl_ddb_key *ret)
{
    const sl_val *schema = sl_get(x->table, "KeySchema");
    sl_val *map = sl_map(x->a);
    *ret = (sl_ddb_key){ .map = map, .sort = SL_S("") };
    for (size_t i = 0; i < sl_val_count(schema); i++) {
        sl_str name = sl_get_text(sl_at(schema, i), "AttributeName");
        const sl_val *v = sl_get_str(item, name), *inner = sl_get_str(v, key_type(x, name));
        if (inner == NULL || inner->type != SL_STRING || sl_val_count(v) != 1)
            return sl_refuse(&x->why, x->a, 400, SL_DDB_INVALID, v == NULL ? "One or more parameter values were invalid: Missing the key %.*s in the item" : "One or more parameter values were invalid: Type mismatch for key %.*s", SL_ARG(name));
        if (inner->s.n == 0)
            return sl_ddb_invalid(x, "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value.");
        sl_map_set(x->a, map, name, v);
        if (!add(x, sl_at(schema, i), inner, ret))
            return sl_refuse(&x->why, x->a, 400, SL_DDB_INVALID, "The parameter cannot be converted to a numeric value: %.*s", SL_ARG(inner->s));
    }
    return !alone || sl_val_count(item) == map->map.n || sl_ddb_invalid(x, "The provided key element does not match the schema");
}

bool sl_ddb_index_key(const sl_ddb_call *x, const sl_val *schema, const sl_val *item, sl_ddb_key *ret)
{
    sl_val *map = sl_map(x->a);
    *ret = (sl_ddb_key){ .map = map, .sort = SL_S("") };
    for (size_t i = 0; i < sl_val_count(schema); i++) {
        sl_str name = sl_get_text(sl_at(schema, i), "AttributeName");
        const sl_val *v = sl_get_str(item, name), *inner = sl_get_str(v, key_type(x, name));
        if (inner == NULL || inner->type != SL_STRING || inner->s.n == 0 || !add(x, sl_at(schema, i), inner, ret))
            return false;
        sl_map_set(x->a, map, name, v);
    }
    return true;
}

bool sl_ddb_indexable(sl_ddb_call *x, const sl_val *item)
{
    const sl_val *list = sl_get(x->table, "AttributeDefinitions");
    for (size_t i = 0; i < sl_val_count(list); i++) {
        sl_str name = sl_get_text(sl_at(list, i), "AttributeName"), type = sl_get_text(sl_at(list, i), "AttributeType");
        const sl_val *v = sl_get_str(item, name);
        if (v != NULL && !sl_str_eq(sl_ddb_type(v), type))
            return sl_refuse(&x->why, x->a, 400, SL_DDB_INVALID, "One or more parameter values were invalid: Type mismatch for Index Key %.*s Expected: %.*s Actual: %.*s", SL_ARG(name), SL_ARG(type), SL_ARG(sl_ddb_type(v)));
    }
    return true;
}

int sl_ddb_key_cmp(const sl_ddb_key *a, const sl_ddb_key *b)
{
    int order = sl_str_cmp(a->partition, b->partition);
    return order != 0 ? order : a->order != b->order ? (a->order < b->order ? -1 : 1) : sl_str_cmp(a->sort, b->sort);
}

bool sl_ddb_load(sl_ddb_call *x, const sl_ddb_key *k, const sl_val **ret)
{
    sl_err err;
    *ret = NULL;
    sl_db_lock(x->c->db);
    sl_stmt *s = sl_db_query(x->c->db, &err, "SELECT item FROM ddb_items WHERE tab=? AND pk=? AND sk=?", "sss", x->name, k->partition, k->sort);
    if (s != NULL && sl_stmt_next(s, &err) == 1) {
        *ret = sl_json_parse(x->a, sl_col_str(s, x->a, 0), &err);
        sl_stmt_done(s);
    }
    sl_db_unlock(x->c->db);
    return s != NULL || sl_ddb_broken(x, &err);
}

bool sl_ddb_store(sl_ddb_call *x, const sl_ddb_key *k, const sl_val *item)
{
    sl_err err;
    sl_str text = item ? sl_json(x->a, item) : SL_S("");
    if (text.n > ITEM_MAX)
        return sl_ddb_invalid(x, "Item size has exceeded the maximum allowed size");
    sl_db_lock(x->c->db);
    bool ok = item ? sl_db_run(x->c->db, &err, "INSERT OR REPLACE INTO ddb_items(tab, pk, sk, ord, item) VALUES(?,?,?,?,?)", "sssds", x->name, k->partition, k->sort, k->order, text)
                   : sl_db_run(x->c->db, &err, "DELETE FROM ddb_items WHERE tab=? AND pk=? AND sk=?", "sss", x->name, k->partition, k->sort);
    sl_db_unlock(x->c->db);
    return ok || sl_ddb_broken(x, &err);
}
