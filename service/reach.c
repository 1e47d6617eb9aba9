/* service/reach.c: see reach.h. */
#include "service/reach.h"

#include "service/engine_private.h"

bool sl_namespace_is_below(sl_str ns, sl_str above)
{
    return ns.n > above.n && sl_str_starts(ns, above) && ns.p[above.n] == '.';
}

bool sl_reach_below(sl_str own, sl_str ns)
{
    return sl_str_eqc(own, SL_HOUSEKEEPING) || sl_str_eq(own, ns) || sl_namespace_is_below(ns, own);
}

bool sl_reach(const sl_engine *e, sl_str own, sl_str ns, bool changes, sl_err *err)
{
    if (!e->options.namespace_isolation || sl_reach_below(own, ns) || (!changes && sl_namespace_is_below(own, ns)))
        return true;
    return sl_err_set(err, SL_ERR_CONFIG, "namespace.isolated", "a flow of the namespace '%.*s' may not %s '%.*s' (namespaceIsolation in sluice.yaml)", SL_ARG(own), changes ? "change anything in" : "reach", SL_ARG(ns));
}
