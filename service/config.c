/* service/config.c: see config.h. */
#include "service/config.h"

#include "base/arena.h"
#include "base/fs.h"
#include "base/secret.h"
#include "base/yaml.h"

enum { CONFIG_MAX = 1 << 20 };

typedef struct retention {
    sl_retention r;
    sl_str size;
} retention;

static const sl_opt retention_opts[] = {
    { .name = "maxAge", .type = SL_OPT_DURATION, .offset = SL_FIELD(retention, r.keep_ms), .fallback = "P90D", .doc = "Executions that ended longer ago are removed with their logs and files; PT0S keeps all." },
    { .name = "maxExecutions", .type = SL_OPT_INT, .offset = SL_FIELD(retention, r.keep_count), .fallback = "1000000", .doc = "When there are more that have ended, the oldest are removed; 0 keeps all." },
    { .name = "maxSize", .type = SL_OPT_STR, .offset = SL_FIELD(retention, size), .fallback = "50GB", .doc = "When logs and files of executions take more, the oldest that have ended are removed; 0 keeps all." },
    { 0 },
};

static const sl_opt storage_opts[] = {
    { .name = "url", .type = SL_OPT_STR, .offset = SL_FIELD(sl_stored_cfg, url), .flags = SL_REQUIRED, .doc = "s3://bucket/prefix or gs://bucket/prefix, where the internal storage's files go." },
    { .name = "cacheSize", .type = SL_OPT_STR, .offset = SL_FIELD(sl_stored_cfg, cache), .fallback = "10GB", .doc = "When local files of executions take more, those used longest ago are dropped; the object store has them. 0 keeps all." },
    SL_AWS_OPTS(sl_stored_cfg),
    SL_GCP_OPTS(sl_stored_cfg),
    { 0 },
};

typedef struct file_config {
    sl_config c;
    const sl_val *retention, *storage;
} file_config;

const sl_opt sl_config_opts[] = {
    { .name = "host", .type = SL_OPT_STR, .offset = SL_FIELD(file_config, c.host), .fallback = "127.0.0.1", .doc = "IPv4 address to listen on; 0.0.0.0 is all of them." },
    { .name = "port", .type = SL_OPT_INT, .offset = SL_FIELD(file_config, c.port), .fallback = "8080", .doc = "Port to listen on; 0 is any free one." },
    { .name = "dataDir", .type = SL_OPT_STR, .offset = SL_FIELD(file_config, c.data_dir), .doc = "Folder of all state; --data-dir and SLUICE_DATA_DIR come first." },
    { .name = "workers", .type = SL_OPT_INT, .offset = SL_FIELD(file_config, c.workers), .fallback = "8", .doc = "Task attempts that run at the same time, 1 to 64." },
    { .name = "processEnvironment", .type = SL_OPT_STRS, .offset = SL_FIELD(file_config, c.process_environment), .doc = "Names of the server's environment variables that script tasks may see besides PATH." },
    { .name = "containerHostAccess", .type = SL_OPT_BOOL, .offset = SL_FIELD(file_config, c.container_host_access), .fallback = "false", .doc = "Containers of script tasks may mount folders of this machine (volumes) and be privileged." },
    { .name = "namespaceIsolation", .type = SL_OPT_BOOL, .offset = SL_FIELD(file_config, c.namespace_isolation), .fallback = "false", .doc = "Flows reach values, files, flows and ends of executions of their own namespace, those below and, to read and run, those above; else of all." },
    { .name = "localFiles", .type = SL_OPT_STRS, .offset = SL_FIELD(file_config, c.local_files), .doc = "Folders of this machine whose files flows may name as file:///…; none when absent." },
    { .name = "pluginDefaults", .type = SL_OPT_LIST, .offset = SL_FIELD(file_config, c.plugin_defaults), .doc = "Properties for all tasks of a type, in every flow: {type, forced, values}." },
    { .name = "url", .type = SL_OPT_STR, .offset = SL_FIELD(file_config, c.url), .doc = "How people reach this server: {{ kestra.url }}, for links in messages." },
    { .name = "environment", .type = SL_OPT_STR, .offset = SL_FIELD(file_config, c.environment), .doc = "Its name, such as production: {{ kestra.environment }}." },
    { .name = "globals", .type = SL_OPT_MAP, .offset = SL_FIELD(file_config, c.globals), .doc = "Read as {{ globals }} in every flow." },
    { .name = "retention", .type = SL_OPT_MAP, .offset = SL_FIELD(file_config, retention), .sub = retention_opts, .doc = "How long executions are kept." },
    { .name = "storage", .type = SL_OPT_MAP, .offset = SL_FIELD(file_config, storage), .sub = storage_opts, .doc = "An object store behind the internal storage; a local folder alone when absent." },
    { 0 },
};

static void check_ranges(const sl_val *doc, const sl_config *c, sl_problems *problems)
{
    const struct {
        const char *name;
        int64_t value, least, most;
    } ranges[] = { { "port", c->port, 0, 65535 }, { "workers", c->workers, 1, 64 } };
    for (size_t i = 0; i < SL_COUNT(ranges); i++) {
        const sl_val *v = sl_get(doc, ranges[i].name);
        if (ranges[i].value < ranges[i].least || ranges[i].value > ranges[i].most)
            sl_problem_add(problems, v ? v->line : 0, v ? v->column : 0, "configuration: '%s' must be from %lld to %lld", ranges[i].name, (long long)ranges[i].least, (long long)ranges[i].most);
    }
}

static void check_size(const sl_val *map, const char *name, sl_str text, int64_t *ret, sl_problems *problems)
{
    const sl_val *v = sl_get(map, name);
    if (!sl_parse_size(text, ret))
        sl_problem_add(problems, v ? v->line : 0, v ? v->column : 0, "configuration: '%s' must be a size such as 50GB, not '%.*s'", name, SL_ARG(text));
}

static bool load_storage(sl_arena *a, const sl_val *map, sl_stored_cfg *ret, sl_problems *problems, sl_err *err)
{
    if (map == NULL)
        return true;
    if (!sl_bind(a, storage_opts, map, ret, err))
        return false;
    const sl_val *url = sl_get(map, "url");
    sl_redact_add(ret->aws.secret);
    sl_redact_add(ret->aws.token);
    sl_redact_add(ret->gcp.service_account);
    if (!sl_stored_url_is_good(ret->url))
        sl_problem_add(problems, url->line, url->column, "configuration: 'storage.url' must be s3://bucket/prefix or gs://bucket/prefix, not '%.*s'", SL_ARG(ret->url));
    check_size(map, "cacheSize", ret->cache, &ret->cache_bytes, problems);
    return true;
}

bool sl_config_load(sl_arena *a, const char *path, sl_config *ret, sl_problems *problems)
{
    sl_err err;
    sl_str text = SL_S("");
    file_config f = { 0 };
    retention r = { 0 };
    if (path != NULL && !sl_fs_read(a, path, CONFIG_MAX, &text, &err)) {
        sl_problem_add(problems, 0, 0, "%s", err.message);
        return false;
    }
    const sl_val *doc = sl_yaml_parse(a, text, &err);
    if (doc == NULL) {
        sl_problem_add(problems, err.line, err.column, "%s", err.message);
        return false;
    }
    if (doc->type == SL_NULL)
        doc = sl_map(a);
    if (doc->type != SL_MAP) {
        sl_problem_add(problems, 1, 1, "configuration: it must be a map");
        return false;
    }
    size_t before = problems->n;
    sl_bind_check(sl_config_opts, NULL, doc, SL_S("configuration"), problems);
    if (problems->n > before)
        return false;
    if (!sl_bind(a, sl_config_opts, doc, &f, &err) || !sl_bind(a, retention_opts, f.retention ? f.retention : sl_map(a), &r, &err) || !load_storage(a, f.storage, &f.c.storage, problems, &err)) {
        sl_problem_add(problems, 0, 0, "%s", err.message);
        return false;
    }
    *ret = f.c;
    ret->retention = r.r;
    check_size(f.retention, "maxSize", r.size, &ret->retention.keep_bytes, problems);
    check_ranges(doc, ret, problems);
    return problems->n == before;
}
