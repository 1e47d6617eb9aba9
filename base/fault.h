/*
 * base/fault.h: labelled points where a test can stop, fail or delay the process: SL_FAULT("upload.before_session").
 *
 * Armed once at start from SLUICE_FAULT=label[:n]:kill|error|sleepMS (the n-th time that the label is passed, from 1).
 * Unarmed, a point costs one load. SLUICE_FAULT_LOG=FILE appends every label passed, so that a test can enumerate them
 * and prove that it has hit all. docs/TESTING.md lists them.
 */
#pragma once

#include "base/err.h"

extern bool sl_fault_armed;

void sl_fault_init(void);
/* true = go on; false = an injected error is in *err. A kill does not return. */
bool sl_fault_hit(const char *label, sl_err *err);
#define SL_FAULT(label, err) (!sl_fault_armed || sl_fault_hit((label), (err)))
