/* service/api/archive.c: ZIP files that come in and go out. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/zip.h"
#include "service/api/flow_call.h"

enum { ENTRIES_MAX = 20000, UNPACKED_MAX = 256 << 20 };

static bool write_entries(const char *path, const sl_val *entries, sl_err *err)
{
    /* libzip makes no archive of nothing; it is the end of a directory alone. */
    static const char empty[22] = "PK\5\6";
    if (sl_val_count(entries) == 0)
        return sl_fs_write_atomic(path, (sl_str){ empty, sizeof empty }, 0600, err);
    sl_zip *z = sl_zip_new(path, err);
    bool ok = z != NULL;
    for (size_t i = 0; ok && i < sl_val_count(entries); i++) {
        const sl_val *e = sl_at(entries, i);
        sl_str file = sl_get_text(e, "path");
        ok = file.n > 0 ? sl_zip_add_file(z, sl_get_text(e, "name"), file.p, err) : sl_zip_add(z, sl_get_text(e, "name"), sl_get_text(e, "text"), err);
    }
    ok = ok && sl_zip_finish(z, err);
    sl_zip_close(z);
    return ok;
}

/* It has no name any more when it is sent, so that nothing of it is left however that ends. */
void sl_call_reply_zip(sl_call *c, const sl_val *entries, const char *file_name)
{
    char id[23];
    struct stat st;
    sl_err err;
    sl_random_id(id);
    const char *path = sl_fmt(c->arena, "%s/work/%s.zip", sl_engine_data_dir(c->engine), id).p;
    if (!write_entries(path, entries, &err)) {
        sl_reply_err(c, &err);
        return;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    (void)unlink(path);
    if (fd < 0 || fstat(fd, &st) != 0) {
        sl_err_errno(&err, "read", path);
        sl_reply_err(c, &err);
        if (fd >= 0)
            close(fd);
        return;
    }
    c->resp->file_fd = fd;
    c->resp->file_size = st.st_size;
    c->resp->content_type = "application/zip";
    c->resp->headers = sl_map_of(c->arena, "Content-Disposition", sl_val_str(c->arena, sl_fmt(c->arena, "attachment; filename=\"%s\"", file_name)));
}

static const sl_val *entries_of(sl_call *c, sl_zip *z, sl_err *err)
{
    sl_val *list = sl_list(c->arena);
    int64_t left = UNPACKED_MAX;
    if (sl_zip_count(z) > ENTRIES_MAX) {
        sl_err_set(err, SL_ERR_LIMIT, "zip.entries", "the ZIP file has %zu entries, at most %d are taken", sl_zip_count(z), ENTRIES_MAX);
        return NULL;
    }
    for (size_t i = 0; i < sl_zip_count(z); i++) {
        sl_str name = sl_str_dup(c->arena, sl_zip_name(z, i)), text;
        while (name.n > 0 && name.p[0] == '/')
            name = sl_str_sub(name, 1, name.n);
        if (name.n == 0 || name.p[name.n - 1] == '/')
            continue;
        SL_READER in = sl_zip_read(z, i, left, err);
        if (in == NULL || !sl_io_read_all(c->arena, in, UNPACKED_MAX, &text, err))
            return NULL;
        left -= (int64_t)text.n;
        sl_val *entry = sl_map(c->arena);
        sl_map_set_str(c->arena, entry, "name", name);
        sl_map_set_str(c->arena, entry, "text", text);
        sl_list_add(c->arena, list, entry);
    }
    return list;
}

const sl_val *sl_call_unzip(sl_call *c, sl_str bytes)
{
    sl_err err;
    sl_zip *z = sl_zip_memory(bytes, &err);
    const sl_val *list = z ? entries_of(c, z, &err) : NULL;
    sl_zip_close(z);
    if (list == NULL)
        sl_reply_error(c, 422, "Invalid entity: %s", err.message);
    return list;
}
