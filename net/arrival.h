/*
 * net/arrival.h: connections whose requests take too long to arrive are closed, however steadily their bytes drip: what they hold, a
 * thread and a place, is somebody else's.
 *
 * A request has to be there with its headers by a deadline; its body has to come at least at a small rate. While it is answered, time
 * does not matter. Threads: every function may be called from any thread; one thread of its own closes what is late.
 */
#pragma once

#include "base/base.h"

typedef struct sl_arrivals sl_arrivals;
typedef struct sl_arrival sl_arrival;   /* one connection */

/* Times in ms: for the headers, and for each body_bytes of a body. NULL: there is no thread for it. */
sl_arrivals *sl_arrivals_new(int64_t head_ms, int64_t body_ms, int64_t body_bytes);
/* When every connection is gone. */
void sl_arrivals_free(sl_arrivals *all);

/* The descriptor stays open until sl_arrival_close has returned. */
sl_arrival *sl_arrival_open(sl_arrivals *all, int fd);
void sl_arrival_close(sl_arrival *one);
/* The headers are there, and the body is awaited. */
void sl_arrival_head(sl_arrival *one);
void sl_arrival_body(sl_arrival *one, size_t bytes);
/* It is all there. */
void sl_arrival_complete(sl_arrival *one);
/* The answer is out: the next request may come, after idle_ms without one. */
void sl_arrival_next(sl_arrival *one, int64_t idle_ms);
