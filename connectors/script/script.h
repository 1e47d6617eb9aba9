/*
 * connectors/script/script.h: what scripts in all languages share. A script is a text for one shell; a language may put its own
 * words before it, and a file in its place.
 */
#pragma once

#include "connectors/files.h"

typedef struct sl_script_cfg {
    const sl_val *commands, *before, *env, *input_files, *namespace_files, *output_files, *runner, *interpreter;
    const sl_val *legacy_docker;
    sl_str script, legacy_runner, image, target_os;
    bool fail_fast, warning_on_stderr, output_directory;
    bool container;               /* set by sl_script_run: it runs in one */
    /* Python. */
    const sl_val *dependencies, *python_version, *uv_install, *uv_version, *uv_sha256;
    sl_str package_manager;
    bool cache;
} sl_script_cfg;

typedef struct sl_script_language {
    /* OPTIONAL. Writes what it needs into the folder, and the shell's first lines into b. */
    bool (*prepare)(sl_task *t, const sl_script_cfg *c, sl_str dir, sl_buf *b, sl_err *err);
    /* OPTIONAL. The line that runs the script that prepare() has written; NULL: the script is the shell's. */
    void (*finish)(sl_task *t, sl_str dir, sl_buf *b);
    const char *const *env;       /* NAME=value; ends with NULL; NULL = none */
    const char *image;            /* of containers, when the task names none */
} sl_script_language;

#define SL_SCRIPT_OPTS                                                                                                                                                                             \
    { .name = "taskRunner", .type = SL_OPT_ANY, .offset = SL_FIELD(sl_script_cfg, runner), .doc = "Where the commands run: io.kestra.plugin.core.runner.Process, or a container (the default)." },            \
        { .name = "beforeCommands", .type = SL_OPT_STRS, .offset = SL_FIELD(sl_script_cfg, before), .doc = "Commands before them, in the same shell." },                                          \
        { .name = "env", .type = SL_OPT_MAP, .offset = SL_FIELD(sl_script_cfg, env), .doc = "Environment variables." },                                                                           \
        { .name = "interpreter", .type = SL_OPT_STRS, .offset = SL_FIELD(sl_script_cfg, interpreter), .doc = "Program that gets the text (/bin/sh -c)." },                                        \
        { .name = "failFast", .type = SL_OPT_BOOL, .offset = SL_FIELD(sl_script_cfg, fail_fast), .fallback = "true", .doc = "Stop at the first failing command (set -e)." },                      \
        { .name = "inputFiles", .type = SL_OPT_ANY, .offset = SL_FIELD(sl_script_cfg, input_files), .doc = "Files to put into the working folder: name to content or kestra:// URI." },           \
        { .name = "namespaceFiles", .type = SL_OPT_MAP, .sub = sl_files_namespace_opts, .offset = SL_FIELD(sl_script_cfg, namespace_files), .doc = "Files of the namespace to put into the working folder." }, \
        { .name = "outputFiles", .type = SL_OPT_STRS, .offset = SL_FIELD(sl_script_cfg, output_files), .doc = "Globs of files to keep." },                                                        \
        { .name = "outputDirectory", .type = SL_OPT_BOOL, .flags = SL_STATIC | SL_DEPRECATED, .offset = SL_FIELD(sl_script_cfg, output_directory), .doc = "Keep every file that is put into {{ outputDir }} ($OUTPUT_DIR)." }, \
        { .name = "containerImage", .type = SL_OPT_STR, .offset = SL_FIELD(sl_script_cfg, image), .doc = "Image of the container; each language has one of its own." },                             \
        { .name = "targetOS", .type = SL_OPT_STR, .flags = SL_STATIC, .offset = SL_FIELD(sl_script_cfg, target_os), .doc = "Accepted and ignored." },                                             \
        { .name = "warningOnStdErr", .type = SL_OPT_BOOL, .flags = SL_STATIC, .offset = SL_FIELD(sl_script_cfg, warning_on_stderr), .doc = "Accepted; the state depends on the exit code only." }, \
        { .name = "runner", .type = SL_OPT_STR, .flags = SL_STATIC | SL_DEPRECATED, .offset = SL_FIELD(sl_script_cfg, legacy_runner), .doc = "Older form of taskRunner: PROCESS or DOCKER." },                  \
        { .name = "docker", .type = SL_OPT_MAP, .flags = SL_DEPRECATED, .offset = SL_FIELD(sl_script_cfg, legacy_docker), .doc = "Older form of taskRunner: {image, …}." }
#define SL_SCRIPT_COMMANDS { .name = "commands", .type = SL_OPT_STRS, .offset = SL_FIELD(sl_script_cfg, commands), .flags = SL_REQUIRED, .doc = "The commands." }
#define SL_SCRIPT_SCRIPT { .name = "script", .type = SL_OPT_STR, .offset = SL_FIELD(sl_script_cfg, script), .flags = SL_REQUIRED, .doc = "The script." }
extern const sl_opt sl_script_outs[];

void sl_script_check(const sl_val *props, sl_str where, sl_problems *problems);
/* {{ workingDir }}, and {{ outputDir }} where there is one. */
bool sl_script_before(sl_task *t, const sl_val *props, sl_err *err);
sl_outcome sl_script_run(sl_task *t, sl_script_cfg *c, const sl_script_language *language, sl_err *err);
/* Every kestra:/// URI in the text becomes the path of the file; for a container, of a copy in the working folder. */
bool sl_script_localize(sl_task *t, const sl_script_cfg *c, sl_str text, sl_str *ret, sl_err *err);
/* A folder for what is not the user's, gone before output files are looked for. */
sl_str sl_script_folder(sl_task *t, sl_str dir);
/* 'a'\''b': one word for a shell. */
sl_str sl_script_word(sl_arena *arena, sl_str text);

extern const sl_task_type sl_python_script, sl_python_commands;
