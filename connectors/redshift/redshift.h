/*
 * connectors/redshift/redshift.h: Redshift without a password: temporary credentials of IAM, and statements through the Data API.
 *
 * Sources: https://docs.aws.amazon.com/redshift/latest/APIReference/API_GetClusterCredentials.html, …/API_DescribeClusters.html,
 * https://docs.aws.amazon.com/redshift-serverless/latest/APIReference/API_GetCredentials.html,
 * https://docs.aws.amazon.com/redshift-data/latest/APIReference/, https://docs.aws.amazon.com/redshift/latest/mgmt/jdbc20-build-connection-url.html
 */
#pragma once

#include "base/sql.h"
#include "connectors/aws/aws.h"
#include "connectors/result.h"

/* Where a cluster or workgroup is that has no url. A member `redshift` of every such task's config. */
typedef struct sl_redshift_cfg {
    sl_str cluster, workgroup, database, db_user, secret_arn;
} sl_redshift_cfg;

#define SL_REDSHIFT_OPTS(struct_type)                                                                                                                                                             \
    { .name = "clusterIdentifier", .type = SL_OPT_STR, .offset = SL_FIELD(struct_type, redshift.cluster), .doc = "A cluster that is reached through the Data API, in place of 'url'." },          \
        { .name = "workgroupName", .type = SL_OPT_STR, .offset = SL_FIELD(struct_type, redshift.workgroup), .doc = "Or a serverless workgroup." },                                                \
        { .name = "database", .type = SL_OPT_STR, .offset = SL_FIELD(struct_type, redshift.database), .fallback = "dev", .doc = "Data API: the database." },                                      \
        { .name = "dbUser", .type = SL_OPT_STR, .offset = SL_FIELD(struct_type, redshift.db_user), .doc = "Data API: the database's user, on a cluster." },                                       \
        { .name = "secretArn", .type = SL_OPT_STR, .offset = SL_FIELD(struct_type, redshift.secret_arn), .doc = "Data API: a secret of Secrets Manager with the user's password." }

/* Does the configuration ask for the Data API? */
bool sl_redshift_is_data(const sl_redshift_cfg *c);

/*
 * iam.c. *url: jdbc:redshift:iam://…; it becomes one without iam, *user and *password what IAM gave out. aws NULL: the default chain.
 * One call over the network, or two (to learn where a cluster is).
 */
bool sl_redshift_iam(sl_task *t, const sl_aws_cfg *aws, sl_str *url, sl_str *user, sl_str *password, sl_err *err);

/* ---- data.c: statements through the Data API ---- */

typedef struct sl_redshift_job {
    const sl_statement *list;
    size_t count;
    const sl_val *parameters;     /* values of :names; only with one statement */
    sl_str fetch_type;
    const sl_tz *zone;
    bool transaction;             /* several statements: all or none */
    bool joined;                  /* the rows of all statements are one result */
    /* What came of it. */
    sl_val *outputs;              /* list: {size, row, rows, uri} of each statement with rows */
    int64_t changed;
} sl_redshift_job;

/*
 * SL_TASK_WAIT: it runs, look again. Submitted under a token of the attempt, so that it runs once; what was submitted is found again
 * after a crash.
 */
sl_outcome sl_redshift_data(sl_task *t, const sl_redshift_cfg *c, const sl_aws_cfg *aws, sl_redshift_job *job, sl_err *err);
/* The attempt was killed while it waited. */
void sl_redshift_data_kill(sl_task *t, const sl_aws_cfg *aws);
