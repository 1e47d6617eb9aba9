/* flows/store_private.h: what store.c, store_load.c and repository.c share. */
#pragma once

#include "flows/store.h"

struct sl_store {
    sl_db *db;
    sl_kv *kv;
    int64_t epoch;     /* number of this start; 0 for a reader */
};
