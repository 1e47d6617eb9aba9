/* service/loop.c: Loop: the items that it runs over, and what comes out of its iterations (io.kestra.plugin.core.flow.Loop of 2.0). */
#include "base/arena.h"
#include "base/fs.h"
#include "base/ion.h"
#include "base/json.h"
#include "base/limits.h"
#include "flows/input.h"
#include "service/task_ctx.h"

/* ---- items ---- */

static bool add_item(sl_task *t, sl_val *values, const sl_val *v, sl_err *err)
{
    if (sl_is_null(v))
        return sl_err_set(err, SL_ERR_CONFIG, "loop.null", "the item with index %zu is null", values->list.n);
    if (values->list.n >= SL_LOOP_ITEMS_MAX)
        return sl_err_set(err, SL_ERR_LIMIT, "loop.items", "a Loop runs over at most %d items; ForEachItem cuts larger files into batches", SL_LOOP_ITEMS_MAX);
    sl_list_add(t->arena, values, sl_val_str(t->arena, sl_val_text(t->arena, v)));
    return true;
}

/* A line is a value in Ion, or else it is the item as it stands. */
static bool from_file(sl_task *t, sl_str uri, sl_val *values, sl_err *err)
{
    SL_READER r = NULL;
    if (!sl_task_open_in(t, uri, &r, err))
        return false;
    sl_lines *lines = sl_lines_new(t->arena, r, SL_RECORD_MAX);
    sl_str line;
    int rc;
    while ((rc = sl_lines_next(lines, &line, err)) == 1) {
        sl_err ignored;
        sl_str text = sl_str_dup(t->arena, sl_str_trim(line)), rest = text;
        const sl_val *v = text.n > 0 ? sl_ion_read(t->arena, &rest, &ignored) : NULL;
        bool whole = v != NULL && sl_str_trim(rest).n == 0;
        if (text.n > 0 && !add_item(t, values, whole ? v : sl_val_str(t->arena, text), err))
            return false;
    }
    return rc == 0;
}

bool sl_loop_items(sl_task *t, const sl_task_def *d, sl_event *ev, sl_err *err)
{
    const sl_val *v;
    sl_val *values = sl_list(t->arena), *keys = NULL;
    if (!sl_render_val(t->arena, &t->env, sl_get(d->props, "values"), true, &v, err))
        return sl_err_ctx(err, "property 'values'");
    sl_str text = sl_is(v, SL_STRING) ? sl_str_trim(v->s) : SL_S("");
    if (sl_str_starts(text, SL_S("kestra://"))) {
        if (!from_file(t, text, values, err))
            return sl_err_ctx(err, "property 'values'");
        ev->choice = sl_json(t->arena, values);
        return true;
    }
    if (sl_is(v, SL_STRING))
        v = sl_json_parse(t->arena, text, err);
    if (!sl_is(v, SL_LIST) && !sl_is(v, SL_MAP))
        return sl_err_set(err, SL_ERR_CONFIG, "loop.values", "the values of a Loop must be a list, a map, a text that is one of them in JSON, or the URI of a file, not '%.*s'", SL_ARG(sl_str_sub(text, 0, 80)));
    if (sl_is(v, SL_MAP))
        keys = sl_list(t->arena);
    for (size_t i = 0; i < sl_val_count(v); i++) {
        if (!add_item(t, values, keys ? v->map.entries[i].value : sl_at(v, i), err))
            return false;
        if (keys != NULL)
            sl_list_add(t->arena, keys, sl_val_str(t->arena, v->map.entries[i].key));
    }
    sl_val *both = sl_map_of(t->arena, "values", values);
    sl_map_opt(t->arena, both, "keys", keys);
    ev->choice = sl_json(t->arena, keys ? both : values);
    return true;
}

/* ---- what comes out ---- */

static bool wants_files(sl_task *t, const sl_task_def *d)
{
    sl_str type = sl_get_text(d->props, "fetchType");
    const sl_val *v;
    sl_err ignored;
    if (type.n > 0 && !sl_str_eqc(type, "AUTO"))
        return sl_str_eqc(type, "STORE");
    return sl_render_val(t->arena, &t->env, sl_get(d->props, "values"), true, &v, &ignored) && sl_str_starts(sl_str_trim(sl_text(v)), SL_S("kestra://"));
}

static bool render_outputs(sl_task *t, const sl_task_def *d, const sl_val *own, sl_val *ret, sl_err *err)
{
    sl_val *vars = sl_map_shallow(t->arena, t->vars);
    for (size_t i = 0; i < sl_val_count(own); i++)
        sl_map_set(t->arena, vars, own->map.entries[i].key, own->map.entries[i].value);
    sl_expr_env env = t->env;
    env.vars = vars;
    for (size_t i = 0; i < sl_val_count(d->collected); i++) {
        const sl_val *o = sl_at(d->collected, i), *v;
        sl_str id = sl_get_text(o, "id");
        bool ok = sl_render_val(t->arena, &env, sl_get(o, "value"), true, &v, err) && (sl_is_null(v) || sl_input_coerce(t->arena, o, sl_get_text(o, "type"), v, &v, err));
        if (ok)
            sl_map_set(t->arena, ret, id, sl_input_plain(t->arena, v, false));
        else if (sl_get_bool(o, "required", true))
            return sl_err_ctx(err, "output '%.*s' of the iteration with index %lld", SL_ARG(id), (long long)sl_get_int(sl_get(own, "item"), "index", 0));
    }
    return true;
}

/* {uri} of a file that holds them, in Ion. */
static bool store(sl_task *t, int64_t index, const sl_val *outputs, const sl_val **ret, sl_err *err)
{
    SL_WRITER w = NULL;
    sl_str uri;
    sl_buf b = sl_buf_new(t->arena, SL_OUTPUTS_SIZE_MAX);
    sl_ion_write(&b, t->arena, outputs);
    sl_buf_char(&b, '\n');
    if (!sl_task_open_out(t, sl_fmt(t->arena, "iteration-%lld.ion", (long long)index), &w, &uri, err) || !w->write(w, sl_buf_str(&b).p, b.n, err) || !w->finish(w, err))
        return false;
    *ret = sl_map_of(t->arena, "uri", sl_val_str(t->arena, uri));
    return true;
}

bool sl_loop_outputs(sl_task *t, const sl_task_def *d, sl_err *err)
{
    sl_val *ended = sl_map(t->arena), *list = sl_list(t->arena);
    bool files = sl_val_count(d->collected) > 0 && wants_files(t, d);
    for (size_t i = 0; i < sl_val_count(t->job->iterations); i++) {
        const sl_val *one = sl_at(t->job->iterations, i), *item = sl_get(one, "item"), *shown;
        sl_str state = sl_get_text(one, "state");
        sl_map_set(t->arena, ended, state, sl_val_int(t->arena, sl_get_int(ended, sl_cstr(t->arena, state), 0) + 1));
        if (sl_val_count(d->collected) == 0)
            continue;
        int64_t index = sl_get_int(item, "index", 0);
        sl_val *entry = sl_map(t->arena), *about = sl_map_of(t->arena, "value", sl_get(item, "value")), *outputs = sl_map(t->arena);
        sl_map_set_int(t->arena, about, "iteration", index);
        sl_map_opt(t->arena, about, "key", sl_get(item, "key"));
        sl_map_setc(t->arena, entry, "item", about);
        bool good = sl_str_eqc(state, "SUCCESS") || sl_str_eqc(state, "WARNING");
        shown = outputs;
        if (good && (!render_outputs(t, d, sl_get(one, "vars"), outputs, err) || (files && !store(t, index, outputs, &shown, err))))
            return false;
        if (good)
            sl_map_setc(t->arena, entry, "outputs", shown);
        sl_list_add(t->arena, list, entry);
    }
    sl_task_out_int(t, "iterationCount", (int64_t)sl_val_count(t->job->iterations));
    sl_task_out_int(t, "runningIterations", 0);
    sl_task_out(t, "terminatedIterations", ended);
    if (sl_val_count(d->collected) > 0)
        sl_task_out(t, "outputs", list);
    return true;
}
