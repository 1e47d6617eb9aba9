/* kv/kek.c: see kek.h. */
#include "kv/kek.h"

#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/io.h"
#include "kv/crypto.h"

void sl_kek_id(const sl_secret *key, uint8_t *id)
{
    SL_ARENA a = sl_arena_new();
    memcpy(id, sl_digest(a, "SHA256", sl_secret_reveal(key)).p, 4);
}

bool sl_kek_read_file(const char *path, sl_secret **ret, sl_err *err)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        return sl_err_errno(err, "look at the key file", path);
    if (!S_ISREG(st.st_mode))
        return sl_err_set(err, SL_ERR_CONFIG, "kek.file", "the key file '%s' is not a regular file (links are refused)", path);
    if (st.st_uid != geteuid() && st.st_uid != 0)
        return sl_err_set(err, SL_ERR_CONFIG, "kek.file", "the key file '%s' belongs to somebody else", path);
    if ((st.st_mode & 077) != 0)
        return sl_err_set(err, SL_ERR_CONFIG, "kek.file", "the key file '%s' can be read or changed by others; run: chmod 600 '%s'", path, path);
    SL_ARENA a = sl_arena_new();
    sl_str text, raw;
    if (!sl_fs_read(a, path, 4096, &text, err))
        return false;
    sl_str trimmed = sl_str_trim(text);
    bool ok = text.n == SL_KEY_SIZE;
    raw = text;
    if (!ok && trimmed.n == 44 && sl_base64_decode(a, trimmed, &raw))
        ok = raw.n == SL_KEY_SIZE;
    if (ok)
        *ret = sl_secret_new(raw);
    sl_wipe((void *)(uintptr_t)text.p, text.n);
    return ok || sl_err_set(err, SL_ERR_CONFIG, "kek.file", "the key file '%s' must hold 32 bytes, raw or as base64; make one with: sluice secret keygen FILE", path);
}

bool sl_kek_generate(const char *path, sl_err *err)
{
    uint8_t key[SL_KEY_SIZE];
    SL_ARENA a = sl_arena_new();
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return sl_err_errno(err, "create the key file", path);
    sl_random(key, sizeof key);
    sl_str text = sl_fmt(a, "%.*s\n", SL_ARG(sl_base64(a, (sl_str){ (const char *)key, sizeof key })));
    bool ok = sl_fs_pwrite(fd, text.p, text.n, 0, path, err) && (fsync(fd) == 0 || sl_err_errno(err, "sync", path));
    close(fd);
    sl_wipe(key, sizeof key);
    sl_wipe((void *)(uintptr_t)text.p, text.n);
    return ok;
}

static bool from_environment(sl_kek *k, const char *value, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    sl_str raw;
    bool ok = sl_base64_decode(a, sl_str_trim(sl_str_c(value)), &raw) && raw.n == SL_KEY_SIZE;
    if (ok)
        k->key = sl_secret_new(raw);
    sl_wipe((void *)(uintptr_t)value, strlen(value));
    (void)unsetenv("SLUICE_KEK");
    k->from_environment = true;
    return ok || sl_err_set(err, SL_ERR_CONFIG, "kek.env", "SLUICE_KEK must be base64 of 32 bytes");
}

static bool outside(const char *path, const char *data_dir, sl_err *err)
{
    char real[PATH_MAX], data[PATH_MAX];
    if (realpath(path, real) == NULL || realpath(data_dir, data) == NULL)
        return true;
    size_t n = strlen(data);
    if (strncmp(real, data, n) != 0 || (real[n] != '/' && real[n] != '\0'))
        return true;
    return sl_err_set(err, SL_ERR_CONFIG, "kek.inside", "the key file '%s' lies inside of the data folder, where it would be copied along with what it protects; move it elsewhere", path);
}

bool sl_kek_load(sl_kek *k, const char *data_dir, bool may_create, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    *k = (sl_kek){ 0 };
    const char *credentials = getenv("CREDENTIALS_DIRECTORY"), *named = getenv("SLUICE_KEK_FILE"), *env = getenv("SLUICE_KEK"), *config = getenv("XDG_CONFIG_HOME"),
               *home = getenv("HOME"), *previous = getenv("SLUICE_KEK_PREVIOUS_FILE");
    struct passwd entry, *user = NULL;
    char names[1024];
    if (home == NULL && getpwuid_r(getuid(), &entry, names, sizeof names, &user) == 0 && user != NULL)
        home = user->pw_dir;
    sl_str dir = config && *config ? sl_fmt(a, "%s/sluice", config) : sl_fmt(a, "%s/.config/sluice", home ? home : "/root");
    sl_str path = sl_fmt(a, "%.*s/sluice.kek", SL_ARG(dir));
    (void)snprintf(k->head_dir, sizeof k->head_dir, "%s", dir.p);
    sl_str systemd = credentials ? sl_fmt(a, "%s/sluice.kek", credentials) : SL_S("");
    if (systemd.n > 0 && sl_fs_exists(systemd.p))
        path = systemd;
    else if (named != NULL && *named != '\0')
        path = sl_fmt(a, "%s", named);
    else if (env != NULL && *env != '\0') {
        (void)snprintf(k->source, sizeof k->source, "the environment (SLUICE_KEK)");
        if (!from_environment(k, env, err))
            return false;
        path = SL_S("");
    } else if (!sl_fs_exists(path.p)) {
        if (!may_create)
            return sl_err_set(err, SL_ERR_CONFIG, "kek.none", "the store is encrypted, but its key file '%s' is missing; restore it, or name it with SLUICE_KEK_FILE", path.p);
        if (!sl_fs_mkdirs(dir.p, err) || !sl_kek_generate(path.p, err))
            return sl_err_ctx(err, "making the key that encrypts the store");
    }
    if (path.n > 0) {
        (void)snprintf(k->source, sizeof k->source, "%s", path.p);
        if (!outside(path.p, data_dir, err) || !sl_kek_read_file(path.p, &k->key, err))
            return false;
    }
    sl_kek_id(k->key, k->id);
    if (previous != NULL && *previous != '\0') {
        if (!sl_kek_read_file(previous, &k->previous, err))
            return false;
        sl_kek_id(k->previous, k->previous_id);
    }
    return sl_fs_mkdirs(k->head_dir, err) || sl_err_ctx(err, "what tells an older copy of the store from the newest one lies there, outside of the data folder; XDG_CONFIG_HOME names another place");
}

void sl_kek_done(sl_kek *k)
{
    sl_secret_freep(&k->key);
    sl_secret_freep(&k->previous);
}
