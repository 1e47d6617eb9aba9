/*
 * connectors/http_body.h: what the http tasks send: a text in some encoding, JSON, a form, or a form with files (RFC 7578); and what
 * they are answered, as text. Files of a form are read from the internal storage as they go over the line.
 */
#pragma once

#include "connectors/task.h"
#include "net/http.h"

typedef struct sl_http_content {
    const sl_val *body;           /* a text goes as it is, anything else as JSON; NULL = none */
    const sl_val *form;           /* map; NULL = none. With the type multipart/form-data: kestra:///… and {name, content: kestra:///…} are files */
    sl_str type;                  /* Content-Type; empty = what fits */
    sl_str charset;               /* of the body; empty = UTF-8 */
} sl_http_content;

/* Sets the body, and Content-Type in `headers`. What it needs lives in the task's arena. */
bool sl_http_content_put(sl_task *t, const sl_http_content *c, sl_val *headers, sl_http_request *req, sl_err *err);
/* The body of an answer as text: of the encoding that it names, or else of `charset`. Bytes that are no text become U+FFFD; *damaged tells of it. */
sl_str sl_http_text(sl_arena *arena, const sl_http_response *r, sl_str charset, bool *damaged);
