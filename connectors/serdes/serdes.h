/* connectors/serdes/serdes.h: what the converters between formats share: a new stored file that is written through a buffer. */
#pragma once

#include "base/io.h"
#include "base/time.h"
#include "connectors/task.h"

typedef struct sl_out sl_out;

/* NULL with err. charset: "" = UTF-8. */
sl_out *sl_out_open(sl_task *t, const char *name, sl_str charset, sl_err *err);
void sl_out_close(sl_out *o);                        /* NULL is fine */
sl_buf *sl_out_buffer(sl_out *o);                    /* what is to be written is added here */
bool sl_out_pass(sl_out *o, sl_err *err);            /* to be called now and then: writes a full buffer */
/* The file is there; its uri and size (records) are the task's outputs. */
bool sl_out_finish(sl_out *o, int64_t records, sl_err *err);
/* Times with a zone in another one; NULL: as they are. */
const sl_val *sl_serdes_moved(sl_arena *arena, const sl_val *v, const sl_tz *zone);
/* A stored file as UTF-8, without a byte order mark. NULL with err. */
sl_reader *sl_serdes_in(sl_task *t, sl_str uri, sl_str charset, sl_err *err);
/* "…" as Ion has it, in at most 4 n + 2 bytes; returns the end. */
char *sl_serdes_quote(char *to, sl_str text);

extern const sl_opt sl_serdes_outs[];
extern const sl_task_type sl_csv_to_ion, sl_ion_to_csv, sl_ion_to_json, sl_json_to_ion, sl_json_to_jsonl, sl_parquet_to_ion, sl_ion_to_parquet, sl_xml_to_ion, sl_ion_to_xml, sl_excel_to_ion, sl_ion_to_excel, sl_avro_to_ion, sl_ion_to_avro,
    sl_avro_infer_schema;
