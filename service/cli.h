/*
 * service/cli.h: the command line: a table of commands, options, and what they share.
 *
 * Exit codes: 0 done (SUCCESS, WARNING), 1 failed, 2 bad usage or invalid input (nothing was started).
 */
#pragma once

#include "base/val.h"
#include "local/cloud.h"
#include "service/engine.h"

extern const sl_registry sl_all_connectors;

typedef struct sl_cli_opt {
    const char *name;     /* "--data-dir" */
    const char *short_name; /* "-i" or NULL */
    const char *value;    /* name of its value for the help; NULL: a switch */
    bool many;
    const char *doc;
} sl_cli_opt;

typedef struct sl_cli {
    sl_arena *arena;
    const char *words[64];       /* what is not an option */
    int word_count;
    const sl_val *options;       /* map name -> text, or list of texts */
    const char *data_dir;
    bool json;                   /* --output json */
} sl_cli;

typedef struct sl_command {
    const char *name;            /* "flow validate" */
    const char *usage, *doc;
    const sl_cli_opt *opts;      /* ends with {0}; --data-dir, --output and --help are everywhere */
    int words_min, words_max;
    int (*run)(sl_cli *c);
} sl_command;

extern const sl_command sl_command_run, sl_command_validate, sl_command_kv, sl_command_secret, sl_command_local, sl_command_render, sl_command_schema, sl_command_plugins, sl_command_doctor,
    sl_command_version, sl_command_auth, sl_command_verify, sl_command_trigger_next, sl_command_server, sl_command_completion,
    sl_command_man;
extern const sl_command *const sl_all_commands[]; /* main.c; ends with NULL */
extern const sl_cli_opt sl_common_options[];      /* of every command; ends with {0} */
/* Those that talk to a server. */
extern const sl_command sl_command_flow_apply, sl_command_flow_list, sl_command_flow_get, sl_command_flow_delete, sl_command_flow_diff, sl_command_flow_sync,
    sl_command_execution_create, sl_command_execution_list, sl_command_execution_get, sl_command_execution_logs, sl_command_execution_kill, sl_command_execution_pause,
    sl_command_execution_resume, sl_command_execution_restart, sl_command_execution_replay, sl_command_execution_delete, sl_command_trigger_list, sl_command_trigger_why,
    sl_command_trigger_enable, sl_command_trigger_disable, sl_command_trigger_backfill, sl_command_user_add, sl_command_user_list, sl_command_user_delete, sl_command_token_create, sl_command_token_list, sl_command_token_revoke;

sl_str sl_cli_text(const sl_cli *c, const char *name);
bool sl_cli_has(const sl_cli *c, const char *name);
/* Prints "sluice: message" and gives the exit code. */
int sl_cli_fail(int code, const char *fmt, ...) SL_PRINTF(2, 3);
int sl_cli_error(int code, const sl_err *err);
void sl_cli_print(const char *fmt, ...) SL_PRINTF(1, 2);
/* file:line:column: message, one a line, to stderr. */
void sl_cli_problems(const char *file, const sl_problems *problems);
/* The same of what is probably a mistake, and no error. */
void sl_cli_hints(const char *file, const sl_problems *hints);
/* Reads and parses a flow; prints what is wrong. NULL = exit code 2. */
sl_flow *sl_cli_flow(sl_cli *c, const char *path);
/* -i key=value and --input-json as a map; false after a message. */
bool sl_cli_inputs(sl_cli *c, const sl_val **ret);
/* Warns of those that the flow does not have. */
void sl_cli_unused_inputs(sl_cli *c, const sl_flow *flow, const sl_val *given);
/* Makes the engine use the local cloud. */
void sl_cli_use_cloud(sl_cli *c, const sl_cloud *cloud, sl_engine_options *o);
