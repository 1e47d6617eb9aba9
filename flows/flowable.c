/* flows/flowable.c: option tables of the flow, of every task, and of the types that the engine runs itself. */
#include "base/arena.h"
#include "connectors/files.h"
#include "flows/model.h"

const sl_opt sl_retry_opts[] = {
    { .name = "type", .type = SL_OPT_ENUM, .flags = SL_REQUIRED | SL_STATIC, .values = "CONSTANT EXPONENTIAL RANDOM", .doc = "How the time between attempts develops." },
    { .name = "interval", .type = SL_OPT_DURATION, .flags = SL_STATIC, .doc = "Time before the next attempt; of the first retry when exponential." },
    { .name = "maxInterval", .type = SL_OPT_DURATION, .flags = SL_STATIC, .doc = "Longest time between two attempts." },
    { .name = "minInterval", .type = SL_OPT_DURATION, .flags = SL_STATIC, .doc = "Shortest time between two attempts when random." },
    { .name = "delayFactor", .type = SL_OPT_DOUBLE, .flags = SL_STATIC, .doc = "Growth of an exponential interval." },
    { .name = "maxAttempt", .type = SL_OPT_INT, .flags = SL_STATIC, .doc = "Number of all attempts, the first included (older spelling)." },
    { .name = "maxAttempts", .type = SL_OPT_INT, .flags = SL_STATIC, .doc = "Number of all attempts, the first included." },
    { .name = "maxDuration", .type = SL_OPT_DURATION, .flags = SL_STATIC, .doc = "No attempt starts later than this after the first one." },
    { .name = "warningOnRetry", .type = SL_OPT_BOOL, .flags = SL_STATIC, .doc = "A success that needed a retry becomes a warning." },
    { .name = "behavior", .type = SL_OPT_ENUM, .flags = SL_STATIC, .values = "RETRY_FAILED_TASK CREATE_NEW_EXECUTION", .doc = "What is done again." },
    { 0 },
};

static const sl_opt task_cache_opts[] = {
    { .name = "enabled", .type = SL_OPT_BOOL, .flags = SL_REQUIRED | SL_STATIC, .doc = "Whether it is done." },
    { .name = "ttl", .type = SL_OPT_DURATION, .flags = SL_STATIC, .doc = "How old they may be; any age when absent." },
    { 0 },
};

const sl_opt sl_common_opts[] = {
    { .name = "id", .type = SL_OPT_STR, .flags = SL_REQUIRED | SL_STATIC, .doc = "Name of the task, unique in the flow." },
    { .name = "type", .type = SL_OPT_STR, .flags = SL_REQUIRED | SL_STATIC, .doc = "What the task does." },
    { .name = "description", .type = SL_OPT_STR, .flags = SL_STATIC, .doc = "For people." },
    { .name = "disabled", .type = SL_OPT_BOOL, .flags = SL_STATIC, .doc = "The task is left out." },
    { .name = "runIf", .type = SL_OPT_STR, .flags = SL_LATE, .doc = "Condition; when it is false, the task is skipped." },
    { .name = "timeout", .type = SL_OPT_DURATION, .flags = SL_LATE, .doc = "Longest time of one attempt." },
    { .name = "retry", .type = SL_OPT_MAP, .flags = SL_STATIC, .sub = sl_retry_opts, .doc = "What happens after a failed attempt." },
    { .name = "allowFailure", .type = SL_OPT_BOOL, .flags = SL_STATIC, .doc = "A failure becomes a warning and the flow goes on." },
    { .name = "allowWarning", .type = SL_OPT_BOOL, .flags = SL_STATIC, .doc = "A warning becomes a success." },
    { .name = "logLevel", .type = SL_OPT_ENUM, .flags = SL_STATIC, .values = "TRACE DEBUG INFO WARN ERROR", .doc = "Least level of log entries that are kept." },
    { .name = "logToFile", .type = SL_OPT_BOOL, .flags = SL_STATIC, .doc = "Accepted; log entries are always kept in the execution's log file." },
    { .name = "taskCache", .type = SL_OPT_MAP, .flags = SL_STATIC, .sub = task_cache_opts, .doc = "The outputs of an earlier run with the same properties will do." },
    { .name = "workerGroup", .type = SL_OPT_MAP, .flags = SL_STATIC, .doc = "Accepted and ignored: there is one group of workers." },
    { .name = "assets", .type = SL_OPT_ANY, .flags = SL_STATIC, .doc = "Accepted and ignored." },
    { .name = "version", .type = SL_OPT_STR, .flags = SL_STATIC, .doc = "Accepted and ignored: connectors are part of the program." },
    { 0 },
};

#define TASKS(field_name, text) { .name = field_name, .type = SL_OPT_TASKS, .flags = SL_STATIC, .doc = text }
#define REQUIRED_TASKS(field_name, text) { .name = field_name, .type = SL_OPT_TASKS, .flags = SL_STATIC | SL_REQUIRED, .doc = text }

static const sl_opt sequential_opts[] = {
    REQUIRED_TASKS("tasks", "The tasks, one after the other."),
    TASKS("errors", "Run when one of the tasks has failed."),
    TASKS("finally", "Run at the end in any case."),
    { 0 },
};

static const sl_opt parallel_opts[] = {
    REQUIRED_TASKS("tasks", "The tasks, all at once."),
    { .name = "concurrent", .type = SL_OPT_INT, .flags = SL_STATIC, .doc = "How many run at a time; 0 is no limit." },
    TASKS("errors", "Run when one of the tasks has failed."),
    TASKS("finally", "Run at the end in any case."),
    { 0 },
};

static const sl_opt if_opts[] = {
    { .name = "condition", .type = SL_OPT_STR, .flags = SL_REQUIRED | SL_LATE, .doc = "False when it renders to nothing, 0 or false." },
    REQUIRED_TASKS("then", "Run when the condition holds."),
    TASKS("else", "Run when it does not."),
    TASKS("errors", "Run when one of the tasks has failed."),
    TASKS("finally", "Run at the end in any case."),
    { 0 },
};

static const sl_opt if_outs[] = { { .name = "evaluationResult", .type = SL_OPT_BOOL, .doc = "Whether the condition held." }, { 0 } };

static const sl_opt switch_opts[] = {
    { .name = "value", .type = SL_OPT_STR, .flags = SL_REQUIRED | SL_LATE, .doc = "Compared with the names of the cases." },
    { .name = "cases", .type = SL_OPT_MAP, .flags = SL_LATE, .doc = "Name of a case to its tasks." },
    TASKS("defaults", "Run when no case has that name."),
    TASKS("errors", "Run when one of the tasks has failed."),
    TASKS("finally", "Run at the end in any case."),
    { 0 },
};

static const sl_opt switch_outs[] = {
    { .name = "value", .type = SL_OPT_STR, .doc = "The rendered value." },
    { .name = "defaults", .type = SL_OPT_BOOL, .doc = "Whether the defaults were taken." },
    { 0 },
};

static const sl_opt cache_opts[] = {
    { .name = "patterns", .type = SL_OPT_STRS, .flags = SL_REQUIRED, .doc = "Globs of files to keep." },
    { .name = "ttl", .type = SL_OPT_DURATION, .doc = "How long they are good; for ever when absent." },
    { 0 },
};
static const sl_opt working_directory_opts[] = {
    REQUIRED_TASKS("tasks", "The tasks, one after the other in the same folder; none of them may hold tasks itself."),
    { .name = "inputFiles", .type = SL_OPT_ANY, .doc = "Files to put into the folder: name to content or to a kestra:// URI." },
    { .name = "namespaceFiles", .type = SL_OPT_MAP, .sub = sl_files_namespace_opts, .doc = "Files of the namespace to put into the folder." },
    { .name = "outputFiles", .type = SL_OPT_STRS, .doc = "Globs of files to keep at the end." },
    { .name = "cache", .type = SL_OPT_MAP, .sub = cache_opts, .doc = "Files that the next execution finds in the folder again." },
    TASKS("errors", "Run when one of the tasks has failed."),
    TASKS("finally", "Run at the end in any case."),
    { 0 },
};

/* Each*: `value` is the older name of `values`. */
static const sl_opt for_each_opts[] = {
    { .name = "values", .type = SL_OPT_ANY, .flags = SL_REQUIRED | SL_LATE, .doc = "A list, or a text that renders to a JSON list." },
    { .name = "concurrencyLimit", .type = SL_OPT_INT, .flags = SL_STATIC, .doc = "How many values are worked on at a time; 1 is one after the other, 0 is no limit." },
    REQUIRED_TASKS("tasks", "The tasks for each value, one after the other; the value is {{ taskrun.value }}."),
    TASKS("errors", "Run when one of the tasks has failed."),
    TASKS("finally", "Run at the end in any case."),
    { 0 },
};

static const sl_opt loop_opts[] = {
    { .name = "values", .type = SL_OPT_ANY, .flags = SL_REQUIRED | SL_LATE, .doc = "A list, a map, a text that renders to one of them in JSON, or the URI of a file with an item on each line." },
    { .name = "concurrencyLimit", .type = SL_OPT_INT, .flags = SL_STATIC, .doc = "How many items are worked on at a time; 1 is one after the other, 0 is no limit." },
    { .name = "transmitFailed", .type = SL_OPT_BOOL, .flags = SL_STATIC, .doc = "The failure of an iteration is one of the loop, and ends it (true)." },
    { .name = "outputs", .type = SL_OPT_LIST, .flags = SL_LATE, .doc = "What comes out of each iteration: id, type, value; nothing else is seen outside." },
    { .name = "fetchType", .type = SL_OPT_ENUM, .flags = SL_STATIC, .values = "AUTO FETCH STORE", .doc = "STORE: outputs of an iteration go into a file; AUTO: when the items come from one." },
    REQUIRED_TASKS("tasks", "The tasks for each item, one after the other; it is {{ item.value }}, {{ item.index }} and, of a map, {{ item.key }}."),
    TASKS("errors", "Run when one of the tasks has failed."),
    TASKS("finally", "Run at the end in any case."),
    { 0 },
};

static const sl_opt loop_outs[] = {
    { .name = "iterationCount", .type = SL_OPT_INT, .doc = "How many items there were." },
    { .name = "runningIterations", .type = SL_OPT_INT, .doc = "How many are still at work: 0." },
    { .name = "terminatedIterations", .type = SL_OPT_MAP, .doc = "State to the number of iterations that ended so." },
    { .name = "outputs", .type = SL_OPT_LIST, .doc = "Of each iteration: {item: {value, iteration, key}, outputs}." },
    { 0 },
};

static const sl_opt each_opts[] = {
    { .name = "value", .type = SL_OPT_ANY, .flags = SL_REQUIRED | SL_LATE, .doc = "A list, or a text that renders to a JSON list." },
    { .name = "concurrent", .type = SL_OPT_INT, .flags = SL_STATIC, .doc = "EachParallel: how many values are worked on at a time; 0 is no limit." },
    REQUIRED_TASKS("tasks", "The tasks for each value."),
    TASKS("errors", "Run when one of the tasks has failed."),
    TASKS("finally", "Run at the end in any case."),
    { 0 },
};

static const sl_opt batch_opts[] = {
    { .name = "rows", .type = SL_OPT_INT, .doc = "Lines of a batch (1)." },
    { .name = "bytes", .type = SL_OPT_STR, .doc = "Size of a batch, such as 10MB." },
    { .name = "partitions", .type = SL_OPT_INT, .doc = "How many batches." },
    { .name = "separator", .type = SL_OPT_STR, .doc = "What ends a row (a line end)." },
    { .name = "regexPattern", .type = SL_OPT_STR, .doc = "A batch for each text that its first group matches." },
    { 0 },
};

static const sl_opt for_each_item_opts[] = {
    { .name = "items", .type = SL_OPT_STR, .flags = SL_REQUIRED | SL_LATE, .doc = "File of the internal storage, one item a line." },
    { .name = "batch", .type = SL_OPT_MAP, .flags = SL_LATE, .sub = batch_opts, .doc = "How it is cut." },
    { .name = "namespace", .type = SL_OPT_STR, .flags = SL_REQUIRED | SL_LATE, .doc = "Namespace of the flow." },
    { .name = "flowId", .type = SL_OPT_STR, .flags = SL_REQUIRED | SL_LATE, .doc = "The flow that runs for each batch." },
    { .name = "revision", .type = SL_OPT_INT, .flags = SL_LATE, .doc = "Its revision; the newest when absent." },
    { .name = "inputs", .type = SL_OPT_MAP, .flags = SL_LATE, .doc = "Its inputs; {{ taskrun.items }} is the file of the batch." },
    { .name = "labels", .type = SL_OPT_ANY, .flags = SL_LATE, .doc = "Labels of its executions." },
    { .name = "wait", .type = SL_OPT_BOOL, .flags = SL_LATE, .doc = "Until all have ended (true)." },
    { .name = "transmitFailed", .type = SL_OPT_BOOL, .flags = SL_LATE, .doc = "A failure of one is a failure here (true)." },
    { .name = "inheritLabels", .type = SL_OPT_BOOL, .flags = SL_LATE, .doc = "They get this execution's labels." },
    { .name = "scheduleDate", .type = SL_OPT_STR, .flags = SL_LATE, .doc = "They do not start before this date." },
    { .name = "restartBehavior", .type = SL_OPT_STR, .flags = SL_STATIC, .doc = "Accepted: a restart makes new executions." },
    TASKS("errors", "Run when one of them has failed."),
    { 0 },
};

static const sl_opt dag_opts[] = {
    { .name = "tasks", .type = SL_OPT_LIST, .flags = SL_REQUIRED | SL_LATE, .doc = "Maps of a task and dependsOn, the ids of the tasks that have to end first." },
    { .name = "concurrent", .type = SL_OPT_INT, .flags = SL_STATIC, .doc = "How many run at a time; 0 is no limit." },
    TASKS("errors", "Run when one of the tasks has failed."),
    TASKS("finally", "Run at the end in any case."),
    { 0 },
};

static const sl_opt frequency_opts[] = {
    { .name = "interval", .type = SL_OPT_DURATION, .doc = "Time between two rounds (a minute)." },
    { .name = "maxIterations", .type = SL_OPT_INT, .doc = "How many rounds there may be." },
    { .name = "maxDuration", .type = SL_OPT_DURATION, .doc = "How long it may take." },
    { 0 },
};

static const sl_opt loop_until_opts[] = {
    { .name = "condition", .type = SL_OPT_STR, .flags = SL_REQUIRED | SL_LATE, .doc = "Looked at after each round; the tasks run again as long as it is false." },
    { .name = "checkFrequency", .type = SL_OPT_MAP, .flags = SL_LATE, .sub = frequency_opts, .doc = "How often, and how long." },
    { .name = "failOnMaxReached", .type = SL_OPT_BOOL, .flags = SL_LATE, .doc = "The end of checkFrequency is a failure." },
    REQUIRED_TASKS("tasks", "The tasks of a round, one after the other."),
    TASKS("errors", "Run when one of the tasks has failed."),
    TASKS("finally", "Run at the end in any case."),
    { 0 },
};

static const sl_opt loop_until_outs[] = { { .name = "iterationCount", .type = SL_OPT_INT, .doc = "The round, from 1; afterwards, how many there were." }, { 0 } };

static const sl_opt pause_opts[] = {
    { .name = "pauseDuration", .type = SL_OPT_DURATION, .flags = SL_LATE, .doc = "How long at most; without it, until somebody resumes." },
    { .name = "delay", .type = SL_OPT_DURATION, .flags = SL_LATE | SL_DEPRECATED, .doc = "Older name of pauseDuration." },
    { .name = "timeout", .type = SL_OPT_DURATION, .flags = SL_LATE, .doc = "A failure when nobody resumes within this time." },
    { .name = "behavior", .type = SL_OPT_STR, .flags = SL_LATE, .doc = "What happens after pauseDuration: RESUME, WARN, FAIL or CANCEL." },
    { .name = "onResume", .type = SL_OPT_LIST, .flags = SL_STATIC, .doc = "Inputs that whoever resumes is asked for." },
    TASKS("onPause", "A task that runs beside the pause, as it begins; what becomes of it changes nothing."),
    TASKS("tasks", "Older form: tasks to run after it."),
    TASKS("errors", "Run when one of the tasks has failed."),
    TASKS("finally", "Run at the end in any case."),
    { 0 },
};

static const sl_opt pause_outs[] = {
    { .name = "onResume", .type = SL_OPT_MAP, .doc = "What whoever resumed has given." },
    { .name = "resumed", .type = SL_OPT_MAP, .doc = "How it ended: {on, to}, the time and the state." },
    { 0 },
};

static const sl_opt working_directory_outs[] = { { .name = "outputFiles", .type = SL_OPT_MAP, .doc = "Name of a file to its URI." }, { 0 } };
static const sl_opt no_outs[] = { { 0 } };

#define CORE "io.kestra.plugin.core.flow."
#define OLD "io.kestra.core.tasks.flows."

const sl_flowable_type sl_flowable_types[] = {
    { CORE "Sequential", OLD "Sequential", "Runs tasks one after the other.", SL_SEQUENTIAL, sequential_opts, no_outs },
    { CORE "Parallel", OLD "Parallel", "Runs tasks at the same time.", SL_PARALLEL, parallel_opts, no_outs },
    { CORE "If", OLD "If", "Runs one of two lists of tasks.", SL_IF, if_opts, if_outs },
    { CORE "Switch", OLD "Switch", "Runs the list of tasks that a value names.", SL_SWITCH, switch_opts, switch_outs },
    { CORE "AllowFailure", OLD "AllowFailure", "Runs tasks whose failure is only a warning.", SL_ALLOW_FAILURE, sequential_opts, no_outs },
    { CORE "WorkingDirectory", OLD "WorkingDirectory " OLD "Worker", "Runs tasks in one shared folder.", SL_WORKING_DIRECTORY, working_directory_opts, working_directory_outs },
    { CORE "ForEach", NULL, "Runs tasks once for each value of a list.", SL_FOR_EACH, for_each_opts, no_outs },
    { SL_LOOP_TYPE, NULL, "Runs tasks once for each item of a list, a map or a file; their outputs stay inside.", SL_FOR_EACH, loop_opts, loop_outs },
    { CORE "EachSequential", OLD "EachSequential", "Older form of ForEach: one value after the other.", SL_FOR_EACH, each_opts, no_outs },
    { CORE "EachParallel", OLD "EachParallel", "Older form of ForEach: all values and tasks at once.", SL_FOR_EACH, each_opts, no_outs },
    { SL_FOR_EACH_ITEM_TYPE, OLD "ForEachItem", "Cuts a file into batches and runs a flow for each.", SL_SEQUENTIAL, for_each_item_opts, no_outs },
    { CORE "Dag", OLD "Dag", "Runs tasks in the order of what they depend on.", SL_DAG, dag_opts, no_outs },
    { CORE "LoopUntil", CORE "WaitFor " OLD "WaitFor", "Runs tasks again and again until a condition holds.", SL_LOOP_UNTIL, loop_until_opts, loop_until_outs },
    { CORE "Pause", OLD "Pause", "Waits for somebody to resume the execution, or for a time.", SL_PAUSE, pause_opts, pause_outs },
    { 0 },
};

const sl_flowable_type *sl_flowable_find(sl_str canonical)
{
    for (const sl_flowable_type *f = sl_flowable_types; f->type != NULL; f++)
        if (sl_str_eqc(canonical, f->type))
            return f;
    return NULL;
}

static const sl_opt concurrency_opts[] = {
    { .name = "limit", .type = SL_OPT_INT, .flags = SL_REQUIRED | SL_STATIC, .doc = "How many executions of the flow may run at once." },
    { .name = "behavior", .type = SL_OPT_ENUM, .flags = SL_STATIC, .values = "QUEUE CANCEL FAIL", .doc = "What becomes of one more." },
    { 0 },
};

static const sl_opt sla_opts[] = {
    { .name = "id", .type = SL_OPT_STR, .flags = SL_REQUIRED | SL_STATIC, .doc = "Name of the rule." },
    { .name = "type", .type = SL_OPT_ENUM, .flags = SL_REQUIRED | SL_STATIC, .values = "MAX_DURATION EXECUTION_ASSERTION", .doc = "What is looked at." },
    { .name = "behavior", .type = SL_OPT_ENUM, .flags = SL_REQUIRED | SL_STATIC, .values = "FAIL CANCEL NONE", .doc = "What happens when it is not kept." },
    { .name = "duration", .type = SL_OPT_DURATION, .flags = SL_STATIC, .doc = "MAX_DURATION: how long an execution may take." },
    { .name = "assert", .type = SL_OPT_STR, .flags = SL_LATE, .doc = "EXECUTION_ASSERTION: what has to be true." },
    { .name = "labels", .type = SL_OPT_ANY, .flags = SL_STATIC, .doc = "Labels for an execution that does not keep to it." },
    { 0 },
};

static const sl_opt check_opts[] = {
    { .name = "condition", .type = SL_OPT_STR, .flags = SL_REQUIRED | SL_LATE, .doc = "What has to be true." },
    { .name = "message", .type = SL_OPT_STR, .flags = SL_REQUIRED | SL_LATE, .doc = "Shown when it is not." },
    { .name = "style", .type = SL_OPT_ENUM, .flags = SL_STATIC, .values = "ERROR SUCCESS WARNING INFO", .doc = "How it is shown." },
    { .name = "behavior", .type = SL_OPT_ENUM, .flags = SL_STATIC, .values = "BLOCK_EXECUTION FAIL_EXECUTION CREATE_EXECUTION", .doc = "What happens then." },
    { 0 },
};

const sl_opt sl_flow_opts[] = {
    { .name = "id", .type = SL_OPT_STR, .flags = SL_REQUIRED | SL_STATIC, .doc = "Name of the flow in its namespace." },
    { .name = "namespace", .type = SL_OPT_STR, .flags = SL_REQUIRED | SL_STATIC, .doc = "Where the flow, its values and its secrets live; dots make a hierarchy." },
    { .name = "revision", .type = SL_OPT_INT, .flags = SL_STATIC, .doc = "Ignored: the server counts revisions." },
    { .name = "tenantId", .type = SL_OPT_STR, .flags = SL_STATIC, .doc = "Ignored: there is one tenant." },
    { .name = "description", .type = SL_OPT_STR, .flags = SL_STATIC, .doc = "For people." },
    { .name = "labels", .type = SL_OPT_ANY, .flags = SL_STATIC, .doc = "Copied to every execution." },
    { .name = "inputs", .type = SL_OPT_LIST, .flags = SL_STATIC, .doc = "What an execution is asked for." },
    { .name = "variables", .type = SL_OPT_MAP, .flags = SL_LATE, .doc = "Read as vars; not rendered until render() says so." },
    { .name = "tasks", .type = SL_OPT_TASKS, .flags = SL_REQUIRED, .doc = "The tasks, one after the other." },
    { .name = "errors", .type = SL_OPT_TASKS, .doc = "Run when one of the tasks has failed." },
    { .name = "finally", .type = SL_OPT_TASKS, .doc = "Run at the end in any case." },
    { .name = "afterExecution", .type = SL_OPT_TASKS, .doc = "Run after the final state is known." },
    { .name = "triggers", .type = SL_OPT_LIST, .flags = SL_LATE, .doc = "What starts executions." },
    { .name = "pluginDefaults", .type = SL_OPT_LIST, .flags = SL_LATE, .doc = "Properties for all tasks of a type." },
    { .name = "taskDefaults", .type = SL_OPT_LIST, .flags = SL_LATE | SL_DEPRECATED, .doc = "Older name of pluginDefaults." },
    { .name = "concurrency", .type = SL_OPT_MAP, .flags = SL_STATIC, .sub = concurrency_opts, .doc = "How many executions may run at once." },
    { .name = "outputs", .type = SL_OPT_LIST, .flags = SL_LATE, .doc = "Values of the execution as a whole." },
    { .name = "sla", .type = SL_OPT_LIST, .flags = SL_LATE, .sub = sla_opts, .doc = "What an execution has to keep to." },
    { .name = "checks", .type = SL_OPT_LIST, .flags = SL_LATE, .sub = check_opts, .doc = "What must hold before an execution is made." },
    { .name = "retry", .type = SL_OPT_MAP, .flags = SL_STATIC, .sub = sl_retry_opts, .doc = "Retry for tasks without their own." },
    { .name = "disabled", .type = SL_OPT_BOOL, .flags = SL_STATIC, .doc = "The flow cannot be started." },
    { .name = "deleted", .type = SL_OPT_BOOL, .flags = SL_STATIC, .doc = "Ignored." },
    { .name = "updated", .type = SL_OPT_STR, .flags = SL_STATIC, .doc = "Ignored." },
    { .name = "workerGroup", .type = SL_OPT_MAP, .flags = SL_STATIC, .doc = "Accepted and ignored." },
    { .name = "extend", .type = SL_OPT_ANY, .flags = SL_STATIC, .doc = "Ignored: metadata of a catalogue." },
    { 0 },
};

const char *sl_type_unsupported(sl_str t)
{
    static const char *const known[] = {
        "io.kestra.plugin.core.", "io.kestra.plugin.gcp.", "io.kestra.plugin.aws.", "io.kestra.plugin.jdbc.", "io.kestra.plugin.serdes.", "io.kestra.plugin.scripts.",
        "io.kestra.plugin.fs.", "io.kestra.plugin.dbt.", "io.kestra.plugin.git.", "io.kestra.plugin.ai.", "io.kestra.plugin.notifications.",
    };
    for (size_t i = 0; i < SL_COUNT(known); i++)
        if (sl_str_starts(t, sl_str_c(known[i])))
            return "is not supported by this version of Sluice";
    return NULL;
}

bool sl_retry_parse(sl_arena *arena, const sl_val *v, sl_str where, sl_retry **ret, sl_problems *problems)
{
    *ret = NULL;
    if (!sl_is(v, SL_MAP))
        return true;
    size_t before = problems->n;
    sl_problems told = { .arena = arena }; /* with the other options */
    sl_bind_check(sl_retry_opts, NULL, v, where, &told);
    if (told.n > 0)
        return false;
    sl_retry *r = SL_NEW(arena, sl_retry);
    sl_str kind = sl_get_text(v, "type");
    r->kind = sl_str_ieq(kind, SL_S("constant")) ? SL_RETRY_CONSTANT : sl_str_ieq(kind, SL_S("random")) ? SL_RETRY_RANDOM : SL_RETRY_EXPONENTIAL;
    static const char *const durations[] = { "interval", "maxInterval", "minInterval", "maxDuration" };
    int64_t *fields[] = { &r->interval_ms, &r->max_interval_ms, &r->min_interval_ms, &r->max_duration_ms };
    for (size_t i = 0; i < SL_COUNT(durations); i++)
        if (sl_get(v, durations[i]) != NULL)
            (void)sl_duration_parse(sl_val_text(arena, sl_get(v, durations[i])), fields[i]);
    r->factor = 2;
    if (sl_get(v, "delayFactor") != NULL)
        (void)sl_parse_double(sl_val_text(arena, sl_get(v, "delayFactor")), &r->factor);
    r->attempts_max = sl_get_int(v, "maxAttempts", sl_get_int(v, "maxAttempt", 0));
    r->warning_on_retry = sl_get_bool(v, "warningOnRetry", false);
    const char *missing = r->kind != SL_RETRY_RANDOM && r->interval_ms <= 0                         ? "interval"
                          : r->kind != SL_RETRY_CONSTANT && r->max_interval_ms <= 0                 ? "maxInterval"
                          : r->kind == SL_RETRY_RANDOM && r->min_interval_ms <= 0                   ? "minInterval"
                                                                                                    : NULL;
    if (missing != NULL)
        sl_problem_add(problems, v->line, v->column, "%.*s: retry of type %.*s needs '%s'", SL_ARG(where), SL_ARG(kind), missing);
    if (r->max_interval_ms > 0 && (r->kind == SL_RETRY_RANDOM ? r->min_interval_ms : r->interval_ms) >= r->max_interval_ms)
        sl_problem_add(problems, v->line, v->column, "%.*s: retry's maxInterval must be longer than its %s", SL_ARG(where), r->kind == SL_RETRY_RANDOM ? "minInterval" : "interval");
    if (r->max_duration_ms > 0 && r->interval_ms >= r->max_duration_ms)
        sl_problem_add(problems, v->line, v->column, "%.*s: retry's maxDuration must be longer than its interval", SL_ARG(where));
    r->new_execution = sl_str_ieq(sl_get_text(v, "behavior"), SL_S("CREATE_NEW_EXECUTION"));
    *ret = r;
    return problems->n == before;
}
