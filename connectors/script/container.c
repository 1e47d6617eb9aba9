/* connectors/script/container.c: see container.h. */
#include "connectors/script/container.h"

#include "base/arena.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/limits.h"
#include "connectors/script/docker.h"
#include "connectors/script/tar.h"

enum { READ_AGAIN_MAX = 5, LOOK_AGAIN_MS = 100, HASHES_MAX = 16 << 20 };

typedef struct runner_cfg {
    sl_str type, host, user, network, pull, files, shm;
    const sl_val *config, *credentials, *entry_point, *extra_hosts, *ports, *volumes, *devices, *cpu, *memory;
    bool privileged, remove, wait;
    int64_t grace_ms;
} runner_cfg;

#define O(property, kind, field, ...) { .name = property, .type = kind, .offset = SL_FIELD(runner_cfg, field), __VA_ARGS__ }
static const sl_opt runner_opts[] = {
    O("type", SL_OPT_STR, type, .flags = SL_REQUIRED, .doc = "The runner."),
    O("host", SL_OPT_STR, host, .doc = "Where the Docker Engine is: unix:///path or tcp://host:port; else DOCKER_HOST, else the usual sockets."),
    O("config", SL_OPT_ANY, config, .doc = "Content of a Docker config.json; its `auths` are used."),
    O("credentials", SL_OPT_MAP, credentials, .doc = "Of the image's registry: {registry, username, password, registryToken, identityToken, auth}."),
    O("user", SL_OPT_STR, user, .doc = "User inside of the container."),
    O("entryPoint", SL_OPT_STRS, entry_point, .doc = "Takes the place of the interpreter, which is handed to it."),
    O("extraHosts", SL_OPT_STRS, extra_hosts, .doc = "name:address pairs for /etc/hosts."),
    O("networkMode", SL_OPT_STR, network, .doc = "bridge, host, none, or a network's name."),
    O("portBindings", SL_OPT_STRS, ports, .doc = "[host:]container ports."),
    O("volumes", SL_OPT_STRS, volumes, .doc = "host:container[:ro]; the server has to allow it (containerHostAccess)."),
    O("pullPolicy", SL_OPT_ENUM, pull, .values = "ALWAYS IF_NOT_PRESENT NEVER", .fallback = "IF_NOT_PRESENT", .doc = "When the image is pulled."),
    O("deviceRequests", SL_OPT_LIST, devices, .doc = "[{driver, count, deviceIds, capabilities, options}]."),
    O("cpu", SL_OPT_MAP, cpu, .doc = "{cpus}."),
    O("memory", SL_OPT_MAP, memory, .doc = "{memory, memorySwap, memorySwappiness, memoryReservation, kernelMemory, oomKillDisable}."),
    O("shmSize", SL_OPT_STR, shm, .doc = "Size of /dev/shm, such as 512MB."),
    O("privileged", SL_OPT_BOOL, privileged, .doc = "The server has to allow it (containerHostAccess)."),
    O("fileHandlingStrategy", SL_OPT_ENUM, files, .values = "VOLUME MOUNT", .fallback = "VOLUME", .doc = "VOLUME: files are copied; MOUNT: the working folder is mounted."),
    O("delete", SL_OPT_BOOL, remove, .fallback = "true", .doc = "Remove the container at the end."),
    O("wait", SL_OPT_BOOL, wait, .fallback = "true", .doc = "Only true is supported."),
    O("killGracePeriod", SL_OPT_DURATION, grace_ms, .doc = "Between TERM and KILL when the task is stopped; else KILL at once."),
    { 0 },
};
#undef O

void sl_container_check(const sl_val *runner, sl_str where, sl_problems *problems)
{
    const sl_val *wait = sl_get(runner, "wait");
    sl_bind_check(runner_opts, NULL, runner, where, problems);
    if (wait != NULL && wait->type == SL_BOOL && !wait->b)
        sl_problem_add(problems, wait->line, wait->column, "%.*s: taskRunner with wait: false is not supported by this version of Sluice", SL_ARG(where));
}

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
    runner_cfg c;
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

/* ---- the document ---- */

static bool size_of(sl_str text, int64_t *ret, sl_err *err)
{
    static const char units[] = "BKMGT";
    size_t n = 0;
    double value;
    while (n < text.n && ((text.p[n] >= '0' && text.p[n] <= '9') || text.p[n] == '.'))
        n++;
    sl_str unit = sl_str_trim(sl_str_sub(text, n, text.n));
    const char *u = unit.n > 0 ? strchr(units, unit.p[0] >= 'a' ? unit.p[0] - 32 : unit.p[0]) : units;
    bool tail = unit.n <= 1 || sl_str_ieq(sl_str_sub(unit, 1, unit.n), SL_S("B")) || sl_str_ieq(sl_str_sub(unit, 1, unit.n), SL_S("iB"));
    if (!sl_parse_double(sl_str_sub(text, 0, n), &value) || u == NULL || !tail)
        return sl_err_set(err, SL_ERR_CONFIG, "runner.size", "'%.*s' is not a size such as 512MB", SL_ARG(text));
    for (; u > units; u--)
        value *= 1024;
    *ret = (int64_t)value;
    return true;
}

static bool put_size(run *r, sl_val *host, const char *key, const sl_val *value, sl_err *err)
{
    int64_t n;
    if (value == NULL)
        return true;
    if (!size_of(sl_str_trim(sl_val_text(r->arena, value)), &n, err))
        return false;
    sl_map_set_int(r->arena, host, key, n);
    return true;
}

static bool put_limits(run *r, sl_val *host, sl_err *err)
{
    const sl_val *m = r->c.memory, *cpus = sl_get(r->c.cpu, "cpus"), *swappiness = sl_get(m, "memorySwappiness");
    double n;
    sl_str shm = r->c.shm;
    if (cpus != NULL) {
        if (!sl_parse_double(sl_val_text(r->arena, cpus), &n) || n <= 0)
            return sl_err_set(err, SL_ERR_CONFIG, "runner.cpus", "'cpus' must be a number above 0");
        sl_map_set_int(r->arena, host, "NanoCpus", (int64_t)(n * 1e9));
    }
    if (swappiness != NULL)
        sl_map_set_int(r->arena, host, "MemorySwappiness", sl_get_int(m, "memorySwappiness", 0));
    if (sl_get_bool(m, "oomKillDisable", false))
        sl_map_set_bool(r->arena, host, "OomKillDisable", true);
    return put_size(r, host, "Memory", sl_get(m, "memory"), err) && put_size(r, host, "MemorySwap", sl_get(m, "memorySwap"), err)
           && put_size(r, host, "MemoryReservation", sl_get(m, "memoryReservation"), err) && put_size(r, host, "KernelMemory", sl_get(m, "kernelMemory"), err)
           && put_size(r, host, "ShmSize", shm.n > 0 ? sl_val_str(r->arena, shm) : NULL, err);
}

/* [address:][host:]container[/protocol] */
static void put_ports(run *r, sl_val *document, sl_val *host)
{
    sl_arena *a = r->arena;
    sl_val *exposed = sl_map(a), *bound = sl_map(a);
    for (size_t i = 0; i < sl_val_count(r->c.ports); i++) {
        sl_str text = sl_text(sl_at(r->c.ports, i));
        ptrdiff_t colon = sl_str_rfind(text, SL_S(":"));
        sl_str inside = sl_str_sub(text, (size_t)(colon + 1), text.n), outside = colon > 0 ? sl_str_sub(text, 0, (size_t)colon) : SL_S("");
        ptrdiff_t address = sl_str_rfind(outside, SL_S(":"));
        if (sl_str_find(inside, SL_S("/")) < 0)
            inside = sl_fmt(a, "%.*s/tcp", SL_ARG(inside));
        sl_val *one = sl_map(a), *list = sl_list(a);
        if (address > 0)
            sl_map_set_str(a, one, "HostIp", sl_str_sub(outside, 0, (size_t)address));
        sl_map_set_str(a, one, "HostPort", sl_str_sub(outside, (size_t)(address + 1), outside.n));
        sl_list_add(a, list, one);
        sl_map_set(a, exposed, inside, sl_map(a));
        sl_map_set(a, bound, inside, list);
    }
    if (sl_val_count(bound) > 0) {
        sl_map_setc(a, document, "ExposedPorts", exposed);
        sl_map_setc(a, host, "PortBindings", bound);
    }
}

static const sl_val *device_requests(run *r)
{
    static const char *const names[][2] = { { "driver", "Driver" }, { "count", "Count" }, { "deviceIds", "DeviceIDs" }, { "capabilities", "Capabilities" }, { "options", "Options" } };
    sl_val *list = sl_list(r->arena);
    for (size_t i = 0; i < sl_val_count(r->c.devices); i++) {
        sl_val *one = sl_map(r->arena);
        for (size_t k = 0; k < SL_COUNT(names); k++)
            sl_map_opt(r->arena, one, names[k][1], sl_get(sl_at(r->c.devices, i), names[k][0]));
        sl_list_add(r->arena, list, one);
    }
    return sl_val_count(list) > 0 ? list : NULL;
}

static bool mounts(const run *r)
{
    return sl_str_eqc(r->c.files, "MOUNT");
}

static bool host_config(run *r, sl_val *document, sl_err *err)
{
    sl_arena *a = r->arena;
    sl_val *host = sl_map(a), *binds = sl_list(a);
    if ((r->c.privileged || sl_val_count(r->c.volumes) > 0) && !sl_task_host_access(r->t))
        return sl_err_set(err, SL_ERR_CONFIG, "runner.host_access", "'%s' of the task runner gives the script this machine's files; the server's configuration has to allow it: containerHostAccess: true",
                          r->c.privileged ? "privileged" : "volumes");
    for (size_t i = 0; i < sl_val_count(r->c.volumes); i++)
        sl_list_add(a, binds, sl_at(r->c.volumes, i));
    if (mounts(r))
        sl_list_add(a, binds, sl_val_str(a, sl_fmt(a, "%.*s:%.*s", SL_ARG(r->k->dir), SL_ARG(r->k->dir))));
    if (sl_val_count(binds) > 0)
        sl_map_setc(a, host, "Binds", binds);
    sl_map_opt_str(a, host, "NetworkMode", r->c.network);
    sl_map_opt(a, host, "ExtraHosts", r->c.extra_hosts);
    sl_map_opt(a, host, "DeviceRequests", device_requests(r));
    if (r->c.privileged)
        sl_map_set_bool(a, host, "Privileged", true);
    put_ports(r, document, host);
    sl_map_setc(a, document, "HostConfig", host);
    return put_limits(r, host, err);
}

static const sl_val *texts(sl_arena *a, const char *const *list)
{
    sl_val *v = sl_list(a);
    for (; *list != NULL; list++)
        sl_list_add(a, v, sl_val_c(a, *list));
    return v;
}

static const sl_val *labels(run *r)
{
    const sl_task_info *i = sl_task_about(r->t);
    sl_val *v = sl_map(r->arena);
    sl_map_set_str(r->arena, v, "kestra.io/namespace", i->ns);
    sl_map_set_str(r->arena, v, "kestra.io/flow-id", i->flow_id);
    sl_map_set_str(r->arena, v, "kestra.io/task-id", i->task_id);
    sl_map_set_str(r->arena, v, "kestra.io/execution-id", i->execution_id);
    sl_map_set_str(r->arena, v, "kestra.io/taskrun-id", i->taskrun_id);
    sl_map_set_str(r->arena, v, "kestra.io/taskrun-attempt", sl_fmt(r->arena, "%d", i->attempt));
    return v;
}

static bool document(run *r, const sl_val **ret, sl_err *err)
{
    sl_arena *a = r->arena;
    sl_val *d = sl_map(a);
    const sl_val *command = texts(a, r->k->argv);
    *ret = d;
    sl_map_set_str(a, d, "Image", r->k->image);
    if (sl_val_count(r->c.entry_point) > 0 && sl_text(sl_at(r->c.entry_point, 0)).n > 0) {
        sl_map_setc(a, d, "Entrypoint", r->c.entry_point);
        sl_map_setc(a, d, "Cmd", command);
    } else {
        sl_map_setc(a, d, "Entrypoint", command);
        sl_map_setc(a, d, "Cmd", sl_list(a));
    }
    sl_map_setc(a, d, "Env", texts(a, r->k->env));
    sl_map_set_str(a, d, "WorkingDir", r->k->dir);
    sl_map_opt_str(a, d, "User", r->c.user);
    sl_map_setc(a, d, "Labels", labels(r));
    return host_config(r, d, err);
}

/* ---- the image ---- */

/* {"auths": {"registry": {"auth": base64 of name:password}}} */
static const sl_val *from_config(run *r, sl_str registry)
{
    sl_err ignored;
    const sl_val *config = sl_is(r->c.config, SL_STRING) ? sl_json_parse(r->arena, r->c.config->s, &ignored) : r->c.config;
    const sl_val *auths = sl_get(config, "auths");
    for (size_t i = 0; sl_is(auths, SL_MAP) && i < auths->map.n; i++)
        if (sl_str_find(auths->map.entries[i].key, registry) >= 0)
            return auths->map.entries[i].value;
    return NULL;
}

static const sl_val *registry_auth(run *r)
{
    static const char *const names[][2] = { { "registry", "serveraddress" }, { "username", "username" }, { "password", "password" }, { "registryToken", "registrytoken" }, { "identityToken", "identitytoken" }, { "auth", "auth" } };
    sl_str image = r->k->image, registry, plain, user;
    (void)sl_str_cut(&image, '/', &registry);
    if (image.p == NULL || (sl_str_find(registry, SL_S(".")) < 0 && sl_str_find(registry, SL_S(":")) < 0))
        registry = SL_S("docker.io");
    const sl_val *said = r->c.credentials ? r->c.credentials : from_config(r, registry);
    if (said == NULL)
        return NULL;
    sl_val *v = sl_map_of(r->arena, "serveraddress", sl_val_str(r->arena, registry));
    for (size_t i = 0; i < SL_COUNT(names); i++)
        sl_map_opt_str(r->arena, v, names[i][1], sl_get_text(said, names[i][0]));
    if (sl_get(v, "username") == NULL && sl_base64_decode(r->arena, sl_get_text(said, "auth"), &plain) && sl_str_cut(&plain, ':', &user) && plain.p != NULL) {
        sl_map_set_str(r->arena, v, "username", user);
        sl_map_set_str(r->arena, v, "password", plain);
    }
    return v;
}

static bool get_image(run *r, sl_err *err)
{
    bool there = false;
    if (!sl_str_eqc(r->c.pull, "ALWAYS") && !sl_docker_has_image(&r->docker, r->k->image, &there, err))
        return false;
    if (there)
        return true;
    if (sl_str_eqc(r->c.pull, "NEVER"))
        return sl_err_set(err, SL_ERR_CONFIG, "docker.image", "the image '%.*s' is not on this machine, and 'pullPolicy' is NEVER", SL_ARG(r->k->image));
    return sl_docker_pull(&r->docker, r->k->image, registry_auth(r), err);
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
    *ret_started = found != NULL && has_started(found) && !mounts(r);
    if (*ret_started) {
        sl_task_log(r->t, SL_INFO, "the container %.*s of before the interruption is taken up again; its output comes when it has ended", SL_ARG(r->name));
        return true;
    }
    if (found != NULL && !sl_docker_remove(&r->docker, r->name, err))
        return false;
    return get_image(r, err) && document(r, &d, err) && sl_docker_create(&r->docker, r->name, d, err) && (mounts(r) || put_files(r, err));
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
    if (mounts(r) || !r->k->take)
        return true;
    SL_WRITER files = sl_tar_writer(r->arena, r->k->dir, r->k->skip, SL_SCRIPT_FILES_MAX);
    return sl_docker_get(&r->docker, r->name, r->k->dir, files, err);
}

bool sl_container_run(sl_task *t, const sl_container *k, int *ret_exit, int64_t *lines_out, int64_t *lines_err, sl_err *err)
{
    run r = { .t = t, .arena = sl_task_arena(t), .k = k, .frames = { .write = frames_write }, .name = sl_task_key(t, "script") };
    if (!sl_bind(r.arena, runner_opts, k->runner ? k->runner : sl_map_of(r.arena, "type", sl_val_c(r.arena, SL_RUNNER_DOCKER)), &r.c, err) || !sl_docker_open(&r.docker, t, r.c.host, err))
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
