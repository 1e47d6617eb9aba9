/* connectors/storage_records.c: storage.FilterItems and storage.DeduplicateItems: records of a stored file by what an expression says of each. */
#include "base/arena.h"
#include "base/fs.h"
#include "base/io.h"
#include "connectors/connectors.h"
#include "connectors/records.h"

#define TYPE "io.kestra.plugin.core.storage."
#define OLD "io.kestra.core.tasks.storages."

/* ---- writing records ---- */

typedef struct sink {
    sl_writer *w;
    sl_str uri;
} sink;

static bool open_sink(sl_task *t, sl_str from, sink *ret, sl_err *err)
{
    sl_str extension = sl_path_extension(sl_path_base(from));
    return sl_task_open_out(t, sl_fmt(sl_task_arena(t), "records%.*s", SL_ARG(extension.n ? extension : SL_S(".ion"))), &ret->w, &ret->uri, err);
}

/* As it was read: JSON stays JSON. */
static bool put_line(const sink *s, sl_str line, sl_err *err)
{
    return s->w->write(s->w, line.p, line.n, err) && s->w->write(s->w, "\n", 1, err);
}

/* 1: a record and its line, valid until the next call; 0: the end; -1: err. */
static int next_record(sl_records *r, sl_arena *a, sl_str *line, const sl_val **record, sl_err *err)
{
    int rc = sl_records_line(r, line, err);
    return rc != 1 ? rc : (*record = sl_records_parse(r, a, *line, err)) != NULL ? 1 : -1;
}

static const sl_opt record_outs[] = {
    { .name = "uri", .type = SL_OPT_STR, .doc = "URI of the new file." },
    { .name = "numKeys", .type = SL_OPT_INT, .doc = "DeduplicateItems: how many keys there are." },
    { .name = "processedItemsTotal", .type = SL_OPT_INT, .doc = "How many records were read." },
    { .name = "droppedItemsTotal", .type = SL_OPT_INT, .doc = "How many were left out." },
    { 0 },
};

static bool end_records(sl_task *t, sink *s, int64_t read, int64_t kept, sl_err *err)
{
    if (!s->w->finish(s->w, err))
        return false;
    sl_task_out_str(t, "uri", s->uri);
    sl_task_out_int(t, "processedItemsTotal", read);
    sl_task_out_int(t, "droppedItemsTotal", read - kept);
    return true;
}

/* ---- FilterItems ---- */

typedef struct filter_cfg {
    sl_str from, condition, type, on_error;
} filter_cfg;

static const sl_opt filter_opts[] = {
    { .name = "from", .type = SL_OPT_STR, .offset = SL_FIELD(filter_cfg, from), .flags = SL_REQUIRED, .doc = "URI of a file of records (Ion or JSON, one a line)." },
    { .name = "filterCondition", .type = SL_OPT_STR, .offset = SL_FIELD(filter_cfg, condition), .flags = SL_REQUIRED | SL_LATE, .doc = "Expression over the fields of a record." },
    { .name = "filterType", .type = SL_OPT_ENUM, .offset = SL_FIELD(filter_cfg, type), .values = "INCLUDE EXCLUDE", .fallback = "INCLUDE", .doc = "What becomes of those for which it is true." },
    { .name = "errorOrNullBehavior", .type = SL_OPT_ENUM, .offset = SL_FIELD(filter_cfg, on_error), .values = "FAIL INCLUDE EXCLUDE", .fallback = "FAIL", .doc = "What becomes of those for which it is nothing, or an error." },
    { 0 },
};

/* true, false, or nothing: an error, or empty. */
static bool wanted(sl_task *t, sl_arena *a, const filter_cfg *c, const sl_val *record, int64_t number, bool *ret, sl_err *err)
{
    sl_str text;
    bool ok = sl_task_render_with(t, a, c->condition, record, &text, err);
    if (ok && (text = sl_str_trim(text)).n == 0)
        ok = sl_err_set(err, SL_ERR_DATA, "filter.null", "the condition is empty");
    if (ok) {
        *ret = (!sl_str_eqc(text, "false") && !sl_str_eqc(text, "0")) == sl_str_eqc(c->type, "INCLUDE");
        return true;
    }
    *ret = sl_str_eqc(c->on_error, "INCLUDE");
    return !sl_str_eqc(c->on_error, "FAIL") || sl_err_ctx(err, "record %lld of '%.*s'", (long long)number, SL_ARG(c->from));
}

static sl_outcome filter_run(sl_task *t, void *cfg, sl_err *err)
{
    const filter_cfg *c = cfg;
    sl_records r;
    sink s = { 0 };
    const sl_val *record;
    sl_str line;
    int64_t kept = 0;
    int rc = -1;
    bool ok = sl_records_open(&r, t, c->from, err) && open_sink(t, c->from, &s, err), keep;
    while (ok && !sl_task_cancelled(t)) {
        SL_ARENA a = sl_arena_new();
        if ((rc = next_record(&r, a, &line, &record, err)) != 1)
            break;
        ok = wanted(t, a, c, record, r.count, &keep, err) && (!keep || put_line(&s, line, err));
        kept += ok && keep;
    }
    ok = ok && rc == 0 && end_records(t, &s, r.count, kept, err);
    sl_records_close(&r);
    sl_writer_close(&s.w);
    return ok ? SL_TASK_DONE : SL_TASK_FAILED;
}

const sl_task_type sl_storage_filter = { .type = TYPE "FilterItems", .aliases = OLD "FilterItems", .doc = "Keeps the records for which a condition holds.", .cfg_size = sizeof(filter_cfg), .opts = filter_opts, .outs = record_outs, .run = filter_run };

/* ---- DeduplicateItems ---- */

typedef struct deduplicate_cfg {
    sl_str from, expr;
} deduplicate_cfg;

static const sl_opt deduplicate_opts[] = {
    { .name = "from", .type = SL_OPT_STR, .offset = SL_FIELD(deduplicate_cfg, from), .flags = SL_REQUIRED, .doc = "URI of a file of records (Ion or JSON, one a line)." },
    { .name = "expr", .type = SL_OPT_STR, .offset = SL_FIELD(deduplicate_cfg, expr), .flags = SL_REQUIRED | SL_LATE, .doc = "Expression over the fields of a record that gives its key." },
    { 0 },
};

/* Keys by their SHA-256's first 16 bytes: the last record of each. Open addressing. */
typedef struct key {
    uint8_t hash[16];
    int64_t last;                  /* number of a record, from 1; 0 = free */
} key;

typedef struct keys {
    sl_arena *arena;
    key *slots;
    size_t room, n;
} keys;

static key *slot_of(const keys *k, const uint8_t *hash)
{
    uint64_t at;
    memcpy(&at, hash, sizeof at);
    for (size_t i = at & (k->room - 1);; i = (i + 1) & (k->room - 1))
        if (k->slots[i].last == 0 || memcmp(k->slots[i].hash, hash, sizeof k->slots[i].hash) == 0)
            return &k->slots[i];
}

static void grow(keys *k)
{
    keys old = *k;
    k->room = old.room ? 2 * old.room : 1024;
    k->slots = SL_ARRAY(k->arena, key, k->room);
    for (size_t i = 0; i < old.room; i++)
        if (old.slots[i].last != 0)
            *slot_of(k, old.slots[i].hash) = old.slots[i];
}

static key *key_of(sl_task *t, sl_arena *a, keys *k, sl_str expr, const sl_val *record, int64_t number, sl_err *err)
{
    sl_str text;
    if (!sl_task_render_with(t, a, expr, record, &text, err)) {
        sl_err_ctx(err, "record %lld", (long long)number);
        return NULL;
    }
    if (2 * k->n >= k->room)
        grow(k);
    const uint8_t *hash = (const uint8_t *)sl_digest(a, "SHA256", text).p;
    key *slot = slot_of(k, hash);
    if (slot->last == 0) {
        memcpy(slot->hash, hash, sizeof slot->hash);
        k->n++;
    }
    return slot;
}

/* s NULL: notes the last record of each key; else writes those. */
static bool pass(sl_task *t, const deduplicate_cfg *c, keys *k, sink *s, int64_t *read, sl_err *err)
{
    sl_records r;
    const sl_val *record;
    sl_str line;
    int rc = -1;
    bool ok = sl_records_open(&r, t, c->from, err);
    while (ok && !sl_task_cancelled(t)) {
        SL_ARENA a = sl_arena_new();
        if ((rc = next_record(&r, a, &line, &record, err)) != 1)
            break;
        key *slot = key_of(t, a, k, c->expr, record, r.count, err);
        ok = slot != NULL;
        if (ok && s == NULL)
            slot->last = r.count;
        else if (ok && slot->last == r.count)
            ok = put_line(s, line, err);
    }
    *read = r.count;
    sl_records_close(&r);
    return ok && rc == 0;
}

static sl_outcome deduplicate_run(sl_task *t, void *cfg, sl_err *err)
{
    const deduplicate_cfg *c = cfg;
    SL_ARENA a = sl_arena_new();
    keys k = { .arena = a };
    sink s = { 0 };
    int64_t read;
    bool ok = pass(t, c, &k, NULL, &read, err) && open_sink(t, c->from, &s, err) && pass(t, c, &k, &s, &read, err) && end_records(t, &s, read, (int64_t)k.n, err);
    sl_writer_close(&s.w);
    sl_task_out_int(t, "numKeys", (int64_t)k.n);
    return ok ? SL_TASK_DONE : SL_TASK_FAILED;
}

const sl_task_type sl_storage_deduplicate = { .type = TYPE "DeduplicateItems", .aliases = OLD "DeduplicateItems", .doc = "Keeps the last record of each key.", .cfg_size = sizeof(deduplicate_cfg), .opts = deduplicate_opts, .outs = record_outs, .run = deduplicate_run };
