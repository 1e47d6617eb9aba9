/* connectors/serdes/charset.h: text in other encodings than UTF-8, converted as it streams (iconv). A byte order mark is left out. */
#pragma once

#include "base/io.h"

/* NULL or "UTF-8": checked for nothing, only its byte order mark goes. The result owns `inner`, also when it is NULL with err. */
sl_reader *sl_reader_charset(sl_reader *inner, sl_str charset, sl_err *err);
sl_writer *sl_writer_charset(sl_writer *inner, sl_str charset, sl_err *err);
