/* tests/unit/fixture.h: what several unit tests need: a key-value store in the test's folder, a clock that the test sets. */
#pragma once

#include "kv/kv.h"
#include "tests/harness/test.h"

/* Opens (or opens again) the store DIR/data/kv.db with a key in DIR/config. NULL with t->err. */
sl_kv *fixture_kv(sl_test_context *t);
/* Wall time is what the test says, sleeping takes no time, and randomness counts up, until fixture_clock(0). */
void fixture_clock(int64_t now_ms);
int64_t fixture_slept(void);   /* milliseconds that were slept since */
