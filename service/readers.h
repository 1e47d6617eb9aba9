/* service/readers.h: connections that read the state without ever holding up the engine. Threads: any. */
#pragma once

#include "service/engine.h"

typedef struct sl_readers sl_readers;

sl_readers *sl_readers_new(sl_engine *e);
void sl_readers_free(sl_readers *r);
/* One for the caller alone, until it is given back; NULL with err. */
sl_store *sl_readers_take(sl_readers *r, sl_err *err);
void sl_readers_put(sl_readers *r, sl_store *s); /* NULL is fine */
