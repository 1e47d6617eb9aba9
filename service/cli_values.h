/*
 * service/cli_values.h: where `kv` and `secret` work: on the data folder's store, or on the server that SLUICE_URL names.
 *
 * All functions print what went wrong and give false then. What they return dies with the CLI's arena. One thread.
 */
#pragma once

#include "service/cli.h"

typedef struct sl_values sl_values;

struct sl_values {
    sl_cli *cli;
    sl_kv_kind kind;
    /* value: JSON of the type o->type, or the bytes of a secret. */
    bool (*put)(sl_values *v, sl_str ns, sl_str key, sl_str value, const sl_kv_options *o);
    /* Of this namespace alone; *ret NULL: there is none. */
    bool (*get)(sl_values *v, sl_str ns, sl_str key, const sl_val **ret);
    /* [{namespace, key, type, version, updateDate, fingerprint, …}]; ns.p NULL: of all namespaces. */
    bool (*list)(sl_values *v, sl_str ns, const sl_val **ret);
    bool (*remove)(sl_values *v, sl_str ns, sl_str key, bool *existed);
    void (*close)(sl_values *v);
    sl_kv *kv;                    /* the data folder's; NULL: a server's */
};

/* NULL after a message. */
sl_values *sl_values_open(sl_cli *c, sl_kv_kind kind);
sl_values *sl_values_remote(sl_cli *c, sl_kv_kind kind);
