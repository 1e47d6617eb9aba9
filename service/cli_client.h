/*
 * service/cli_client.h: commands against a server: SLUICE_URL and SLUICE_TOKEN say which; without them, the server that runs on
 * this machine with the same data folder, with the token that it leaves there for who may read the folder.
 */
#pragma once

#include "service/cli.h"

typedef struct sl_client sl_client;

/* NULL after a message: there is no server to talk to. Dies with the CLI's arena. */
sl_client *sl_client_open(sl_cli *c);
/*
 * path: below /api/v1/main, percent-encoded. body .p NULL: none. *ret: the answer as JSON (text that is none becomes a
 * string; an empty one NULL). false after a message; *ret_status 0 when the server was not reached.
 */
bool sl_client_call(sl_client *client, const char *method, sl_str path, const char *type, sl_str body, const sl_val **ret, int *ret_status);
/* The same, quiet about refusals: the caller looks at the status. */
bool sl_client_try(sl_client *client, const char *method, sl_str path, const char *type, sl_str body, const sl_val **ret, int *ret_status);
/* Of all calls from now on; an empty value takes it away. The name lives on. */
void sl_client_header(sl_client *client, const char *name, sl_str value);
/* A body of events, line by line, until it ends or on_line says false. */
bool sl_client_stream(sl_client *client, sl_str path, bool (*on_line)(void *self, sl_str line), void *self);
sl_str sl_client_path(sl_cli *c, const char *fmt, ...) SL_PRINTF(2, 3); /* each %s is percent-encoded */
