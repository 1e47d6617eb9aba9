/* tests/simulation/no_store.c: in the place of service/stored.c: nothing stands behind the storage, and nobody reads files. */
#include "service/stored.h"

sl_stored *sl_stored_new(const sl_stored_cfg *cfg, const char *root, sl_err *err)
{
    (void)cfg;
    (void)root;
    (void)sl_err_set(err, SL_ERR_BUG, "simulation.store", "the simulation has no object store");
    return NULL;
}

void sl_stored_free(sl_stored *s)
{
    (void)s;
}

bool sl_stored_changes_now(sl_engine *e, sl_str path, sl_err *err)
{
    (void)e;
    (void)path;
    (void)err;
    return true;
}

sl_task *sl_task_alone(sl_engine *e, sl_arena *arena)
{
    (void)e;
    (void)arena;
    return NULL;
}

bool sl_stored_have(sl_task *t, sl_str path, sl_str uri, sl_err *err)
{
    (void)t;
    (void)path;
    return sl_err_set(err, SL_ERR_NOT_FOUND, "storage.missing", "there is no file '%.*s' in a simulation", SL_ARG(uri));
}

void sl_stored_pin(sl_task *t, sl_str path)
{
    (void)t;
    (void)path;
}
