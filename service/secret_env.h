/*
 * service/secret_env.h: secrets given as SECRET_NAME=base64 (Kestra's convention) in the environment.
 *
 * They are taken out of it at start, so that neither /proc/PID/environ nor a child process shows them. Before threads.
 */
#pragma once

#include "base/str.h"

/* Moves all SECRET_ variables into secrets and wipes them where they stood. */
void sl_secret_env_take(void);
/* The value of SECRET_<NAME>, name in any case, decoded; line breaks inside are ignored. false: missing, or not base64. */
bool sl_secret_env_find(sl_arena *arena, sl_str name, sl_str *ret);
