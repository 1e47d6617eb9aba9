/* base/zip.c: see zip.h. */
#include "base/zip.h"

#include <zip.h>

#include "base/arena.h"

struct sl_zip {
    zip_t *archive;
};

typedef struct entry {
    sl_reader reader;
    zip_file_t *file;
    sl_zip *zip;
    size_t index;
    int64_t left, most;
} entry;

static bool fail(sl_err *err, const zip_error_t *problem, const char *what)
{
    zip_error_t copy = *problem;
    return sl_err_set(err, SL_ERR_DATA, "zip", "%s: %s", what, zip_error_strerror(&copy));
}

static sl_zip *opened(zip_source_t *source, zip_error_t *problem, sl_err *err)
{
    zip_t *archive = source ? zip_open_from_source(source, ZIP_RDONLY, problem) : NULL;
    if (archive == NULL) {
        (void)fail(err, problem, "this is no ZIP file that can be read");
        zip_source_free(source);
        zip_error_fini(problem);
        return NULL;
    }
    zip_error_fini(problem);
    sl_zip *z = sl_malloc(sizeof *z);
    z->archive = archive;
    return z;
}

sl_zip *sl_zip_open(const char *path, sl_err *err)
{
    zip_error_t problem;
    zip_error_init(&problem);
    return opened(zip_source_file_create(path, 0, -1, &problem), &problem, err);
}

sl_zip *sl_zip_memory(sl_str bytes, sl_err *err)
{
    zip_error_t problem;
    zip_error_init(&problem);
    return opened(zip_source_buffer_create(bytes.p, bytes.n, 0, &problem), &problem, err);
}

void sl_zip_close(sl_zip *z)
{
    if (z == NULL)
        return;
    if (z->archive != NULL)
        zip_discard(z->archive);
    free(z);
}

size_t sl_zip_count(const sl_zip *z)
{
    zip_int64_t n = zip_get_num_entries(z->archive, 0);
    return n > 0 ? (size_t)n : 0;
}

sl_str sl_zip_name(const sl_zip *z, size_t index)
{
    const char *name = zip_get_name(z->archive, index, ZIP_FL_ENC_GUESS);
    return name ? sl_str_c(name) : SL_S("");
}

bool sl_zip_find(const sl_zip *z, const char *name, size_t *ret_index)
{
    zip_int64_t at = zip_name_locate(z->archive, name, 0);
    *ret_index = at >= 0 ? (size_t)at : 0;
    return at >= 0;
}

static ptrdiff_t entry_read(sl_reader *self, void *to, size_t n, sl_err *err)
{
    entry *e = (entry *)self;
    sl_str name = sl_zip_name(e->zip, e->index);
    zip_int64_t got = zip_fread(e->file, to, n);
    if (got < 0)
        return fail(err, zip_file_get_error(e->file), name.p), -1;
    e->left -= got;
    if (e->left < 0)
        return sl_err_set(err, SL_ERR_LIMIT, "zip.size", "%.*s: it is larger than %lld bytes, unpacked", SL_ARG(name), (long long)e->most), -1;
    return (ptrdiff_t)got;
}

static void entry_close(sl_reader *self)
{
    entry *e = (entry *)self;
    (void)zip_fclose(e->file);
    free(e);
}

sl_reader *sl_zip_read(sl_zip *z, size_t index, int64_t bytes_max, sl_err *err)
{
    zip_file_t *file = zip_fopen_index(z->archive, index, 0);
    if (file == NULL) {
        sl_str name = sl_zip_name(z, index);
        (void)fail(err, zip_get_error(z->archive), name.p);
        return NULL;
    }
    entry *e = sl_malloc(sizeof *e);
    *e = (entry){ { entry_read, entry_close }, file, z, index, bytes_max, bytes_max };
    return &e->reader;
}

/* ---- writing ---- */

sl_zip *sl_zip_new(const char *path, sl_err *err)
{
    zip_error_t problem;
    int code;
    zip_t *archive = zip_open(path, ZIP_CREATE | ZIP_EXCL, &code);
    if (archive == NULL) {
        zip_error_init_with_code(&problem, code);
        (void)fail(err, &problem, path);
        zip_error_fini(&problem);
        return NULL;
    }
    sl_zip *z = sl_malloc(sizeof *z);
    z->archive = archive;
    return z;
}

static bool add(sl_zip *z, sl_str name, zip_source_t *source, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    if (source != NULL && zip_file_add(z->archive, sl_cstr(a, name), source, ZIP_FL_ENC_UTF_8) >= 0)
        return true;
    zip_source_free(source);
    return fail(err, zip_get_error(z->archive), sl_cstr(a, name));
}

bool sl_zip_add(sl_zip *z, sl_str name, sl_str bytes, sl_err *err)
{
    return add(z, name, zip_source_buffer(z->archive, bytes.p, bytes.n, 0), err);
}

bool sl_zip_add_file(sl_zip *z, sl_str name, const char *path, sl_err *err)
{
    return add(z, name, zip_source_file(z->archive, path, 0, -1), err);
}

bool sl_zip_finish(sl_zip *z, sl_err *err)
{
    if (zip_close(z->archive) == 0) {
        z->archive = NULL;
        return true;
    }
    return fail(err, zip_get_error(z->archive), "the archive could not be written");
}
