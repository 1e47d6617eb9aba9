/* connectors/serdes/xlsx_parts.h: the XML parts of a workbook, through Expat: private to xlsx_read.c and xlsx_parts.c. */
#pragma once

#include <expat.h>

#include "base/val.h"
#include "base/zip.h"

enum { SL_XLSX_COLUMNS_MAX = 16384 };

struct sl_xlsx {
    sl_arena *arena;
    sl_zip *zip;
    const sl_val *sheets;         /* [{name, path}] */
    sl_str *strings;              /* shared by cells */
    size_t string_count, string_capacity;
    bool *date_styles;            /* by a cell's style: is its format a date's? */
    sl_str *formats;              /* and the format; empty: General */
    size_t style_count;
    bool since_1904;
};

/* What a part's elements are told to. Names are without prefix. */
typedef struct sl_part {
    void *self;
    void (*start)(void *self, const char *name, const char **attributes);
    void (*end)(void *self, const char *name);
    void (*text)(void *self, const char *text, int n);
    XML_Parser parser;
    sl_err *err;                  /* of the part; sl_part_stop sets it */
    bool stopped;
} sl_part;

/* attributes: name, value, …, NULL. "" when it is not there. */
sl_str sl_part_attribute(const char **attributes, const char *name);
/* Ends the reading with p->err, which is set. */
void sl_part_stop(sl_part *p);
bool sl_part_read(sl_part *p, sl_zip *zip, const char *path, int64_t bytes_max, sl_err *err);

/* The parts that tell of the others; false with err. */
bool sl_xlsx_read_workbook(struct sl_xlsx *x, sl_err *err);
bool sl_xlsx_read_styles(struct sl_xlsx *x, sl_err *err);
bool sl_xlsx_read_strings(struct sl_xlsx *x, sl_err *err);
