/* service/retention.c: see retention.h. */
#include "service/retention.h"

#include <fts.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/clock.h"
#include "service/execution.h"

enum { RETENTION_STEP = 50 };

static bool take_ids(sl_arena *a, sl_stmt *q, sl_val *list, sl_err *err)
{
    int rc = q ? 1 : -1;
    while (q != NULL && (rc = sl_stmt_next(q, err)) == 1)
        sl_list_add(a, list, sl_val_str(a, sl_col_str(q, a, 0)));
    return rc == 0;
}

/* Those that ended before that time, by an index over their creation; else the oldest past the newest keep_count. */
static bool old_ones(sl_store *s, sl_arena *a, int64_t before_ms, int64_t keep_count, const sl_val **ret, sl_err *err)
{
    sl_db *db = sl_store_db(s);
    sl_val *list = sl_list(a);
    int64_t step = RETENTION_STEP, count = 0;
    *ret = list;
    if (before_ms > 0
        && !take_ids(a, sl_db_query(db, err, "SELECT id FROM executions WHERE created_ms < ?1 AND ended_ms < ?1 AND over=1 ORDER BY created_ms LIMIT ?2", "ii", before_ms, step), list, err))
        return false;
    if (list->list.n > 0 || keep_count <= 0)
        return true;
    sl_stmt *q = sl_db_query(db, err, "SELECT count(*) FROM executions", "");
    if (q == NULL || sl_stmt_next(q, err) != 1)
        return false;
    count = sl_col_int(q, 0);
    sl_stmt_done(q);
    step = count - keep_count < step ? count - keep_count : step;
    return step <= 0 || take_ids(a, sl_db_query(db, err, "SELECT id FROM executions WHERE over=1 ORDER BY created_ms LIMIT ?", "i", step), list, err);
}

/* ---- by size ---- */

/* Of regular files below; paths without `part` do not count ("" = all do). What vanishes meanwhile is nothing. */
static int64_t bytes_below(const char *root, const char *part)
{
    char *roots[] = { (char *)(uintptr_t)root, NULL };
    FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_COMFOLLOW, NULL);
    int64_t total = 0;
    for (FTSENT *f; walk != NULL && (f = fts_read(walk)) != NULL;)
        if (f->fts_info == FTS_F && strstr(f->fts_path, part) != NULL)
            total += (int64_t)f->fts_statp->st_blocks * 512;
    if (walk != NULL)
        (void)fts_close(walk);
    return total;
}

static int64_t bytes_of(sl_engine *e, sl_arena *a, sl_str ns, sl_str flow, sl_str id)
{
    sl_str files = sl_fmt(a, "%s/%.*s", sl_engine_storage(e)->root, SL_ARG(sl_storage_execution_prefix(a, ns, flow, id)));
    return bytes_below(sl_logs_path(sl_engine_logs(e), a, id).p, "") + bytes_below(files.p, "");
}

/* The oldest that have ended, as many as are needed. */
static bool oldest_needed(sl_engine *e, sl_store *s, sl_arena *a, int64_t *excess, const sl_val **ret, sl_err *err)
{
    sl_val *list = sl_list(a);
    *ret = list;
    sl_stmt *q = sl_db_query(sl_store_db(s), err, "SELECT id, ns, flow_id FROM executions WHERE over=1 ORDER BY created_ms LIMIT ?", "i", (int64_t)RETENTION_STEP);
    int rc = q ? 1 : -1;
    while (q != NULL && (rc = sl_stmt_next(q, err)) == 1) {
        if (*excess <= 0) {
            sl_stmt_done(q);
            return true;
        }
        sl_str id = sl_col_str(q, a, 0);
        *excess -= bytes_of(e, a, sl_col_str(q, a, 1), sl_col_str(q, a, 2), id);
        sl_list_add(a, list, sl_val_str(a, id));
    }
    return rc >= 0;
}

/* ---- a step ---- */

static bool remove_all(sl_engine *e, const sl_val *ids, sl_err *err)
{
    for (size_t i = 0; i < sl_val_count(ids); i++) {
        sl_request r = { .verb = SL_DO_DELETE, .id = sl_text(sl_at(ids, i)) };
        if (!sl_execution_do(e, &r, err) && err->kind != SL_ERR_NOT_FOUND && err->kind != SL_ERR_CONFLICT)
            return false;
    }
    return true;
}

bool sl_retention_step(sl_engine *e, sl_store *reader, const sl_retention *r, int64_t *excess, bool *more, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    const sl_val *ids;
    if (!old_ones(reader, a, r->keep_ms > 0 ? sl_now_ms() - r->keep_ms : 0, r->keep_count, &ids, err) || !remove_all(e, ids, err))
        return false;
    *more = sl_val_count(ids) == RETENTION_STEP;
    if (*more || r->keep_bytes <= 0)
        return true;
    if (*excess < 0) {
        int64_t used = bytes_below(sl_logs_dir(sl_engine_logs(e)), "") + bytes_below(sl_engine_storage(e)->root, "/executions/");
        *excess = used > r->keep_bytes ? used - r->keep_bytes : 0;
    }
    if (*excess > 0 && (!oldest_needed(e, reader, a, excess, &ids, err) || !remove_all(e, ids, err)))
        return false;
    *more = *excess > 0 && sl_val_count(ids) > 0;
    return true;
}
