/* connectors/redshift/ready.h: what the ready tasks for Redshift share: who may reach S3, and SQL that is shown, run, and told once. */
#pragma once

#include "base/secret.h"
#include "connectors/postgres/pg.h"

/* By which right the cluster reaches the objects. A member `grant` of the config. */
typedef struct sl_redshift_grant {
    sl_str role, key_id, secret, token;
} sl_redshift_grant;

#define SL_REDSHIFT_GRANT_OPTS(struct_type)                                                                                                                                                    \
    { .name = "iamRole", .type = SL_OPT_STR, .offset = SL_FIELD(struct_type, grant.role), .doc = "Role of the cluster that may reach the objects ('default' for its own)." },                 \
        { .name = "accessKeyId", .type = SL_OPT_STR, .offset = SL_FIELD(struct_type, grant.key_id), .doc = "Or an access key." },                                                             \
        { .name = "secretKeyId", .type = SL_OPT_SECRET, .offset = SL_FIELD(struct_type, grant.secret), .doc = "And its secret." },                                                            \
        { .name = "sessionToken", .type = SL_OPT_SECRET, .offset = SL_FIELD(struct_type, grant.token), .doc = "And its session token." }

extern const sl_opt sl_redshift_ready_outs[];                                    /* sql */

/* One of role and key, not both; from now on its secrets are redacted. task: for messages. */
bool sl_redshift_check_grant(const sl_redshift_grant *g, const char *task, sl_err *err);
/* "\n  OPTION 'value'"; nothing for an empty value. */
void sl_redshift_add_text(sl_arena *arena, sl_buf *b, const char *option, sl_str value);
/* shown: without secrets. */
void sl_redshift_add_grant(sl_arena *arena, sl_buf *b, const sl_redshift_grant *g, bool shown);
/* Runs `sql`, logs `shown` once, and gives it out. each: its statements stand for themselves, in no transaction. */
sl_outcome sl_redshift_ready(sl_task *t, const sl_pg_cfg *pg, const sl_redshift_cfg *redshift, sl_str sql, sl_str shown, bool each, sl_err *err);
/* sl_task_type.kill */
void sl_redshift_ready_kill(sl_task *t, void *cfg);
