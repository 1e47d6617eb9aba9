/*
 * base/err.h: the error object. Fallible functions return bool (or a pointer) and take sl_err *err last.
 *
 * An error is one sentence for a person (what failed, on what, why, what to do) plus a kind and a code for programs.
 * Callers on the way up add context with sl_err_ctx. No allocation: an error can be reported when memory is short.
 * Threads: an sl_err belongs to its caller. There is no "last error".
 */
#pragma once

#include "base/base.h"

typedef enum sl_err_kind {
    SL_ERR_NONE = 0,
#define X(id, may_retry) SL_ERR_##id,
#include "base/err.def"
#undef X
} sl_err_kind;

struct sl_err {
    sl_err_kind kind;
    int status;              /* remote status (HTTP), 0 when none                                     */
    int64_t retry_after_ms;  /* -1 when the remote gave none; set by sl_err_set to -1                 */
    uint32_t line, column;   /* position in the text that is to blame, from 1; 0 when there is none   */
    char code[64];           /* stable, such as "gcs.upload.412"                                      */
    char message[4000];
};

/* Fill *err. Always returns false, so that "return sl_err_set(...)" reads well. A message too long is cut at a character. */
bool sl_err_set(sl_err *err, sl_err_kind kind, const char *code, const char *fmt, ...) SL_PRINTF(4, 5);
/* As sl_err_set, with a position. */
bool sl_err_at(sl_err *err, uint32_t line, uint32_t column, sl_err_kind kind, const char *code, const char *fmt, ...)
    SL_PRINTF(6, 7);
/* Appends " (context)" to the message. Always returns false. */
bool sl_err_ctx(sl_err *err, const char *fmt, ...) SL_PRINTF(2, 3);
/* From errno: "cannot WHAT 'PATH': reason". ENOSPC gets advice. Always returns false. */
bool sl_err_errno(sl_err *err, const char *what, const char *path);
void sl_err_clear(sl_err *err);
bool sl_err_retryable(const sl_err *err);
