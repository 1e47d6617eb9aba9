/* connectors/embedded/duckdb.c: Query, Queries and Trigger of DuckDB, in this process. */
#include "base/arena.h"
#include "base/clock.h"
#include "base/sql.h"
#include "connectors/connectors.h"
#include "connectors/embedded/embedded.h"
#include "db/duck.h"

#include <pthread.h>
#include <stdatomic.h>

/* A file that another process holds is waited for, as long as SQLite's connector waits. */
enum { WATCH_MS = 50, LOCKED_MS = 10000 };

typedef struct duckdb {
    sl_duck *db;
    sl_duck_con *con;
    /* A thread of its own interrupts what runs when the task is to stop. */
    sl_task *task;
    pthread_t watcher;
    atomic_bool over;
} duckdb;

static void *watch(void *arg)
{
    duckdb *d = arg;
    while (!atomic_load(&d->over)) {
        if (sl_task_cancelled(d->task))
            sl_duck_interrupt(d->con);
        sl_sleep_ms(WATCH_MS);
    }
    return NULL;
}

static void duckdb_close(void *self)
{
    duckdb *d = self;
    atomic_store(&d->over, true);
    (void)pthread_join(d->watcher, NULL);
    sl_duck_disconnect(d->con);
    sl_duck_close(d->db);
    free(d);
}

/* `communityExtensions` are wishes: what cannot be had is said, and the task goes on. */
static void add_extensions(duckdb *d, sl_arena *a, const sl_val *names)
{
    for (size_t i = 0; i < sl_val_count(names); i++) {
        sl_err err;
        sl_str name = sl_duck_ident(a, sl_text(sl_at(names, i)));
        if (!sl_duck_exec(d->con, sl_fmt(a, "INSTALL %.*s FROM community", SL_ARG(name)).p, &err) || !sl_duck_exec(d->con, sl_fmt(a, "LOAD %.*s", SL_ARG(name)).p, &err))
            sl_task_log(d->task, SL_WARN, "the extension %.*s cannot be had: %s", SL_ARG(name), err.message);
    }
}

/* The folder for what does not fit into memory: beside a file that stays, DuckDB has one of its own. */
static bool configure(sl_duck_con *con, sl_arena *a, const sl_embedded_cfg *c, const char *path, sl_str dir, sl_err *err)
{
    sl_str where = sl_duck_text(a, dir), spill = sl_duck_text(a, sl_fmt(a, "%.*s/.spill", SL_ARG(dir))), memory = sl_duck_text(a, c->memory_limit);
    if (!sl_duck_exec(con, sl_fmt(a, "SET file_search_path=%.*s", SL_ARG(where)).p, err))
        return false;
    if ((*path == '\0' || sl_str_starts(sl_str_c(path), dir)) && !sl_duck_exec(con, sl_fmt(a, "SET temp_directory=%.*s", SL_ARG(spill)).p, err))
        return false;
    if (c->memory_limit.n > 0 && !sl_duck_exec(con, sl_fmt(a, "SET memory_limit=%.*s", SL_ARG(memory)).p, err))
        return sl_err_ctx(err, "setting 'memoryLimit'");
    return c->threads == 0 || sl_duck_exec(con, sl_fmt(a, "SET threads=%lld", (long long)c->threads).p, err) || sl_err_ctx(err, "setting 'threads'");
}

static sl_duck *open_file(sl_task *t, const char *path, sl_err *err)
{
    int64_t until = sl_mono_ms() + LOCKED_MS;
    sl_duck *db;
    while ((db = sl_duck_open(path, err)) == NULL && strcmp(err->code, "duckdb.locked") == 0 && sl_mono_ms() < until && !sl_task_cancelled(t))
        sl_sleep_ms(WATCH_MS);
    return db;
}

static void *duckdb_open(sl_task *t, const sl_embedded_cfg *c, const char *path, sl_str dir, sl_err *err)
{
    sl_arena *a = sl_task_arena(t);
    sl_duck *db = open_file(t, path, err);
    sl_duck_con *con = db ? sl_duck_connect(db, err) : NULL;
    if (con == NULL || !configure(con, a, c, path, dir, err)) {
        sl_duck_disconnect(con);
        sl_duck_close(db);
        return NULL;
    }
    duckdb *d = sl_malloc(sizeof *d);
    *d = (duckdb){ .db = db, .con = con, .task = t };
    int rc = pthread_create(&d->watcher, NULL, watch, d);
    sl_assert(rc == 0);
    add_extensions(d, a, c->extensions);
    return d;
}

static bool duckdb_exec(void *self, sl_str statement, const sl_val *values, sl_embedded_rows *r, sl_err *err)
{
    duckdb *d = self;
    sl_duck_rows rows = { .self = r->self, .each = r->each, .zone = r->zone };
    bool ok = sl_duck_each(d->con, statement, values, &rows, err);
    r->rows = rows.rows;
    r->changed = rows.changed;
    return ok;
}

/* What ends or forbids a transaction, and writing into a second database, which no transaction may span. */
static bool duckdb_fits(sl_arena *a, sl_str statement)
{
    static const char *const not[] = { "BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "CHECKPOINT", "FORCE", "VACUUM", "ATTACH", "DETACH", "USE" };
    sl_str verb = sl_sql_verb(a, statement);
    for (size_t i = 0; i < SL_COUNT(not); i++)
        if (sl_str_eqc(verb, not[i]))
            return false;
    return true;
}

/* INSTALL of what is there already: flows that say INSTALL json work without a network. */
static bool duckdb_skips(void *self, sl_arena *a, sl_str statement)
{
    duckdb *d = self;
    sl_str rest = statement, verb = sl_sql_token(&rest), name = sl_sql_token(&rest);
    const sl_val *rows = NULL;
    sl_err ignored;
    if (!sl_str_ieq(verb, SL_S("INSTALL")) || name.n == 0)
        return false;
    if (name.n > 2 && (name.p[0] == '\'' || name.p[0] == '"'))
        name = sl_str_sub(name, 1, name.n - 1);
    sl_str text = sl_duck_text(a, sl_str_lower(a, name));
    sl_str sql = sl_fmt(a, "SELECT 1 FROM duckdb_extensions() WHERE (installed OR loaded) AND (extension_name = %.*s OR list_contains(aliases, %.*s))", SL_ARG(text), SL_ARG(text));
    return sl_duck_run(d->con, a, sql, &rows, NULL, &ignored) && sl_val_count(rows) > 0;
}

static const char *const keys[] = { "CREATE SCHEMA IF NOT EXISTS sluice", "CREATE TABLE IF NOT EXISTS sluice.transactions (key VARCHAR, made TIMESTAMP)", NULL };
static const sl_embedded_driver driver = {
    .name = "DuckDB",
    .scheme = "jdbc:duckdb:",
    .extension = ".duckdb",
    .open = duckdb_open,
    .close = duckdb_close,
    .exec = duckdb_exec,
    .fits = duckdb_fits,
    .skips = duckdb_skips,
    .make_keys = keys,
    .has_key = "SELECT 1 FROM sluice.transactions WHERE key = $1",
    .add_key = "INSERT INTO sluice.transactions VALUES ($1, now()::TIMESTAMP)",
    .forget_keys = "DELETE FROM sluice.transactions WHERE made < now()::TIMESTAMP - INTERVAL 90 DAY",
};

#define DUCKDB_OPTS                                                                                                                                                                               \
    { .name = "databaseUri", .type = SL_OPT_STR, .offset = SL_FIELD(sl_embedded_cfg, database_uri), .doc = "A stored database to start from." },                                                  \
        { .name = "communityExtensions", .type = SL_OPT_STRS, .offset = SL_FIELD(sl_embedded_cfg, extensions), .doc = "Extensions to install and load, where they can be had." },                  \
        { .name = "memoryLimit", .type = SL_OPT_STR, .offset = SL_FIELD(sl_embedded_cfg, memory_limit), .doc = "Most memory that DuckDB takes before it uses the disk, such as 1GB (2GB)." },     \
        { .name = "threads", .type = SL_OPT_INT, .offset = SL_FIELD(sl_embedded_cfg, threads), .doc = "Threads that DuckDB uses; by default one for each processor." }
#define URL "jdbc:duckdb:"
static const sl_opt query_opts[] = { SL_EMBEDDED_OPTS(URL, "NONE"), DUCKDB_OPTS, SL_EMBEDDED_AFTER, { 0 } };
static const sl_opt queries_opts[] = { SL_EMBEDDED_OPTS(URL, "NONE"), DUCKDB_OPTS, SL_EMBEDDED_TRANSACTION, { 0 } };
static const sl_opt trigger_opts[] = { SL_EMBEDDED_OPTS(URL, "FETCH"), DUCKDB_OPTS, SL_EMBEDDED_AFTER, { 0 } };

static sl_outcome query_run(sl_task *t, void *cfg, sl_err *err)
{
    return sl_embedded_run(t, &driver, cfg, false, NULL, err);
}

static sl_outcome queries_run(sl_task *t, void *cfg, sl_err *err)
{
    return sl_embedded_run(t, &driver, cfg, true, NULL, err);
}

static sl_outcome trigger_run(sl_task *t, void *cfg, sl_err *err)
{
    return sl_embedded_look(t, &driver, cfg, err);
}

#define TYPE(what, opt_table, out_table, function, words) { .type = "io.kestra.plugin.jdbc.duckdb." what, .doc = words, .cfg_size = sizeof(sl_embedded_cfg), .opts = opt_table, .outs = out_table, .run = function }
const sl_task_type sl_duckdb_query = TYPE("Query", query_opts, sl_embedded_query_outs, query_run, "Runs one statement in DuckDB.");
const sl_task_type sl_duckdb_queries = TYPE("Queries", queries_opts, sl_embedded_queries_outs, queries_run, "Runs statements in DuckDB, in one transaction.");
const sl_task_type sl_duckdb_trigger = TYPE("Trigger", trigger_opts, sl_embedded_query_outs, trigger_run, "Fires when a query in DuckDB has rows.");

static const sl_task_type *const tasks[] = { &sl_duckdb_query, &sl_duckdb_queries, &sl_sqlite_query, &sl_sqlite_queries, NULL };
static const sl_task_type *const triggers[] = { &sl_duckdb_trigger, &sl_sqlite_trigger, NULL };
const sl_connector sl_connector_embedded = { .name = "embedded", .tasks = tasks, .triggers = triggers };
