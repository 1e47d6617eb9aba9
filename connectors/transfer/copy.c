/*
 * connectors/transfer/copy.c: io.sluice.transfer.Copy: one stream from a source to a target, or to several parts.
 *
 * Nothing touches the disk but the checkpoint: {state of the source, offset, crc, targets}. After a crash the targets are asked
 * what they have. Where the source is what it was, bytes that pass as they are go on from the offset; a stream that is packed
 * or unpacked on the way is made again from its beginning, and what the targets have of it is not sent again.
 */
#include "base/arena.h"
#include "base/fault.h"
#include "base/json.h"
#include "connectors/connectors.h"
#include "connectors/transfer/transfer.h"

enum { KEEP_EVERY = 64 << 20, BEGINNINGS_MAX = 3 };

static const sl_opt split_opts[] = {
    { .name = "parts", .type = SL_OPT_INT, .flags = SL_REQUIRED, .doc = "How many, 1 to 64." },
    { .name = "header", .type = SL_OPT_BOOL, .doc = "The first record goes to each part (true)." },
    { .name = "quote", .type = SL_OPT_STR, .doc = "A record does not end between two of these (\"); empty: each line is a record." },
    { .name = "manifest", .type = SL_OPT_STR, .doc = "s3://bucket/key: names the parts for Redshift's COPY." },
    { 0 },
};

#define COPY(yaml, field, words) { .name = yaml, .type = SL_OPT_STR, .offset = SL_FIELD(sl_copy_cfg, field), .doc = words }

static const sl_opt opts[] = {
    SL_GCP_OPTS(sl_copy_cfg),
    SL_AWS_OPTS(sl_copy_cfg),
    { .name = "from", .type = SL_OPT_STR, .offset = SL_FIELD(sl_copy_cfg, from), .flags = SL_REQUIRED, .doc = "https://…, s3://bucket/key, gs://bucket/name, a stored file (kestra://…), or a file of this machine (file:///…)." },
    COPY("to", to, "s3://bucket/key or gs://bucket/name; else the name of the stored file (that of the source)."),
    { .name = "fromCompression", .type = SL_OPT_ENUM, .offset = SL_FIELD(sl_copy_cfg, from_compression), .values = "AUTO NONE GZIP", .fallback = "AUTO", .doc = "How the source is packed; AUTO: as its name ends." },
    { .name = "toCompression", .type = SL_OPT_ENUM, .offset = SL_FIELD(sl_copy_cfg, to_compression), .values = "AUTO NONE GZIP", .fallback = "AUTO", .doc = "How the target is packed; AUTO: as its name ends." },
    { .name = "compressionLevel", .type = SL_OPT_INT, .offset = SL_FIELD(sl_copy_cfg, level), .fallback = "1", .doc = "1 (fast) to 9 (small)." },
    { .name = "headers", .type = SL_OPT_MAP, .offset = SL_FIELD(sl_copy_cfg, headers), .doc = "Request headers for an http(s) source." },
    { .name = "split", .type = SL_OPT_MAP, .offset = SL_FIELD(sl_copy_cfg, split), .sub = split_opts, .doc = "Cut into equal parts at the ends of records: orders.csv.gz becomes orders-0001.csv.gz, …" },
    COPY("contentType", content_type, "Content-Type of the object."),
    COPY("contentEncoding", content_encoding, "Content-Encoding of the object."),
    { .name = "fromSseCustomerKey", .type = SL_OPT_SECRET, .offset = SL_FIELD(sl_copy_cfg, from_key), .doc = "Of an s3:// source: AES-256 key that it is encrypted with (SSE-C), base64." },
    { .name = "toSseCustomerKey", .type = SL_OPT_SECRET, .offset = SL_FIELD(sl_copy_cfg, to_key), .doc = "Of s3:// targets: AES-256 key that S3 encrypts them with (SSE-C), base64." },
    COPY("storageClass", storage_class, "Storage class of the object."),
    { .name = "metadata", .type = SL_OPT_MAP, .offset = SL_FIELD(sl_copy_cfg, metadata), .doc = "The object's own metadata." },
    { 0 },
};

static const sl_opt outs[] = {
    { .name = "uri", .type = SL_OPT_STR, .doc = "The target; of parts the first." },
    { .name = "uris", .type = SL_OPT_STRS, .doc = "The targets." },
    { .name = "manifest", .type = SL_OPT_STR, .doc = "The manifest." },
    { .name = "sourceSize", .type = SL_OPT_INT, .doc = "Bytes read from the source, unpacked where they are unpacked on the way; absent when an earlier process has read them." },
    { .name = "size", .type = SL_OPT_INT, .doc = "Bytes of the targets." },
    { .name = "crc32c", .type = SL_OPT_STR, .doc = "CRC32C of the target (base64), where there is one." },
    { .name = "eTag", .type = SL_OPT_STR, .doc = "ETag of the object." },
    { .name = "versionId", .type = SL_OPT_STR, .doc = "Version or generation of the object." },
    { 0 },
};

typedef struct copy {
    sl_task *task;
    const sl_copy_cfg *cfg;
    sl_source source;
    bool unpack, pack, split, whole;
    sl_split_cfg cut;             /* outs and targets: one, or the parts */
    sl_str names[SL_SPLIT_PARTS_MAX];
    int64_t offset;               /* for good, with this CRC32C; what the checkpoint says */
    uint32_t crc;
    int64_t read;
} copy;

/* ---- what is to be done ---- */

static bool packed(sl_str given, sl_str name)
{
    sl_str end = name.n >= 3 ? sl_str_sub(name, name.n - 3, name.n) : SL_S("");
    return sl_str_eqc(given, "AUTO") ? sl_str_ieq(end, SL_S(".gz")) : sl_str_eqc(given, "GZIP");
}

static bool plan(copy *c, sl_err *err)
{
    sl_arena *a = sl_task_arena(c->task);
    const sl_copy_cfg *cfg = c->cfg;
    sl_str name = sl_copy_name(cfg->from), to = cfg->to.n ? cfg->to : name.n ? name : SL_S("copy"), quote = sl_get_text(cfg->split, "quote"), manifest = sl_get_text(cfg->split, "manifest");
    bool from_packed = packed(cfg->from_compression, name), to_packed = packed(cfg->to_compression, sl_copy_name(to));
    int64_t parts = sl_get_int(cfg->split, "parts", 1);
    c->split = cfg->split != NULL;
    c->unpack = from_packed && (!to_packed || c->split);
    c->pack = to_packed && (!from_packed || c->split);
    c->cut = (sl_split_cfg){ .parts = (size_t)parts, .header = sl_get_bool(cfg->split, "header", true), .quote = sl_get(cfg->split, "quote") == NULL ? '"' : quote.n ? quote.p[0] : 0 };
    if (parts < 1 || parts > SL_SPLIT_PARTS_MAX)
        return sl_err_set(err, SL_ERR_CONFIG, "copy.parts", "'split.parts' is %lld; it must be between 1 and %d", (long long)parts, SL_SPLIT_PARTS_MAX);
    if (quote.n > 1)
        return sl_err_set(err, SL_ERR_CONFIG, "copy.quote", "'split.quote' must be one character, not '%.*s'", SL_ARG(quote));
    if (manifest.n > 0 && (!sl_str_starts(manifest, SL_S("s3://")) || !sl_str_starts(to, SL_S("s3://"))))
        return sl_err_set(err, SL_ERR_CONFIG, "copy.manifest", "'split.manifest' and 'to' must both be s3://bucket/key: Redshift reads manifests and parts from S3");
    if (cfg->level < 1 || cfg->level > 9)
        return sl_err_set(err, SL_ERR_CONFIG, "copy.level", "'compressionLevel' is %lld; it must be between 1 and 9", (long long)cfg->level);
    for (size_t i = 0; i < c->cut.parts; i++)
        c->names[i] = c->split ? sl_copy_part_name(a, to, i + 1) : to;
    return true;
}

/* ---- the checkpoint ---- */

static bool keep(void *self, sl_err *err)
{
    copy *c = self;
    SL_ARENA a = sl_arena_new();
    sl_val *doc = sl_map_of(a, "source", sl_val_str(a, c->source.state)), *targets = sl_list(a);
    sl_map_set_int(a, doc, "offset", c->offset);
    sl_map_set_int(a, doc, "crc", c->crc);
    for (size_t i = 0; i < c->cut.parts; i++) {
        sl_val *state;
        if (!c->cut.targets[i]->state(c->cut.targets[i], a, &state, err))
            return false;
        sl_list_add(a, targets, state);
    }
    sl_map_setc(a, doc, "targets", targets);
    return sl_task_checkpoint(c->task, doc, err);
}

/* Every now and then, how far it has come. */
static bool keep_offset(copy *c, sl_err *err)
{
    int64_t offset;
    uint32_t crc;
    c->cut.targets[0]->durable(c->cut.targets[0], &offset, &crc);
    if (offset - c->offset < KEEP_EVERY)
        return true;
    c->offset = offset;
    c->crc = crc;
    return keep(c, err);
}

/* ---- opening ---- */

/* May it go on where an earlier process has put itself down? Only where the whole is still checked at the end. */
static bool goes_on(const copy *c)
{
    bool as_it_is = !c->split && !c->pack && !c->unpack, checked = !c->source.summed || c->source.algorithm == SL_SUM_CRC32C;
    return as_it_is && checked && c->source.ranged;
}

/* What targets have of another stream goes: not all can tell its bytes from those of this one. */
static void abandon(const copy *c, const sl_val *states)
{
    sl_err err;
    for (size_t i = 0; i < c->cut.parts; i++) {
        SL_CLEANUP(sl_target_close) sl_target *target = NULL;
        sl_target_how how = { .task = c->task, .size = -1, .several = true, .state = sl_at(states, i) };
        if (!sl_copy_target(c->cfg, c->names[i], &how, &target, &err))
            sl_task_log(c->task, SL_WARN, "what was written of %.*s may stay there: %s", SL_ARG(c->names[i]), err.message);
        if (target != NULL)
            target->abort(target);
    }
}

static bool open_targets(copy *c, const sl_val *saved, sl_err *err)
{
    const sl_val *states = sl_get(saved, "targets");
    bool there = sl_val_count(states) == c->cut.parts, resumed = there && c->source.state.n > 0 && sl_str_eq(c->source.state, sl_get_text(saved, "source"));
    sl_target_how how = {
        .task = c->task, .size = c->split || c->pack || c->unpack ? -1 : c->source.size, .several = c->split, .content_type = c->cfg->content_type, .content_encoding = c->cfg->content_encoding,
        .storage_class = c->cfg->storage_class, .metadata = c->cfg->metadata,
    };
    if (there && !resumed) {
        sl_task_log(c->task, SL_INFO, "%s is not what it was (or does not tell): it is copied from its beginning", c->source.what);
        abandon(c, states);
    }
    if (resumed && goes_on(c)) {
        how.at = c->offset = sl_get_int(saved, "offset", 0);
        how.crc = c->crc = (uint32_t)sl_get_int(saved, "crc", 0);
    }
    c->whole = true;
    for (size_t i = 0; i < c->cut.parts; i++) {
        sl_target **t = &c->cut.targets[i];
        how.state = resumed ? sl_at(states, i) : NULL;
        bool ok = sl_copy_target(c->cfg, c->names[i], &how, t, err);
        if (*t != NULL) {
            (*t)->keep = keep;
            (*t)->owner = c;
            c->cut.outs[i] = c->pack ? sl_writer_gzip(&(*t)->writer, (int)c->cfg->level) : &(*t)->writer;
            c->whole &= (*t)->whole;
        }
        if (!ok)
            return false;
    }
    return resumed || keep(c, err);
}

static void close_targets(copy *c)
{
    for (size_t i = 0; i < c->cut.parts; i++) {
        sl_writer_close(&c->cut.outs[i]);
        c->cut.targets[i] = NULL;
    }
}

/* ---- the stream ---- */

/* Counts, and tells how far it is. */
typedef struct tap {
    sl_reader reader;
    sl_reader *inner;
    copy *c;
    int64_t at;
} tap;

static ptrdiff_t tap_read(sl_reader *self, void *to, size_t n, sl_err *err)
{
    tap *t = (tap *)self;
    ptrdiff_t got = t->inner->read(t->inner, to, n, err);
    if (got > 0) {
        t->at += got;
        sl_task_progress(t->c->task, t->at, t->c->source.size);
    }
    return got;
}

static void tap_close(sl_reader *self)
{
    tap *t = (tap *)self;
    sl_reader_close(&t->inner);
}

static bool pump_one(copy *c, sl_reader *in, sl_err *err)
{
    char *block = sl_malloc(1 << 20);
    sl_writer *out = c->cut.outs[0];
    bool ok = true;
    for (ptrdiff_t n = 1; ok && n > 0;) {
        ok = !sl_task_cancelled(c->task) || sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped after %lld bytes", (long long)c->read);
        n = ok ? in->read(in, block, 1 << 20, err) : 0;
        ok = ok && n >= 0 && (n == 0 || out->write(out, block, (size_t)n, err));
        c->read += n > 0 ? n : 0;
        ok = ok && (c->pack || c->unpack || keep_offset(c, err));
    }
    free(block);
    return ok && out->finish(out, err) && c->cut.targets[0]->flush(c->cut.targets[0], err);
}

static bool check_whole(const copy *c, sl_err *err)
{
    const sl_target *t = c->cut.targets[0];
    if (c->offset == 0 || !c->source.summed)
        return true;
    sl_str ours = sl_crc32c_base64(sl_task_arena(c->task), t->crc);
    return sl_str_eq(ours, c->source.expected)
           || sl_err_set(err, SL_ERR_DATA, "copy.checksum", "%s has the CRC32C %.*s, but what was read of it in two goes has %.*s; try again", c->source.what, SL_ARG(c->source.expected), SL_ARG(ours));
}

static bool pump(copy *c, sl_err *err)
{
    int64_t from = c->offset;
    tap t = { .reader = { tap_read, tap_close }, .inner = sl_source_open(&c->source, from), .c = c, .at = from };
    SL_READER in = c->unpack ? sl_reader_gunzip(&t.reader) : &t.reader;
    c->read = from;
    return (c->split ? sl_split(c->task, in, &c->cut, &c->read, err) : pump_one(c, in, err)) && check_whole(c, err);
}

/* ---- the end ---- */

static bool put_manifest(copy *c, sl_str to, sl_err *err)
{
    sl_arena *a = sl_task_arena(c->task);
    sl_val *entries = sl_list(a);
    for (size_t i = 0; i < c->cut.parts; i++) {
        sl_val *e = sl_map_of(a, "url", sl_val_str(a, c->cut.targets[i]->uri)), *meta = sl_map(a);
        sl_map_setc(a, e, "mandatory", sl_val_bool(true));
        sl_map_set_int(a, meta, "content_length", c->cut.targets[i]->at);
        sl_map_setc(a, e, "meta", meta);
        sl_list_add(a, entries, e);
    }
    sl_str text = sl_json(a, sl_map_of(a, "entries", entries));
    sl_target_how how = { .task = c->task, .size = (int64_t)text.n, .content_type = SL_S("application/json") };
    SL_CLEANUP(sl_target_close) sl_target *t = NULL;
    return sl_copy_target(c->cfg, to, &how, &t, err) && t->writer.write(&t->writer, text.p, text.n, err) && t->flush(t, err) && t->complete(t, err);
}

static bool complete(copy *c, sl_err *err)
{
    sl_str manifest = sl_get_text(c->cfg->split, "manifest");
    for (size_t i = 0; i < c->cut.parts; i++)
        if (!SL_FAULT("copy.before_complete", err) || !c->cut.targets[i]->complete(c->cut.targets[i], err))
            return false;
    return SL_FAULT("copy.before_manifest", err) && (manifest.n == 0 || put_manifest(c, manifest, err));
}

/* What outlives the targets is copied. */
static void tell(const copy *c)
{
    sl_task *t = c->task;
    sl_arena *a = sl_task_arena(t);
    const sl_target *first = c->cut.targets[0];
    sl_val *uris = sl_list(a);
    int64_t size = 0;
    for (size_t i = 0; i < c->cut.parts; i++) {
        sl_list_add(a, uris, sl_val_str(a, sl_str_dup(a, c->cut.targets[i]->uri)));
        size += c->cut.targets[i]->at;
    }
    sl_task_out_str(t, "uri", sl_str_dup(a, first->uri));
    sl_task_out(t, "uris", uris);
    sl_task_out_int(t, "size", size);
    if (!c->whole)
        sl_task_out_int(t, "sourceSize", c->read);
    if (sl_get_text(c->cfg->split, "manifest").n > 0)
        sl_task_out_str(t, "manifest", sl_get_text(c->cfg->split, "manifest"));
    if (c->cut.parts == 1) {
        sl_task_out_str(t, "crc32c", sl_crc32c_base64(a, first->crc));
        if (first->etag.n > 0)
            sl_task_out_str(t, "eTag", sl_str_dup(a, first->etag));
        if (first->version.n > 0)
            sl_task_out_str(t, "versionId", sl_str_dup(a, first->version));
    }
    sl_task_counter(t, "file.size", (double)size);
    sl_task_log(t, SL_INFO, "%lld bytes of %s are at %.*s%s", (long long)size, c->source.what, SL_ARG(first->uri), c->cut.parts > 1 ? sl_fmt(a, " and %zu other parts", c->cut.parts - 1).p : "");
}

static bool copy_once(copy *c, const sl_val *saved, bool *lost, sl_err *err)
{
    bool ok = open_targets(c, saved, err) && (c->whole || pump(c, err)) && complete(c, err);
    if (ok)
        tell(c);
    for (size_t i = 0; i < c->cut.parts; i++)
        if (c->cut.targets[i] != NULL) {
            *lost |= !ok && c->cut.targets[i]->lost;
            /* What was stopped can be taken up again; what failed is not, and its parts would stay. */
            if (!ok && err->kind != SL_ERR_CANCELLED)
                c->cut.targets[i]->abort(c->cut.targets[i]);
        }
    close_targets(c);
    return ok;
}

static sl_outcome run(sl_task *t, void *cfg, sl_err *err)
{
    copy c = { .task = t, .cfg = cfg };
    if (!plan(&c, err) || !sl_copy_source(t, c.cfg, &c.source, err))
        return SL_TASK_FAILED;
    const sl_val *saved = sl_task_saved(t);
    for (int i = 0; i < BEGINNINGS_MAX; i++, saved = NULL) {
        bool lost = false;
        sl_err_clear(err);
        c.offset = 0;
        c.crc = 0;
        if (copy_once(&c, saved, &lost, err))
            return SL_TASK_DONE;
        if (!lost)
            break;
        sl_task_log(t, SL_WARN, "%s", err->message);
    }
    return SL_TASK_FAILED;
}

/* Killed while it was interrupted: what the targets have goes. */
static void kill_copy(sl_task *t, void *cfg)
{
    copy c = { .task = t, .cfg = cfg };
    const sl_val *states = sl_get(sl_task_saved(t), "targets");
    sl_err err;
    if (sl_val_count(states) == 0)
        return;
    if (!plan(&c, &err))
        sl_task_log(t, SL_WARN, "what was written of the copy may stay there: %s", err.message);
    else if (sl_val_count(states) == c.cut.parts)
        abandon(&c, states);
}

const sl_task_type sl_transfer_copy = {
    .type = "io.sluice.transfer.Copy", .doc = "Copies one file from anywhere to anywhere in one stream, packed, unpacked or cut into parts on the way.", .cfg_size = sizeof(sl_copy_cfg), .opts = opts, .outs = outs, .run = run,
    .kill = kill_copy,
};

static const sl_task_type *const tasks[] = { &sl_transfer_copy, NULL };
const sl_connector sl_connector_transfer = { .name = "transfer", .tasks = tasks };
