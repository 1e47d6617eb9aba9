/* connectors/result.c: see result.h. */
#include "connectors/result.h"

#include "base/arena.h"
#include "base/ion.h"
#include "base/limits.h"

bool sl_result_open(sl_result *r, sl_task *t, sl_str fetch_type, size_t index, sl_err *err)
{
    *r = (sl_result){ .task = t, .fetch = sl_str_eqc(fetch_type, "FETCH"), .one = sl_str_eqc(fetch_type, "FETCH_ONE") };
    if (r->fetch)
        r->rows = sl_list(sl_task_arena(t));
    if (!sl_str_eqc(fetch_type, "STORE"))
        return true;
    r->arena = sl_arena_new();
    r->buffer = sl_buf_new(r->arena, SIZE_MAX / 4);
    return sl_task_open_out(t, index == 0 ? SL_S("result.ion") : sl_fmt(sl_task_arena(t), "result-%zu.ion", index + 1), &r->file, &r->uri, err);
}

void sl_result_close(sl_result *r)
{
    sl_writer_close(&r->file);
    if (r->arena != NULL)
        sl_arena_free(r->arena);
    r->arena = NULL;
}

bool sl_result_keeps(const sl_result *r)
{
    return r->fetch || (r->one && r->count == 0);
}

static bool flush(sl_result *r, sl_err *err)
{
    bool ok = r->buffer.n == 0 || r->file->write(r->file, r->buffer.p, r->buffer.n, err);
    r->buffer.n = 0;
    return ok;
}

bool sl_result_add(sl_result *r, const sl_val *row, sl_err *err)
{
    if (r->one && r->count == 0)
        r->first = row;
    r->count++;
    if (r->fetch)
        sl_list_add(sl_task_arena(r->task), r->rows, row);
    if (r->file == NULL)
        return true;
    sl_ion_write(&r->buffer, r->arena, row);
    sl_buf_char(&r->buffer, '\n');
    return r->buffer.n < SL_IO_BLOCK || flush(r, err);
}

bool sl_result_end(sl_result *r, sl_val *outputs, sl_err *err)
{
    sl_arena *a = sl_task_arena(r->task);
    if (r->file != NULL && (!flush(r, err) || !r->file->finish(r->file, err)))
        return false;
    sl_map_set_int(a, outputs, "size", r->count);
    if (r->fetch)
        sl_map_setc(a, outputs, "rows", r->rows);
    else if (r->first != NULL)
        sl_map_setc(a, outputs, "row", r->first);
    else if (r->file != NULL)
        sl_map_set_str(a, outputs, "uri", r->uri);
    sl_task_counter(r->task, "fetch.rows", (double)r->count);
    return true;
}

bool sl_result_out(sl_result *r, sl_err *err)
{
    sl_val *outputs = sl_map(sl_task_arena(r->task));
    if (!sl_result_end(r, outputs, err))
        return false;
    for (size_t i = 0; i < sl_val_count(outputs); i++)
        sl_task_out(r->task, outputs->map.entries[i].key.p, outputs->map.entries[i].value);
    return true;
}
