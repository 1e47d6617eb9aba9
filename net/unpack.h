/* net/unpack.h: undoes the Content-Encoding of an answer, in memory or on its way into a sink. For net/http.c. */
#pragma once

#include "net/http.h"

typedef struct sl_unpack {
    sl_writer writer;              /* what the transport writes to */
    /* Private. */
    sl_writer *sink, *gunzip;      /* gunzip: NULL for bytes that come as they are */
    sl_http_response *answer;      /* its headers are there before its body */
    bool begun;
} sl_unpack;

/* The sink stays the caller's, and is neither finished nor closed. */
void sl_unpack_begin(sl_unpack *u, sl_writer *sink, sl_http_response *answer);
/* In any case, after the exchange; complete: the answer came to its end. What was unpacked is told without the headers of the packed. */
bool sl_unpack_end(sl_unpack *u, sl_arena *arena, sl_str url, bool complete, sl_err *err);
/* The same of a body in memory. */
bool sl_unpack_body(sl_arena *arena, const sl_http_request *req, sl_http_response *answer, sl_err *err);
