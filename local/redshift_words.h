/* local/redshift_words.h: private to local/redshift_*.c: what the readers of COPY, UNLOAD and the rest of Redshift's SQL share. */
#pragma once

#include "local/redshift.h"

/* Is the token that word, in any case? */
static inline bool is(sl_str token, const char *word)
{
    return sl_str_ieq(token, sl_str_c(word));
}

/* 'it''s' without its quotes; anything else as it is. */
sl_str sl_redshift_unquoted(sl_arena *arena, sl_str token);
/* The value of an option, with or without AS. */
sl_str sl_redshift_value(sl_arena *arena, sl_str *rest);
