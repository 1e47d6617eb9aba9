/*
 * tests/simulation/simulation.c: SEEDS [FIRST]: plays so many histories; --bugs: plants each mistake of bugs.c and says by
 * which seed it is found. A history that went wrong is played again with its seed: `simulation 1 SEED`.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "tests/simulation/world.h"

static world histories; /* one at a time; too large for the stack */

static bool play(uint64_t seed, bool quiet)
{
    world *w = &histories;
    world_open(w, seed);
    world_play();
    bool ok = w->problem[0] == '\0';
    if (!ok && !quiet)
        (void)printf("seed %" PRIu64 ": %s (%d turns, %d losses)\n", seed, w->problem, w->turns, w->crashes);
    world_close(w);
    return ok;
}

static int find_bugs(void)
{
    enum { SEEDS = 150 };
    int missed = 0;
    for (int b = BUG_NONE + 1; b < BUG_COUNT; b++) {
        uint64_t seed = 1;
        bug_planted = (bug)b;
        while (seed <= SEEDS && play(seed, true))
            seed++;
        if (seed > SEEDS)
            missed++;
        (void)printf("%s: %s %" PRIu64 "\n", bug_names[b], seed > SEEDS ? "NOT FOUND in" : "found by seed", seed > SEEDS ? (uint64_t)SEEDS : seed);
        (void)fflush(stdout);
    }
    bug_planted = BUG_NONE;
    return missed == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    sl_log_init(SL_ERROR, false);
    if (argc == 2 && strcmp(argv[1], "--bugs") == 0)
        return find_bugs();
    uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000, first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    int failed = 0, turns = 0, losses = 0;
    for (uint64_t seed = first; seed < first + count && failed < 5; seed++) {
        failed += !play(seed, false);
        turns += histories.turns;
        losses += histories.crashes;
    }
    (void)printf("%" PRIu64 " histories, %d turns, %d losses, %d failed\n", count, turns, losses, failed);
    return failed == 0 ? 0 : 1;
}
