/* flows/input_check.c: how inputs are declared, and what may be wrong with that. */
#include "base/arena.h"
#include "base/regex.h"
#include "flows/input.h"
#include "flows/model.h"

static const sl_opt depends_opts[] = {
    { .name = "inputs", .type = SL_OPT_STRS, .flags = SL_REQUIRED | SL_STATIC, .doc = "Names of the other inputs." },
    { .name = "condition", .type = SL_OPT_STR, .flags = SL_LATE, .doc = "What has to hold of them." },
    { 0 },
};

const sl_opt sl_input_opts[] = {
    { .name = "id", .type = SL_OPT_STR, .flags = SL_STATIC, .doc = "Name of the input; dots make nested maps." },
    { .name = "name", .type = SL_OPT_STR, .flags = SL_STATIC | SL_DEPRECATED, .doc = "Older name of id." },
    { .name = "type", .type = SL_OPT_ENUM, .flags = SL_REQUIRED | SL_STATIC, .values = SL_INPUT_TYPES " FORM", .doc = "What the value must be; a FORM is several inputs." },
    { .name = "description", .type = SL_OPT_STR, .flags = SL_STATIC, .doc = "For people." },
    { .name = "displayName", .type = SL_OPT_STR, .flags = SL_STATIC, .doc = "Label of a form." },
    { .name = "required", .type = SL_OPT_BOOL, .flags = SL_STATIC, .doc = "A value or a default is needed (true)." },
    { .name = "defaults", .type = SL_OPT_ANY, .doc = "Value when none is given." },
    { .name = "prefill", .type = SL_OPT_ANY, .doc = "First value of a form; not applied otherwise." },
    { .name = "dependsOn", .type = SL_OPT_MAP, .sub = depends_opts, .doc = "Other inputs that must be there, and a condition." },
    { .name = "values", .type = SL_OPT_LIST, .doc = "Allowed values." },
    { .name = "options", .type = SL_OPT_LIST, .flags = SL_DEPRECATED, .doc = "Older name of values." },
    { .name = "expression", .type = SL_OPT_STR, .doc = "Expression that gives the allowed values." },
    { .name = "allowCustomValue", .type = SL_OPT_BOOL, .flags = SL_STATIC, .doc = "Other values are allowed, too." },
    { .name = "isRadio", .type = SL_OPT_BOOL, .flags = SL_STATIC, .doc = "Look of a form." },
    { .name = "autoSelectFirst", .type = SL_OPT_BOOL, .flags = SL_STATIC, .doc = "The first allowed value is the default." },
    { .name = "validator", .type = SL_OPT_STR, .flags = SL_STATIC, .doc = "Regular expression for the whole value." },
    { .name = "min", .type = SL_OPT_ANY, .flags = SL_STATIC, .doc = "Least value." },
    { .name = "max", .type = SL_OPT_ANY, .flags = SL_STATIC, .doc = "Greatest value." },
    { .name = "after", .type = SL_OPT_ANY, .flags = SL_STATIC, .doc = "The date must be later." },
    { .name = "before", .type = SL_OPT_ANY, .flags = SL_STATIC, .doc = "The date must be earlier." },
    { .name = "itemType", .type = SL_OPT_ENUM, .flags = SL_STATIC, .values = SL_INPUT_TYPES, .doc = "Type of the elements." },
    { .name = "extension", .type = SL_OPT_STR, .flags = SL_STATIC | SL_DEPRECATED, .doc = "Extension of the stored file." },
    { .name = "inputs", .type = SL_OPT_LIST, .flags = SL_STATIC, .doc = "Of a FORM: its inputs, read as inputs.FORM.INPUT." },
    { .name = "allowedFileExtensions", .type = SL_OPT_LIST, .flags = SL_STATIC, .doc = "Allowed extensions." },
    { 0 },
};

sl_str sl_input_id(const sl_val *input)
{
    sl_str id = sl_get_text(input, "id");
    return id.n ? id : sl_get_text(input, "name");
}

const sl_val *sl_input_find(const sl_val *inputs, sl_str id)
{
    for (size_t i = 0; i < sl_val_count(inputs); i++)
        if (sl_str_eq(sl_input_id(sl_at(inputs, i)), id))
            return sl_at(inputs, i);
    return NULL;
}

void sl_input_type_check(const sl_val *declared, sl_str where, sl_problems *problems)
{
    static const char *const names[] = { "type", "itemType" };
    for (size_t i = 0; i < SL_COUNT(names); i++) {
        const sl_val *v = sl_get(declared, names[i]);
        sl_str upper = sl_str_upper(problems->arena, sl_text(v));
        if (!sl_str_eq(upper, sl_text(v)))
            sl_problem_add(problems, v->line, v->column, "%.*s: '%s' is written in capitals: %.*s", SL_ARG(where), names[i], SL_ARG(upper));
    }
}

/* Depth-first over dependsOn; state 1 = on the way, 2 = done. */
static bool has_cycle(sl_arena *a, const sl_val *inputs, sl_str id, sl_val *state)
{
    const sl_val *seen = sl_get_str(state, id);
    if (seen != NULL)
        return seen->i == 1;
    sl_map_set(a, state, id, sl_val_int(a, 1));
    const sl_val *deps = sl_get(sl_get(sl_input_find(inputs, id), "dependsOn"), "inputs");
    for (size_t i = 0; i < sl_val_count(deps); i++)
        if (has_cycle(a, inputs, sl_text(sl_at(deps, i)), state))
            return true;
    sl_map_set(a, state, id, sl_val_int(a, 2));
    return false;
}

static bool is_form(const sl_val *input)
{
    return sl_is(input, SL_MAP) && sl_str_eqc(sl_get_text(input, "type"), "FORM");
}

/* An input of a form: with the form's name before its own, and where it has no dependsOn, the form's. */
static const sl_val *of_form(sl_arena *a, const sl_val *form, const sl_val *input)
{
    if (!sl_is(input, SL_MAP))
        return input;
    sl_val *own = sl_map_shallow(a, input);
    own->line = input->line;
    own->column = input->column;
    (void)sl_map_remove(own, SL_S("name"));
    sl_map_set_str(a, own, "id", sl_fmt(a, "%.*s.%.*s", SL_ARG(sl_input_id(form)), SL_ARG(sl_input_id(input))));
    if (sl_get(own, "dependsOn") == NULL)
        sl_map_opt(a, own, "dependsOn", sl_get(form, "dependsOn"));
    return own;
}

const sl_val *sl_inputs_flat(sl_arena *a, const sl_val *inputs)
{
    bool forms = false;
    for (size_t i = 0; i < sl_val_count(inputs); i++)
        forms |= is_form(sl_at(inputs, i));
    if (!forms)
        return inputs;
    sl_val *out = sl_list(a);
    for (size_t i = 0; i < sl_val_count(inputs); i++) {
        const sl_val *one = sl_at(inputs, i), *own = sl_get(one, "inputs");
        if (!is_form(one))
            sl_list_add(a, out, one);
        for (size_t k = 0; is_form(one) && k < sl_val_count(own); k++)
            sl_list_add(a, out, of_form(a, one, sl_at(own, k)));
    }
    return out;
}

static void check_form(const sl_val *form, sl_problems *problems)
{
    sl_str where = sl_fmt(problems->arena, "input '%.*s'", SL_ARG(sl_input_id(form)));
    const sl_val *inputs = sl_get(form, "inputs");
    sl_bind_check(sl_input_opts, NULL, form, where, problems);
    if (sl_input_id(form).n == 0)
        sl_problem_add(problems, form->line, form->column, "an input needs an 'id'");
    if (!sl_is(inputs, SL_LIST) || sl_val_count(inputs) == 0)
        sl_problem_add(problems, form->line, form->column, "%.*s: a FORM needs 'inputs'", SL_ARG(where));
    if (sl_get(form, "defaults") != NULL)
        sl_problem_add(problems, form->line, form->column, "%.*s: a FORM has no 'defaults'; its inputs have", SL_ARG(where));
    for (size_t i = 0; i < sl_val_count(inputs); i++)
        if (is_form(sl_at(inputs, i)))
            sl_problem_add(problems, sl_at(inputs, i)->line, sl_at(inputs, i)->column, "%.*s: a FORM cannot be in another one", SL_ARG(where));
}

/* Bounds and a default that are no expressions must be of the type. */
static void check_literals(const sl_val *input, sl_str type, sl_str where, sl_problems *problems)
{
    static const struct {
        const char *type, *names[3];
    } literals[] = {
        { "INT", { "min", "max", "defaults" } },     { "FLOAT", { "min", "max", "defaults" } },     { "DURATION", { "min", "max", "defaults" } }, { "DATE", { "after", "before", "defaults" } },
        { "TIME", { "after", "before", "defaults" } }, { "DATETIME", { "after", "before", "defaults" } }, { "ARRAY", { "defaults" } },              { "JSON", { "defaults" } },
    };
    for (size_t i = 0; i < SL_COUNT(literals); i++)
        for (size_t k = 0; sl_str_eqc(type, literals[i].type) && k < SL_COUNT(literals[i].names) && literals[i].names[k] != NULL; k++) {
            const char *name = literals[i].names[k];
            const sl_val *v = sl_get(input, name), *out;
            sl_err err;
            bool bound = strcmp(name, "defaults") != 0;
            if (!sl_is_null(v) && !sl_has_template(v) && !sl_input_coerce(problems->arena, bound ? &sl_null_val : input, type, v, &out, &err))
                sl_problem_add(problems, v->line, v->column, "%.*s: '%s': %s", SL_ARG(where), name, err.message);
        }
}

static void check_one(const sl_val *inputs, const sl_val *input, sl_problems *problems)
{
    sl_arena *a = problems->arena;
    sl_str id = sl_input_id(input), type = sl_get_text(input, "type");
    sl_str where = sl_fmt(a, "input '%.*s'", SL_ARG(id));
    sl_bind_check(sl_input_opts, NULL, input, where, problems);
    sl_input_type_check(input, where, problems);
    check_literals(input, type, where, problems);
    if (id.n == 0)
        sl_problem_add(problems, input->line, input->column, "an input needs an 'id'");
    if (sl_get(input, "inputs") != NULL)
        sl_problem_add(problems, input->line, input->column, "%.*s: only a FORM has 'inputs'", SL_ARG(where));
    if (sl_str_eqc(type, "ARRAY") && sl_get(input, "itemType") == NULL)
        sl_problem_add(problems, input->line, input->column, "%.*s: an ARRAY needs an 'itemType'", SL_ARG(where));
    bool choice = sl_str_eqc(type, "SELECT") || sl_str_eqc(type, "ENUM") || sl_str_eqc(type, "MULTISELECT");
    if (choice && sl_get(input, "values") == NULL && sl_get(input, "options") == NULL && sl_get(input, "expression") == NULL)
        sl_problem_add(problems, input->line, input->column, "%.*s: a %.*s needs 'values' or an 'expression'", SL_ARG(where), SL_ARG(type));
    sl_err err;
    if (sl_get_text(input, "validator").n > 0 && sl_regex_new(a, sl_get_text(input, "validator"), &err) == NULL)
        sl_problem_add(problems, input->line, input->column, "%.*s: %s", SL_ARG(where), err.message);
    const sl_val *deps = sl_get(sl_get(input, "dependsOn"), "inputs");
    for (size_t i = 0; i < sl_val_count(deps); i++)
        if (sl_input_find(inputs, sl_text(sl_at(deps, i))) == NULL)
            sl_problem_add(problems, input->line, input->column, "Input with id '%.*s' depends on a non-existent input '%.*s'.", SL_ARG(id), SL_ARG(sl_text(sl_at(deps, i))));
    if (has_cycle(a, inputs, id, sl_map(a)))
        sl_problem_add(problems, input->line, input->column, "Cycle dependency detected for input with id '%.*s'", SL_ARG(id));
}

void sl_inputs_check(const sl_val *inputs, sl_problems *problems)
{
    sl_val *seen = sl_map(problems->arena);
    for (size_t i = 0; i < sl_val_count(inputs); i++)
        if (is_form(sl_at(inputs, i)))
            check_form(sl_at(inputs, i), problems);
    inputs = sl_inputs_flat(problems->arena, inputs);
    for (size_t i = 0; i < sl_val_count(inputs); i++) {
        const sl_val *input = sl_at(inputs, i);
        if (!sl_is(input, SL_MAP)) {
            if (input != NULL)
                sl_problem_add(problems, input->line, input->column, "inputs[%zu] must be a map with 'id' and 'type'", i);
            continue;
        }
        if (sl_get_str(seen, sl_input_id(input)) != NULL)
            sl_problem_add(problems, input->line, input->column, "Duplicate input '%.*s'", SL_ARG(sl_input_id(input)));
        sl_map_set(problems->arena, seen, sl_input_id(input), &sl_true_val);
        check_one(inputs, input, problems);
    }
}
