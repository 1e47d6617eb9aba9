/* local/dynamo.h: the DynamoDB face: requests in JSON 1.0, tables with secondary indexes, expressions over items. Items are in the cloud's database, as JSON. */
#pragma once

#include "local/aws.h"

/* {"DynamoDB_20120810.<operation>"}: answers the request. */
void sl_ddb_face(sl_cloud *c, sl_server_request *req, sl_server_response *resp, sl_str operation);

/* ---- shared by dynamo*.c ---- */

#define SL_DDB_ERROR "com.amazonaws.dynamodb.v20120810#"
#define SL_DDB_INVALID "com.amazon.coral.validate#ValidationException"

typedef struct sl_ddb_call {
    sl_cloud *c;
    sl_arena *a;
    const sl_val *body, *table;   /* table: its definition */
    sl_str name;
    sl_val *answer;
    sl_refusal why;
} sl_ddb_call;

/* Both always false, with x->why. */
bool sl_ddb_invalid(sl_ddb_call *x, const char *message);
bool sl_ddb_broken(sl_ddb_call *x, const sl_err *err);

/* dynamo_table.c */
bool sl_ddb_find_table(sl_ddb_call *x, sl_str name);
bool sl_ddb_need_table(sl_ddb_call *x);               /* the one that the body names */
bool sl_ddb_create_table(sl_ddb_call *x);
bool sl_ddb_describe_table(sl_ddb_call *x);
bool sl_ddb_delete_table(sl_ddb_call *x);
bool sl_ddb_list_tables(sl_ddb_call *x);
/* A secondary index of x->table; NULL: there is none of that name. */
const sl_val *sl_ddb_index(const sl_ddb_call *x, sl_str name, bool *ret_global);

/* dynamo_key.c */
typedef struct sl_ddb_key {
    const sl_val *map;            /* {name: value} of the key alone */
    sl_str partition, sort;       /* as text; the sort key's number is `order` as well */
    double order;
} sl_ddb_key;
/* Of an item, or of a Key (then nothing else may be there). */
bool sl_ddb_read_key(sl_ddb_call *x, const sl_val *item, bool alone, sl_ddb_key *ret);
/* Of another schema: an index's. false: the item lacks it and is not in the index; no error. */
bool sl_ddb_index_key(const sl_ddb_call *x, const sl_val *schema, const sl_val *item, sl_ddb_key *ret);
/* The item's attributes that are keys of an index have the types that the table says. */
bool sl_ddb_indexable(sl_ddb_call *x, const sl_val *item);
int sl_ddb_key_cmp(const sl_ddb_key *a, const sl_ddb_key *b);
bool sl_ddb_load(sl_ddb_call *x, const sl_ddb_key *k, const sl_val **ret);             /* *ret NULL: there is none */
bool sl_ddb_store(sl_ddb_call *x, const sl_ddb_key *k, const sl_val *item);            /* NULL: it goes */

/* dynamo_read.c, dynamo_update.c */
bool sl_ddb_query(sl_ddb_call *x);
bool sl_ddb_scan(sl_ddb_call *x);
bool sl_ddb_update_item(sl_ddb_call *x);

/* ---- dynamo_expr.c: expressions ---- */

typedef struct sl_ddb_names {
    const sl_val *names, *values; /* ExpressionAttributeNames and Values; NULL = none */
} sl_ddb_names;
sl_ddb_names sl_ddb_names_of(const sl_ddb_call *x);

typedef struct sl_ddb_parser {
    sl_arena *arena;
    sl_str rest;
    const sl_ddb_names *n;
    const sl_val *item;
    sl_refusal *why;
    int depth;
    bool failed;
    sl_str key;                   /* "key = :v" among the conditions: what v is */
    const sl_val *key_value;
} sl_ddb_parser;

bool sl_ddb_fail(sl_ddb_parser *p, const char *what);     /* always false; the first one is what counts */
bool sl_ddb_take(sl_ddb_parser *p, const char *token);
bool sl_ddb_expect(sl_ddb_parser *p, const char *token);
sl_str sl_ddb_peek(sl_ddb_parser *p);                     /* the word that comes next */
bool sl_ddb_end(sl_ddb_parser *p);                        /* nothing is left */
/* a.b[0].c as a list of names (text) and indexes (integers). */
const sl_val *sl_ddb_path(sl_ddb_parser *p);
const sl_val *sl_ddb_at(const sl_val *item, const sl_val *path);     /* NULL: it is not there */
const sl_val *sl_ddb_value(sl_ddb_parser *p);             /* :name */

/* Does the item (may be NULL: there is none) meet the condition? false with *why: the expression is not one. */
bool sl_ddb_holds(sl_arena *arena, sl_str expression, const sl_ddb_names *n, const sl_val *item, bool *ret, sl_refusal *why);
/* What a key condition asks of `key`: "key = :v". NULL without an error: nothing. */
const sl_val *sl_ddb_key_asked(sl_arena *arena, sl_str expression, const sl_ddb_names *n, sl_str key, sl_refusal *why);
/* The attributes, and parts of them, that a projection names. */
bool sl_ddb_project(sl_arena *arena, sl_str expression, const sl_ddb_names *n, const sl_val *item, const sl_val **ret, sl_refusal *why);
/* Those that a list of paths names. */
sl_val *sl_ddb_pick(sl_arena *arena, const sl_val *paths, const sl_val *item);
/* Order of two AttributeValues of the same type; 2 when they cannot be compared. */
int sl_ddb_compare(const sl_val *a, const sl_val *b);
sl_str sl_ddb_type(const sl_val *v);                         /* "S", "N", …; "" when it is no AttributeValue */

/* dynamo_words.c: such a name must stand in ExpressionAttributeNames. */
bool sl_ddb_reserved(sl_arena *arena, sl_str word);

/* ---- dynamo_number.c: numbers of up to 38 digits, exact ---- */

/* The same number always as the same text: 1.50 and 15E-1 as 1.5. false: it is none that DynamoDB takes. */
bool sl_ddb_number(sl_arena *arena, sl_str text, sl_str *ret);
/* a + b, or a - b. false: one is none, or the result has more than 38 digits. */
bool sl_ddb_sum(sl_arena *arena, sl_str a, sl_str b, bool minus, sl_str *ret);
