/* connectors/records.c: see records.h. */
#include "connectors/records.h"

#include "base/arena.h"
#include "base/ion.h"
#include "base/limits.h"

bool sl_records_open(sl_records *r, sl_task *t, sl_str uri, sl_err *err)
{
    *r = (sl_records){ .uri = uri };
    if (!sl_task_open_in(t, uri, &r->in, err))
        return false;
    r->arena = sl_arena_new();
    r->lines = sl_lines_new(r->arena, r->in, SL_RECORD_MAX);
    return true;
}

void sl_records_close(sl_records *r)
{
    sl_reader_close(&r->in);
    if (r->arena != NULL)
        sl_arena_free(r->arena);
    r->arena = NULL;
}

int sl_records_line(sl_records *r, sl_str *line, sl_err *err)
{
    int got;
    while ((got = sl_lines_next(r->lines, line, err)) == 1) {
        *line = sl_str_trim(*line);
        if (line->n > 0) {
            r->count++;
            return 1;
        }
    }
    return got;
}

const sl_val *sl_records_parse(const sl_records *r, sl_arena *arena, sl_str line, sl_err *err)
{
    sl_str rest = sl_str_dup(arena, line);
    const sl_val *v = sl_ion_read(arena, &rest, err);
    if (v != NULL && sl_str_trim(rest).n == 0)
        return v;
    if (v != NULL)
        sl_err_set(err, SL_ERR_DATA, "ion.line", "a line holds more than one value");
    sl_err_ctx(err, "record %lld of %.*s", (long long)r->count, SL_ARG(r->uri));
    return NULL;
}

int sl_records_next(sl_records *r, sl_arena *arena, const sl_val **ret, sl_err *err)
{
    sl_str line;
    int got = sl_records_line(r, &line, err);
    return got != 1 || (*ret = sl_records_parse(r, arena, line, err)) != NULL ? got : -1;
}

bool sl_records_skip(sl_records *r, int64_t n, sl_err *err)
{
    sl_str line;
    while (n > 0) {
        int got = sl_lines_next(r->lines, &line, err);
        if (got < 0)
            return false;
        if (got == 0)
            return sl_err_set(err, SL_ERR_DATA, "records.short", "%.*s has fewer records than it had before", SL_ARG(r->uri));
        if (sl_str_trim(line).n > 0) {
            n--;
            r->count++;
        }
    }
    return true;
}
