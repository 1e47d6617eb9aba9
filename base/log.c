/* base/log.c: see log.h. */
#include "base/log.h"

#include <stdarg.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/time.h"

static sl_level least = SL_WARN;
static bool as_json;
static const char *raised = "";

static const char *const names[] = { "TRACE", "DEBUG", "INFO", "WARN", "ERROR" };

void sl_log_init(sl_level level, bool json)
{
    least = level;
    as_json = json;
    const char *env = getenv("SL_TRACE_COMPONENTS");
    raised = env ? env : "";
}

static bool is_raised(const char *component)
{
    sl_str rest = sl_str_c(raised), part;
    while (sl_str_cut(&rest, ',', &part))
        if (sl_str_eqc(sl_str_trim(part), component))
            return true;
    return false;
}

bool sl_log_on(sl_level level, const char *component)
{
    return level >= least || (*raised != '\0' && is_raised(component));
}

void sl_log(sl_level level, const char *component, const char *fmt, ...)
{
    if (!sl_log_on(level, component))
        return;
    SL_ARENA a = sl_arena_new();
    va_list ap;
    va_start(ap, fmt);
    sl_str message = sl_redact(a, sl_vfmt(a, fmt, ap));
    va_end(ap);
    sl_str when = sl_time_rfc3339(a, sl_now_ms()), line;
    if (as_json) {
        sl_val *record = sl_map(a);
        sl_map_set_str(a, record, "timestamp", when);
        sl_map_set_str(a, record, "level", sl_str_c(names[level]));
        sl_map_set_str(a, record, "component", sl_str_c(component));
        sl_map_set_str(a, record, "message", message);
        line = sl_fmt(a, "%.*s\n", SL_ARG(sl_json(a, record)));
    } else
        line = sl_fmt(a, "%.*s %-5s %s: %.*s\n", SL_ARG(when), names[level], component, SL_ARG(message));
    ssize_t put = write(STDERR_FILENO, line.p, line.n);
    (void)put;
}

const char *sl_level_name(sl_level level)
{
    return names[level];
}

bool sl_level_parse(sl_str name, sl_level *ret)
{
    for (size_t i = 0; i < SL_COUNT(names); i++)
        if (sl_str_ieq(name, sl_str_c(names[i]))) {
            *ret = (sl_level)i;
            return true;
        }
    if (!sl_str_ieq(name, SL_S("WARNING")))
        return false;
    *ret = SL_WARN;
    return true;
}
