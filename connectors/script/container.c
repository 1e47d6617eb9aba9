/* connectors/script/container.c: a container from its making to its end: image, files, output. See container.h. */
#include "connectors/script/container.h"

#include "base/arena.h"
#include "base/fs.h"
#include "base/limits.h"
#include "connectors/script/docker.h"
#include "connectors/script/runner.h"
#include "connectors/script/tar.h"

enum { READ_AGAIN_MAX = 5, LOOK_AGAIN_MS = 100, HASHES_MAX = 16 << 20 };

/*
 * Output is read twice: as it comes, and whole when the container has ended, since the connection may have been cut, or we. The
 * hashes of the lines given live tell, the second time, which are new.
 */
typedef struct stream {
    sl_arena *line_arena, *hash_arena;
    sl_buf line, hashes;          /* hashes: uint32_t each */
    size_t cursor;                /* bytes of hashes that the second reading has met again */
    int64_t given, passed, lines; /* second reading: bytes dealt with; bytes of this attempt at it; lines */
} stream;

typedef struct run {
    sl_task *t;
    sl_arena *arena;
    const sl_container *k;
    sl_runner_cfg c;
    sl_docker docker;
    sl_str name;
    /* What is printed: frames of eight bytes and a payload. */
    sl_writer frames;
    unsigned char head[8];
    size_t head_n, left;
    bool live;
    stream streams[2];
} run;

/* ---- output ---- */

static void end_line(run *r, int which)
{
    stream *s = &r->streams[which];
    sl_str text = sl_buf_str(&s->line);
    if (sl_str_ends(text, SL_S("\r")))
        text.n--;
    uint32_t hash = (uint32_t)sl_str_hash(text);
    bool known = !r->live && s->cursor < s->hashes.n && memcmp(s->hashes.p + s->cursor, &hash, sizeof hash) == 0;
    if (known)
        s->cursor += sizeof hash;
    if (r->live && s->hashes.n < s->hashes.max)
        sl_buf_add(&s->hashes, (sl_str){ (const char *)&hash, sizeof hash });
    else if (r->live)
        known = true;             /* so much: the rest comes at the end */
    s->lines += !r->live;
    if (!known)
        r->k->on_line(r->k->self, which == 1, text);
    s->line.n = 0;
}

static void take(run *r, int which, sl_str bytes)
{
    stream *s = &r->streams[which];
    if (!r->live) {
        int64_t known = s->given - s->passed;
        s->passed += (int64_t)bytes.n;
        if (known >= (int64_t)bytes.n)
            return;
        bytes = sl_str_sub(bytes, known > 0 ? (size_t)known : 0, bytes.n);
        s->given += (int64_t)bytes.n;
    }
    while (bytes.n > 0) {
        const char *end = memchr(bytes.p, '\n', bytes.n);
        size_t n = end ? (size_t)(end - bytes.p) : bytes.n, room = s->line.max - s->line.n;
        bool whole = end != NULL && n <= room;
        if (n > room)
            n = room;
        sl_buf_add(&s->line, sl_str_sub(bytes, 0, n));
        if (whole || s->line.n == s->line.max)
            end_line(r, which);
        bytes = sl_str_sub(bytes, n + (whole ? 1 : 0), bytes.n);
    }
}

static bool frames_write(sl_writer *self, const void *from, size_t n, sl_err *err)
{
    run *r = (run *)((char *)self - offsetof(run, frames));
    sl_str rest = { from, n };
    while (rest.n > 0) {
        size_t part;
        if (r->left == 0) {
            part = rest.n < 8 - r->head_n ? rest.n : 8 - r->head_n;
            memcpy(r->head + r->head_n, rest.p, part);
            r->head_n += part;
            if (r->head_n == 8) {
                r->head_n = 0;
                if (r->head[0] > 2 || r->head[1] != 0 || r->head[2] != 0 || r->head[3] != 0)
                    return sl_err_set(err, SL_ERR_DATA, "docker.frame", "the container engine sent output that is not in frames");
                r->left = (size_t)r->head[4] << 24 | (size_t)r->head[5] << 16 | (size_t)r->head[6] << 8 | r->head[7];
            }
        } else {
            part = rest.n < r->left ? rest.n : r->left;
            take(r, r->head[0] == 2, sl_str_sub(rest, 0, part));
            r->left -= part;
        }
        rest = sl_str_sub(rest, part, rest.n);
    }
    return true;
}

/* ---- the image ---- */

static bool get_image(run *r, sl_err *err)
{
    bool there = false;
    if (!sl_str_eqc(r->c.pull, "ALWAYS") && !sl_docker_has_image(&r->docker, r->k->image, &there, err))
        return false;
    if (there)
        return true;
    if (sl_str_eqc(r->c.pull, "NEVER"))
        return sl_err_set(err, SL_ERR_CONFIG, "docker.image", "the image '%.*s' is not on this machine, and 'pullPolicy' is NEVER", SL_ARG(r->k->image));
    return sl_docker_pull(&r->docker, r->k->image, sl_runner_auth(r->arena, &r->c, r->k->image), err);
}

/* ---- the run ---- */

typedef struct upload {
    run *r;
    int64_t size;
} upload;

static sl_reader *open_files(void *self, sl_err *err)
{
    upload *u = self;
    sl_str prefix = sl_str_sub(u->r->k->dir, 1, u->r->k->dir.n);
    return sl_tar_reader(u->r->arena, u->r->k->dir, prefix, SL_SCRIPT_FILES_MAX, &u->size, err);
}

static bool put_files(run *r, sl_err *err)
{
    upload u = { .r = r };
    SL_READER counted = open_files(&u, err);
    return counted != NULL && sl_docker_put(&r->docker, r->name, open_files, &u, u.size, err);
}

static bool has_started(const sl_val *container)
{
    sl_str status = sl_get_text(sl_get(container, "State"), "Status");
    return !sl_str_eqc(status, "created") && !sl_str_eqc(status, "configured") && !sl_str_eqc(status, "initialized");
}

static bool has_ended(const sl_val *container)
{
    sl_str status = sl_get_text(sl_get(container, "State"), "Status");
    return sl_str_eqc(status, "exited") || sl_str_eqc(status, "dead") || sl_str_eqc(status, "stopped");
}

/* A container that never started is begun again; one that did is this attempt's script. */
static bool find_or_make(run *r, bool *ret_started, sl_err *err)
{
    const sl_val *found, *d;
    if (!sl_docker_inspect(&r->docker, r->name, &found, err))
        return false;
    *ret_started = found != NULL && has_started(found) && !sl_runner_mounts(&r->c) && r->c.resume;
    if (*ret_started) {
        sl_task_log(r->t, SL_INFO, "the container %.*s of before the interruption is taken up again; its output comes when it has ended", SL_ARG(r->name));
        return true;
    }
    if (found != NULL && !sl_docker_remove(&r->docker, r->name, err))
        return false;
    return get_image(r, err) && sl_runner_document(r->t, &r->c, r->k, &d, err) && sl_docker_create(&r->docker, r->name, d, err) && (sl_runner_mounts(&r->c) || put_files(r, err));
}

/* Starts it and tells what it prints. A cut is no error once it runs. */
static bool live(run *r, sl_err *err)
{
    const sl_val *now;
    sl_err why;
    r->live = true;
    bool ok = sl_docker_attach_and_start(&r->docker, r->name, &r->frames, err);
    r->streams[0].line.n = r->streams[1].line.n = 0; /* half a line: the second reading has the whole one */
    if (ok || sl_task_cancelled(r->t))
        return ok;
    if (!sl_docker_inspect(&r->docker, r->name, &now, &why) || now == NULL || !has_started(now))
        return false;
    sl_task_log(r->t, SL_WARN, "the script's output was cut off, and comes when it has ended: %s", err->message);
    return true;
}

static bool wait_for_end(run *r, const sl_val **ret, sl_err *err)
{
    for (;;) {
        if (!sl_docker_inspect(&r->docker, r->name, ret, err))
            return false;
        if (*ret == NULL)
            return sl_err_set(err, SL_ERR_TRANSIENT, "docker.gone", "the script's container %.*s has vanished", SL_ARG(r->name));
        if (has_ended(*ret))
            return true;
        sl_http_request pause = { 0 };
        sl_task_prepare(r->t, &pause);
        if (!sl_http_sleep(&pause, LOOK_AGAIN_MS))
            return sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped on request");
    }
}

/* Whole. A reading that is cut off is begun again, and what was dealt with passed over. */
static bool read_all(run *r, sl_err *err)
{
    r->live = false;
    for (int i = 0; i < READ_AGAIN_MAX; i++) {
        r->head_n = r->left = 0;
        r->streams[0].passed = r->streams[1].passed = 0;
        if (sl_docker_output(&r->docker, r->name, &r->frames, err)) {
            for (int k = 0; k < 2; k++)
                if (r->streams[k].line.n > 0)
                    end_line(r, k);
            return true;
        }
        if (err->kind != SL_ERR_TRANSIENT || sl_task_cancelled(r->t))
            return false;
    }
    return false;
}

static bool work(run *r, int *ret_exit, sl_err *err)
{
    const sl_val *end;
    bool started;
    if (!find_or_make(r, &started, err) || (!started && !live(r, err)) || !wait_for_end(r, &end, err) || !read_all(r, err))
        return false;
    const sl_val *state = sl_get(end, "State");
    *ret_exit = (int)sl_get_int(state, "ExitCode", -1);
    if (sl_get_bool(state, "OOMKilled", false))
        sl_task_log(r->t, SL_ERROR, "the script was ended because its container was out of memory");
    if (sl_runner_mounts(&r->c) || !r->k->take)
        return true;
    SL_WRITER files = sl_tar_writer(r->arena, r->k->dir, r->k->skip, SL_SCRIPT_FILES_MAX);
    return sl_docker_get(&r->docker, r->name, r->k->dir, files, err);
}

bool sl_container_run(sl_task *t, const sl_container *k, int *ret_exit, int64_t *lines_out, int64_t *lines_err, sl_err *err)
{
    run r = { .t = t, .arena = sl_task_arena(t), .k = k, .frames = { .write = frames_write }, .name = sl_task_key(t, "script") };
    if (!sl_runner_bind(r.arena, k->runner, &r.c, err) || !sl_docker_open(&r.docker, t, r.c.host, err))
        return false;
    for (stream *s = r.streams; s < r.streams + 2; s++) {
        s->line_arena = sl_arena_new();
        s->hash_arena = sl_arena_new();
        s->line = sl_buf_new(s->line_arena, SL_SCRIPT_LINE_MAX);
        s->hashes = sl_buf_new(s->hash_arena, HASHES_MAX);
    }
    bool ok = work(&r, ret_exit, err);
    if (!ok && sl_task_cancelled(t))
        sl_docker_stop(&r.docker, r.name, (r.c.grace_ms + 999) / 1000);
    sl_err ignored;
    if (r.c.remove && (ok || sl_task_cancelled(t) || err->kind != SL_ERR_TRANSIENT) && !sl_docker_remove(&r.docker, r.name, &ignored))
        sl_task_log(t, SL_WARN, "the container %.*s is left behind: %s", SL_ARG(r.name), ignored.message);
    *lines_out = r.streams[0].lines;
    *lines_err = r.streams[1].lines;
    for (stream *s = r.streams; s < r.streams + 2; s++) {
        sl_arena_free(s->line_arena);
        sl_arena_free(s->hash_arena);
    }
    return ok;
}
