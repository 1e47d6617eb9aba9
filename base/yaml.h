/*
 * base/yaml.h: YAML text to values with line and column on every node. Reading is libyaml's.
 *
 * Scalars as Kestra 1.3 reads them: true/yes/on and false/no/off are booleans, null/~/empty are null, 010, 0x1F, 0b11 and 1_000
 * are integers (8, 31, 3, 1000); 12:30 is text. Tags other than YAML's own (!!str, …) are errors, as are duplicate keys, bombs
 * and several documents. Merge keys and aliases are resolved.
 * Threads: no state. Source: YAML 1.1 as libyaml reads it.
 */
#pragma once

#include "base/err.h"
#include "base/val.h"

const sl_val *sl_yaml_parse(sl_arena *arena, sl_str text, sl_err *err);
/* The documents of a text separated by ---; a list. */
const sl_val *sl_yaml_parse_all(sl_arena *arena, sl_str text, sl_err *err);
/* Without the line `---` that a document may begin with. */
sl_str sl_yaml_unmarked(sl_str text);
/* The text of the next document, unmarked; false at the end. A line `---` inside of a block scalar ends one, too. */
bool sl_yaml_cut(sl_str *rest, sl_str *document);
/* Block style as Kestra's `yaml` filter writes it, no leading ---. */
sl_str sl_yaml_write(sl_arena *arena, const sl_val *v);
/* Only the scalar rule above: what an unquoted word means. */
const sl_val *sl_yaml_scalar(sl_arena *arena, sl_str word);
