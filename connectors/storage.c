/* connectors/storage.c: io.kestra.plugin.core.storage: files of the internal storage written, joined, cut, measured, removed, turned round. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/limits.h"
#include "connectors/connectors.h"
#include "connectors/files.h"
#include "connectors/pieces.h"

#define TYPE "io.kestra.plugin.core.storage."
#define OLD "io.kestra.core.tasks.storages."

/* "csv" and ".csv" are the same extension. */
static sl_str file_name(sl_task *t, const char *stem, sl_str extension)
{
    return sl_fmt(sl_task_arena(t), "%s%s%.*s", stem, extension.n > 0 && extension.p[0] != '.' ? "." : "", SL_ARG(extension));
}

static const sl_opt uri_outs[] = { { .name = "uri", .type = SL_OPT_STR, .doc = "URI of the file." }, { 0 } };

/* ---- Write ---- */

typedef struct write_cfg {
    sl_str content, extension;
} write_cfg;

static const sl_opt write_opts[] = {
    { .name = "content", .type = SL_OPT_STR, .offset = SL_FIELD(write_cfg, content), .flags = SL_REQUIRED, .doc = "What is in the file." },
    { .name = "extension", .type = SL_OPT_STR, .offset = SL_FIELD(write_cfg, extension), .doc = "Extension of its name." },
    { 0 },
};

static sl_outcome write_run(sl_task *t, void *cfg, sl_err *err)
{
    const write_cfg *c = cfg;
    SL_WRITER w = NULL;
    sl_str uri;
    if (!sl_task_open_out(t, file_name(t, "written", c->extension), &w, &uri, err) || !w->write(w, c->content.p, c->content.n, err) || !w->finish(w, err))
        return SL_TASK_FAILED;
    sl_task_out_str(t, "uri", uri);
    return SL_TASK_DONE;
}

static const sl_task_type storage_write = { .type = TYPE "Write", .doc = "Writes a text into a file of the internal storage.", .cfg_size = sizeof(write_cfg), .opts = write_opts, .outs = uri_outs, .run = write_run };

/* ---- Concat ---- */

typedef struct concat_cfg {
    const sl_val *files;
    sl_str separator, extension;
} concat_cfg;

static const sl_opt concat_opts[] = {
    { .name = "files", .type = SL_OPT_ANY, .offset = SL_FIELD(concat_cfg, files), .flags = SL_REQUIRED | SL_TYPED, .doc = "URIs in their order: a list, or a text that is a list in JSON." },
    { .name = "separator", .type = SL_OPT_STR, .offset = SL_FIELD(concat_cfg, separator), .doc = "Written behind each file, the last one included." },
    { .name = "extension", .type = SL_OPT_STR, .offset = SL_FIELD(concat_cfg, extension), .fallback = ".tmp", .doc = "Extension of the new file's name." },
    { 0 },
};

static sl_outcome concat_run(sl_task *t, void *cfg, sl_err *err)
{
    const concat_cfg *c = cfg;
    const sl_val *files = sl_is(c->files, SL_STRING) ? sl_json_parse(sl_task_arena(t), c->files->s, err) : c->files;
    SL_WRITER w = NULL;
    sl_str uri;
    if (!sl_is(files, SL_LIST)) {
        sl_err_set(err, SL_ERR_CONFIG, "storage.files", "'files' must be a list of URIs, or a text that is one in JSON");
        return SL_TASK_FAILED;
    }
    if (!sl_task_open_out(t, file_name(t, "concat", c->extension), &w, &uri, err))
        return SL_TASK_FAILED;
    for (size_t i = 0; i < sl_val_count(files); i++) {
        SL_READER r = NULL;
        if (!sl_task_open_in(t, sl_val_text(sl_task_arena(t), sl_at(files, i)), &r, err) || !sl_io_copy(r, w, sl_task_cancelled, t, NULL, err) || !w->write(w, c->separator.p ? c->separator.p : "", c->separator.n, err))
            return SL_TASK_FAILED;
    }
    if (!w->finish(w, err))
        return SL_TASK_FAILED;
    sl_task_out_str(t, "uri", uri);
    return SL_TASK_DONE;
}

static const sl_task_type storage_concat = { .type = TYPE "Concat", .aliases = OLD "Concat", .doc = "Joins files into one.", .cfg_size = sizeof(concat_cfg), .opts = concat_opts, .outs = uri_outs, .run = concat_run };

/* ---- Split ---- */

typedef struct split_cfg {
    sl_str from;
    sl_pieces_how how;
} split_cfg;

static const sl_opt split_opts[] = {
    { .name = "from", .type = SL_OPT_STR, .offset = SL_FIELD(split_cfg, from), .flags = SL_REQUIRED, .doc = "URI of the file." },
    { .name = "bytes", .type = SL_OPT_ANY, .offset = SL_FIELD(split_cfg, how.bytes), .doc = "Size of a piece, such as 10MB." },
    { .name = "partitions", .type = SL_OPT_INT, .offset = SL_FIELD(split_cfg, how.partitions), .doc = "How many pieces; rows go round." },
    { .name = "rows", .type = SL_OPT_INT, .offset = SL_FIELD(split_cfg, how.rows), .doc = "Rows of a piece." },
    { .name = "separator", .type = SL_OPT_STR, .offset = SL_FIELD(split_cfg, how.separator), .fallback = "\n", .doc = "What ends a row." },
    { .name = "regexPattern", .type = SL_OPT_STR, .offset = SL_FIELD(split_cfg, how.regex), .doc = "A piece for each text that its first group matches; rows that it does not match are left out." },
    { 0 },
};

static const sl_opt split_outs[] = { { .name = "uris", .type = SL_OPT_LIST, .doc = "URIs of the pieces." }, { 0 } };

static sl_outcome split_run(sl_task *t, void *cfg, sl_err *err)
{
    const split_cfg *c = cfg;
    const sl_val *uris;
    if (!sl_pieces_cut(t, c->from, &c->how, "split", &uris, err))
        return SL_TASK_FAILED;
    sl_task_out(t, "uris", uris);
    return SL_TASK_DONE;
}

static const sl_task_type storage_split = { .type = TYPE "Split", .aliases = OLD "Split", .doc = "Cuts a file into pieces, between rows.", .cfg_size = sizeof(split_cfg), .opts = split_opts, .outs = split_outs, .run = split_run };

/* ---- Size, Delete ---- */

typedef struct file_cfg {
    sl_str uri;
    bool error_on_missing;
} file_cfg;

static const sl_opt size_opts[] = {
    { .name = "uri", .type = SL_OPT_STR, .offset = SL_FIELD(file_cfg, uri), .flags = SL_REQUIRED, .doc = "URI of the file." },
    { 0 },
};

static const sl_opt size_outs[] = { { .name = "size", .type = SL_OPT_INT, .doc = "Its bytes." }, { 0 } };

static sl_outcome size_run(sl_task *t, void *cfg, sl_err *err)
{
    const file_cfg *c = cfg;
    sl_str path;
    int64_t size;
    if (!sl_task_local_file(t, c->uri, &path, err) || !sl_fs_size(path.p, &size, err))
        return SL_TASK_FAILED;
    sl_task_out_int(t, "size", size);
    return SL_TASK_DONE;
}

static const sl_task_type storage_size = { .type = TYPE "Size", .aliases = OLD "Size", .doc = "Size of a file.", .cfg_size = sizeof(file_cfg), .opts = size_opts, .outs = size_outs, .run = size_run };

static const sl_opt delete_opts[] = {
    { .name = "uri", .type = SL_OPT_STR, .offset = SL_FIELD(file_cfg, uri), .flags = SL_REQUIRED, .doc = "URI of the file." },
    { .name = "errorOnMissing", .type = SL_OPT_BOOL, .offset = SL_FIELD(file_cfg, error_on_missing), .fallback = "false", .doc = "A file that is not there is a failure." },
    { 0 },
};

static const sl_opt delete_outs[] = {
    { .name = "uri", .type = SL_OPT_STR, .doc = "URI of the file." },
    { .name = "deleted", .type = SL_OPT_BOOL, .doc = "Whether it was there." },
    { 0 },
};

static sl_outcome delete_run(sl_task *t, void *cfg, sl_err *err)
{
    const file_cfg *c = cfg;
    bool there;
    if (!sl_task_remove_file(t, c->uri, &there, err))
        return SL_TASK_FAILED;
    if (!there && c->error_on_missing) {
        sl_err_set(err, SL_ERR_NOT_FOUND, "storage.missing", "Unable to delete the file '%.*s': it does not exist (and 'errorOnMissing' is true)", SL_ARG(c->uri));
        return SL_TASK_FAILED;
    }
    sl_task_out_str(t, "uri", c->uri);
    sl_task_out(t, "deleted", sl_val_bool(there));
    return SL_TASK_DONE;
}

static const sl_task_type storage_delete = { .type = TYPE "Delete", .aliases = OLD "Delete", .doc = "Removes a file.", .cfg_size = sizeof(file_cfg), .opts = delete_opts, .outs = delete_outs, .run = delete_run };

/* ---- Reverse ---- */

typedef struct reverse_cfg {
    sl_str from, separator, charset;
} reverse_cfg;

static const sl_opt reverse_opts[] = {
    { .name = "from", .type = SL_OPT_STR, .offset = SL_FIELD(reverse_cfg, from), .flags = SL_REQUIRED, .doc = "URI of the file." },
    { .name = "separator", .type = SL_OPT_STR, .offset = SL_FIELD(reverse_cfg, separator), .fallback = "\n", .doc = "What ends a row." },
    { .name = "charset", .type = SL_OPT_STR, .offset = SL_FIELD(reverse_cfg, charset), .fallback = "UTF-8", .doc = "Encoding: one in which a byte of the separator is no part of another letter." },
    { 0 },
};

/* From the end; a row without separator at the end gets one, as the others have. */
static bool write_reversed(sl_str all, sl_str separator, sl_writer *w, sl_err *err)
{
    size_t end = all.n;
    if (sl_str_ends(all, separator))
        end -= separator.n;
    while (all.n > 0) {
        ptrdiff_t before = sl_str_rfind(sl_str_sub(all, 0, end), separator);
        size_t start = before < 0 ? 0 : (size_t)before + separator.n;
        if (!w->write(w, all.p + start, end - start, err) || !w->write(w, separator.p, separator.n, err))
            return false;
        if (before < 0)
            break;
        end = (size_t)before;
    }
    return true;
}

static sl_outcome reverse_run(sl_task *t, void *cfg, sl_err *err)
{
    const reverse_cfg *c = cfg;
    SL_WRITER w = NULL;
    sl_str path, uri;
    struct stat st;
    if (sl_str_starts(sl_str_upper(sl_task_arena(t), c->charset), SL_S("UTF-16")) || sl_str_starts(sl_str_upper(sl_task_arena(t), c->charset), SL_S("UTF-32")) || c->separator.n == 0) {
        sl_err_set(err, SL_ERR_CONFIG, "storage.charset", "rows of a file in %.*s cannot be turned round; convert it to UTF-8 first", SL_ARG(c->charset));
        return SL_TASK_FAILED;
    }
    if (!sl_task_local_file(t, c->from, &path, err) || !sl_task_open_out(t, file_name(t, "reversed", sl_path_extension(sl_path_base(c->from))), &w, &uri, err))
        return SL_TASK_FAILED;
    int fd = open(path.p, O_RDONLY | O_CLOEXEC);
    void *all = NULL;
    bool ok = fd >= 0 && fstat(fd, &st) == 0 && (st.st_size == 0 || (all = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0)) != MAP_FAILED);
    if (!ok)
        sl_err_errno(err, "read", path.p);
    ok = ok && write_reversed((sl_str){ all, (size_t)st.st_size }, c->separator, w, err) && w->finish(w, err);
    if (all != NULL && all != MAP_FAILED)
        (void)munmap(all, (size_t)st.st_size);
    if (fd >= 0)
        close(fd);
    sl_task_out_str(t, "uri", uri);
    return ok ? SL_TASK_DONE : SL_TASK_FAILED;
}

static const sl_task_type storage_reverse = { .type = TYPE "Reverse", .aliases = OLD "Reverse", .doc = "Puts the rows of a file in reverse order.", .cfg_size = sizeof(reverse_cfg), .opts = reverse_opts, .outs = uri_outs, .run = reverse_run };

/* ---- LocalFiles ---- */

typedef struct local_cfg {
    const sl_val *inputs, *outputs;
} local_cfg;

static const sl_opt local_opts[] = {
    { .name = "inputs", .type = SL_OPT_ANY, .offset = SL_FIELD(local_cfg, inputs), .doc = "Files to put into the folder: name to content or URI." },
    { .name = "outputs", .type = SL_OPT_STRS, .offset = SL_FIELD(local_cfg, outputs), .doc = "Globs of files to keep." },
    { 0 },
};

static const sl_opt local_outs[] = { { .name = "uris", .type = SL_OPT_MAP, .doc = "Name of a file to its URI." }, { 0 } };

static sl_outcome local_run(sl_task *t, void *cfg, sl_err *err)
{
    const local_cfg *c = cfg;
    const sl_val *uris;
    sl_str dir;
    if (!sl_task_workdir(t, &dir, err) || !sl_files_put(t, dir, c->inputs, err) || !sl_files_take(t, dir, c->outputs, &uris, err))
        return SL_TASK_FAILED;
    sl_task_out(t, "uris", uris);
    return SL_TASK_DONE;
}

static const sl_task_type storage_local = { .type = TYPE "LocalFiles", .aliases = OLD "LocalFiles", .doc = "Puts files into a WorkingDirectory's folder, and takes some from it.", .cfg_size = sizeof(local_cfg), .opts = local_opts, .outs = local_outs, .run = local_run };

static const sl_task_type *const tasks[] = { &storage_write, &storage_concat, &storage_split, &storage_size, &storage_delete, &storage_reverse, &storage_local, &sl_storage_filter, &sl_storage_deduplicate, NULL };
const sl_connector sl_connector_storage = { .name = "storage", .tasks = tasks };
