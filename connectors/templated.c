/* connectors/templated.c: io.kestra.plugin.core.templating.TemplatedTask: a task whose text is made when it runs. */
#include "base/yaml.h"
#include "connectors/connectors.h"

typedef struct templated_cfg {
    sl_str spec;
} templated_cfg;

static const sl_opt opts[] = {
    { .name = "spec", .type = SL_OPT_STR, .offset = SL_FIELD(templated_cfg, spec), .flags = SL_REQUIRED, .doc = "The task as YAML, with its type; rendered, then read." },
    { 0 },
};
static const sl_opt outs[] = { { 0 } };

static sl_outcome run(sl_task *t, void *cfg, sl_err *err)
{
    const templated_cfg *c = cfg;
    const sl_val *task = sl_yaml_parse(sl_task_arena(t), c->spec, err);
    if (task == NULL) {
        sl_err_ctx(err, "property 'spec'");
        return SL_TASK_FAILED;
    }
    return sl_task_run_as(t, task, err);
}

static void kill(sl_task *t, void *cfg)
{
    sl_err err;
    if (run(t, cfg, &err) == SL_TASK_FAILED && err.kind != SL_ERR_CANCELLED)
        sl_task_log(t, SL_WARN, "%s", err.message);
}

static const sl_task_type templated = {
    .type = "io.kestra.plugin.core.templating.TemplatedTask", .aliases = "io.kestra.core.tasks.templating.TemplatedTask", .doc = "Runs a task that is made from a text.",
    .cfg_size = sizeof(templated_cfg), .opts = opts, .outs = outs, .run = run, .kill = kill,
};

static const sl_task_type *const tasks[] = { &templated, NULL };
const sl_connector sl_connector_templated = { .name = "templated", .tasks = tasks };
