/* connectors/state.c: see state.h. */
#include "connectors/state.h"

#include "base/arena.h"
#include "base/json.h"
#include "base/limits.h"

enum { STATE_MAX = 256 << 20 };

bool sl_state_keep(sl_task *t, sl_val *doc, const char *member, sl_err *err)
{
    sl_arena *a = sl_task_arena(t);
    SL_WRITER out = NULL;
    sl_str uri;
    if (sl_json(a, doc).n < SL_CHECKPOINT_SIZE_MAX)
        return sl_task_checkpoint(t, doc, err);
    sl_str text = sl_json(a, sl_get(doc, member));
    if (!sl_task_open_out(t, SL_S("state.json"), &out, &uri, err) || !out->write(out, text.p, text.n, err) || !out->finish(out, err))
        return false;
    (void)sl_map_remove(doc, sl_str_c(member));
    sl_map_set_str(a, doc, "file", uri);
    return sl_task_checkpoint(t, doc, err);
}

bool sl_state_load(sl_task *t, const sl_val *saved, const char *member, const sl_val **ret, sl_err *err)
{
    sl_str uri = sl_get_text(saved, "file"), text;
    SL_READER in = NULL;
    *ret = sl_get(saved, member);
    if (uri.n == 0)
        return true;
    if (!sl_task_open_in(t, uri, &in, err) || !sl_io_read_all(sl_task_arena(t), in, STATE_MAX, &text, err))
        return false;
    return (*ret = sl_json_parse(sl_task_arena(t), text, err)) != NULL;
}
