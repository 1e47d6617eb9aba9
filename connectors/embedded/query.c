/*
 * connectors/embedded/query.c: statements in a database that is a file: transactions that are done once, results, files.
 *
 * A checkpoint is written before each COMMIT: {unit, outputs: {before, after}}: which transaction it is, and the outputs without
 * and with it.
 */
#include "base/arena.h"
#include "base/fault.h"
#include "base/fs.h"
#include "base/sql.h"
#include "connectors/embedded/embedded.h"
#include "connectors/files.h"
#include "connectors/state.h"

const sl_opt sl_embedded_query_outs[] = {
    { .name = "size", .type = SL_OPT_INT, .doc = "Rows." },
    { .name = "row", .type = SL_OPT_MAP, .doc = "FETCH_ONE: the first row." },
    { .name = "rows", .type = SL_OPT_LIST, .doc = "FETCH: the rows." },
    { .name = "uri", .type = SL_OPT_STR, .doc = "STORE: the file, Ion text." },
    { .name = "outputFiles", .type = SL_OPT_MAP, .doc = "Name of a file to its URI." },
    { .name = "databaseUri", .type = SL_OPT_STR, .doc = "outputDbFile: the database's file." },
    { 0 },
};
const sl_opt sl_embedded_queries_outs[] = {
    { .name = "outputs", .type = SL_OPT_LIST, .doc = "{size, row, rows, uri} of each statement that has rows." },
    { .name = "outputFiles", .type = SL_OPT_MAP, .doc = "Name of a file to its URI." },
    { .name = "databaseUri", .type = SL_OPT_STR, .doc = "outputDbFile: the database's file." },
    { 0 },
};

enum { MAKE_KEYS_TRIES = 20 };

typedef struct run {
    sl_task *t;
    sl_arena *arena;
    const sl_embedded_driver *driver;
    const sl_embedded_cfg *c;
    void *db;
    sl_str dir, path, fetch_type; /* path "": in memory */
    bool stays;                   /* a file of the user's */
    bool several;
    const sl_tz *zone;
    sl_statement *list;
    size_t count;
    sl_val *outputs;              /* of each statement with rows */
    int64_t changed;
} run;

static bool command(run *r, const char *sql, sl_err *err)
{
    sl_embedded_rows none = { .zone = r->zone };
    return r->driver->exec(r->db, sl_str_c(sql), NULL, &none, err);
}

/* ---- where it is ---- */

static bool find_path(run *r, sl_err *err)
{
    sl_str url = r->c->url;
    size_t n = strlen(r->driver->scheme);
    if (!sl_str_starts(url, sl_str_c(r->driver->scheme)))
        return sl_err_set(err, SL_ERR_CONFIG, "sql.url", "'url' of a task for %s must begin with %s", r->driver->name, r->driver->scheme);
    sl_str rest = sl_str_sub(url, n, url.n), path;
    (void)sl_str_cut(&rest, '?', &path);
    if (sl_str_eqc(path, ":memory:") || sl_str_eqc(path, "memory:"))
        return true;
    if (sl_str_starts(path, SL_S("md:")) || sl_str_starts(path, SL_S("motherduck:")))
        return sl_err_set(err, SL_ERR_CONFIG, "sql.url", "MotherDuck ('%.*s') is not supported by this version of Sluice", SL_ARG(url));
    r->stays = path.n > 0 && path.p[0] == '/';
    if (r->stays) {
        r->path = path;
        return sl_fs_mkdirs(sl_cstr(r->arena, sl_str_sub(path, 0, (size_t)sl_str_rfind(path, SL_S("/")))), err);
    }
    if (path.n > 0 && !sl_path_is_safe(path))
        return sl_err_set(err, SL_ERR_CONFIG, "sql.url", "the path in '%.*s' must be absolute, or the name of a file in the working folder", SL_ARG(url));
    r->path = path.n > 0 ? sl_fmt(r->arena, "%.*s/%.*s", SL_ARG(r->dir), SL_ARG(path)) : sl_fmt(r->arena, "%.*s/database%s", SL_ARG(r->dir), r->driver->extension);
    return true;
}

/* A stored database is copied to where this one is to be. */
static bool bring(run *r, sl_err *err)
{
    sl_reader *in = NULL;
    if (r->c->database_uri.n == 0)
        return true;
    if (r->path.n == 0 || (r->stays && sl_fs_exists(sl_cstr(r->arena, r->path))))
        return sl_err_set(err, SL_ERR_CONFIG, "sql.database", "a stored database cannot take the place of '%.*s'; leave the path out of 'url'", SL_ARG(r->c->url));
    if (!sl_task_open_in(r->t, sl_str_trim(r->c->database_uri), &in, err))
        return false;
    SL_READER from = in;
    SL_WRITER to = sl_writer_file(sl_cstr(r->arena, r->path), err);
    return to != NULL && sl_io_copy(from, to, sl_task_cancelled, r->t, NULL, err) && to->finish(to, err);
}

static void set_variables(run *r)
{
    sl_val *files = sl_map(r->arena);
    for (size_t i = 0; i < sl_val_count(r->c->output_files); i++) {
        sl_str name = sl_text(sl_at(r->c->output_files, i));
        sl_map_set(r->arena, files, name, sl_val_str(r->arena, sl_fmt(r->arena, "%.*s/%.*s", SL_ARG(r->dir), SL_ARG(name))));
    }
    sl_task_set_var(r->t, "outputFiles", files);
    sl_task_set_var(r->t, "dbFilePath", sl_val_str(r->arena, r->path));
}

static bool read_statements(run *r, sl_err *err)
{
    sl_str sql, after;
    if (!sl_task_render(r->t, r->c->sql, &sql, err))
        return sl_err_ctx(err, "rendering 'sql'");
    r->count = sl_sql_split(r->arena, sql, &r->list);
    if (r->count == 0)
        return sl_err_set(err, SL_ERR_CONFIG, "sql.empty", "'sql' holds no statement");
    if (!r->several && r->count > 1)
        return sl_err_set(err, SL_ERR_CONFIG, "sql.several", "Query takes one statement, and 'sql' holds %zu; use Queries", r->count);
    if (r->c->after_sql.n == 0)
        return true;
    sl_statement *more = SL_ARRAY(r->arena, sl_statement, r->count + 1), *last;
    if (!sl_task_render(r->t, r->c->after_sql, &after, err))
        return sl_err_ctx(err, "rendering 'afterSQL'");
    if (sl_sql_split(r->arena, after, &last) != 1)
        return sl_err_set(err, SL_ERR_CONFIG, "sql.after", "'afterSQL' must be one statement");
    memcpy(more, r->list, r->count * sizeof *more);
    more[r->count++] = last[0];
    r->list = more;
    return true;
}

static bool prepare(run *r, sl_err *err)
{
    const sl_embedded_cfg *c = r->c;
    r->fetch_type = c->fetch ? SL_S("FETCH") : c->fetch_one ? SL_S("FETCH_ONE") : c->store ? SL_S("STORE") : c->fetch_type;
    r->outputs = sl_list(r->arena);
    r->path = SL_S("");
    r->zone = c->zone.n > 0 ? sl_tz_find(c->zone, err) : sl_tz_local();
    if (r->zone == NULL || !sl_task_workdir(r->t, &r->dir, err) || !find_path(r, err) || !sl_files_put(r->t, r->dir, c->input_files, err) || !bring(r, err))
        return false;
    set_variables(r);
    if (!read_statements(r, err))
        return false;
    r->db = r->driver->open(r->t, c, sl_cstr(r->arena, r->path), r->dir, err);
    return r->db != NULL;
}

/* ---- statements ---- */

typedef struct taker {
    run *r;
    sl_result *result;
} taker;

static bool take_row(void *self, const sl_val *row, sl_err *err)
{
    taker *k = self;
    if (sl_task_cancelled(k->r->t))
        return sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped on request");
    return sl_result_add(k->result, sl_result_keeps(k->result) ? sl_val_copy(k->r->arena, row) : row, err);
}

static bool execute(run *r, size_t index, sl_err *err)
{
    sl_arena *a = r->arena;
    sl_val *values = sl_list(a), *out = sl_map(a);
    sl_result result = { 0 };
    sl_str text;
    if (!sl_sql_bind(a, r->list[index].text, r->c->parameters, &text, values, err))
        return false;
    if (r->driver->skips != NULL && r->driver->skips(r->db, a, text))
        return true;
    taker k = { r, &result };
    sl_embedded_rows rows = { .self = &k, .each = take_row, .zone = r->zone };
    bool ok = sl_result_open(&result, r->t, r->fetch_type, index, err) && r->driver->exec(r->db, text, values, &rows, err);
    if (ok && rows.rows && !sl_str_eqc(r->fetch_type, "NONE"))
        ok = sl_result_end(&result, out, err);
    if (ok && rows.rows)
        sl_list_add(a, r->outputs, out);
    sl_result_close(&result);
    r->changed += rows.changed;
    if (ok || err->kind == SL_ERR_CANCELLED)
        return ok;
    return r->count == 1 ? false : sl_err_ctx(err, "statement %zu of %zu: %.60s", index + 1, r->count, sl_cstr(a, r->list[index].text));
}

/* ---- transactions that are done once ---- */

static sl_str unit_key(run *r, size_t unit)
{
    return sl_task_key(r->t, sl_fmt(r->arena, "sql%zu", unit).p);
}

static bool with_key(run *r, const char *sql, sl_str key, bool *ret_rows, sl_err *err)
{
    sl_val *values = sl_list(r->arena);
    sl_result count = { 0 };
    taker k = { r, &count };
    sl_embedded_rows rows = { .self = &k, .each = take_row, .zone = r->zone };
    sl_list_add(r->arena, values, sl_val_str(r->arena, key));
    bool ok = sl_result_open(&count, r->t, SL_S("NONE"), 0, err) && r->driver->exec(r->db, sl_str_c(sql), values, &rows, err);
    if (ret_rows != NULL)
        *ret_rows = count.count > 0;
    sl_result_close(&count);
    return ok;
}

/* Another task may be making them at the same time: then it has. */
static bool make_keys(run *r, sl_err *err)
{
    sl_err ignored;
    for (int i = 0; !with_key(r, r->driver->has_key, SL_S(""), NULL, err); i++) {
        for (const char *const *sql = r->driver->make_keys; *sql != NULL; sql++)
            if (!command(r, *sql, err) && i == MAKE_KEYS_TRIES)
                return sl_err_ctx(err, "making the table of what was done");
    }
    (void)command(r, r->driver->forget_keys, &ignored); /* another time will do */
    return true;
}

static bool remember(run *r, size_t unit, const sl_val *before, const char *state, sl_err *err)
{
    sl_val *doc = sl_map(r->arena), *outputs = sl_map(r->arena);
    sl_map_setc(r->arena, outputs, "before", before);
    sl_map_setc(r->arena, outputs, "after", sl_val_copy(r->arena, r->outputs));
    sl_map_set_int(r->arena, doc, "unit", (int64_t)unit);
    sl_map_setc(r->arena, doc, "outputs", outputs);
    sl_map_setc(r->arena, doc, "state", sl_val_c(r->arena, state));
    return sl_state_keep(r->t, doc, "outputs", err);
}

static bool commit(run *r, size_t unit, const sl_val *before, sl_err *err)
{
    return (!r->stays || (with_key(r, r->driver->add_key, unit_key(r, unit), NULL, err) && remember(r, unit, before, "commit", err))) && SL_FAULT("sql.before_commit", err) && command(r, "COMMIT", err)
           && SL_FAULT("sql.after_commit", err);
}

/* Statements from..to-1 in one transaction. */
static bool unit_of(run *r, size_t unit, size_t from, size_t to, sl_err *err)
{
    const sl_val *before = sl_val_copy(r->arena, r->outputs);
    sl_err ignored;
    if (!command(r, "BEGIN TRANSACTION", err))
        return false;
    for (size_t i = from; i < to; i++)
        if (!execute(r, i, err)) {
            (void)command(r, "ROLLBACK", &ignored); /* some errors have ended it */
            return false;
        }
    if (commit(r, unit, before, err))
        return true;
    (void)command(r, "ROLLBACK", &ignored);
    return false;
}

/*
 * From `from` on, in the text's own transactions, in none, or (wrap) in one that cannot hold our key. In a file that stays, nobody
 * can tell afterwards how far it came.
 */
static bool bare(run *r, size_t from, bool wrap, sl_err *err)
{
    bool writes = false, ok = true;
    sl_err ignored;
    for (size_t i = from; i < r->count; i++)
        writes |= !sl_sql_reads(r->arena, r->list[i].text);
    if (r->stays && writes && !remember(r, 0, sl_list(r->arena), "bare", err))
        return false;
    if (wrap && !command(r, "BEGIN TRANSACTION", err))
        return false;
    for (size_t i = from; ok && i < r->count; i++)
        ok = execute(r, i, err);
    if (wrap && !(ok = ok && command(r, "COMMIT", err)))
        (void)command(r, "ROLLBACK", &ignored);
    return ok && (!(r->stays && writes) || remember(r, 0, sl_list(r->arena), "done", err));
}

/* How far an attempt before a crash came: *unit is the next one. */
static bool resume(run *r, size_t *unit, bool *done, sl_err *err)
{
    const sl_val *saved = r->stays ? sl_task_saved(r->t) : NULL, *outputs;
    sl_str state = sl_get_text(saved, "state");
    bool committed = sl_str_eqc(state, "done");
    *unit = 0;
    *done = committed;
    if (saved == NULL)
        return true;
    if (sl_str_eqc(state, "bare"))
        return sl_err_set(err, SL_ERR_CONFLICT, "sql.unknown", "the statements were interrupted, and ran outside of transactions of Sluice's: look into '%.*s' how far they came, and start a new execution", SL_ARG(r->path));
    size_t last = (size_t)sl_get_int(saved, "unit", 0);
    if (!committed && !with_key(r, r->driver->has_key, unit_key(r, last), &committed, err))
        return false;
    if (!sl_state_load(r->t, saved, "outputs", &outputs, err))
        return false;
    outputs = sl_get(outputs, committed ? "after" : "before");
    for (size_t i = 0; i < sl_val_count(outputs); i++)
        sl_list_add(r->arena, r->outputs, sl_at(outputs, i));
    *unit = last + committed;
    return true;
}

/* Settings and their like, which stand before everything and in no transaction: how many. *spans: a second database is there. */
static size_t lead(run *r, bool *spans)
{
    size_t n = 0;
    for (; n < r->count; n++) {
        sl_str verb = sl_sql_verb(r->arena, r->list[n].text);
        bool begins = sl_str_eqc(verb, "BEGIN") || sl_str_eqc(verb, "START") || sl_str_eqc(verb, "SAVEPOINT");
        if (begins || r->driver->fits(r->arena, r->list[n].text))
            break;
        *spans |= sl_str_eqc(verb, "ATTACH");
    }
    return n;
}

static bool work(run *r, sl_err *err)
{
    size_t unit = 0, first;
    bool done = false, spans = false, fits = true, reads = true, one = !r->several || r->c->transaction;
    first = lead(r, &spans);
    for (size_t i = first; i < r->count; i++) {
        fits &= r->driver->fits(r->arena, r->list[i].text);
        reads &= sl_sql_reads(r->arena, r->list[i].text);
    }
    bool keyed = fits && !reads && !spans;
    if ((keyed && r->stays && !make_keys(r, err)) || (!reads && !resume(r, &unit, &done, err)))
        return false;
    if (done)
        return true;
    for (size_t i = 0; i < first; i++)
        if (!execute(r, i, err))
            return false;
    if (!keyed)
        return bare(r, first, fits && !reads && one, err);
    if (one)
        return unit > 0 || first == r->count || unit_of(r, 0, first, r->count, err);
    for (; first + unit < r->count; unit++)
        if (!unit_of(r, unit, first + unit, first + unit + 1, err))
            return false;
    return true;
}

/* ---- the end ---- */

static bool finish(run *r, int64_t *ret_size, sl_err *err)
{
    const sl_val *files, *first = sl_at(r->outputs, 0);
    sl_str uri;
    if (!sl_files_take(r->t, r->dir, r->c->output_files, &files, err))
        return false;
    sl_task_out(r->t, "outputFiles", files);
    if (r->c->output_file) {
        if (r->path.n == 0)
            return sl_err_set(err, SL_ERR_CONFIG, "sql.database", "'outputDbFile' needs a database that is a file, and this one is in memory");
        if (!sl_task_store_file(r->t, sl_cstr(r->arena, r->path), sl_path_base(r->path), &uri, err))
            return false;
        sl_task_out_str(r->t, "databaseUri", uri);
    }
    if (r->several)
        sl_task_out(r->t, "outputs", r->outputs);
    for (size_t i = 0; !r->several && i < sl_val_count(first); i++)
        sl_task_out(r->t, sl_cstr(r->arena, first->map.entries[i].key), first->map.entries[i].value);
    if (r->changed > 0)
        sl_task_log(r->t, SL_INFO, "%lld rows changed", (long long)r->changed);
    if (ret_size != NULL)
        *ret_size = sl_get_int(first, "size", 0);
    return true;
}

sl_outcome sl_embedded_run(sl_task *t, const sl_embedded_driver *driver, const sl_embedded_cfg *c, bool several, int64_t *ret_size, sl_err *err)
{
    run r = { .t = t, .arena = sl_task_arena(t), .driver = driver, .c = c, .several = several };
    bool ok = prepare(&r, err) && work(&r, err);
    if (r.db != NULL)
        driver->close(r.db);
    return ok && finish(&r, ret_size, err) ? SL_TASK_DONE : SL_TASK_FAILED;
}

sl_outcome sl_embedded_look(sl_task *t, const sl_embedded_driver *driver, const sl_embedded_cfg *c, sl_err *err)
{
    int64_t size = 0;
    if (sl_str_eqc(c->fetch_type, "NONE") && !c->fetch && !c->store && !c->fetch_one) {
        sl_err_set(err, SL_ERR_CONFIG, "sql.fetch", "'fetchType' of a trigger may not be NONE: it fires when there are rows");
        return SL_TASK_FAILED;
    }
    sl_outcome o = sl_embedded_run(t, driver, c, false, &size, err);
    if (o == SL_TASK_DONE)
        sl_task_polled(t, size > 0, NULL, false);
    return o;
}
