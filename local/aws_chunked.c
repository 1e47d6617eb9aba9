/* local/aws_chunked.c: see aws_chunked.h. */
#include "local/aws_chunked.h"

#include "base/arena.h"

bool sl_chunked_begin(sl_chunked *c, sl_arena *arena, const sl_caller *caller, sl_str payload)
{
    bool with_signature = sl_str_eqc(payload, SL_SIGV4_STREAM) || sl_str_eqc(payload, SL_SIGV4_STREAM_TRAILER);
    *c = (sl_chunked){ .arena = arena, .caller = with_signature ? caller : NULL, .trailer = sl_str_eqc(payload, SL_SIGV4_STREAM_TRAILER) || sl_str_eqc(payload, SL_SIGV4_UNSIGNED_TRAILER), .previous = caller->signature };
    c->line = sl_buf_new(arena, SL_CHUNK_LINE_MAX);
    c->trailers_text = sl_buf_new(arena, SL_CHUNK_TRAILERS_MAX);
    c->trailers = sl_map(arena);
    return with_signature || c->trailer;
}

static bool malformed(sl_chunked *c, sl_refusal *why)
{
    return sl_refuse(why, c->arena, 400, "IncompleteBody", "The chunked body is not well-formed.");
}

static bool mismatch(sl_chunked *c, sl_refusal *why)
{
    return sl_refuse(why, c->arena, 403, "SignatureDoesNotMatch", "The signature of a chunk does not match.");
}

/* 10000;chunk-signature=ad80… */
static bool size_line(sl_chunked *c, sl_str line, sl_refusal *why)
{
    sl_str rest = line, digits;
    (void)sl_str_cut(&rest, ';', &digits);
    c->left = 0;
    for (size_t i = 0; i < digits.n; i++) {
        char ch = digits.p[i];
        int v = ch >= '0' && ch <= '9' ? ch - '0' : ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : ch >= 'A' && ch <= 'F' ? ch - 'A' + 10 : -1;
        if (v < 0 || i == 12)
            return malformed(c, why);
        c->left = c->left * 16 + v;
    }
    if (digits.n == 0)
        return malformed(c, why);
    c->announced = SL_S("");
    if (sl_str_starts(rest, SL_S("chunk-signature=")))
        c->announced = sl_str_dup(c->arena, sl_str_sub(rest, 16, rest.n));
    if (c->caller != NULL) {
        c->hash = sl_hash_new(c->arena, "SHA256");
        if (c->announced.n != SL_SIGV4_HEX)
            return mismatch(c, why);
    }
    c->last = c->left == 0;
    c->state = c->last && c->trailer ? SL_CH_TRAILER : c->last ? SL_CH_DATA_END : SL_CH_DATA;
    return true;
}

static bool chunk_fits(sl_chunked *c, sl_refusal *why)
{
    if (c->caller == NULL)
        return true;
    sl_str hex = sl_hex(c->arena, sl_hash_end(c->hash, c->arena));
    c->previous = sl_sigv4_chunk(c->arena, c->caller->key, &c->caller->scope, c->previous, hex);
    return sl_str_eq(c->previous, c->announced) || mismatch(c, why);
}

static bool trailer_line(sl_chunked *c, sl_str line, sl_refusal *why)
{
    sl_str value = line, name;
    if (line.n == 0) {
        c->state = SL_CH_END;
        return c->caller == NULL || c->trailer_signed || mismatch(c, why);
    }
    (void)sl_str_cut(&value, ':', &name);
    if (value.p == NULL)
        return malformed(c, why);
    name = sl_str_lower(c->arena, sl_str_trim(name));
    value = sl_str_trim(value);
    if (sl_str_eqc(name, "x-amz-trailer-signature")) {
        c->trailer_signed = c->caller == NULL || sl_str_eq(value, sl_sigv4_trailer(c->arena, c->caller->key, &c->caller->scope, c->previous, sl_buf_str(&c->trailers_text)));
        return c->trailer_signed || mismatch(c, why);
    }
    sl_buf_fmt(&c->trailers_text, "%.*s:%.*s\n", SL_ARG(name), SL_ARG(value));
    sl_map_set(c->arena, c->trailers, name, sl_val_str(c->arena, sl_str_dup(c->arena, value)));
    return !c->trailers_text.overflow || malformed(c, why);
}

/* A line has ended (CRLF is cut off). */
static bool line_ended(sl_chunked *c, sl_refusal *why)
{
    sl_str line = sl_buf_str(&c->line);
    if (line.n > 0 && line.p[line.n - 1] == '\r')
        line.n--;
    bool ok;
    switch (c->state) {
    case SL_CH_SIZE: ok = size_line(c, line, why) && (!(c->last && c->trailer) || chunk_fits(c, why)); break;
    case SL_CH_DATA_END:
        ok = line.n == 0 ? chunk_fits(c, why) : malformed(c, why);
        c->state = c->last ? SL_CH_END : SL_CH_SIZE;
        break;
    case SL_CH_TRAILER: ok = trailer_line(c, line, why); break;
    default: ok = malformed(c, why); break;
    }
    c->line.n = 0;
    return ok;
}

bool sl_chunked_add(sl_chunked *c, const char *data, size_t n, sl_chunked_sink sink, void *self, sl_refusal *why)
{
    while (n > 0) {
        if (c->state == SL_CH_DATA) {
            size_t take = (int64_t)n < c->left ? n : (size_t)c->left;
            if (c->caller != NULL)
                sl_hash_add(c->hash, data, take);
            if (!sink(self, data, take))
                return false;
            c->left -= (int64_t)take;
            data += take;
            n -= take;
            if (c->left == 0)
                c->state = SL_CH_DATA_END;
            continue;
        }
        const char *end = memchr(data, '\n', n);
        size_t take = end ? (size_t)(end - data) : n;
        sl_buf_add(&c->line, (sl_str){ data, take });
        if (c->line.overflow || c->state == SL_CH_END)
            return malformed(c, why);
        data += take + (end != NULL);
        n -= take + (end != NULL);
        if (end != NULL && !line_ended(c, why))
            return false;
    }
    return true;
}

bool sl_chunked_complete(const sl_chunked *c)
{
    /* The blank line behind the last chunk may be missing where there are no trailers. */
    return c->state == SL_CH_END || (c->last && !c->trailer && c->caller == NULL) || (c->state == SL_CH_TRAILER && c->line.n == 0 && (c->caller == NULL || c->trailer_signed));
}
