/*
 * base/xml.h: small XML answers (S3, STS) as values. An element is a map: "#" is its text, each child's name (without prefix)
 * the list of the children of that name. Attributes are left out. A document type declaration is refused: no entities.
 *
 * Threads: no state.
 */
#pragma once

#include "base/err.h"
#include "base/val.h"

/* *ret_root: the root element's name (may be NULL). NULL with err: SL_ERR_DATA with the line. */
const sl_val *sl_xml_parse(sl_arena *arena, sl_str text, sl_str *ret_root, sl_err *err);
/* Text of the first element on a path such as "Error/Code"; "" when there is none. */
sl_str sl_xml_text(const sl_val *element, const char *path);
/* The first element on a path, or NULL. */
const sl_val *sl_xml_get(const sl_val *element, const char *path);
/* All children of that name: a list, or NULL. */
const sl_val *sl_xml_all(const sl_val *element, const char *name);
/* & < > " ' and control characters that XML can say, escaped. */
sl_str sl_xml_escape(sl_arena *arena, sl_str text);
