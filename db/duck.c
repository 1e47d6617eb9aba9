/* db/duck.c: see duck.h: the library, databases, connections, results as text. */
#include "db/duck.h"

#include <dlfcn.h>
#include <pthread.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/fs.h"
#include "db/duck_api.h"

sl_duck_api sl_duck_library_api;
#define api sl_duck_library_api

/* duckdb_result_type */
enum { QUERY_RESULT = 3 };

static pthread_mutex_t load_lock = PTHREAD_MUTEX_INITIALIZER;

struct sl_duck {
    duckdb_database db;
};


static bool resolve(void)
{
    static const char *const names[] = {
#define X(name, returns, ...) "duckdb_" #name,
        SL_DUCK_FUNCTIONS
#undef X
    };
    void *functions[SL_COUNT(names)];
    for (size_t i = 0; i < SL_COUNT(names); i++)
        if ((functions[i] = dlsym(api.handle, names[i])) == NULL)
            return false;
    memcpy(&api.functions, functions, sizeof functions); /* the way that C allows to make functions out of dlsym's answers */
    return true;
}

static bool load(sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    char self[400] = "";
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n > 0)
        self[n] = '\0';
    char *slash = strrchr(self, '/');
    if (slash != NULL)
        *slash = '\0';
    const char *named = getenv("SLUICE_DUCKDB");
    const char *places[] = { named && *named ? named : NULL, sl_fmt(a, "%s/libduckdb.so", self).p, sl_fmt(a, "%s/../lib/sluice/libduckdb.so", self).p, "libduckdb.so" };
    for (size_t i = 0; i < SL_COUNT(places) && api.handle == NULL; i++) {
        if (places[i] == NULL)
            continue;
        api.handle = dlopen(places[i], RTLD_NOW | RTLD_LOCAL);
        if (api.handle != NULL && !resolve()) {
            (void)dlclose(api.handle);
            api.handle = NULL;
        }
        (void)snprintf(api.path, sizeof api.path, "%s", places[i]);
    }
    return api.handle != NULL
           || sl_err_set(err, SL_ERR_CONFIG, "duckdb.missing", "DuckDB's library (libduckdb.so) was not found; run tools/get-duckdb, or name it with SLUICE_DUCKDB");
}

static bool loaded(sl_err *err)
{
    pthread_mutex_lock(&load_lock);
    bool ok = api.handle != NULL || load(err);
    pthread_mutex_unlock(&load_lock);
    return ok;
}

sl_str sl_duck_library(sl_arena *arena, sl_err *err)
{
    if (!loaded(err))
        return SL_S("");
    return sl_fmt(arena, "DuckDB %s (%s)", api.functions.library_version(), api.path);
}

/* The same for all: a file that is open cannot be opened with other settings. What differs is SET afterwards. */
static bool configure(duckdb_config *ret, sl_err *err)
{
    static const char *const settings[][2] = {
        { "access_mode", "READ_WRITE" }, { "autoinstall_known_extensions", "false" }, { "memory_limit", "2GB" }, { "preserve_insertion_order", "true" }, { "allow_unsigned_extensions", "false" },
    };
    if (api.functions.create_config(ret) != 0)
        return sl_err_set(err, SL_ERR_BUG, "duckdb", "DuckDB cannot be configured");
    for (size_t i = 0; i < SL_COUNT(settings); i++)
        (void)api.functions.set_config(*ret, settings[i][0], settings[i][1]);
    return true;
}

/* One cache for the process: a file that is open already must not be opened anew. It lives as long as we do. */
static duckdb_instance_cache instances(void)
{
    static duckdb_instance_cache cache;
    pthread_mutex_lock(&load_lock);
    if (cache == NULL)
        cache = api.functions.create_instance_cache();
    pthread_mutex_unlock(&load_lock);
    return cache;
}

sl_duck *sl_duck_open(const char *path, sl_err *err)
{
    duckdb_config config = NULL;
    if (!loaded(err) || !configure(&config, err))
        return NULL;
    char *message = NULL;
    sl_duck *d = sl_malloc(sizeof *d);
    d->db = NULL;
    int rc = *path != '\0' ? api.functions.get_or_create_from_cache(instances(), path, &d->db, config, &message) : api.functions.open_ext(NULL, &d->db, config, &message);
    api.functions.destroy_config(&config);
    if (rc == 0)
        return d;
    if (message != NULL && strstr(message, "Could not set lock") != NULL)
        sl_err_set(err, SL_ERR_TRANSIENT, "duckdb.locked", "the DuckDB database '%s' is open in another process, and DuckDB lets one in at a time: %s", path, message);
    else
        sl_err_set(err, SL_ERR_IO, "duckdb.open", "the DuckDB database '%s' cannot be opened: %s", path, message ? message : "unknown reason");
    if (message != NULL)
        api.functions.free(message);
    free(d);
    return NULL;
}

void sl_duck_close(sl_duck *d)
{
    if (d == NULL)
        return;
    api.functions.close(&d->db);
    free(d);
}

sl_duck_con *sl_duck_connect(sl_duck *d, sl_err *err)
{
    sl_duck_con *c = sl_malloc(sizeof *c);
    if (api.functions.connect(d->db, &c->con) != 0) {
        free(c);
        sl_err_set(err, SL_ERR_IO, "duckdb.connect", "DuckDB accepts no connection");
        return NULL;
    }
    if (!sl_duck_exec(c, "SET TimeZone='UTC'", err)) /* needs the ICU extension; timestamps are UTC without it as well */
        sl_err_clear(err);
    return c;
}

void sl_duck_disconnect(sl_duck_con *c)
{
    if (c == NULL)
        return;
    api.functions.disconnect(&c->con);
    free(c);
}

void sl_duck_interrupt(sl_duck_con *c)
{
    api.functions.interrupt(c->con);
}

/* 2024-05-17 10:11:12.5+00: value_varchar has no words for it. */
static sl_str zoned_text(sl_arena *a, int64_t micros)
{
    int64_t s = micros >= 0 ? micros / 1000000 : -((999999 - micros) / 1000000), rest = micros - s * 1000000;
    sl_civil c = sl_civil_from_seconds(s);
    sl_str text = sl_fmt(a, "%04lld-%02d-%02d %02d:%02d:%02d", (long long)c.year, c.month, c.day, c.hour, c.minute, c.second);
    if (rest == 0)
        return sl_fmt(a, "%.*s+00", SL_ARG(text));
    sl_str fraction = sl_fmt(a, "%06lld", (long long)rest);
    while (sl_str_ends(fraction, SL_S("0")))
        fraction.n--;
    return sl_fmt(a, "%.*s.%.*s+00", SL_ARG(text), SL_ARG(fraction));
}

/* NULL: value_varchar has no text for the type: a list, a struct and their like. */
static const sl_val *cell(sl_arena *arena, duckdb_result *r, idx_t column, idx_t row)
{
    enum { TIMESTAMP_TZ = 31 };
    if (api.functions.value_is_null(r, column, row))
        return &sl_null_val;
    char *text = api.functions.value_varchar(r, column, row);
    if (text != NULL) {
        const sl_val *v = sl_val_c(arena, text);
        api.functions.free(text);
        return v;
    }
    const int64_t *data = api.functions.column_type(r, column) == TIMESTAMP_TZ ? api.functions.column_data(r, column) : NULL;
    return data ? sl_val_str(arena, zoned_text(arena, data[row])) : NULL;
}

static const sl_val *take_rows(sl_arena *arena, duckdb_result *r, sl_err *err)
{
    sl_val *rows = sl_list(arena);
    idx_t columns = api.functions.column_count(r), count = api.functions.row_count(r);
    for (idx_t i = 0; i < count; i++) {
        sl_val *row = sl_list(arena);
        for (idx_t k = 0; k < columns; k++) {
            const sl_val *v = cell(arena, r, k, i);
            if (v == NULL) {
                sl_err_set(err, SL_ERR_DATA, "duckdb.type", "the column '%s' holds lists, structs or the like, which have no text here; cast it to VARCHAR", api.functions.column_name(r, k));
                return NULL;
            }
            sl_list_add(arena, row, v);
        }
        sl_list_add(arena, rows, row);
    }
    return rows;
}

static const sl_val *take_columns(sl_arena *arena, duckdb_result *r)
{
    sl_val *columns = sl_list(arena);
    if (api.functions.result_return_type(*r) != QUERY_RESULT)
        return NULL;
    for (idx_t k = 0; k < api.functions.column_count(r); k++) {
        sl_val *one = sl_map_of(arena, "name", sl_val_str(arena, sl_str_dup(arena, sl_str_c(api.functions.column_name(r, k)))));
        sl_map_set_int(arena, one, "type", api.functions.column_type(r, k));
        sl_list_add(arena, columns, one);
    }
    return columns;
}

bool sl_duck_run(sl_duck_con *c, sl_arena *arena, sl_str sql, const sl_val **ret, int64_t *changed, sl_err *err)
{
    return sl_duck_query(c, arena, sql, ret, NULL, changed, err);
}

bool sl_duck_query(sl_duck_con *c, sl_arena *arena, sl_str sql, const sl_val **ret, const sl_val **columns, int64_t *changed, sl_err *err)
{
    duckdb_result r;
    memset(&r, 0, sizeof r);
    bool ok = api.functions.query(c->con, sl_cstr(arena, sql), &r) == 0;
    if (!ok) {
        const char *message = api.functions.result_error(&r);
        sl_err_set(err, SL_ERR_DATA, "duckdb.query", "%s", message ? message : "unknown error");
    } else {
        if (ret != NULL)
            ok = (*ret = take_rows(arena, &r, err)) != NULL;
        if (columns != NULL)
            *columns = take_columns(arena, &r);
        if (changed != NULL)
            *changed = (int64_t)api.functions.rows_changed(&r);
    }
    api.functions.destroy_result(&r);
    return ok;
}

bool sl_duck_exec(sl_duck_con *c, const char *sql, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    return sl_duck_run(c, a, sl_str_c(sql), NULL, NULL, err);
}

sl_str sl_duck_text(sl_arena *arena, sl_str s)
{
    return sl_fmt(arena, "'%.*s'", SL_ARG(sl_str_replace(arena, s, SL_S("'"), SL_S("''"))));
}

sl_str sl_duck_ident(sl_arena *arena, sl_str s)
{
    return sl_fmt(arena, "\"%.*s\"", SL_ARG(sl_str_replace(arena, s, SL_S("\""), SL_S("\"\""))));
}
