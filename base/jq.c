/* base/jq.c: libjq consumes every jv it is given; jv_copy where one is needed twice. */
#include "base/jq.h"

#include <jq.h>
#include <jv.h>

#include "base/arena.h"
#include "base/json.h"

enum { RESULTS_MAX = 100000 };

typedef struct trouble {
    char text[400];
} trouble;

static void on_error(void *self, jv message)
{
    trouble *t = self;
    if (t->text[0] == '\0' && jv_get_kind(message) == JV_KIND_STRING)
        (void)snprintf(t->text, sizeof t->text, "%s", jv_string_value(message));
    jv_free(message);
}

static const sl_val *result(sl_arena *arena, jv v, sl_err *err)
{
    jv text = jv_dump_string(v, 0);
    sl_str s = sl_str_dup(arena, (sl_str){ jv_string_value(text), (size_t)jv_string_length_bytes(jv_copy(text)) });
    jv_free(text);
    return sl_json_parse(arena, s, err);
}

const sl_val *sl_jq(sl_arena *arena, const sl_val *input, sl_str program, sl_err *err)
{
    trouble t = { "" };
    jq_state *jq = jq_init();
    sl_assert(jq != NULL);
    jq_set_error_cb(jq, on_error, &t);
    sl_val *list = sl_list(arena);
    bool ok = jq_compile(jq, sl_cstr(arena, program));
    if (!ok)
        sl_err_set(err, SL_ERR_CONFIG, "jq.compile", "the jq program `%.*s` is wrong: %s", SL_ARG(program), t.text);
    if (ok) {
        sl_str json = sl_json(arena, input);
        jq_start(jq, jv_parse_sized(json.p, (int)json.n), 0);
        jv v = jq_next(jq);
        for (; ok && jv_is_valid(v); v = jq_next(jq)) {
            const sl_val *one = result(arena, v, err);
            ok = one != NULL && list->list.n < RESULTS_MAX;
            if (one != NULL)
                sl_list_add(arena, list, one);
        }
        if (ok && jv_invalid_has_msg(jv_copy(v))) {
            jv message = jv_invalid_get_msg(v);
            ok = sl_err_set(err, SL_ERR_DATA, "jq.run", "the jq program `%.*s` failed: %s", SL_ARG(program),
                            jv_get_kind(message) == JV_KIND_STRING ? jv_string_value(message) : "unknown reason");
            jv_free(message);
        } else
            jv_free(v);
    }
    jq_teardown(&jq);
    return ok ? list : NULL;
}
