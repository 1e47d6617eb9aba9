/* base/regex.c: see regex.h. */
#include "base/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/arena.h"

struct sl_regex {
    pcre2_code *code;
    sl_str pattern;
};

static void code_free(void *code)
{
    pcre2_code_free(code);
}

sl_regex *sl_regex_new(sl_arena *arena, sl_str pattern, sl_err *err)
{
    int number;
    PCRE2_SIZE offset;
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)(pattern.p ? pattern.p : ""), pattern.n, PCRE2_UTF | PCRE2_NO_UTF_CHECK, &number, &offset, NULL);
    if (code == NULL) {
        PCRE2_UCHAR text[200];
        (void)pcre2_get_error_message(number, text, sizeof text);
        sl_err_set(err, SL_ERR_CONFIG, "regex", "the regular expression '%.*s' is wrong at character %zu: %s", SL_ARG(pattern), (size_t)offset + 1, (char *)text);
        return NULL;
    }
    sl_regex *r = SL_NEW(arena, sl_regex);
    *r = (sl_regex){ code, sl_str_dup(arena, pattern) };
    sl_arena_on_free(arena, code_free, code);
    return r;
}

static int run(const sl_regex *r, sl_str text, size_t from, uint32_t options, pcre2_match_data *data, sl_err *err)
{
    pcre2_match_context *context = pcre2_match_context_create(NULL);
    (void)pcre2_set_match_limit(context, 1000000);
    (void)pcre2_set_heap_limit(context, 16384);
    if (!sl_str_is_utf8(text)) {
        pcre2_match_context_free(context);
        sl_err_set(err, SL_ERR_DATA, "regex.utf8", "a text that is not UTF-8 was given to the regular expression '%.*s'", SL_ARG(r->pattern));
        return -1000;
    }
    int rc = pcre2_match(r->code, (PCRE2_SPTR)(text.p ? text.p : ""), text.n, from, options | PCRE2_NO_UTF_CHECK, data, context);
    pcre2_match_context_free(context);
    if (rc >= 0 || rc == PCRE2_ERROR_NOMATCH)
        return rc;
    PCRE2_UCHAR message[200];
    (void)pcre2_get_error_message(rc, message, sizeof message);
    sl_err_set(err, SL_ERR_LIMIT, "regex.limit", "the regular expression '%.*s' was given up: %s; simplify it", SL_ARG(r->pattern), (char *)message);
    return -1000;
}

bool sl_regex_full(const sl_regex *r, sl_str text, bool *ret, sl_err *err)
{
    pcre2_match_data *data = pcre2_match_data_create_from_pattern(r->code, NULL);
    int rc = run(r, text, 0, PCRE2_ANCHORED | PCRE2_ENDANCHORED, data, err);
    pcre2_match_data_free(data);
    *ret = rc >= 0;
    return rc != -1000;
}

bool sl_regex_find(const sl_regex *r, sl_str text, size_t from, bool *found, size_t *start, size_t *end, sl_err *err)
{
    pcre2_match_data *data = pcre2_match_data_create_from_pattern(r->code, NULL);
    int rc = run(r, text, from, 0, data, err);
    *found = rc >= 0;
    if (rc >= 0) {
        const PCRE2_SIZE *at = pcre2_get_ovector_pointer(data);
        *start = at[0];
        *end = at[1];
    }
    pcre2_match_data_free(data);
    return rc != -1000;
}

bool sl_regex_group(const sl_regex *r, sl_str text, bool *found, sl_str *group, sl_err *err)
{
    pcre2_match_data *data = pcre2_match_data_create_from_pattern(r->code, NULL);
    int rc = run(r, text, 0, 0, data, err);
    *found = rc >= 0 && pcre2_get_ovector_count(data) > 1;
    if (*found) {
        const PCRE2_SIZE *at = pcre2_get_ovector_pointer(data);
        *group = rc > 1 && at[2] != PCRE2_UNSET ? sl_str_sub(text, at[2], at[3]) : SL_S("");
    }
    pcre2_match_data_free(data);
    return rc != -1000;
}

static void add_replacement(sl_buf *b, sl_str with, sl_str text, const PCRE2_SIZE *at, int groups)
{
    for (size_t i = 0; i < with.n; i++) {
        char c = with.p[i];
        if (c == '\\' && i + 1 < with.n)
            sl_buf_char(b, with.p[++i]);
        else if (c == '$' && i + 1 < with.n && with.p[i + 1] >= '0' && with.p[i + 1] <= '9') {
            int group = with.p[++i] - '0';
            if (group < groups && at[2 * group] != PCRE2_UNSET)
                sl_buf_add(b, sl_str_sub(text, at[2 * group], at[2 * group + 1]));
        } else
            sl_buf_char(b, c);
    }
}

bool sl_regex_replace(sl_arena *arena, const sl_regex *r, sl_str text, sl_str with, sl_str *ret, sl_err *err)
{
    pcre2_match_data *data = pcre2_match_data_create_from_pattern(r->code, NULL);
    sl_buf b = sl_buf_new(arena, SIZE_MAX / 4);
    size_t from = 0;
    int rc;
    while (from <= text.n && (rc = run(r, text, from, 0, data, err)) >= 0) {
        const PCRE2_SIZE *at = pcre2_get_ovector_pointer(data);
        sl_buf_add(&b, sl_str_sub(text, from, at[0]));
        add_replacement(&b, with, text, at, rc);
        if (at[1] == at[0]) {
            sl_buf_add(&b, sl_str_sub(text, at[0], at[0] + 1));
            from = at[1] + 1;
        } else
            from = at[1];
    }
    pcre2_match_data_free(data);
    if (from <= text.n && rc == -1000)
        return false;
    sl_buf_add(&b, sl_str_sub(text, from, text.n));
    *ret = sl_buf_str(&b);
    return true;
}
