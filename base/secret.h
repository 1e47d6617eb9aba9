/*
 * base/secret.h: secrets as a type, and the redactor that sits at every byte sink.
 *
 * A secret lives in locked memory that is left out of core dumps and of children, and is wiped when freed. There is no
 * formatter for it; revealing it is an explicit call at the one place that needs the bytes. Every secret made is known to
 * the redactor from then on: logs, outputs, errors and API replies pass through sl_redact, which hides the value itself and
 * its JSON, URL, base64, hex and HTML forms, and each long line of a value of several lines.
 * Values shorter than 4 bytes cannot be told from ordinary text and are not redacted.
 * Threads: all functions may be called at once.
 */
#pragma once

#include "base/base.h"
#include "base/str.h"

typedef struct sl_secret sl_secret;

sl_secret *sl_secret_new(sl_str value);
void sl_secret_free(sl_secret *s);                       /* NULL is fine */
void sl_secret_freep(sl_secret **s);
#define SL_SECRET SL_CLEANUP(sl_secret_freep) sl_secret *
sl_secret *sl_secret_in(sl_arena *arena, sl_str value);  /* dies with the arena */
sl_str sl_secret_reveal(const sl_secret *s);             /* valid until it is freed */
void sl_wipe(void *p, size_t n);

/* Makes a value known to the redactor without keeping a handle: tokens, session URIs, derived credentials. */
void sl_redact_add(sl_str value);
/* The text with every known value replaced by ******; the same view when there was nothing to hide. */
sl_str sl_redact(sl_arena *arena, sl_str text);
/* In place, for error messages. */
void sl_redact_err(struct sl_err *err);
/* Keys, values and all: for outputs and other documents. */
const sl_val *sl_redact_val(sl_arena *arena, const sl_val *v);
void sl_redact_reset(void);                              /* for tests */

/* Process-wide protection: no core dumps, not traceable by others. Called once at start. */
void sl_secret_harden(void);
/* Takes as long for every text of that length. */
bool sl_secret_equal(sl_str a, sl_str b);
