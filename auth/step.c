/* auth/step.c: see step.h. */
#include "auth/step.h"

void sl_auth_step(sl_arena *arena, sl_val *steps, const char *link, bool found, sl_str detail)
{
    if (steps == NULL)
        return;
    sl_val *step = sl_map(arena);
    sl_map_set_str(arena, step, "link", sl_str_c(link));
    sl_map_set_bool(arena, step, "found", found);
    sl_map_set_str(arena, step, "detail", detail);
    sl_list_add(arena, steps, step);
}
