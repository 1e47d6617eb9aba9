/* connectors/script/runner.c: see runner.h. */
#include "connectors/script/runner.h"

#include "base/arena.h"
#include "base/json.h"

#define O(property, kind, field, ...) { .name = property, .type = kind, .offset = SL_FIELD(sl_runner_cfg, field), __VA_ARGS__ }
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
    O("resume", SL_OPT_BOOL, resume, .fallback = "true", .doc = "Take up a container that was running at an interruption; else it is removed, and the script runs again."),
    O("version", SL_OPT_STR, version, .doc = "Accepted and ignored: one version of each plugin is built in."),
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

bool sl_runner_bind(sl_arena *arena, const sl_val *runner, sl_runner_cfg *ret, sl_err *err)
{
    return sl_bind(arena, runner_opts, runner ? runner : sl_map_of(arena, "type", sl_val_c(arena, SL_RUNNER_DOCKER)), ret, err);
}

bool sl_runner_mounts(const sl_runner_cfg *c)
{
    return sl_str_eqc(c->files, "MOUNT");
}

/* ---- the document ---- */

typedef struct making {
    sl_task *t;
    sl_arena *arena;
    const sl_container *k;
    sl_runner_cfg c;
} making;

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

static bool put_size(making *r, sl_val *host, const char *key, const sl_val *value, sl_err *err)
{
    int64_t n;
    if (value == NULL)
        return true;
    if (!size_of(sl_str_trim(sl_val_text(r->arena, value)), &n, err))
        return false;
    sl_map_set_int(r->arena, host, key, n);
    return true;
}

static bool put_limits(making *r, sl_val *host, sl_err *err)
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
static void put_ports(making *r, sl_val *document, sl_val *host)
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

static const sl_val *device_requests(making *r)
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

static bool host_config(making *r, sl_val *document, sl_err *err)
{
    sl_arena *a = r->arena;
    sl_val *host = sl_map(a), *binds = sl_list(a);
    if ((r->c.privileged || sl_val_count(r->c.volumes) > 0) && !sl_task_host_access(r->t))
        return sl_err_set(err, SL_ERR_CONFIG, "runner.host_access", "'%s' of the task runner gives the script this machine's files; the server's configuration has to allow it: containerHostAccess: true",
                          r->c.privileged ? "privileged" : "volumes");
    for (size_t i = 0; i < sl_val_count(r->c.volumes); i++)
        sl_list_add(a, binds, sl_at(r->c.volumes, i));
    if (sl_runner_mounts(&r->c))
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

static const sl_val *labels(making *r)
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

static bool document(making *r, const sl_val **ret, sl_err *err)
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

bool sl_runner_document(sl_task *t, const sl_runner_cfg *c, const sl_container *k, const sl_val **ret, sl_err *err)
{
    making m = { .t = t, .arena = sl_task_arena(t), .k = k, .c = *c };
    return document(&m, ret, err);
}

/* ---- the registry ---- */

/* {"auths": {"registry": {"auth": base64 of name:password}}} */
static const sl_val *from_config(sl_arena *arena, const sl_runner_cfg *c, sl_str registry)
{
    sl_err ignored;
    const sl_val *config = sl_is(c->config, SL_STRING) ? sl_json_parse(arena, c->config->s, &ignored) : c->config;
    const sl_val *auths = sl_get(config, "auths");
    for (size_t i = 0; sl_is(auths, SL_MAP) && i < auths->map.n; i++)
        if (sl_str_find(auths->map.entries[i].key, registry) >= 0)
            return auths->map.entries[i].value;
    return NULL;
}

const sl_val *sl_runner_auth(sl_arena *arena, const sl_runner_cfg *c, sl_str image)
{
    static const char *const names[][2] = { { "registry", "serveraddress" }, { "username", "username" }, { "password", "password" }, { "registryToken", "registrytoken" }, { "identityToken", "identitytoken" }, { "auth", "auth" } };
    sl_str registry, plain, user;
    (void)sl_str_cut(&image, '/', &registry);
    if (image.p == NULL || (sl_str_find(registry, SL_S(".")) < 0 && sl_str_find(registry, SL_S(":")) < 0))
        registry = SL_S("docker.io");
    const sl_val *said = c->credentials ? c->credentials : from_config(arena, c, registry);
    if (said == NULL)
        return NULL;
    sl_val *v = sl_map_of(arena, "serveraddress", sl_val_str(arena, registry));
    for (size_t i = 0; i < SL_COUNT(names); i++)
        sl_map_opt_str(arena, v, names[i][1], sl_get_text(said, names[i][0]));
    if (sl_get(v, "username") == NULL && sl_base64_decode(arena, sl_get_text(said, "auth"), &plain) && sl_str_cut(&plain, ':', &user) && plain.p != NULL) {
        sl_map_set_str(arena, v, "username", user);
        sl_map_set_str(arena, v, "password", plain);
    }
    return v;
}
