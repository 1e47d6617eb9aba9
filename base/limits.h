/*
 * base/limits.h: every bound of the system by name. Exceeding one is an error that names the limit, never a truncation.
 * Sizes are bytes, times are milliseconds, unless the name says otherwise.
 */
#pragma once

enum {
    SL_YAML_SIZE_MAX = 1 << 20,          /* one flow file                                           */
    SL_YAML_DEPTH_MAX = 50,
    SL_YAML_NODES_MAX = 100000,          /* after aliases are expanded                              */
    SL_JSON_SIZE_MAX = 64 << 20,
    SL_JSON_DEPTH_MAX = 128,
    SL_EXPR_STEPS_MAX = 1000000,         /* evaluation steps of one rendered string                 */
    SL_EXPR_DEPTH_MAX = 64,              /* nesting of an expression                                */
    SL_EXPR_OUTPUT_MAX = 16 << 20,
    SL_EXPR_RENDER_PASSES_MAX = 100,
    SL_FLOW_TASKS_MAX = 20000,
    SL_FLOW_NESTING_MAX = 32,
    SL_HTTP_HEADER_MAX = 64 << 10,       /* all headers of one message                              */
    SL_HTTP_BODY_MAX = 64 << 20,         /* a body that is held in memory                           */
    SL_HTTP_ERROR_BODY_MAX = 1 << 20,
    SL_HTTP_REDIRECTS_MAX = 5,
    SL_TOKEN_LIFE_MAX_S = 43200,
    SL_KV_VALUE_MAX = 1 << 20,
    SL_KV_VERSIONS_MAX = 10,
    SL_SECRET_COUNT_MAX = 4096,          /* values known to the redactor                            */
    SL_LOG_LINE_MAX = 10240,
    SL_OUTPUTS_SIZE_MAX = 16 << 20,      /* JSON of one task run's outputs                          */
    SL_LOOP_ITEMS_MAX = 100000,          /* items of a Loop                                         */
    SL_METRICS_MAX = 1000,               /* of one attempt                                          */
    SL_CHECKPOINT_SIZE_MAX = 64 << 10,
    SL_RECORD_MAX = 64 << 20,            /* one record (a line of Ion or JSON) of a stored file              */
    SL_SCRIPT_LINE_MAX = 1 << 20,        /* one line of a script's output                           */
    SL_SCRIPT_FILES_MAX = 10000,         /* output files of one task                                */
    SL_DISK_RESERVE = 32 << 20,          /* free space of the data folder's disk below which no new work is begun */
    SL_IO_BLOCK = 256 << 10,             /* unit of streaming                                       */
};
