/*
 * base/jq.c: the jq language, run in a process of its own: a program may never end, ask for all memory, or find one of the
 * inputs on which libjq calls abort(). None of that may touch the caller, who would meet the same program after every restart.
 *
 * libjq consumes every jv it is given; jv_copy where one is needed twice.
 */
#include "base/jq.h"

#include <errno.h>
#include <fcntl.h>
#include <jq.h>
#include <jv.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"

enum { RESULTS_MAX = 100000, BLOCK = 64 << 10 };
static const size_t ANSWER_MAX = 64 << 20;
static const rlim_t MEMORY_MAX = 256 << 20; /* beside what the process had at its start */

/* ---- in the process of its own: the answer is a byte that says what it is, and the results as JSON or a text ---- */

enum { RESULTS = 'r', WRONG = 'w', FAILED = 'f', MANY = 'm' };

typedef struct trouble {
    char text[400];
} trouble;

static void on_error(void *self, jv message)
{
    trouble *t = self;
    if (t->text[0] == '\0' && jv_get_kind(message) == JV_KIND_STRING)
        (void)snprintf(t->text, sizeof t->text, "%s", jv_string_value(message));
    jv_free(message);
}

static jv no_input(jq_state *jq, void *self)
{
    (void)jq;
    (void)self;
    return jv_invalid_with_msg(jv_string("there is no further input"));
}

static void no_debug(void *self, jv message)
{
    (void)self;
    jv_free(message);
}

static void say(int fd, const char *text, size_t n)
{
    while (n > 0) {
        ssize_t done = write(fd, text, n);
        if (done < 0 && errno != EINTR)
            _exit(1);
        text += done > 0 ? done : 0;
        n -= done > 0 ? (size_t)done : 0;
    }
}

static void say_of(int fd, char kind, const char *text)
{
    say(fd, &kind, 1);
    say(fd, text, strlen(text));
}

static void run(int fd, sl_str json, const char *program)
{
    trouble t = { "" };
    jq_state *jq = jq_init();
    sl_assert(jq != NULL);
    jq_set_error_cb(jq, on_error, &t);
    jq_set_input_cb(jq, no_input, NULL); /* jq_init leaves both as malloc gave them */
    jq_set_debug_cb(jq, no_debug, NULL);
    if (!jq_compile(jq, program)) {
        say_of(fd, WRONG, t.text);
        return;
    }
    jv all = jv_array(), v;
    int count = 0;
    jq_start(jq, jv_parse_sized(json.p, (int)json.n), 0);
    for (v = jq_next(jq); jv_is_valid(v) && count < RESULTS_MAX; v = jq_next(jq), count++)
        all = jv_array_append(all, v);
    if (jv_is_valid(v)) {
        say_of(fd, MANY, "");
        return;
    }
    if (jv_invalid_has_msg(jv_copy(v))) {
        jv message = jv_invalid_get_msg(v);
        say_of(fd, FAILED, jv_get_kind(message) == JV_KIND_STRING ? jv_string_value(message) : "unknown reason");
        return;
    }
    say_of(fd, RESULTS, jv_string_value(jv_dump_string(all, 0)));
}

static _Noreturn void child(int fd, pid_t parent, sl_str json, const char *program)
{
    static char *nothing[] = { NULL };
    struct rlimit limit;
    sigset_t all;
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, NULL); /* a handler would run in the wrong process */
    (void)signal(SIGABRT, SIG_DFL);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (null >= 0)
        (void)dup2(null, STDERR_FILENO); /* what an assertion says means nothing to who reads the log */
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f != NULL && fscanf(f, "%*d %*d %*d %*d %*d %ld", &pages) == 1 && getrlimit(RLIMIT_DATA, &limit) == 0) {
        rlim_t most = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + MEMORY_MAX;
        limit = (struct rlimit){ .rlim_cur = most < limit.rlim_max ? most : limit.rlim_max, .rlim_max = limit.rlim_max };
        (void)setrlimit(RLIMIT_DATA, &limit);
    }
    limit = (struct rlimit){ 0, 0 };
    (void)setrlimit(RLIMIT_CORE, &limit);
    (void)setrlimit(RLIMIT_NOFILE, &limit); /* import and include open nothing */
    environ = nothing;                      /* and `env` is empty: secrets may be there */
    run(fd, json, program);
    _exit(0);
}

/* ---- in the caller ---- */

/* true: all of the answer; it may be empty. false: no end within the time. */
static bool listen_to(int fd, int64_t max_ms, sl_buf *ret)
{
    int64_t end = sl_mono_ms() + max_ms;
    char *block = sl_malloc(BLOCK);
    bool done = false, late = false;
    while (!done && !late) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        int64_t left = end - sl_mono_ms();
        int ready = left > 0 ? poll(&p, 1, (int)left) : 0;
        ssize_t n = ready > 0 ? read(fd, block, BLOCK) : -1;
        late = ready == 0;
        if (n > 0)
            sl_buf_add(ret, (sl_str){ block, (size_t)n });
        done = n == 0 || (n < 0 && ready != 0 && errno != EINTR) || ret->overflow;
    }
    free(block);
    return !late;
}

static bool ended(int status, sl_str program, int64_t late_ms, const sl_buf *answer, sl_err *err)
{
    if (late_ms > 0)
        return sl_err_set(err, SL_ERR_DATA, "jq.time", "the jq program `%.*s` ran for more than %lld s and was ended", SL_ARG(program), (long long)late_ms / 1000);
    if (answer->overflow)
        return sl_err_set(err, SL_ERR_DATA, "jq.results", "the jq program `%.*s` made more than %zu MB of results", SL_ARG(program), ANSWER_MAX >> 20);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && answer->n > 0)
        return true;
    return sl_err_set(err, SL_ERR_DATA, "jq.fault", "the jq program `%.*s` asked for more than %d MB of memory, or met a fault of libjq (%s %d)", SL_ARG(program), (int)(MEMORY_MAX >> 20), WIFSIGNALED(status) ? "signal" : "exit",
                      WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

static const sl_val *understood(sl_arena *arena, sl_str program, sl_str answer, sl_err *err)
{
    sl_str rest = sl_str_sub(answer, 1, answer.n);
    switch (answer.p[0]) {
    case RESULTS: return sl_json_parse(arena, rest, err);
    case WRONG: sl_err_set(err, SL_ERR_CONFIG, "jq.compile", "the jq program `%.*s` is wrong: %.*s", SL_ARG(program), SL_ARG(rest)); break;
    case MANY: sl_err_set(err, SL_ERR_DATA, "jq.results", "the jq program `%.*s` has more than %d results", SL_ARG(program), RESULTS_MAX); break;
    default: sl_err_set(err, SL_ERR_DATA, "jq.run", "the jq program `%.*s` failed: %.*s", SL_ARG(program), SL_ARG(rest));
    }
    return NULL;
}

const sl_val *sl_jq(sl_arena *arena, const sl_val *input, sl_str program, int64_t max_ms, sl_err *err)
{
    int pipes[2], status = 0;
    sl_str json = sl_json(arena, input);
    const char *text = sl_cstr(arena, program);
    pid_t self = getpid();
    if (json.n > ANSWER_MAX) {
        sl_err_set(err, SL_ERR_DATA, "jq.input", "jq is given more than %zu MB", ANSWER_MAX >> 20);
        return NULL;
    }
    if (pipe2(pipes, O_CLOEXEC) != 0) {
        sl_err_errno(err, "open", "a pipe for jq");
        return NULL;
    }
    pid_t pid = fork();
    if (pid == 0)
        child(pipes[1], self, json, text);
    (void)close(pipes[1]);
    if (pid < 0) {
        (void)close(pipes[0]);
        sl_err_errno(err, "start", "a process for jq");
        return NULL;
    }
    sl_buf answer = sl_buf_new(arena, ANSWER_MAX);
    bool late = !listen_to(pipes[0], max_ms, &answer);
    (void)close(pipes[0]);
    if (late || answer.overflow)
        (void)kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return ended(status, program, late ? max_ms : 0, &answer, err) ? understood(arena, program, sl_buf_str(&answer), err) : NULL;
}
