/*
 * base/fs.h: files. Whole reads with a limit, atomic durable writes, directory trees, locks, safe relative paths.
 *
 * Threads: no state. Paths are NUL-terminated. All descriptors are close-on-exec.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

/* The whole file; more than max bytes is an error. */
bool sl_fs_read(sl_arena *arena, const char *path, size_t max, sl_str *ret, sl_err *err);
/* Temporary file, fsync, rename, fsync of the folder: after a crash the old or the new content is there, never a mixture. */
bool sl_fs_write_atomic(const char *path, sl_str data, unsigned mode, sl_err *err);
/* mkdir -p with mode 0700. */
bool sl_fs_mkdirs(const char *path, sl_err *err);
/* A path that holds wherever a process stands: from the root on. */
sl_str sl_fs_absolute(sl_arena *arena, const char *path);
/* Makes a rename or a creation in that folder durable. */
bool sl_fs_sync_dir(const char *path, sl_err *err);
/* Removes a file or a whole tree without following links; missing is fine. */
bool sl_fs_remove(const char *path, sl_err *err);
bool sl_fs_exists(const char *path);
bool sl_fs_is_dir(const char *path);
bool sl_fs_size(const char *path, int64_t *ret, sl_err *err);
/*
 * Exclusive lock on the file (created), held until the descriptor is closed. -1 with kind CONFLICT when another process holds it.
 * When that process is gone, but children that it had forked still hold the descriptor, they are given wait_ms to end: nothing
 * may begin while something of before is still at work.
 */
int sl_fs_lock(const char *path, int64_t wait_ms, sl_err *err);
/* Writes all n bytes at offset. */
bool sl_fs_pwrite(int fd, const void *data, size_t n, int64_t offset, const char *path, sl_err *err);

/* A name below a folder: relative, no "..", no empty or "." part, no NUL, at most 4096 bytes. The only gate for outside names. */
bool sl_path_is_safe(sl_str relative);
sl_str sl_path_base(sl_str path);                  /* after the last slash */
sl_str sl_path_extension(sl_str path);             /* with its dot; empty when there is none */
/* Glob with * ? [..] {a,b} and **; * does not cross a slash. */
bool sl_glob_match(sl_str pattern, sl_str path);

typedef bool (*sl_fs_visit)(void *self, sl_str relative, int64_t size, sl_err *err);
/* Every regular file below root, sorted by name; links are not followed. */
bool sl_fs_walk(const char *root, size_t max_files, sl_fs_visit visit, void *self, sl_err *err);
