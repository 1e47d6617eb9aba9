/* flows/logs.c: see logs.h. */
#include "flows/logs.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/fs.h"
#include "base/io.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/secret.h"
#include "base/time.h"

struct sl_logs {
    char *dir;
    pthread_mutex_t lock;
    struct {
        char id[64];
        int fd;
    } open;               /* the file written last stays open */
    int64_t lost;
};

sl_logs *sl_logs_open(const char *dir, sl_err *err)
{
    if (!sl_fs_mkdirs(dir, err))
        return NULL;
    sl_logs *l = sl_malloc(sizeof *l);
    size_t n = strlen(dir) + 1;
    *l = (sl_logs){ .dir = memcpy(sl_malloc(n), dir, n) };
    l->open.fd = -1;
    pthread_mutex_init(&l->lock, NULL);
    return l;
}

void sl_logs_close(sl_logs *l)
{
    if (l == NULL)
        return;
    if (l->open.fd >= 0)
        close(l->open.fd);
    pthread_mutex_destroy(&l->lock);
    free(l->dir);
    free(l);
}

const char *sl_logs_dir(const sl_logs *l)
{
    return l->dir;
}

sl_str sl_logs_path(const sl_logs *l, sl_arena *a, sl_str execution_id)
{
    return sl_fmt(a, "%s/%.*s.jsonl", l->dir, SL_ARG(execution_id));
}

static void write_locked(sl_logs *l, sl_arena *a, sl_str id, sl_str line)
{
    if (!sl_str_eqc(id, l->open.id)) {
        if (l->open.fd >= 0)
            close(l->open.fd);
        l->open.fd = open(sl_logs_path(l, a, id).p, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        (void)snprintf(l->open.id, sizeof l->open.id, "%.*s", SL_ARG(id));
    }
    if (l->open.fd < 0 || write(l->open.fd, line.p, line.n) != (ssize_t)line.n)
        l->lost++;
}

static sl_str line_of(sl_arena *a, const sl_log_entry *e)
{
    sl_val *v = sl_map(a);
    sl_map_set_str(a, v, "timestamp", sl_time_rfc3339(a, e->at_ms));
    sl_map_set_str(a, v, "level", sl_str_c(sl_level_name(e->level)));
    if (e->task_id.n > 0)
        sl_map_set_str(a, v, "taskId", e->task_id);
    if (e->taskrun_id.n > 0)
        sl_map_set_str(a, v, "taskRunId", e->taskrun_id);
    if (e->attempt > 0)
        sl_map_set_int(a, v, "attemptNumber", e->attempt - 1);
    sl_map_set_str(a, v, "message", e->message);
    return sl_fmt(a, "%.*s\n", SL_ARG(sl_json(a, v)));
}

void sl_logs_add(sl_logs *l, const sl_log_entry *e, void (*also)(void *self, const sl_log_entry *e), void *self)
{
    SL_ARENA a = sl_arena_new();
    sl_log_entry part = *e;
    sl_str rest = sl_redact(a, e->message);
    pthread_mutex_lock(&l->lock);
    do {
        size_t n = rest.n < SL_LOG_LINE_MAX ? rest.n : SL_LOG_LINE_MAX;
        while (n > 0 && n < rest.n && ((unsigned char)rest.p[n] & 0xC0) == 0x80)
            n--;
        part.message = sl_str_sub(rest, 0, n);
        if (!sl_str_is_utf8(part.message)) /* a program may print anything; JSON may not hold it */
            part.message = sl_percent(a, part.message, " !\"#$&'()*+,/:;<=>?@[\\]^`{|}\t");
        rest = sl_str_sub(rest, n, rest.n);
        write_locked(l, a, e->execution_id, line_of(a, &part));
        if (also != NULL)
            also(self, &part);
    } while (rest.n > 0);
    pthread_mutex_unlock(&l->lock);
}

bool sl_logs_read(sl_logs *l, sl_arena *arena, sl_str id, sl_level least, const sl_val **ret, sl_err *err)
{
    sl_val *list = sl_list(arena);
    *ret = list;
    sl_str path = sl_logs_path(l, arena, id), line;
    if (!sl_fs_exists(path.p))
        return true;
    SL_READER r = sl_reader_file(path.p, err);
    if (r == NULL)
        return false;
    sl_lines *lines = sl_lines_new(arena, r, 1 << 20);
    int rc;
    while ((rc = sl_lines_next(lines, &line, err)) == 1) {
        sl_err ignored;
        sl_level level;
        const sl_val *v = sl_json_parse(arena, line, &ignored);
        if (v != NULL && sl_level_parse(sl_get_text(v, "level"), &level) && level >= least)
            sl_list_add(arena, list, v);
    }
    return rc == 0;
}

static void let_go(sl_logs *l, sl_str id)
{
    if (!sl_str_eqc(id, l->open.id))
        return;
    if (l->open.fd >= 0)
        close(l->open.fd);
    l->open.fd = -1;
    l->open.id[0] = '\0';
}

bool sl_logs_delete(sl_logs *l, sl_str id, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    pthread_mutex_lock(&l->lock);
    let_go(l, id);
    bool ok = sl_fs_remove(sl_logs_path(l, a, id).p, err);
    pthread_mutex_unlock(&l->lock);
    return ok;
}

/* Line by line; `kept` (NULL = nowhere) gets the others. */
static bool cut(sl_arena *a, sl_reader *r, unsigned levels, sl_writer *kept, int64_t *count, int64_t *left, sl_err *err)
{
    sl_lines *lines = sl_lines_new(a, r, 1 << 20);
    sl_str line;
    int rc;
    while ((rc = sl_lines_next(lines, &line, err)) == 1) {
        SL_ARENA own = sl_arena_new();
        sl_err ignored;
        sl_level level;
        const sl_val *v = sl_json_parse(own, line, &ignored);
        if (v != NULL && sl_level_parse(sl_get_text(v, "level"), &level) && (levels & 1U << level) != 0) {
            ++*count;
            continue;
        }
        ++*left;
        if (kept != NULL && (!kept->write(kept, line.p, line.n, err) || !kept->write(kept, "\n", 1, err)))
            return false;
    }
    return rc == 0;
}

static int64_t size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? st.st_size : -1;
}

/* Nobody waits while it is read; what is added meanwhile shows in its size. *done: false = it has been, begin anew. */
static bool cut_once(sl_logs *l, sl_arena *a, sl_str id, unsigned levels, bool remove, bool *done, int64_t *count, sl_err *err)
{
    const char *path = sl_logs_path(l, a, id).p;
    int64_t left = 0, size = size_of(path);
    *count = 0;
    *done = true;
    if (size < 0)
        return true;
    SL_READER r = sl_reader_file(path, err);
    SL_WRITER kept = r != NULL && remove ? sl_writer_file(path, err) : NULL; /* takes the place of the file when it is finished */
    if (r == NULL || (kept == NULL && remove) || !cut(a, r, levels, kept, count, &left, err))
        return false;
    if (!remove)
        return true;
    pthread_mutex_lock(&l->lock);
    *done = size_of(path) == size;
    bool ok = true;
    if (*done) {
        let_go(l, id);
        ok = left > 0 ? kept->finish(kept, err) : sl_fs_remove(path, err);
    }
    pthread_mutex_unlock(&l->lock);
    return ok;
}

bool sl_logs_cut(sl_logs *l, sl_str id, unsigned levels, bool remove, int64_t *count, sl_err *err)
{
    enum { TRIES = 5 };
    SL_ARENA a = sl_arena_new();
    bool done = false;
    for (int i = 0; i < TRIES && !done; i++)
        if (!cut_once(l, a, id, levels, remove, &done, count, err))
            return false;
    return done || sl_err_set(err, SL_ERR_CONFLICT, "log.busy", "the log of the execution %.*s is still being written", SL_ARG(id));
}

int64_t sl_logs_lost(sl_logs *l)
{
    pthread_mutex_lock(&l->lock);
    int64_t lost = l->lost;
    pthread_mutex_unlock(&l->lock);
    return lost;
}
