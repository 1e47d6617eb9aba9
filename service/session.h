/*
 * service/session.h: sessions of browsers: 256 random bits in a cookie (HttpOnly, SameSite=Strict) of which only the SHA-256 is
 * kept, for twelve hours. A request that changes something has to bring a second text, which the page got with the login: another
 * site can make a browser send the cookie, but cannot read that. Rights are those that the user has now. Threads: any.
 */
#pragma once

#include "service/access.h"

#define SL_SESSION_COOKIE "sluice_session"
enum { SL_SESSION_LIFE_S = 12 * 3600 };

/* Writes: belongs into a call on the loop. *ret goes into the cookie. */
bool sl_session_begin(sl_store *store, sl_arena *arena, sl_str name, int64_t now_ms, sl_str *ret, sl_err *err);
bool sl_session_end(sl_store *store, sl_arena *arena, sl_str session, sl_err *err);
/* The session among the cookies of a request; .n == 0: there is none. */
sl_str sl_session_cookie(sl_str cookies);
/* What X-CSRF-Token has to say. */
sl_str sl_session_csrf(sl_arena *arena, sl_str session);
bool sl_session_check(sl_store *store, sl_arena *arena, sl_str session, sl_principal *ret, sl_err *err);
