/*
 * connectors/script/container.h: a script's command in a container (io.kestra.plugin.scripts.runner.docker.Docker).
 *
 * The container has a name made from the attempt: after a crash of ours it is found again, running or ended, and what it printed is
 * read from the beginning; the script does not run twice. It is removed at the end, and ended when the task is.
 * Source: flow language section 4.14.
 */
#pragma once

#include "base/bind.h"
#include "connectors/task.h"

#define SL_RUNNER_DOCKER "io.kestra.plugin.scripts.runner.docker.Docker"

typedef struct sl_container {
    const char *const *argv;      /* both end with NULL */
    const char *const *env;
    sl_str dir;                   /* the working folder, on both sides; files are copied in and out */
    sl_str skip;                  /* names below it that need not come out */
    bool take;                    /* whether anything need come out */
    const sl_val *runner;         /* properties of the runner, rendered; NULL = none */
    sl_str image;
    void *self;                   /* for on_line */
    void (*on_line)(void *self, bool is_stderr, sl_str line);
} sl_container;

/* Static checks of the runner's properties. */
void sl_container_check(const sl_val *runner, sl_str where, sl_problems *problems);
/* true: the command ran to its end, with that exit code. */
bool sl_container_run(sl_task *t, const sl_container *k, int *ret_exit, int64_t *lines_out, int64_t *lines_err, sl_err *err);
