/* service/secret_env.c: see secret_env.h. */
#include "service/secret_env.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/secret.h"

static const char PREFIX[] = "SECRET_";

static struct {
    sl_arena *arena;
    size_t count;
    struct {
        sl_str name;
        sl_secret *value;
    } *items;
} taken; /* written once, before there are threads */

void sl_secret_env_take(void)
{
    size_t n = 0, room = 0;
    for (char **e = environ; *e != NULL; e++)
        room += strncmp(*e, PREFIX, strlen(PREFIX)) == 0;
    if (room == 0)
        return;
    taken.arena = sl_arena_new();
    taken.items = sl_alloc(taken.arena, room * sizeof *taken.items);
    char **keep = environ;
    for (char **e = environ; *e != NULL; e++) {
        char *value = strncmp(*e, PREFIX, strlen(PREFIX)) == 0 ? strchr(*e, '=') : NULL;
        if (value == NULL) {
            *keep++ = *e;
            continue;
        }
        taken.items[n].name = sl_str_dup(taken.arena, (sl_str){ *e + strlen(PREFIX), (size_t)(value - *e) - strlen(PREFIX) });
        taken.items[n++].value = sl_secret_in(taken.arena, sl_str_c(value + 1));
        sl_wipe(value + 1, strlen(value + 1));
    }
    *keep = NULL;
    taken.count = n;
}

bool sl_secret_env_find(sl_arena *arena, sl_str name, sl_str *ret)
{
    for (size_t i = 0; i < taken.count; i++)
        if (sl_str_ieq(taken.items[i].name, name)) {
            sl_str text = sl_str_trim(sl_secret_reveal(taken.items[i].value));
            text = sl_str_replace(arena, sl_str_replace(arena, text, SL_S("\n"), SL_S("")), SL_S("\r"), SL_S(""));
            return sl_base64_decode(arena, text, ret);
        }
    return false;
}
