/* auth/step.h: the steps of a search for credentials, as "sluice auth explain" shows them. */
#pragma once

#include "base/val.h"

/* Adds {link, found, detail} to steps, from arena. Nothing where steps is NULL: nobody asked. detail holds no part of a key. */
void sl_auth_step(sl_arena *arena, sl_val *steps, const char *link, bool found, sl_str detail);
