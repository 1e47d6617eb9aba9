/* service/retention.c: see retention.h. */
#include "service/retention.h"

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

bool sl_retention_step(sl_engine *e, sl_store *reader, int64_t keep_ms, int64_t keep_count, bool *more, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    const sl_val *ids;
    if (!old_ones(reader, a, keep_ms > 0 ? sl_now_ms() - keep_ms : 0, keep_count, &ids, err))
        return false;
    for (size_t i = 0; i < sl_val_count(ids); i++) {
        sl_request r = { .verb = SL_DO_DELETE, .id = sl_text(sl_at(ids, i)) };
        if (!sl_execution_do(e, &r, err) && err->kind != SL_ERR_NOT_FOUND && err->kind != SL_ERR_CONFLICT)
            return false;
    }
    *more = sl_val_count(ids) == RETENTION_STEP;
    return true;
}
