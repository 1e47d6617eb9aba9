/*
 * connectors/result.h: what becomes of rows: dropped, kept as outputs, or stored as Ion text (Kestra's fetchType).
 *
 * Stored rows cost no memory beyond a block. Ownership: rows that are kept (sl_result_keeps) must live in the task's arena.
 */
#pragma once

#include "base/io.h"
#include "connectors/task.h"

#define SL_FETCH_TYPES "NONE FETCH FETCH_ONE STORE"

typedef struct sl_result {
    int64_t count;                /* rows given to sl_result_add */
    /* Private. */
    sl_task *task;
    sl_arena *arena;              /* of the buffer */
    sl_buf buffer;
    sl_val *rows;
    const sl_val *first;
    sl_writer *file;
    sl_str uri;
    bool fetch, one;
} sl_result;

/* fetch_type: one of SL_FETCH_TYPES. index: tells the results of one task apart, 0 = the first. Close it in any case. */
bool sl_result_open(sl_result *r, sl_task *t, sl_str fetch_type, size_t index, sl_err *err);
void sl_result_close(sl_result *r);
/* Is this row needed after sl_result_add? */
bool sl_result_keeps(const sl_result *r);
bool sl_result_add(sl_result *r, const sl_val *row, sl_err *err);
/* Puts row, rows or uri, and size, into `outputs`. */
bool sl_result_end(sl_result *r, sl_val *outputs, sl_err *err);
/* sl_result_end into the task's outputs. */
bool sl_result_out(sl_result *r, sl_err *err);
