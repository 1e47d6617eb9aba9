/* base/err.c: see err.h. */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <unistd.h>

static const bool retryable[] = {
    false,
#define X(id, may_retry) may_retry,
#include "base/err.def"
#undef X
};

/* A cut in the middle of a UTF-8 sequence would make invalid JSON further up. */
static void cut_at_character(char *text, size_t size, size_t wanted)
{
    if (wanted < size)
        return;
    size_t end = size - 1;
    while (end > 0 && ((unsigned char)text[end - 1] & 0xC0) == 0x80)
        end--;
    if (end > 0 && ((unsigned char)text[end - 1] & 0x80) != 0)
        end--;
    text[end] = '\0';
}

static void set_message(sl_err *err, sl_err_kind kind, const char *code, const char *fmt, va_list ap)
{
    memset(err, 0, offsetof(sl_err, message));
    err->kind = kind;
    err->retry_after_ms = -1;
    (void)snprintf(err->code, sizeof err->code, "%s", code);
    int wanted = vsnprintf(err->message, sizeof err->message, fmt, ap);
    cut_at_character(err->message, sizeof err->message, wanted < 0 ? 0 : (size_t)wanted);
}

bool sl_err_set(sl_err *err, sl_err_kind kind, const char *code, const char *fmt, ...)
{
    sl_assert(err != NULL);
    va_list ap;
    va_start(ap, fmt);
    set_message(err, kind, code, fmt, ap);
    va_end(ap);
    return false;
}

bool sl_err_at(sl_err *err, uint32_t line, uint32_t column, sl_err_kind kind, const char *code, const char *fmt, ...)
{
    sl_assert(err != NULL);
    va_list ap;
    va_start(ap, fmt);
    set_message(err, kind, code, fmt, ap);
    va_end(ap);
    err->line = line;
    err->column = column;
    return false;
}

bool sl_err_ctx(sl_err *err, const char *fmt, ...)
{
    sl_assert(err != NULL);
    size_t used = strlen(err->message);
    size_t room = sizeof err->message - used;
    if (room < 8)
        return false;
    err->message[used] = ' ';
    err->message[used + 1] = '(';
    va_list ap;
    va_start(ap, fmt);
    int wanted = vsnprintf(err->message + used + 2, room - 3, fmt, ap);
    va_end(ap);
    cut_at_character(err->message + used + 2, room - 3, wanted < 0 ? 0 : (size_t)wanted);
    size_t end = strlen(err->message);
    err->message[end] = ')';
    err->message[end + 1] = '\0';
    return false;
}

bool sl_err_errno(sl_err *err, const char *what, const char *path)
{
    int number = errno;
    const char *advice = number == ENOSPC   ? "; free some space on that disk and try again"
                         : number == EACCES ? "; check who owns it and its permissions"
                                            : "";
    sl_err_kind kind = number == ENOENT ? SL_ERR_NOT_FOUND : SL_ERR_IO;
    char reason[128];
    const char *text = strerror_r(number, reason, sizeof reason);
    return sl_err_set(err, kind, number == ENOSPC ? "io.disk_full" : "io", "cannot %s '%s': %s%s", what, path, text, advice);
}

void sl_err_clear(sl_err *err)
{
    memset(err, 0, offsetof(sl_err, message));
    err->message[0] = '\0';
}

bool sl_err_retryable(const sl_err *err)
{
    return (size_t)err->kind < SL_COUNT(retryable) && retryable[err->kind];
}

void sl_panic(const char *file, int line, const char *what)
{
    char text[512];
    int n = snprintf(text, sizeof text,
                     "sluice: internal error at %s:%d: %s does not hold; the process stops here so that nothing wrong is "
                     "written. Please report this line.\n",
                     file, line, what);
    if (n > 0) {
        ssize_t written = write(STDERR_FILENO, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
        (void)written;
    }
    abort();
}
