/*
 * connectors/script/python.c: python.Script and python.Commands: dependencies in a cache, and `from kestra import Kestra`.
 *
 * The packages of a list of dependencies are installed once, by uv or pip, into a folder of the cache that is named by what they
 * are, and found through PYTHONPATH. It becomes visible by a rename: one that was interrupted leaves nothing to be used.
 */
#include "base/arena.h"
#include "base/fs.h"
#include "base/io.h"
#include "connectors/script/script.h"

static const char *const environment[] = { "PYTHONUNBUFFERED=true", "PIP_ROOT_USER_ACTION=ignore", "PIP_DISABLE_PIP_VERSION_CHECK=1", NULL };

#define PYTHON_OPTS                                                                                                                                                                                \
    { .name = "dependencies", .type = SL_OPT_STRS, .offset = SL_FIELD(sl_script_cfg, dependencies), .doc = "Packages to be installed first, as pip names them." },                                \
        { .name = "dependencyCacheEnabled", .type = SL_OPT_BOOL, .offset = SL_FIELD(sl_script_cfg, cache), .fallback = "true", .doc = "Keep the packages for other runs with the same list." },   \
        { .name = "packageManager", .type = SL_OPT_ENUM, .offset = SL_FIELD(sl_script_cfg, package_manager), .values = "UV PIP", .fallback = "UV", .doc = "UV: uv where there is one, else pip." }, \
        { .name = "pythonVersion", .type = SL_OPT_ANY, .offset = SL_FIELD(sl_script_cfg, python_version), .doc = "Version that is looked for as pythonVERSION; else python3." },                  \
        { .name = "uvAutoInstallEnabled", .type = SL_OPT_ANY, .offset = SL_FIELD(sl_script_cfg, uv_install), .doc = "Accepted: nothing is installed on the machine itself." },                     \
        { .name = "uvInstallerVersion", .type = SL_OPT_ANY, .offset = SL_FIELD(sl_script_cfg, uv_version), .doc = "Accepted." },                                                                   \
        { .name = "uvInstallerSha256", .type = SL_OPT_ANY, .offset = SL_FIELD(sl_script_cfg, uv_sha256), .doc = "Accepted." }

static const sl_opt commands_opts[] = { SL_SCRIPT_COMMANDS, SL_SCRIPT_OPTS, PYTHON_OPTS, { 0 } };
static const sl_opt script_opts[] = { SL_SCRIPT_SCRIPT, SL_SCRIPT_OPTS, PYTHON_OPTS, { 0 } };

/* Prints the lines that the engine reads. The real package, where one is installed, takes its place. */
static const char KESTRA[] =
    "import importlib.machinery, os, sys\n"
    "_own = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))\n"
    "_real = importlib.machinery.PathFinder.find_spec('kestra', [p for p in sys.path if os.path.abspath(p or '.') != _own])\n"
    "if _real is not None and _real.origin is not None:\n"
    "    __file__, __path__ = _real.origin, _real.submodule_search_locations\n"
    "    __spec__ = _real\n"
    "    exec(compile(open(_real.origin).read(), _real.origin, 'exec'))\n"
    "else:\n"
    "    import json, logging, time\n"
    "\n"
    "    def _send(**what):\n"
    "        print('::' + json.dumps(what) + '::', flush=True)\n"
    "\n"
    "    class _Handler(logging.Handler):\n"
    "        def emit(self, record):\n"
    "            _send(logs=[{'level': {'WARNING': 'WARN', 'CRITICAL': 'ERROR'}.get(record.levelname, record.levelname), 'message': self.format(record)}])\n"
    "\n"
    "    class Kestra:\n"
    "        @staticmethod\n"
    "        def outputs(map_):\n"
    "            _send(outputs=map_)\n"
    "\n"
    "        @staticmethod\n"
    "        def counter(name, value, tags=None):\n"
    "            _send(metrics=[{'name': name, 'type': 'counter', 'value': value, 'tags': tags or {}}])\n"
    "\n"
    "        @staticmethod\n"
    "        def timer(name, duration, tags=None):\n"
    "            if callable(duration):\n"
    "                begin = time.time()\n"
    "                duration()\n"
    "                duration = time.time() - begin\n"
    "            _send(metrics=[{'name': name, 'type': 'timer', 'value': duration, 'tags': tags or {}}])\n"
    "\n"
    "        @staticmethod\n"
    "        def logger():\n"
    "            logger = logging.getLogger('Kestra')\n"
    "            if not logger.handlers:\n"
    "                logger.addHandler(_Handler())\n"
    "                logger.setLevel(logging.DEBUG)\n"
    "                logger.propagate = False\n"
    "            return logger\n";

static sl_str python_name(sl_arena *a, const sl_script_cfg *c)
{
    if (c->container)             /* the image says which */
        return SL_S("python3");
    sl_str version = c->python_version ? sl_val_text(a, c->python_version) : SL_S("");
    return version.n > 0 ? sl_fmt(a, "python%.*s", SL_ARG(version)) : SL_S("python3");
}

/* The shell's lines that see to it that the packages are at `place`. */
static void install(sl_arena *a, const sl_script_cfg *c, sl_str python, sl_str place, sl_buf *b)
{
    sl_buf words = sl_buf_new(a, 1 << 20);
    for (size_t i = 0; i < sl_val_count(c->dependencies); i++) {
        sl_str word = sl_script_word(a, sl_text(sl_at(c->dependencies, i)));
        sl_buf_fmt(&words, " %.*s", SL_ARG(word));
    }
    sl_str target = sl_script_word(a, place), list = sl_buf_str(&words), name = sl_script_word(a, python);
    sl_buf_fmt(b, "if [ ! -d %.*s ]; then\n  sl_new=%.*s.$$\n  rm -rf \"$sl_new\"\n", SL_ARG(target), SL_ARG(target));
    if (sl_str_eqc(c->package_manager, "UV"))
        sl_buf_fmt(b, "  if command -v uv >/dev/null 2>&1; then uv pip install --quiet --python %.*s --target \"$sl_new\"%.*s; else ", SL_ARG(name), SL_ARG(list));
    sl_buf_fmt(b, "%.*s -m pip install --quiet --target \"$sl_new\"%.*s%s || { echo 'the dependencies could not be installed' >&2; rm -rf \"$sl_new\"; exit 1; }\n", SL_ARG(name), SL_ARG(list),
               sl_str_eqc(c->package_manager, "UV") ? "; fi" : "");
    /* Another run may have been faster. */
    sl_buf_fmt(b, "  mv -T \"$sl_new\" %.*s 2>/dev/null || rm -rf \"$sl_new\"\nfi\n", SL_ARG(target));
}

static bool dependencies(sl_task *t, const sl_script_cfg *c, sl_str folder, sl_str *ret_place, sl_buf *b, sl_err *err)
{
    sl_arena *a = sl_task_arena(t);
    sl_str root = folder, python = python_name(a, c);
    *ret_place = SL_S("");
    if (sl_val_count(c->dependencies) == 0)
        return true;
    if (c->cache && !c->container && !sl_task_cache_dir(t, "python", &root, err))
        return false;
    sl_buf all = sl_buf_new(a, 1 << 20);
    sl_buf_add(&all, python);
    for (size_t i = 0; i < sl_val_count(c->dependencies); i++) {
        sl_str one = sl_text(sl_at(c->dependencies, i));
        sl_buf_fmt(&all, "\n%.*s", SL_ARG(one));
    }
    sl_str hash = sl_hex(a, sl_digest(a, "SHA256", sl_buf_str(&all)));
    *ret_place = sl_fmt(a, "%.*s/%.32s", SL_ARG(root), hash.p);
    install(a, c, python, *ret_place, b);
    return true;
}

static bool prepare(sl_task *t, const sl_script_cfg *c, sl_str dir, sl_buf *b, sl_err *err)
{
    sl_arena *a = sl_task_arena(t);
    sl_str folder = sl_script_folder(t, dir), text, place;
    if (!sl_fs_mkdirs(sl_fmt(a, "%.*s/lib/kestra", SL_ARG(folder)).p, err) || !sl_fs_write_atomic(sl_fmt(a, "%.*s/lib/kestra/__init__.py", SL_ARG(folder)).p, sl_str_c(KESTRA), 0600, err))
        return false;
    if (c->script.p != NULL) {
        /* JSON that is pasted into a script reads as Python then. */
        if (!sl_script_localize(t, c, c->script, &text, err) || !sl_fs_write_atomic(sl_fmt(a, "%.*s/script.py", SL_ARG(folder)).p, sl_fmt(a, "true = True\nfalse = False\nnull = None\n%.*s\n", SL_ARG(text)), 0600, err))
            return false;
    }
    sl_buf_fmt(b, "sl_python=%s\n", sl_script_word(a, python_name(a, c)).p);
    if (!dependencies(t, c, folder, &place, b, err))
        return false;
    sl_str lib = sl_script_word(a, sl_fmt(a, "%.*s%s%.*s:%.*s/lib", SL_ARG(dir), place.n ? ":" : "", SL_ARG(place), SL_ARG(folder)));
    sl_buf_fmt(b, "export PYTHONPATH=%.*s${PYTHONPATH:+:$PYTHONPATH}\n", SL_ARG(lib));
    return true;
}

static void finish(sl_task *t, sl_str dir, sl_buf *b)
{
    sl_str word = sl_script_word(sl_task_arena(t), sl_script_folder(t, dir));
    /* A virtual environment that beforeCommands have entered is used. */
    sl_buf_fmt(b, "if [ -n \"${VIRTUAL_ENV:-}\" ]; then sl_python=$VIRTUAL_ENV/bin/python; fi\nexec \"$sl_python\" %.*s/script.py\n", SL_ARG(word));
}

static sl_outcome run(sl_task *t, void *cfg, sl_err *err)
{
    static const sl_script_language python = { .prepare = prepare, .finish = finish, .env = environment, .image = "python:3.13-slim" };
    return sl_script_run(t, cfg, &python, err);
}

#define PYTHON "io.kestra.plugin.scripts.python."
const sl_task_type sl_python_script = { .type = PYTHON "Script", .doc = "Runs a Python script.", .cfg_size = sizeof(sl_script_cfg), .opts = script_opts, .outs = sl_script_outs, .run = run, .before = sl_script_before, .check = sl_script_check };
const sl_task_type sl_python_commands = { .type = PYTHON "Commands", .doc = "Runs shell commands, for programs in Python.", .cfg_size = sizeof(sl_script_cfg), .opts = commands_opts, .outs = sl_script_outs, .run = run, .before = sl_script_before, .check = sl_script_check };
