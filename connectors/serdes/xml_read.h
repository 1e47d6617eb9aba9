/*
 * connectors/serdes/xml_read.h: elements of an XML file as values, one after the other.
 *
 * An element with text alone is that text, as a number or a truth value where it looks like one; else a map of its attributes and
 * children, a list where there are several of one name, text beside them under "content". That is how Kestra's reader (org.json)
 * has it. Document types may not declare entities. Memory: one record. One thread.
 */
#pragma once

#include "base/io.h"
#include "base/val.h"

typedef struct sl_xml_reading {
    const sl_val *path;           /* names from the root on: each element there is a record; empty: the document is one */
    const sl_val *force_list;     /* names whose children are lists even if there is one */
    bool utf8;                    /* whatever the declaration says */
    void *self;
    bool (*each)(void *self, sl_arena *arena, const sl_val *record, sl_err *err);   /* valid until it returns */
} sl_xml_reading;

bool sl_xml_read(const sl_xml_reading *r, sl_reader *in, sl_err *err);
