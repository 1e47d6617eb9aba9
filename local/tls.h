/*
 * local/tls.h: a certificate of this machine's own, and TLS of a server with it. One for a folder; clients may trust its file.
 * Sources: RFC 5280, RFC 8446. Threads: the context serves all at once.
 */
#pragma once

#include <openssl/ssl.h>

#include "base/err.h"

/* dir/NAME.crt and dir/NAME.key, made where they are not there: for localhost and 127.0.0.1. NULL with err; SSL_CTX_free it. */
SSL_CTX *sl_tls_server(const char *dir, const char *name, sl_err *err);
