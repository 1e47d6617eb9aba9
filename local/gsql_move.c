/* local/gsql_move.c: LOAD DATA and EXPORT DATA. See gsql_parser.h. */
#include "base/arena.h"
#include "local/gsql_parser.h"

/* LOAD DATA INTO|OVERWRITE table [(columns)] [PARTITION BY …] [CLUSTER BY …] [OPTIONS (…)] FROM FILES (…) */
bool gs_load_data(gs_parser *p)
{
    sl_str name;
    const sl_val *files;
    sl_buf ignored = sl_buf_new(p->x->arena, 16 << 20);
    p->i = 1;
    if (!gs_take_word(p, "DATA"))
        return gs_fail(p->x, &p->t[0], "Syntax error: Expected DATA behind LOAD");
    p->s->or_replace = gs_take_word(p, "OVERWRITE");
    if (!p->s->or_replace && !gs_take_word(p, "INTO"))
        return gs_fail(p->x, &p->t[1], "Syntax error: LOAD DATA needs INTO or OVERWRITE, and a table");
    if (gs_at_word(p, "TEMP") || gs_at_word(p, "TEMPORARY"))
        return gs_fail(p->x, &p->t[p->i], "LOAD DATA into a temporary table is not supported by the local cloud");
    if (!gs_take_name(p, &name))
        return false;
    if (gs_at_word(p, "PARTITIONS") || gs_at_word(p, "OVERWRITE"))
        return gs_fail(p->x, &p->t[p->i], "LOAD DATA into PARTITIONS is not supported by the local cloud");
    if (p->s->target == NULL)
        return gs_fail(p->x, &p->t[p->i - 1], "LOAD DATA into a temporary table is not supported by the local cloud");
    if (!gs_take_columns(p, &ignored) || !gs_take_clauses(p))
        return false;
    if (!gs_take_word(p, "FROM") || !gs_take_word(p, "FILES"))
        return gs_fail(p->x, &p->t[p->i < p->n ? p->i : p->n - 1], "Syntax error: Expected FROM FILES (…)");
    p->s->type = "LOAD_DATA";
    if (!gs_take_list(p, &files))
        return false;
    p->s->files = files;
    if (gs_at_word(p, "WITH"))
        return gs_fail(p->x, &p->t[p->i], "WITH behind FROM FILES is not supported by the local cloud");
    return gs_at_end(p);
}

/* EXPORT DATA OPTIONS (…) AS query */
bool gs_export_data(gs_parser *p)
{
    p->i = 1;
    if (!gs_take_word(p, "DATA"))
        return gs_fail(p->x, &p->t[0], "Syntax error: Expected DATA behind EXPORT");
    if (gs_at_word(p, "WITH"))
        return gs_fail(p->x, &p->t[p->i], "EXPORT DATA WITH CONNECTION is not supported by the local cloud: it has Cloud Storage only");
    if (!gs_at_word(p, "OPTIONS"))
        return gs_fail(p->x, &p->t[p->i < p->n ? p->i : p->n - 1], "Syntax error: Expected OPTIONS (uri = …, format = …)");
    if (!gs_take_options(p, &p->s->files))
        return false;
    if (!gs_take_word(p, "AS") || p->i >= p->n)
        return gs_fail(p->x, &p->t[p->i < p->n ? p->i : p->n - 1], "Syntax error: Expected AS and a query");
    p->s->type = "EXPORT_DATA";
    p->s->sql = gs_rewrite(p->x, &p->t[p->i], p->n - p->i);
    return p->x->err->kind == SL_ERR_NONE;
}
