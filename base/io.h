/*
 * base/io.h: byte streams and the filters on them. Blocks flow through bounded memory; nothing holds a whole file.
 *
 * A reader gives bytes until 0 (the end) or -1 (err is set). A writer takes bytes; what it makes becomes visible only when
 * finish() succeeds; close() without finish() leaves nothing behind. close() frees the object and what it wraps.
 * Threads: a stream belongs to one thread at a time.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

typedef struct sl_reader sl_reader;
struct sl_reader {
    ptrdiff_t (*read)(sl_reader *self, void *to, size_t n, sl_err *err);
    void (*close)(sl_reader *self);
};

typedef struct sl_writer sl_writer;
struct sl_writer {
    bool (*write)(sl_writer *self, const void *from, size_t n, sl_err *err);
    bool (*finish)(sl_writer *self, sl_err *err);
    void (*close)(sl_writer *self);
};

void sl_reader_close(sl_reader **r);
void sl_writer_close(sl_writer **w);
#define SL_READER SL_CLEANUP(sl_reader_close) sl_reader *
#define SL_WRITER SL_CLEANUP(sl_writer_close) sl_writer *

/* For streams that own nothing, and that need no end. */
bool sl_writer_no_finish(sl_writer *self, sl_err *err);
void sl_writer_no_close(sl_writer *self);
void sl_reader_no_close(sl_reader *self);

/* Files. The writer makes `path` by rename at finish(), after fsync. */
sl_reader *sl_reader_file(const char *path, sl_err *err);
sl_writer *sl_writer_file(const char *path, sl_err *err);
sl_reader *sl_reader_memory(sl_str data);                /* the view must outlive the reader */
sl_writer *sl_writer_memory(sl_buf *to);                 /* more than to->max is an error; `to` must outlive the writer, and stays */

/* Filters. */
sl_reader *sl_reader_gunzip(sl_reader *inner);           /* several members; truncation, bad CRC, junk and bombs are errors */
sl_reader *sl_reader_unpacked(sl_reader *inner, sl_err *err); /* gunzip if it begins as gzip does, else as it is; NULL on an error, `inner` is closed */
sl_writer *sl_writer_gunzip(sl_writer *inner);           /* the same for bytes that are pushed */
sl_writer *sl_writer_gzip(sl_writer *inner, int level);  /* level 1..9 */

/* Moves everything; counts the bytes; `stop` (may be NULL) is asked between blocks. Does not call finish(). */
bool sl_io_copy(sl_reader *from, sl_writer *to, bool (*stop)(void *), void *stop_arg, int64_t *ret_bytes, sl_err *err);
/* The rest of a reader as text; more than max is an error. */
bool sl_io_read_all(sl_arena *arena, sl_reader *r, size_t max, sl_str *ret, sl_err *err);

/* Lines: without their end (\n or \r\n), a last one without end included. */
typedef struct sl_lines sl_lines;
sl_lines *sl_lines_new(sl_arena *arena, sl_reader *r, size_t line_max);
/* 1 = a line (valid until the next call), 0 = the end, -1 = error. */
int sl_lines_next(sl_lines *l, sl_str *line, sl_err *err);

/* Checksums. crc starts at 0; RFC 3720's CRC32C, the CRC-32 of gzip (RFC 1952), and CRC-64/NVME. */
uint32_t sl_crc32c(uint32_t crc, const void *data, size_t n);
uint32_t sl_crc32(uint32_t crc, const void *data, size_t n);
uint64_t sl_crc64nvme(uint64_t crc, const void *data, size_t n);
sl_str sl_crc32c_base64(sl_arena *arena, uint32_t crc);  /* big-endian bytes, as cloud storages show it */
/* name: "MD5", "SHA1", "SHA256", "SHA512"; raw bytes. */
sl_str sl_digest(sl_arena *arena, const char *name, sl_str data);
typedef struct sl_hash sl_hash;
sl_hash *sl_hash_new(sl_arena *arena, const char *name);
void sl_hash_add(sl_hash *h, const void *data, size_t n);
sl_str sl_hash_end(sl_hash *h, sl_arena *arena);
