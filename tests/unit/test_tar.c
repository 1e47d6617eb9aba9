/* tests/unit/test_tar.c: a folder through a tar stream and back; streams that are cut, damaged, or lead elsewhere. */
#include <sys/stat.h>

#include "base/fs.h"
#include "connectors/script/tar.h"
#include "tests/harness/test.h"

enum { STREAM_MAX = 1 << 20 };

static sl_str below(sl_test_context *t, const char *name)
{
    return sl_fmt(t->arena, "%s/%s", sl_test_dir(t), name);
}

static bool put(sl_test_context *t, sl_str root, const char *name, sl_str content)
{
    sl_str path = sl_fmt(t->arena, "%.*s/%s", SL_ARG(root), name), folder = sl_str_sub(path, 0, (size_t)sl_str_rfind(path, SL_S("/")));
    return sl_fs_mkdirs(sl_cstr(t->arena, folder), &t->err) && sl_fs_write_atomic(path.p, content, 0600, &t->err);
}

static sl_str stream_of(sl_test_context *t, sl_str root)
{
    int64_t size = 0;
    sl_str stream = SL_S("");
    SL_READER r = sl_tar_reader(t->arena, root, SL_S("work/x"), 100, &size, &t->err);
    if (r == NULL || !sl_io_read_all(t->arena, r, STREAM_MAX, &stream, &t->err) || (int64_t)stream.n != size)
        sl_test_fail(t, __FILE__, __LINE__, "%zu bytes where %lld were announced: %s", stream.n, (long long)size, t->err.message);
    return stream;
}

/* In pieces of `step` bytes. */
static bool unpack(sl_test_context *t, sl_str root, sl_str stream, size_t step)
{
    SL_WRITER w = sl_tar_writer(t->arena, root, SL_S("x/.own"), 100);
    for (size_t at = 0; at < stream.n; at += step)
        if (!w->write(w, stream.p + at, stream.n - at < step ? stream.n - at : step, &t->err))
            return false;
    return w->finish(w, &t->err);
}

static void same(sl_test_context *t, sl_str root, const char *name, sl_str content)
{
    sl_str got = SL_S("");
    if (!sl_fs_read(t->arena, sl_fmt(t->arena, "%.*s/x/%s", SL_ARG(root), name).p, STREAM_MAX, &got, &t->err) || !sl_str_eq(got, content))
        sl_test_fail(t, __FILE__, __LINE__, "%s: %zu bytes in place of %zu (%s)", name, got.n, content.n, t->err.message);
}

SL_TEST(tar, there_and_back)
{
    sl_str from = below(t, "from"), block = sl_str_replace(t->arena, SL_S("................................"), SL_S("."), SL_S("0123456789abcdef"));
    const char *deep = sl_fmt(t->arena, "a/%.*s%.*s/%.*s.txt", 90, block.p, 90, block.p, 100, block.p).p;
    bool ok = put(t, from, "empty", SL_S("")) && put(t, from, "a/block", block) && put(t, from, deep, SL_S("deep")) && put(t, from, ".own/secret", SL_S("ours"));
    sl_str stream = stream_of(t, from);
    for (size_t step = 1; ok && step <= stream.n; step = step * 7 + 1) {
        sl_str to = sl_fmt(t->arena, "%.*s-%zu", SL_ARG(below(t, "to")), step);
        struct stat st;
        if (!sl_fs_mkdirs(to.p, &t->err) || !unpack(t, to, stream, step))
            sl_test_fail(t, __FILE__, __LINE__, "in pieces of %zu: %s", step, t->err.message);
        same(t, to, "empty", SL_S(""));
        same(t, to, "a/block", block);
        same(t, to, deep, SL_S("deep"));
        if (stat(sl_fmt(t->arena, "%.*s/x/.own", SL_ARG(to)).p, &st) == 0 && sl_fs_exists(sl_fmt(t->arena, "%.*s/x/.own/secret", SL_ARG(to)).p))
            sl_test_fail(t, __FILE__, __LINE__, "what is to be skipped came out");
    }
}

/* Cut anywhere before its end it is not whole; a changed header does not pass. */
SL_TEST(tar, damage)
{
    sl_str from = below(t, "from");
    if (!put(t, from, "one", SL_S("content")))
        sl_test_fail(t, __FILE__, __LINE__, "%s", t->err.message);
    sl_str stream = stream_of(t, from);
    for (size_t n = 0; n + 1024 < stream.n; n += 100) {
        sl_str to = sl_fmt(t->arena, "%.*s-%zu", SL_ARG(below(t, "cut")), n);
        if (!sl_fs_mkdirs(to.p, &t->err) || unpack(t, to, sl_str_sub(stream, 0, n), 4096))
            sl_test_fail(t, __FILE__, __LINE__, "%zu of %zu bytes passed as whole", n, stream.n);
    }
    char *changed = (char *)(uintptr_t)sl_cstr(t->arena, stream);
    changed[512]++;
    if (unpack(t, below(t, "changed"), (sl_str){ changed, stream.n }, 4096) || strcmp(t->err.code, "tar.header") != 0)
        sl_test_fail(t, __FILE__, __LINE__, "a changed header: %s", t->err.message);
}

SL_TEST(tar, too_many_files)
{
    sl_str from = below(t, "from"), to = below(t, "to");
    for (int i = 0; i < 5; i++)
        if (!put(t, from, sl_fmt(t->arena, "f%d", i).p, SL_S("x")))
            sl_test_fail(t, __FILE__, __LINE__, "%s", t->err.message);
    sl_str stream = stream_of(t, from);
    SL_WRITER w = sl_tar_writer(t->arena, to, SL_S(""), 3);
    if (w->write(w, stream.p, stream.n, &t->err) || t->err.kind != SL_ERR_LIMIT)
        sl_test_fail(t, __FILE__, __LINE__, "five files where three are the most: %s", t->err.message);
}
