/* local/dynamo_table.c: tables of the DynamoDB face and their secondary indexes. See dynamo.h. */
#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "local/dynamo.h"

enum { GLOBAL_MAX = 20, LOCAL_MAX = 5 };

bool sl_ddb_find_table(sl_ddb_call *x, sl_str name)
{
    sl_err err;
    x->name = name;
    x->table = NULL;
    sl_db_lock(x->c->db);
    sl_stmt *s = sl_db_query(x->c->db, &err, "SELECT definition FROM ddb_tables WHERE name=?", "s", name);
    if (s != NULL && sl_stmt_next(s, &err) == 1) {
        x->table = sl_json_parse(x->a, sl_col_str(s, x->a, 0), &err);
        sl_stmt_done(s);
    }
    sl_db_unlock(x->c->db);
    return x->table != NULL || sl_refuse(&x->why, x->a, 400, SL_DDB_ERROR "ResourceNotFoundException", "Requested resource not found: Table: %.*s not found", SL_ARG(name));
}

bool sl_ddb_need_table(sl_ddb_call *x)
{
    return sl_ddb_find_table(x, sl_get_text(x->body, "TableName"));
}

static const sl_val *named(const sl_val *list, sl_str name)
{
    for (size_t i = 0; i < sl_val_count(list); i++)
        if (sl_str_eq(sl_get_text(sl_at(list, i), "IndexName"), name))
            return sl_at(list, i);
    return NULL;
}

const sl_val *sl_ddb_index(const sl_ddb_call *x, sl_str name, bool *ret_global)
{
    const sl_val *index = named(sl_get(x->table, "GlobalSecondaryIndexes"), name);
    *ret_global = index != NULL;
    return index != NULL ? index : named(sl_get(x->table, "LocalSecondaryIndexes"), name);
}

static const sl_val *description(sl_ddb_call *x)
{
    sl_err err;
    int64_t count = 0;
    sl_val *d = sl_map_shallow(x->a, x->table);
    sl_db_lock(x->c->db);
    sl_stmt *s = sl_db_query(x->c->db, &err, "SELECT count(*) FROM ddb_items WHERE tab=?", "s", x->name);
    if (s != NULL && sl_stmt_next(s, &err) == 1) {
        count = sl_col_int(s, 0);
        sl_stmt_done(s);
    }
    sl_db_unlock(x->c->db);
    sl_map_set_int(x->a, d, "ItemCount", count);
    return d;
}

/* ---- CreateTable ---- */

/* HASH, or HASH and RANGE, all of them defined; counted in `used`. */
static bool schema_fits(sl_ddb_call *x, const sl_val *schema, const sl_val *attributes, sl_val *used)
{
    size_t n = sl_val_count(schema);
    if (n < 1 || n > 2 || !sl_str_eqc(sl_get_text(sl_at(schema, 0), "KeyType"), "HASH") || (n == 2 && !sl_str_eqc(sl_get_text(sl_at(schema, 1), "KeyType"), "RANGE")))
        return sl_ddb_invalid(x, "Invalid KeySchema: The first KeySchemaElement is a HASH key type, the second, where there is one, a RANGE key type");
    for (size_t i = 0; i < n; i++) {
        sl_str name = sl_get_text(sl_at(schema, i), "AttributeName");
        bool defined = false;
        for (size_t k = 0; k < sl_val_count(attributes); k++)
            defined |= sl_str_eq(sl_get_text(sl_at(attributes, k), "AttributeName"), name);
        if (!defined)
            return sl_refuse(&x->why, x->a, 400, SL_DDB_INVALID, "One or more parameter values were invalid: Some index key attributes are not defined in AttributeDefinitions. Keys: [%.*s]", SL_ARG(name));
        sl_map_set(x->a, used, name, &sl_true_val);
    }
    return true;
}

static bool index_fits(sl_ddb_call *x, const sl_val *index, bool global, const sl_val *table_schema)
{
    sl_str name = sl_get_text(index, "IndexName"), type = sl_get_text(sl_get(index, "Projection"), "ProjectionType");
    const sl_val *schema = sl_get(index, "KeySchema"), *extra = sl_get(sl_get(index, "Projection"), "NonKeyAttributes");
    if (name.n < 3 || name.n > 255)
        return sl_ddb_invalid(x, "IndexName must have 3 to 255 characters");
    if (!sl_str_eqc(type, "ALL") && !sl_str_eqc(type, "KEYS_ONLY") && !sl_str_eqc(type, "INCLUDE"))
        return sl_ddb_invalid(x, "One or more parameter values were invalid: Unknown ProjectionType: it is ALL, KEYS_ONLY or INCLUDE");
    if ((sl_val_count(extra) > 0) != sl_str_eqc(type, "INCLUDE"))
        return sl_ddb_invalid(x, "One or more parameter values were invalid: ProjectionType INCLUDE needs NonKeyAttributes, and no other takes them");
    if (!global && (sl_val_count(schema) != 2 || !sl_str_eq(sl_get_text(sl_at(schema, 0), "AttributeName"), sl_get_text(sl_at(table_schema, 0), "AttributeName"))))
        return sl_refuse(&x->why, x->a, 400, SL_DDB_INVALID, "One or more parameter values were invalid: Index KeySchema of the local index %.*s has the table's hash key and a range key", SL_ARG(name));
    return true;
}

static bool indexes_fit(sl_ddb_call *x, const char *kind, size_t most, sl_val *names, sl_val *used, sl_val *definition)
{
    sl_arena *a = x->a;
    const sl_val *list = sl_get(x->body, kind), *schema = sl_get(x->body, "KeySchema"), *attributes = sl_get(x->body, "AttributeDefinitions");
    bool global = kind[0] == 'G';
    sl_val *kept = sl_list(a);
    if (list != NULL && (sl_val_count(list) == 0 || sl_val_count(list) > most))
        return sl_refuse(&x->why, a, 400, SL_DDB_INVALID, "%s has 1 to %zu members", kind, most);
    for (size_t i = 0; i < sl_val_count(list); i++) {
        const sl_val *index = sl_at(list, i);
        sl_str name = sl_get_text(index, "IndexName");
        if (!index_fits(x, index, global, schema) || !schema_fits(x, sl_get(index, "KeySchema"), attributes, used))
            return false;
        if (sl_get_str(names, name) != NULL)
            return sl_refuse(&x->why, a, 400, SL_DDB_INVALID, "One or more parameter values were invalid: Duplicate index name: %.*s", SL_ARG(name));
        sl_map_set(a, names, name, &sl_true_val);
        sl_val *d = sl_map_shallow(a, index);
        sl_map_set_str(a, d, "IndexArn", sl_fmt(a, "arn:aws:dynamodb:us-east-1:000000000000:table/%.*s/index/%.*s", SL_ARG(sl_get_text(x->body, "TableName")), SL_ARG(name)));
        if (global)
            sl_map_set_str(a, d, "IndexStatus", SL_S("ACTIVE"));
        sl_list_add(a, kept, d);
    }
    if (list != NULL)
        sl_map_setc(a, definition, kind, kept);
    return true;
}

bool sl_ddb_create_table(sl_ddb_call *x)
{
    sl_err err;
    sl_arena *a = x->a;
    sl_str name = sl_get_text(x->body, "TableName");
    sl_val *d = sl_map_of(a, "TableName", sl_val_str(a, name)), *used = sl_map(a), *names = sl_map(a);
    const sl_val *schema = sl_get(x->body, "KeySchema"), *attributes = sl_get(x->body, "AttributeDefinitions");
    if (name.n < 3 || name.n > 255 || attributes == NULL)
        return sl_ddb_invalid(x, "A table needs TableName (3 to 255 characters), KeySchema (one or two) and AttributeDefinitions");
    if (!schema_fits(x, schema, attributes, used) || !indexes_fit(x, "GlobalSecondaryIndexes", GLOBAL_MAX, names, used, d) || !indexes_fit(x, "LocalSecondaryIndexes", LOCAL_MAX, names, used, d))
        return false;
    if (used->map.n != sl_val_count(attributes))
        return sl_ddb_invalid(x, "One or more parameter values were invalid: Number of attributes in KeySchema does not exactly match number of attributes defined in AttributeDefinitions");
    if (sl_ddb_find_table(x, name))
        return sl_refuse(&x->why, a, 400, SL_DDB_ERROR "ResourceInUseException", "Table already exists: %.*s", SL_ARG(name));
    x->why = (sl_refusal){ 0 };
    sl_map_setc(a, d, "KeySchema", schema);
    sl_map_setc(a, d, "AttributeDefinitions", attributes);
    sl_map_set_str(a, d, "TableStatus", SL_S("ACTIVE"));
    sl_map_set_str(a, d, "TableArn", sl_fmt(a, "arn:aws:dynamodb:us-east-1:000000000000:table/%.*s", SL_ARG(name)));
    sl_map_set_int(a, d, "CreationDateTime", sl_now_ms() / 1000);
    sl_db_lock(x->c->db);
    bool ok = sl_db_run(x->c->db, &err, "INSERT INTO ddb_tables(name, definition) VALUES(?,?)", "ss", name, sl_json(a, d));
    sl_db_unlock(x->c->db);
    x->table = d;
    x->name = name;
    sl_map_setc(a, x->answer, "TableDescription", description(x));
    return ok || sl_ddb_broken(x, &err);
}

/* ---- the others ---- */

bool sl_ddb_describe_table(sl_ddb_call *x)
{
    if (!sl_ddb_need_table(x))
        return false;
    sl_map_setc(x->a, x->answer, "Table", description(x));
    return true;
}

bool sl_ddb_delete_table(sl_ddb_call *x)
{
    sl_err err;
    if (!sl_ddb_need_table(x))
        return false;
    sl_map_setc(x->a, x->answer, "TableDescription", description(x));
    sl_db_lock(x->c->db);
    bool ok = sl_db_run(x->c->db, &err, "DELETE FROM ddb_items WHERE tab=?", "s", x->name) && sl_db_run(x->c->db, &err, "DELETE FROM ddb_tables WHERE name=?", "s", x->name);
    sl_db_unlock(x->c->db);
    return ok || sl_ddb_broken(x, &err);
}

bool sl_ddb_list_tables(sl_ddb_call *x)
{
    sl_err err;
    sl_val *names = sl_list(x->a);
    sl_db_lock(x->c->db);
    sl_stmt *s = sl_db_query(x->c->db, &err, "SELECT name FROM ddb_tables ORDER BY name", "");
    while (s != NULL && sl_stmt_next(s, &err) == 1)
        sl_list_add(x->a, names, sl_val_str(x->a, sl_col_str(s, x->a, 0)));
    sl_db_unlock(x->c->db);
    sl_map_setc(x->a, x->answer, "TableNames", names);
    return true;
}
