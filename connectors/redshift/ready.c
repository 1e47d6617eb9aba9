/* connectors/redshift/ready.c: see ready.h. */
#include "connectors/redshift/ready.h"

#include "base/arena.h"

const sl_opt sl_redshift_ready_outs[] = { { .name = "sql", .type = SL_OPT_STR, .doc = "What was run, without secrets." }, { 0 } };

bool sl_redshift_check_grant(const sl_redshift_grant *g, const char *task, sl_err *err)
{
    bool keys = g->key_id.n > 0 && g->secret.n > 0;
    sl_redact_add(g->secret);
    sl_redact_add(g->token);
    return (g->role.n > 0) != keys || sl_err_set(err, SL_ERR_CONFIG, "redshift.credentials", "%s needs either 'iamRole', or 'accessKeyId' and 'secretKeyId'", task);
}

void sl_redshift_add_text(sl_arena *a, sl_buf *b, const char *option, sl_str value)
{
    sl_str text = sl_sql_text(a, value);
    if (value.n > 0)
        sl_buf_fmt(b, "\n  %s %.*s", option, SL_ARG(text));
}

void sl_redshift_add_grant(sl_arena *a, sl_buf *b, const sl_redshift_grant *g, bool shown)
{
    if (sl_str_eqc(g->role, "default")) {
        sl_buf_addc(b, "\n  IAM_ROLE default");
        return;
    }
    sl_redshift_add_text(a, b, "IAM_ROLE", g->role);
    sl_redshift_add_text(a, b, "ACCESS_KEY_ID", g->key_id);
    sl_redshift_add_text(a, b, "SECRET_ACCESS_KEY", shown && g->secret.n ? SL_S("***") : g->secret);
    sl_redshift_add_text(a, b, "SESSION_TOKEN", shown && g->token.n ? SL_S("***") : g->token);
}

sl_outcome sl_redshift_ready(sl_task *t, const sl_pg_cfg *pg, const sl_redshift_cfg *redshift, sl_str sql, sl_str shown, bool each, sl_err *err)
{
    if (sl_task_saved(t) == NULL) /* else it is being waited for */
        sl_task_log(t, SL_INFO, "%.*s", SL_ARG(shown));
    sl_outcome o = each ? sl_redshift_execute_each(t, pg, redshift, sql, err) : sl_redshift_execute(t, pg, redshift, sql, err);
    if (o == SL_TASK_DONE)
        sl_task_out_str(t, "sql", shown);
    return o;
}

void sl_redshift_ready_kill(sl_task *t, void *cfg)
{
    (void)cfg;
    sl_redshift_data_kill(t, NULL);
}
