/* tests/harness/fake_task.h: a registry with the types test.Task and test.Pure, which nobody runs: what their work does is the test's to say. */
#pragma once

#include "connectors/task.h"

static sl_outcome unused(sl_task *task, void *cfg, sl_err *err)
{
    (void)task;
    (void)cfg;
    (void)err;
    return SL_TASK_DONE;
}

static const sl_opt no_opts[] = { { 0 } };
static const sl_task_type fake = { .type = "test.Task", .doc = "For tests.", .opts = no_opts, .outs = no_opts, .run = unused };
static const sl_task_type pure = { .type = "test.Pure", .doc = "For tests: without effects.", .opts = no_opts, .outs = no_opts, .run = unused, .pure = true };
static const sl_task_type *const fakes[] = { &fake, &pure, NULL };
static const sl_connector connector = { .name = "test", .tasks = fakes };
static const sl_connector *const connectors[] = { &connector, NULL };
static const sl_registry registry = { connectors };
