/* connectors/target.c: closing targets; stored files. See target.h. */
#include "connectors/target.h"

#include "base/arena.h"

void sl_target_close(sl_target **t)
{
    if (*t != NULL)
        (*t)->writer.close(&(*t)->writer);
    *t = NULL;
}

typedef struct stored {
    sl_target target;
    sl_writer *out;
} stored;

static bool stored_write(sl_writer *self, const void *from, size_t n, sl_err *err)
{
    stored *s = (stored *)self;
    s->target.crc = sl_crc32c(s->target.crc, from, n);
    s->target.at += (int64_t)n;
    return s->out->write(s->out, from, n, err);
}

static void stored_close(sl_writer *self)
{
    stored *s = (stored *)self;
    sl_writer_close(&s->out);
    free(s);
}

static bool stored_flush(sl_target *t, sl_err *err)
{
    (void)t;
    (void)err;
    return true;
}

static bool stored_complete(sl_target *t, sl_err *err)
{
    stored *s = (stored *)t;
    return s->out->finish(s->out, err);
}

static void stored_abort(sl_target *t)
{
    (void)t; /* nothing is there before it is complete */
}

static void stored_durable(sl_target *t, int64_t *bytes, uint32_t *crc)
{
    (void)t;
    *bytes = 0;
    *crc = 0;
}

static bool stored_state(sl_target *t, sl_arena *a, sl_val **ret, sl_err *err)
{
    (void)t;
    (void)err;
    *ret = sl_map(a);
    return true;
}

bool sl_target_stored(const sl_target_how *how, sl_str name, sl_target **ret, sl_err *err)
{
    sl_str uri;
    sl_writer *out;
    if (!sl_task_open_out(how->task, name, &out, &uri, err))
        return false;
    stored *s = sl_malloc(sizeof *s);
    *s = (stored){ .out = out };
    s->target = (sl_target){
        .writer = { stored_write, sl_writer_no_finish, stored_close }, .what = sl_cstr(sl_task_arena(how->task), uri), .flush = stored_flush, .complete = stored_complete, .abort = stored_abort, .durable = stored_durable,
        .state = stored_state, .uri = uri,
    };
    *ret = &s->target;
    return true;
}
