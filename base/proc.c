/*
 * base/proc.c: see proc.h.
 *
 * The supervisor is a fork of a process with threads: until it execs or exits it may only make system calls, which is why it
 * neither allocates nor uses stdio. It reads /proc/self/task/PID/children to find what it has adopted.
 */
#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/limits.h"

enum { EXIT_NOT_FOUND = 127, EXIT_NO_CWD = 126, LINE_PIECE = 64 << 10 };

/* ---- in the supervisor: system calls only ---- */

static void sleep_raw(long ms)
{
    struct timespec t = { ms / 1000, ms % 1000 * 1000000 };
    (void)nanosleep(&t, NULL);
}

/* Signals every child and grandchild that /proc knows of; true when there was any. */
static bool signal_children(pid_t of, int number, int depth)
{
    char path[64], text[4096];
    int n = 0;
    const char *prefix = "/proc/";
    for (const char *c = prefix; *c; c++)
        path[n++] = *c;
    char digits[16];
    int d = 0;
    for (pid_t p = of; p > 0 || d == 0; p /= 10)
        digits[d++] = (char)('0' + p % 10);
    int pid_digits = d;
    while (d > 0)
        path[n++] = digits[--d];
    for (const char *c = "/task/"; *c; c++)
        path[n++] = *c;
    d = pid_digits;
    while (d > 0)
        path[n++] = digits[--d];
    for (const char *c = "/children"; *c; c++)
        path[n++] = *c;
    path[n] = '\0';
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    bool any = false;
    pid_t pid = 0;
    for (ssize_t i = 0; i < got; i++) {
        if (text[i] >= '0' && text[i] <= '9') {
            pid = pid * 10 + (text[i] - '0');
            continue;
        }
        if (pid > 0) {
            any = true;
            if (depth < 40)
                (void)signal_children(pid, number, depth + 1);
            (void)kill(pid, number);
        }
        pid = 0;
    }
    return any;
}

static void end_children(int64_t grace_ms)
{
    pid_t self = getpid();
    for (int64_t waited = 0;; waited += 20) {
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
        if (waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD)
            return;
        (void)signal_children(self, waited == 0 ? SIGTERM : waited >= grace_ms ? SIGKILL : SIGCONT, 0);
        sleep_raw(20);
    }
}

SL_NORETURN static void command_main(const sl_proc *p, int out, int errors, const char *const *candidates)
{
    (void)setsid();
    int null = open("/dev/null", O_RDONLY);
    if (null >= 0)
        (void)dup2(null, 0);
    int pass = p->pass_fd >= 0 ? fcntl(p->pass_fd, F_DUPFD, 20) : -1;
    (void)dup2(out, 1);
    (void)dup2(errors, 2);
    if (pass >= 0)
        (void)dup2(pass, 9);
    (void)syscall(SYS_close_range, 3, pass >= 0 ? 8 : ~0U, 0);
    if (pass >= 0)
        (void)syscall(SYS_close_range, 10, ~0U, 0);
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)signal(SIGTERM, SIG_DFL);
    (void)signal(SIGINT, SIG_DFL);
    if (p->cwd != NULL && chdir(p->cwd) != 0)
        _exit(EXIT_NO_CWD);
    for (; *candidates != NULL; candidates++)
        (void)execve(*candidates, (char *const *)(uintptr_t)p->argv, (char *const *)(uintptr_t)p->env);
    _exit(EXIT_NOT_FOUND);
}

SL_NORETURN static void supervisor_main(const sl_proc *p, pid_t parent, int out, int errors, int status_fd, const char *const *candidates)
{
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    /* All signals are blocked here and waited for: none can come between a look and a wait. */
    sigset_t both;
    (void)sigemptyset(&both);
    (void)sigaddset(&both, SIGTERM);
    (void)sigaddset(&both, SIGCHLD);
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
    if (getppid() != parent)
        _exit(0);
    (void)setsid();
    pid_t command = fork();
    if (command == 0)
        command_main(p, out, errors, candidates);
    (void)close(out);
    (void)close(errors);
    int status = 127 << 8, one;
    bool over = command < 0, told = false;
    while (!over && !told) {
        told = sigwaitinfo(&both, NULL) == SIGTERM;
        for (pid_t pid; (pid = waitpid(-1, &one, WNOHANG)) > 0;)
            if (pid == command) {
                status = one;
                over = true;
            }
    }
    if (over) {
        ssize_t put = write(status_fd, &status, sizeof status);
        (void)put;
    }
    end_children(p->grace_ms);
    _exit(0);
}

/* ---- in our process ---- */

typedef struct stream {
    int fd;
    bool is_stderr, open;
    size_t n;
    int64_t lines;
    char data[LINE_PIECE];
} stream;

static void give_lines(const sl_proc *p, stream *s, bool last)
{
    size_t from = 0;
    for (;;) {
        char *hit = memchr(s->data + from, '\n', s->n - from);
        bool full = hit == NULL && s->n - from == sizeof s->data;
        if (hit == NULL && !full && !(last && s->n > from))
            break;
        size_t n = hit ? (size_t)(hit - s->data) - from : s->n - from;
        sl_str line = { s->data + from, n };
        if (n > 0 && line.p[n - 1] == '\r')
            line.n--;
        s->lines++;
        if (p->on_line != NULL)
            p->on_line(p->self, s->is_stderr, line);
        from += n + (hit != NULL);
    }
    memmove(s->data, s->data + from, s->n - from);
    s->n -= from;
}

static void pump(const sl_proc *p, stream *s)
{
    ssize_t got = read(s->fd, s->data + s->n, sizeof s->data - s->n);
    if (got < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (got > 0)
        s->n += (size_t)got;
    s->open = got > 0;
    give_lines(p, s, got <= 0);
}

/* The files that execvp would try, worked out before the fork. */
static const char *const *find_candidates(sl_arena *a, const sl_proc *p)
{
    const char **list = SL_ARRAY(a, const char *, 258);
    size_t n = 0;
    sl_str name = sl_str_c(p->argv[0]), dirs = SL_S("/usr/local/bin:/usr/bin:/bin"), dir;
    if (memchr(name.p, '/', name.n) != NULL) {
        list[n++] = name.p;
        return list;
    }
    for (const char *const *e = p->env; *e != NULL; e++)
        if (strncmp(*e, "PATH=", 5) == 0)
            dirs = sl_str_c(*e + 5);
    while (n < 256 && sl_str_cut(&dirs, ':', &dir))
        list[n++] = sl_fmt(a, "%.*s/%.*s", SL_ARG(dir.n ? dir : SL_S(".")), SL_ARG(name)).p;
    return list;
}

typedef struct running {
    pid_t supervisor;
    int status_fd;
    stream *out, *errors;
} running;

static bool start(sl_arena *a, const sl_proc *p, running *r, sl_err *err)
{
    int out[2] = { -1, -1 }, errors[2] = { -1, -1 }, status[2] = { -1, -1 };
    if (pipe2(out, O_CLOEXEC) != 0 || pipe2(errors, O_CLOEXEC) != 0 || pipe2(status, O_CLOEXEC) != 0) {
        int all[] = { out[0], out[1], errors[0], errors[1] };
        for (size_t i = 0; i < SL_COUNT(all); i++)
            if (all[i] >= 0)
                close(all[i]);
        return sl_err_errno(err, "make a pipe for", p->argv[0]);
    }
    const char *const *candidates = find_candidates(a, p);
    sigset_t all, old;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    pid_t self = getpid();
    r->supervisor = fork();
    if (r->supervisor == 0)
        supervisor_main(p, self, out[1], errors[1], status[1], candidates);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    close(out[1]);
    close(errors[1]);
    close(status[1]);
    if (r->supervisor < 0) {
        close(out[0]);
        close(errors[0]);
        close(status[0]);
        return sl_err_errno(err, "start", p->argv[0]);
    }
    r->status_fd = status[0];
    *r->out = (stream){ .fd = out[0], .open = true };
    *r->errors = (stream){ .fd = errors[0], .open = true, .is_stderr = true };
    return true;
}

/* Reads until both streams have ended and the exit status is known. false = cancelled or out of time. */
static bool follow(const sl_proc *p, running *r, int *status, sl_err *err)
{
    int64_t deadline = p->timeout_ms > 0 ? sl_mono_ms() + p->timeout_ms : INT64_MAX;
    bool known = false;
    int64_t drain_until = INT64_MAX;
    while (r->out->open || r->errors->open || !known) {
        struct pollfd fds[3] = { { r->out->open ? r->out->fd : -1, POLLIN, 0 },
                                 { r->errors->open ? r->errors->fd : -1, POLLIN, 0 },
                                 { known ? -1 : r->status_fd, POLLIN, 0 } };
        (void)poll(fds, 3, 50);
        if (fds[0].revents)
            pump(p, r->out);
        if (fds[1].revents)
            pump(p, r->errors);
        if (fds[2].revents) {
            ssize_t got = read(r->status_fd, status, sizeof *status);
            if (got != (ssize_t)sizeof *status)
                *status = 127 << 8;
            known = true;
            /* A background process may hold the pipes open; the supervisor ends it within the grace period. */
            drain_until = sl_mono_ms() + p->grace_ms + 5000;
        }
        if (sl_mono_ms() > drain_until)
            break;
        if (!known && p->cancelled != NULL && p->cancelled(p->cancel_self))
            return sl_err_set(err, SL_ERR_CANCELLED, "process.cancelled", "the command was stopped on request");
        if (!known && sl_mono_ms() > deadline)
            return sl_err_set(err, SL_ERR_TIMEOUT, "process.timeout", "the command ran longer than its timeout of %lld ms", (long long)p->timeout_ms);
    }
    return true;
}

bool sl_proc_run(const sl_proc *p, sl_proc_result *ret, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    running r = { .out = sl_malloc(sizeof(stream)), .errors = sl_malloc(sizeof(stream)) };
    bool ok = start(a, p, &r, err);
    if (ok) {
        int status = 0;
        ok = follow(p, &r, &status, err);
        if (!ok)
            (void)kill(r.supervisor, SIGTERM);
        while (waitpid(r.supervisor, NULL, 0) < 0 && errno == EINTR)
            ;
        close(r.out->fd);
        close(r.errors->fd);
        close(r.status_fd);
        *ret = (sl_proc_result){ .lines_out = r.out->lines, .lines_err = r.errors->lines };
        ret->exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    }
    free(r.out);
    free(r.errors);
    return ok;
}
