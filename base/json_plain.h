/* base/json_plain.h: private to json.c: the JSON that nearly all is, at many times jansson's speed. */
#pragma once

#include "base/val.h"

/* NULL: it is not plain, or not JSON; what the arena got in between stays there. */
const sl_val *sl_json_plain(sl_arena *arena, sl_str text);
