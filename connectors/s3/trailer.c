/* connectors/s3/trailer.c: see trailer.h. */
#include "connectors/s3/trailer.h"

#include "base/arena.h"
#include "connectors/s3/s3.h"

static int64_t digits(int64_t n)
{
    int64_t count = 1;
    for (; n >= 16; n /= 16)
        count++;
    return count;
}

static size_t sum_length(sl_algorithm algorithm)
{
    static const size_t raw[] = { [SL_SUM_CRC32C] = 4, [SL_SUM_CRC32] = 4, [SL_SUM_CRC64NVME] = 8, [SL_SUM_SHA1] = 20, [SL_SUM_SHA256] = 32 };
    return (raw[algorithm] + 2) / 3 * 4;
}

/* SIZE CRLF content CRLF, as often as it takes; 0 CRLF; name ':' sum CRLF; CRLF. */
int64_t sl_s3_trailed_size(int64_t size, sl_algorithm algorithm)
{
    int64_t full = size / SL_S3_CHUNK, rest = size % SL_S3_CHUNK;
    return size + full * (digits(SL_S3_CHUNK) + 4) + (rest > 0 ? digits(rest) + 4 : 0) + 3 + (int64_t)(strlen(sl_s3_checksum_header(algorithm)) + 1 + sum_length(algorithm)) + 4;
}

/* What stands before the next chunk, or behind the last. */
static void next_frame(sl_s3_trailed *t, bool first)
{
    const char *end = first ? "" : "\r\n";
    t->chunk = t->left < SL_S3_CHUNK ? t->left : SL_S3_CHUNK;
    t->frame_at = 0;
    t->ended = t->left == 0;
    int n;
    if (t->ended) {
        t->sum = sl_base64(t->arena, sl_checksum_end(&t->checksum, t->arena));
        n = snprintf(t->frame, sizeof t->frame, "%s0\r\n%s:%.*s\r\n\r\n", end, sl_s3_checksum_header(t->algorithm), SL_ARG(t->sum));
    } else
        n = snprintf(t->frame, sizeof t->frame, "%s%llx\r\n", end, (unsigned long long)t->chunk);
    t->frame_n = (size_t)n;
}

static ptrdiff_t trailed_read(sl_reader *self, void *to, size_t n, sl_err *err)
{
    sl_s3_trailed *t = (sl_s3_trailed *)self;
    size_t got = 0;
    while (got < n) {
        char *at = (char *)to + got;
        if (t->frame_at < t->frame_n) {
            size_t take = t->frame_n - t->frame_at < n - got ? t->frame_n - t->frame_at : n - got;
            memcpy(at, t->frame + t->frame_at, take);
            t->frame_at += take;
            got += take;
        } else if (t->chunk > 0) {
            ptrdiff_t r = t->content->read(t->content, at, (int64_t)(n - got) < t->chunk ? n - got : (size_t)t->chunk, err);
            if (r <= 0)
                return r < 0 ? r : (ptrdiff_t)got; /* the content is too short: the caller sees that bytes are missing */
            sl_checksum_add(&t->checksum, at, (size_t)r);
            t->chunk -= r;
            t->left -= r;
            got += (size_t)r;
        } else if (!t->ended)
            next_frame(t, false);
        else
            break;
    }
    return (ptrdiff_t)got;
}

static void trailed_close(sl_reader *self)
{
    sl_reader_close(&((sl_s3_trailed *)self)->content);
}

sl_reader *sl_s3_trailed_open(void *self, sl_err *err)
{
    sl_s3_trailed *t = self;
    t->content = t->open(t->self, err);
    t->reader = (sl_reader){ trailed_read, trailed_close };
    t->checksum = sl_checksum_new(t->arena, t->algorithm);
    t->left = t->size;
    t->sum = SL_S("");
    next_frame(t, true);
    return t->content ? &t->reader : NULL;
}
