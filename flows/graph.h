/*
 * flows/graph.h: a flow as a drawing: nodes, the edges between them and the clusters around them, in the shape that Kestra's API
 * gives (FlowGraph). Pure; everything lives in the arena.
 */
#pragma once

#include "flows/model.h"

/* OPTIONAL: adds to a task's, or a trigger's, node what an execution, or the store, knows of it. */
typedef struct sl_graph_look {
    void *self;
    void (*task)(void *self, sl_val *node, const sl_task_def *def);
    void (*trigger)(void *self, sl_val *node, sl_str trigger_id);
} sl_graph_look;

/* {nodes, edges, clusters, flowables}. look: NULL = nothing more is known. */
const sl_val *sl_flow_graph(sl_arena *arena, const sl_flow *flow, const sl_graph_look *look);
