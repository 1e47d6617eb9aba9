/* connectors/records.h: the records of a stored file, one a line: Ion text (of which JSON lines are a part). One thread. */
#pragma once

#include "connectors/task.h"

typedef struct sl_records {
    int64_t count;                /* records given so far */
    /* Private. */
    sl_str uri;
    sl_reader *in;
    sl_arena *arena;
    sl_lines *lines;
} sl_records;

/* Close it in any case. */
bool sl_records_open(sl_records *r, sl_task *t, sl_str uri, sl_err *err);
void sl_records_close(sl_records *r);
/* 1: a record, in the arena; 0: the end; -1: err. Blank lines are no records. */
int sl_records_next(sl_records *r, sl_arena *arena, const sl_val **ret, sl_err *err);
/* The same in two steps. The line has no blanks around it, and is valid until the next call. */
int sl_records_line(sl_records *r, sl_str *line, sl_err *err);
const sl_val *sl_records_parse(const sl_records *r, sl_arena *arena, sl_str line, sl_err *err);
/* Moves past n records without reading them. */
bool sl_records_skip(sl_records *r, int64_t n, sl_err *err);
