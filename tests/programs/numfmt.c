/* tests/programs/numfmt.c: FORMAT TAB NUMBER on each line in, what a cell shows out: for a comparison with other programs. */
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "connectors/serdes/numfmt.h"

int main(void)
{
    char line[4096];
    while (fgets(line, sizeof line, stdin) != NULL) {
        SL_ARENA a = sl_arena_new();
        sl_str rest = sl_str_trim(sl_str_c(line)), format;
        (void)sl_str_cut(&rest, '\t', &format);
        sl_str shown = sl_numfmt_number(a, format, strtod(sl_cstr(a, rest), NULL), false);
        (void)printf("%.*s\n", SL_ARG(shown));
    }
    return 0;
}
