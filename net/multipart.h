/* net/multipart.h: multipart/form-data in memory (RFC 7578, RFC 2046 section 5.1.1), and parameters of headers. Pure. */
#pragma once

#include "base/err.h"
#include "base/val.h"

enum { SL_MULTIPART_PARTS_MAX = 1000 };

/* content_type: the header with its boundary. *ret: list of {name, filename (only of files), type, data}; data points into body. */
bool sl_multipart_parse(sl_arena *arena, sl_str content_type, sl_str body, const sl_val **ret, sl_err *err);
/* A parameter of a header such as Content-Type: name="value" or name=value; .p == NULL when absent. */
sl_str sl_header_parameter(sl_arena *arena, sl_str header, const char *name);
