/* local/duck.c: see duck.h. Prototypes: DuckDB's stable C API, https://duckdb.org/docs/api/c/api */
#include "local/duck.h"

#include <dlfcn.h>
#include <pthread.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/fs.h"

typedef void *duckdb_database, *duckdb_connection, *duckdb_config;
typedef struct duckdb_result {
    uint64_t deprecated[4];
    void *deprecated_columns;
    char *deprecated_error;
    void *internal;
    void *spare[4];
} duckdb_result;
typedef uint64_t idx_t;

static struct {
    void *handle;
    char path[512];
    int (*open_ext)(const char *path, duckdb_database *out, duckdb_config config, char **error);
    void (*close)(duckdb_database *db);
    int (*create_config)(duckdb_config *out);
    int (*set_config)(duckdb_config config, const char *name, const char *value);
    void (*destroy_config)(duckdb_config *config);
    int (*connect)(duckdb_database db, duckdb_connection *out);
    void (*disconnect)(duckdb_connection *con);
    void (*interrupt)(duckdb_connection con);
    int (*query)(duckdb_connection con, const char *sql, duckdb_result *out);
    void (*destroy_result)(duckdb_result *r);
    const char *(*result_error)(duckdb_result *r);
    idx_t (*column_count)(duckdb_result *r);
    idx_t (*row_count)(duckdb_result *r);
    idx_t (*rows_changed)(duckdb_result *r);
    char *(*value_varchar)(duckdb_result *r, idx_t col, idx_t row);
    bool (*value_is_null)(duckdb_result *r, idx_t col, idx_t row);
    void (*free)(void *p);
    const char *(*version)(void);
    const char *(*column_name)(duckdb_result *r, idx_t col);
    int (*column_type)(duckdb_result *r, idx_t col);
    int (*return_type)(duckdb_result r);
} api;

static pthread_mutex_t load_lock = PTHREAD_MUTEX_INITIALIZER;

struct sl_duck {
    duckdb_database db;
};

struct sl_duck_con {
    duckdb_connection con;
};

static bool resolve(void)
{
    const struct {
        const char *name;
        void *to;
    } symbols[] = {
        { "duckdb_open_ext", &api.open_ext },           { "duckdb_close", &api.close },
        { "duckdb_create_config", &api.create_config }, { "duckdb_set_config", &api.set_config },
        { "duckdb_destroy_config", &api.destroy_config }, { "duckdb_connect", &api.connect },
        { "duckdb_disconnect", &api.disconnect },       { "duckdb_interrupt", &api.interrupt },
        { "duckdb_query", &api.query },                 { "duckdb_destroy_result", &api.destroy_result },
        { "duckdb_result_error", &api.result_error },   { "duckdb_column_count", &api.column_count },
        { "duckdb_row_count", &api.row_count },         { "duckdb_rows_changed", &api.rows_changed },
        { "duckdb_value_varchar", &api.value_varchar }, { "duckdb_value_is_null", &api.value_is_null },
        { "duckdb_free", &api.free },                   { "duckdb_library_version", &api.version },
        { "duckdb_column_name", &api.column_name },     { "duckdb_column_type", &api.column_type },
        { "duckdb_result_return_type", &api.return_type },
    };
    for (size_t i = 0; i < SL_COUNT(symbols); i++) {
        void *p = dlsym(api.handle, symbols[i].name);
        if (p == NULL)
            return false;
        memcpy(symbols[i].to, &p, sizeof p); /* the way that C allows to make a function out of dlsym's answer */
    }
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
    return sl_fmt(arena, "DuckDB %s (%s)", api.version(), api.path);
}

sl_duck *sl_duck_open(const char *path, sl_err *err)
{
    static const char *const settings[][2] = {
        { "access_mode", "READ_WRITE" }, { "autoinstall_known_extensions", "false" }, { "memory_limit", "2GB" }, { "preserve_insertion_order", "true" }, { "allow_unsigned_extensions", "false" },
    };
    if (!loaded(err))
        return NULL;
    duckdb_config config = NULL;
    if (api.create_config(&config) != 0) {
        sl_err_set(err, SL_ERR_BUG, "duckdb", "DuckDB cannot be configured");
        return NULL;
    }
    for (size_t i = 0; i < SL_COUNT(settings); i++)
        (void)api.set_config(config, settings[i][0], settings[i][1]);
    char *message = NULL;
    sl_duck *d = sl_malloc(sizeof *d);
    d->db = NULL;
    int rc = api.open_ext(path, &d->db, config, &message);
    api.destroy_config(&config);
    if (rc == 0)
        return d;
    sl_err_set(err, SL_ERR_IO, "duckdb.open", "the local warehouse '%s' cannot be opened: %s", path, message ? message : "unknown reason");
    if (message != NULL)
        api.free(message);
    free(d);
    return NULL;
}

void sl_duck_close(sl_duck *d)
{
    if (d == NULL)
        return;
    api.close(&d->db);
    free(d);
}

sl_duck_con *sl_duck_connect(sl_duck *d, sl_err *err)
{
    sl_duck_con *c = sl_malloc(sizeof *c);
    if (api.connect(d->db, &c->con) != 0) {
        free(c);
        sl_err_set(err, SL_ERR_IO, "duckdb.connect", "the local warehouse accepts no connection");
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
    api.disconnect(&c->con);
    free(c);
}

void sl_duck_interrupt(sl_duck_con *c)
{
    api.interrupt(c->con);
}

static const sl_val *take_rows(sl_arena *arena, duckdb_result *r)
{
    sl_val *rows = sl_list(arena);
    idx_t columns = api.column_count(r), count = api.row_count(r);
    for (idx_t i = 0; i < count; i++) {
        sl_val *row = sl_list(arena);
        for (idx_t k = 0; k < columns; k++) {
            char *text = api.value_is_null(r, k, i) ? NULL : api.value_varchar(r, k, i);
            sl_list_add(arena, row, text ? sl_val_c(arena, text) : &sl_null_val);
            if (text != NULL)
                api.free(text);
        }
        sl_list_add(arena, rows, row);
    }
    return rows;
}

/* duckdb_result_type */
enum { QUERY_RESULT = 3 };

static const sl_val *take_columns(sl_arena *arena, duckdb_result *r)
{
    sl_val *columns = sl_list(arena);
    if (api.return_type(*r) != QUERY_RESULT)
        return NULL;
    for (idx_t k = 0; k < api.column_count(r); k++) {
        sl_val *one = sl_map_of(arena, "name", sl_val_str(arena, sl_str_dup(arena, sl_str_c(api.column_name(r, k)))));
        sl_map_set_int(arena, one, "type", api.column_type(r, k));
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
    bool ok = api.query(c->con, sl_cstr(arena, sql), &r) == 0;
    if (!ok) {
        const char *message = api.result_error(&r);
        sl_err_set(err, SL_ERR_DATA, "duckdb.query", "%s", message ? message : "unknown error");
    } else {
        if (ret != NULL)
            *ret = take_rows(arena, &r);
        if (columns != NULL)
            *columns = take_columns(arena, &r);
        if (changed != NULL)
            *changed = (int64_t)api.rows_changed(&r);
    }
    api.destroy_result(&r);
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
