/* base/fault.c: see fault.h. */
#include "base/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"

bool sl_fault_armed;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    char label[128];
    char action[32];
    int64_t at, passed;
    int log_fd;
} fault = { .log_fd = -1 };

void sl_fault_init(void)
{
    const char *spec = getenv("SLUICE_FAULT"), *log = getenv("SLUICE_FAULT_LOG");
    if (log != NULL)
        fault.log_fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (spec != NULL) {
        sl_str rest = sl_str_c(spec), part, parts[3] = { { 0 } };
        int n = 0;
        while (n < 3 && sl_str_cut(&rest, ':', &part))
            parts[n++] = part;
        fault.at = 1;
        if (n == 3)
            (void)sl_parse_int(parts[1], &fault.at);
        if (n >= 2) {
            (void)snprintf(fault.label, sizeof fault.label, "%.*s", SL_ARG(parts[0]));
            (void)snprintf(fault.action, sizeof fault.action, "%.*s", SL_ARG(parts[n - 1]));
        }
    }
    sl_fault_armed = fault.log_fd >= 0 || fault.label[0] != '\0';
}

bool sl_fault_hit(const char *label, sl_err *err)
{
    pthread_mutex_lock(&lock);
    if (fault.log_fd >= 0) {
        char line[160];
        int n = snprintf(line, sizeof line, "%s\n", label);
        ssize_t put = write(fault.log_fd, line, (size_t)n);
        (void)put;
    }
    bool now = strcmp(label, fault.label) == 0 && ++fault.passed == fault.at;
    pthread_mutex_unlock(&lock);
    if (!now)
        return true;
    if (strcmp(fault.action, "kill") == 0)
        (void)kill(getpid(), SIGKILL);
    if (strncmp(fault.action, "sleep", 5) == 0) {
        int64_t ms = 0;
        (void)sl_parse_int(sl_str_c(fault.action + 5), &ms);
        sl_sleep_ms(ms);
        return true;
    }
    return sl_err_set(err, SL_ERR_TRANSIENT, "fault.injected", "injected failure at %s", label);
}
