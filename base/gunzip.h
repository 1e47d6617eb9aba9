/* base/gunzip.h: the errors that both gunzip filters share. */
#pragma once

#include "base/err.h"

void sl_gunzip_truncated(int64_t in, sl_err *err);
void sl_gunzip_corrupt(int64_t in, int64_t out, const char *why, sl_err *err);
/* A bomb: more than 200 bytes out for each byte in, looked at from 10 MiB out on. */
bool sl_gunzip_ratio_ok(int64_t in, int64_t out, sl_err *err);
