/*
 * connectors/s3/stream.h: private to connectors/s3/stream*.c: an object made of a stream.
 *
 * stream.c cuts it into parts and sends them; stream_object.c opens it, takes it up, and makes the object.
 */
#pragma once

#include <pthread.h>

#include "connectors/s3/multipart.h"

enum { SL_S3_SENDERS = 3 };

typedef struct sl_s3_stream_piece {
    struct sl_s3_stream_piece *next;
    int64_t number;               /* from 1 */
    size_t n, room;
    sl_reader reader;
    size_t read;
    char data[];
} sl_s3_stream_piece;

typedef struct sl_s3_stream_part {
    sl_s3_part part;              /* etag.n == 0: not there */
    bool checked;                 /* its bytes are those of this stream */
    uint32_t crc;                 /* of all bytes up to its end */
} sl_s3_stream_part;

typedef struct sl_s3_streaming {
    sl_target target;
    sl_s3 s;
    sl_arena *arena;
    sl_s3_target to;
    sl_str id;                    /* .n == 0: not begun */
    int64_t part_size;
    int64_t expected;             /* bytes of the whole; -1 = not known */
    bool several, resumed;
    sl_str sum;                   /* before the end: what the object will say of itself */
    sl_s3_stream_piece *filling;
    int64_t number;               /* of the part that is being filled */
    pthread_t threads[SL_S3_SENDERS];
    int started;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    sl_s3_stream_part *parts;     /* the rest: under the lock; parts, and how many there is room for */
    size_t count, room;
    sl_s3_stream_piece *queue, *spare; /* sent pieces come again: as many as were ever on their way, and one */
    int flying;
    bool failed, stop;
    sl_err err;
} sl_s3_streaming;

/* Where the length is not known, parts grow. number: from 1. */
int64_t sl_s3_stream_length(const sl_s3_streaming *s, int64_t number);
/* Under the lock, or where nobody sends. Valid until the next call. */
sl_s3_stream_part *sl_s3_stream_part_at(sl_s3_streaming *s, int64_t number);
sl_s3_body sl_s3_stream_body(sl_s3_stream_piece *p);
/* The multipart upload; its id is kept. */
bool sl_s3_stream_begin(sl_s3_streaming *s, sl_err *err);
/* What is on its way comes to its end, what waits does not go out. */
void sl_s3_stream_stop(sl_s3_streaming *s);

/* ---- of sl_target ---- */
bool sl_s3_stream_write(sl_writer *self, const void *from, size_t n, sl_err *err);
void sl_s3_stream_close(sl_writer *self);
bool sl_s3_stream_flush(sl_target *t, sl_err *err);
