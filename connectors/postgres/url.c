/* connectors/postgres/url.c: JDBC URLs as keywords of libpq (connectors reference A12). */
#include "base/arena.h"
#include "connectors/postgres/pg.h"

static const struct {
    const char *jdbc, *libpq;
} keys[] = {
    { "user", "user" }, { "password", "password" }, { "sslmode", "sslmode" }, { "sslrootcert", "sslrootcert" }, { "sslcert", "sslcert" }, { "sslkey", "sslkey" }, { "sslpassword", "sslpassword" },
    { "connectTimeout", "connect_timeout" }, { "loginTimeout", "connect_timeout" }, { "ApplicationName", "application_name" }, { "options", "options" }, { "gssEncMode", "gssencmode" }, { "channelBinding", "channel_binding" },
};

static bool query_pair(sl_arena *a, sl_str name, sl_str value, sl_val *ret, sl_err *err)
{
    int64_t number;
    for (size_t i = 0; i < SL_COUNT(keys); i++)
        if (sl_str_eqc(name, keys[i].jdbc)) {
            sl_map_set_str(a, ret, keys[i].libpq, value);
            return true;
        }
    if (sl_str_eqc(name, "ssl") && !sl_str_ieq(value, SL_S("false")) && sl_get(ret, "sslmode") == NULL)
        sl_map_set_str(a, ret, "sslmode", SL_S("verify-full"));
    else if (sl_str_eqc(name, "socketTimeout") && sl_parse_int(value, &number) && number > 0)
        sl_map_set_str(a, ret, "tcp_user_timeout", sl_fmt(a, "%lld", (long long)number * 1000));
    else if (sl_str_eqc(name, "tcpKeepAlive"))
        sl_map_set_str(a, ret, "keepalives", sl_str_ieq(value, SL_S("true")) ? SL_S("1") : SL_S("0"));
    else if (sl_str_eqc(name, "currentSchema"))
        sl_map_set_str(a, ret, "options", sl_fmt(a, "-c search_path=%.*s", SL_ARG(value)));
    else if (sl_str_eqc(name, "targetServerType")) {
        static const char *const words[][2] = { { "primary", "read-write" }, { "master", "read-write" }, { "secondary", "standby" }, { "slave", "standby" }, { "preferSecondary", "prefer-standby" }, { "any", "any" } };
        for (size_t i = 0; i < SL_COUNT(words); i++)
            if (sl_str_eqc(value, words[i][0])) {
                sl_map_set_str(a, ret, "target_session_attrs", sl_str_c(words[i][1]));
                return true;
            }
        return sl_err_set(err, SL_ERR_CONFIG, "pg.url", "targetServerType in 'url' is '%.*s'; known are primary, secondary, preferSecondary and any", SL_ARG(value));
    }
    return true; /* the others say how a driver of Java goes about it */
}

static bool hosts(sl_arena *a, sl_str text, const char *fallback, sl_val *ret, sl_err *err)
{
    sl_buf host = sl_buf_new(a, text.n + 16), port = sl_buf_new(a, text.n * 6 + 16);
    sl_str one;
    while (text.n > 0 && sl_str_cut(&text, ',', &one)) {
        sl_str name = one, number = sl_str_c(fallback);
        ptrdiff_t colon = sl_str_rfind(one, SL_S(":")), bracket = sl_str_rfind(one, SL_S("]"));
        int64_t parsed;
        if (colon > bracket) {
            name = sl_str_sub(one, 0, (size_t)colon);
            number = sl_str_sub(one, (size_t)colon + 1, one.n);
        }
        if (name.n > 1 && name.p[0] == '[')
            name = sl_str_sub(name, 1, name.n - 1);
        if (!sl_parse_int(number, &parsed) || parsed < 1 || parsed > 65535)
            return sl_err_set(err, SL_ERR_CONFIG, "pg.url", "the port '%.*s' in 'url' is none (1 to 65535)", SL_ARG(number));
        sl_buf_fmt(&host, "%s%.*s", host.n ? "," : "", SL_ARG(name));
        sl_buf_fmt(&port, "%s%.*s", port.n ? "," : "", SL_ARG(number));
    }
    sl_map_set_str(a, ret, "host", host.n ? sl_buf_str(&host) : SL_S("localhost"));
    sl_map_set_str(a, ret, "port", port.n ? sl_buf_str(&port) : sl_str_c(fallback));
    return true;
}

bool sl_pg_keywords(sl_arena *a, sl_str url, const char *scheme, const char *port, sl_val *ret, sl_err *err)
{
    sl_str prefix = sl_fmt(a, "jdbc:%s:", scheme), rest = sl_str_trim(url), place, database = SL_S(""), pair;
    if (!sl_str_starts(rest, prefix))
        return sl_err_set(err, SL_ERR_CONFIG, "pg.url", "'url' must begin with %.*s, not '%.*s'", SL_ARG(prefix), SL_ARG(sl_str_sub(rest, 0, 40)));
    rest = sl_str_sub(rest, prefix.n, rest.n);
    sl_str query = rest;
    (void)sl_str_cut(&query, '?', &place);
    if (sl_str_starts(place, SL_S("//"))) {
        sl_str path = sl_str_sub(place, 2, place.n), authority;
        (void)sl_str_cut(&path, '/', &authority);
        if (!hosts(a, authority, port, ret, err))
            return false;
        database = path.p ? path : SL_S("");
    } else {
        if (!hosts(a, SL_S(""), port, ret, err))
            return false;
        database = sl_str_starts(place, SL_S("/")) ? sl_str_sub(place, 1, place.n) : place;
    }
    if (database.n > 0) {
        if (!sl_percent_decode(a, database, false, &database))
            return sl_err_set(err, SL_ERR_CONFIG, "pg.url", "the database in 'url' is not well encoded");
        sl_map_set_str(a, ret, "dbname", database);
    }
    while (query.n > 0 && sl_str_cut(&query, '&', &pair)) {
        sl_str value = pair, name;
        (void)sl_str_cut(&value, '=', &name);
        if (!sl_percent_decode(a, name, true, &name) || (value.p != NULL && !sl_percent_decode(a, value, true, &value)))
            return sl_err_set(err, SL_ERR_CONFIG, "pg.url", "'%.*s' in 'url' is not well encoded", SL_ARG(pair));
        if (!query_pair(a, name, value.p ? value : SL_S("true"), ret, err))
            return false;
    }
    return true;
}
