/* flows/state.c: names of states (flow language section 2.2). */
#include "flows/exec.h"

static const char *const names[] = { "CREATED", "RUNNING", "PAUSED", "RESTARTED", "KILLING", "SUCCESS", "WARNING", "FAILED", "KILLED", "CANCELLED", "QUEUED", "RETRYING", "RETRIED", "SKIPPED" };

const char *sl_state_name(sl_state s)
{
    sl_assert((size_t)s < SL_COUNT(names));
    return names[s];
}

bool sl_state_parse(sl_str name, sl_state *ret)
{
    for (size_t i = 0; i < SL_COUNT(names); i++)
        if (sl_str_eqc(name, names[i])) {
            *ret = (sl_state)i;
            return true;
        }
    return false;
}

bool sl_state_final(sl_state s)
{
    return s == SL_SUCCESS || s == SL_WARNED || s == SL_FAILED || s == SL_KILLED || s == SL_CANCELLED || s == SL_RETRIED || s == SL_SKIPPED;
}
