/* base/gzip.h: the fast gzip writer, where the build has one (SL_ISAL). */
#pragma once

#include "base/io.h"

sl_writer *sl_gzip_fast(sl_writer *inner);
