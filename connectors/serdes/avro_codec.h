/*
 * connectors/serdes/avro_codec.h: the codecs of Avro's container files. Source: Apache Avro specification, Object Container Files.
 *
 * What is unpacked has at most SL_AVRO_BLOCK_MAX bytes, whatever the block says of itself.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"

/* Empty: "null". */
bool sl_avro_codec_is_known(sl_str codec);
bool sl_avro_unpack(sl_arena *arena, sl_str codec, sl_str packed, sl_str *ret, sl_err *err);
