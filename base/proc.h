/*
 * base/proc.h: runs a command in a session of its own and sees to it that nothing of it survives.
 *
 * A small supervisor process stands between: it adopts orphans (PR_SET_CHILD_SUBREAPER), so that double forks cannot escape,
 * and it is told when we die (PR_SET_PDEATHSIG), so that kill -9 of Sluice ends the tree as well. The command gets exactly
 * the environment, folder and descriptors (0, 1, 2) it is given. On the way out every remaining process is ended: TERM,
 * then KILL after the grace period.
 * Blocks the calling thread; callbacks run on it.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

typedef struct sl_proc {
    const char *const *argv;            /* NULL-terminated; argv[0] is looked up in the PATH of `env` */
    const char *const *env;             /* NULL-terminated NAME=value */
    const char *cwd;
    int pass_fd;                        /* given to the command as descriptor 9; -1 = none */
    int64_t timeout_ms;                 /* 0 = none */
    int64_t grace_ms;                   /* between TERM and KILL */
    void *self;                         /* for the callbacks */
    void (*on_line)(void *self, bool is_stderr, sl_str line);  /* without its line end; long lines come in pieces */
    bool (*cancelled)(void *self);      /* asked every 50 ms; may be NULL */
    void *cancel_self;
} sl_proc;

typedef struct sl_proc_result {
    int exit_code;                      /* 128 + signal when a signal ended it */
    int64_t lines_out, lines_err;
} sl_proc_result;

/* true: the command ran to its end, whatever its exit code. false: not started, timed out (TIMEOUT) or CANCELLED. */
bool sl_proc_run(const sl_proc *p, sl_proc_result *ret, sl_err *err);
