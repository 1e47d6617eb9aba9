/* service/ahead.c: see ahead.h. */
#include "service/ahead.h"

#include <string.h>

#include "base/clock.h"
#include "connectors/task.h"

enum { TURN_MS = 5 };

static bool may_run(const sl_live *l, const sl_action *action)
{
    const sl_task_type *type = action->run->def->type;
    /* What a flow asserts of itself is looked at between its tasks. */
    return l->poll == NULL && sl_val_count(l->x->flow->sla) == 0 && action->kind == SL_ACT_RUN && type != NULL && type->pure && !action->run->def->cached && action->run->checkpoint == NULL;
}

/* As the loop takes a worker's message; what it points to is needed until the turn is written. */
static void take(sl_engine *e, sl_live *l, sl_message *m, int64_t now)
{
    sl_err err;
    m->next = e->ahead;
    e->ahead = m;
    if (!sl_store_add_metrics(e->store, l->x, m->event.run, m->metrics, now, &err))
        sl_engine_break(e, &err);
    sl_engine_feed(e, l, &m->event, now);
}

void sl_ahead(sl_engine *e, int64_t now_ms)
{
    int64_t until = sl_mono_ms() + TURN_MS;
    for (sl_live *l = e->touched; l != NULL; l = l->next_touched)
        for (size_t i = 0; i < l->x->action_count && !e->broken && sl_mono_ms() <= until;) {
            sl_exec *x = l->x;
            sl_action action = x->actions[i];
            if (!may_run(l, &action)) {
                i++;
                continue;
            }
            x->action_count--;
            memmove(&x->actions[i], &x->actions[i + 1], (x->action_count - i) * sizeof *x->actions);
            sl_message *m = sl_workers_ahead(e, l, &action);
            if (m == NULL)
                sl_engine_hand_out_later(e, l, &action);
            else
                take(e, l, m, now_ms);
        }
}
