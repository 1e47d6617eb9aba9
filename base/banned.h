/*
 * base/banned.h: C library calls that have no place in this code base become compile errors.
 *
 * Unbounded copies, hidden static state, locale-dependent or error-swallowing parsers. Use base/str.h and base/time.h.
 * System headers are included first, because a poisoned name may not even be declared.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if !defined(__cplusplus) && !defined(__clang__) /* clang refuses to poison what the C library defines as a macro; gcc builds it, too */
#pragma GCC poison sprintf vsprintf strcpy strcat strncpy strncat strtok strtok_r gets sscanf
#pragma GCC poison atoi atol atoll atof gmtime localtime asctime ctime mktime tmpnam tempnam mktemp system popen
#endif
