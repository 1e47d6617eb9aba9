/* connectors/serdes/avro_tasks.c: io.kestra.plugin.serdes.avro: AvroToIon, IonToAvro, InferAvroSchemaFromIon. Source: connectors reference A13. */
#include "base/arena.h"
#include "base/ion.h"
#include "base/json.h"
#include "connectors/records.h"
#include "connectors/serdes/avro_read.h"
#include "connectors/serdes/avro_write.h"
#include "connectors/serdes/serdes.h"

typedef struct avro_cfg {
    sl_str from, on_bad, date, time, date_time, separator, zone;
    const sl_val *schema, *true_words, *false_words, *null_words;
    int64_t scan;
    bool all_fields, strict;
} avro_cfg;

#define FROM { .name = "from", .type = SL_OPT_STR, .offset = SL_FIELD(avro_cfg, from), .flags = SL_REQUIRED, .doc = "The file (kestra:// URI)." }
#define ON_BAD(words) { .name = "onBadLines", .type = SL_OPT_ENUM, .offset = SL_FIELD(avro_cfg, on_bad), .values = "ERROR WARN SKIP", .fallback = "ERROR", .doc = words }
#define SCAN { .name = "numberOfRowsToScan", .type = SL_OPT_INT, .offset = SL_FIELD(avro_cfg, scan), .fallback = "100", .doc = "Records that are looked at to find a schema out." }
static const sl_opt read_opts[] = { FROM, ON_BAD("A record that cannot be read: fail, or leave out the rest of its block, with a warning or without."), { 0 } };
static const sl_opt infer_opts[] = { FROM, SCAN, { 0 } };
static const sl_opt write_opts[] = {
    FROM,
    ON_BAD("A record that the schema does not fit: fail, or leave it out, with a warning or without."),
    SCAN,
    { .name = "schema", .type = SL_OPT_ANY, .offset = SL_FIELD(avro_cfg, schema), .doc = "Avro schema (JSON, or a map); else it is found out." },
    { .name = "inferAllFields", .type = SL_OPT_BOOL, .offset = SL_FIELD(avro_cfg, all_fields), .fallback = "false", .doc = "Words for true, false and null are that in fields that may be texts, too." },
    { .name = "strictSchema", .type = SL_OPT_BOOL, .offset = SL_FIELD(avro_cfg, strict), .fallback = "false", .doc = "Fields that the schema has not are an error." },
    { .name = "trueValues", .type = SL_OPT_STRS, .offset = SL_FIELD(avro_cfg, true_words), .doc = "Words for true: t, true, enabled, 1, on, yes." },
    { .name = "falseValues", .type = SL_OPT_STRS, .offset = SL_FIELD(avro_cfg, false_words), .doc = "Words for false: f, false, disabled, 0, off, no and an empty text." },
    { .name = "nullValues", .type = SL_OPT_STRS, .offset = SL_FIELD(avro_cfg, null_words), .doc = "Words for null: NULL, NA, n/a, nan and the like, and an empty text." },
    { .name = "dateFormat", .type = SL_OPT_STR, .offset = SL_FIELD(avro_cfg, date), .fallback = "yyyy-MM-dd[XXX]", .doc = "Format of texts that are dates." },
    { .name = "timeFormat", .type = SL_OPT_STR, .offset = SL_FIELD(avro_cfg, time), .fallback = "HH:mm[:ss][.SSSSSS][XXX]", .doc = "Format of texts that are times of day." },
    { .name = "datetimeFormat", .type = SL_OPT_STR, .offset = SL_FIELD(avro_cfg, date_time), .fallback = "yyyy-MM-dd'T'HH:mm[:ss][.SSSSSS][XXX]", .doc = "Format of texts that are dates with a time." },
    { .name = "decimalSeparator", .type = SL_OPT_STR, .offset = SL_FIELD(avro_cfg, separator), .fallback = ".", .doc = "Between the whole and the fraction of texts that are numbers." },
    { .name = "timeZoneId", .type = SL_OPT_STR, .offset = SL_FIELD(avro_cfg, zone), .doc = "Zone of times without one, where an instant is wanted; else the machine's." },
    { 0 },
};
static const sl_opt infer_outs[] = { { .name = "uri", .type = SL_OPT_STR, .doc = "The schema (.avsc)." }, { 0 } };

/* ---- AvroToIon ---- */

typedef struct reading {
    sl_task *task;
    sl_out *out;
    bool quiet;                   /* about what is left out */
    int64_t count, left_out;
} reading;

static bool on_record(void *self, sl_arena *a, const sl_val *record, sl_err *err)
{
    reading *r = self;
    sl_ion_write(sl_out_buffer(r->out), a, record);
    sl_buf_char(sl_out_buffer(r->out), '\n');
    if ((++r->count & 4095) == 0 && sl_task_cancelled(r->task))
        return sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped while reading");
    return sl_out_pass(r->out, err);
}

static bool on_bad(void *self, const sl_err *why)
{
    reading *r = self;
    r->left_out++;
    if (!r->quiet)
        sl_task_log(r->task, SL_WARN, "the rest of a block is left out: %s", why->message);
    return true;
}

static sl_outcome read_run(sl_task *t, void *cfg, sl_err *err)
{
    const avro_cfg *c = cfg;
    reading r = { .task = t, .quiet = sl_str_eqc(c->on_bad, "SKIP") };
    sl_avro_reading how = { .self = &r, .each = on_record, .bad = sl_str_eqc(c->on_bad, "ERROR") ? NULL : on_bad };
    sl_reader *opened = NULL;
    if (!sl_task_open_in(t, c->from, &opened, err))
        return SL_TASK_FAILED;
    SL_READER in = opened;
    bool ok = (r.out = sl_out_open(t, "records.ion", SL_S(""), err)) != NULL && (sl_avro_read(&how, in, err) || sl_err_ctx(err, "%.*s", SL_ARG(c->from))) && sl_out_finish(r.out, r.count, err);
    sl_out_close(r.out);
    return ok ? SL_TASK_DONE : SL_TASK_FAILED;
}

/* ---- the schema of records ---- */

static const sl_val *words(sl_arena *a, const sl_val *given, const char *const *otherwise)
{
    if (given != NULL)
        return given;
    sl_val *list = sl_list(a);
    for (; *otherwise != NULL; otherwise++)
        sl_list_add(a, list, sl_val_c(a, *otherwise));
    return list;
}

static bool rules_of(sl_arena *a, const avro_cfg *c, sl_avro_rules *ret, sl_err *err)
{
    static const char *const yes[] = { "t", "true", "enabled", "1", "on", "yes", NULL }, *const no[] = { "f", "false", "disabled", "0", "off", "no", "", NULL };
    static const char *const none[] = { "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "1.#IND", "1.#QNAN", "NA", "n/a", "nan", "null", NULL };
    *ret = (sl_avro_rules){ .true_words = words(a, c->true_words, yes), .false_words = words(a, c->false_words, no), .null_words = words(a, c->null_words, none), .date = c->date, .time = c->time, .date_time = c->date_time,
                            .decimal_separator = c->separator, .all_fields = c->all_fields, .strict = c->strict, .zone = sl_tz_local() };
    return c->zone.n == 0 || (ret->zone = sl_tz_find(c->zone, err)) != NULL;
}

/* NULL with err. */
static const sl_val *find_schema(sl_task *t, const avro_cfg *c, const sl_avro_rules *rules, sl_err *err)
{
    sl_arena *a = sl_task_arena(t);
    SL_ARENA arena = sl_arena_new();
    sl_records in = { 0 };
    const sl_val *row, *known = NULL;
    int got = sl_records_open(&in, t, c->from, err) ? 1 : -1;
    while (got == 1 && in.count < c->scan && (got = sl_records_next(&in, arena, &row, err)) == 1)
        known = sl_avro_infer(a, known, row, rules);
    sl_records_close(&in);
    return got < 0 ? NULL : sl_avro_inferred(a, known, err);
}

static const sl_val *given_schema(sl_task *t, const avro_cfg *c, const sl_avro_rules *rules, sl_err *err)
{
    const sl_val *schema = c->schema;
    if (schema == NULL)
        return find_schema(t, c, rules, err);
    if (sl_is(schema, SL_STRING) && (schema = sl_json_parse(sl_task_arena(t), schema->s, err)) == NULL)
        sl_err_ctx(err, "property 'schema'");
    return schema;
}

static sl_outcome infer_run(sl_task *t, void *cfg, sl_err *err)
{
    const avro_cfg *c = cfg;
    sl_avro_rules rules = { .zone = sl_tz_utc() };
    sl_str uri;
    SL_WRITER out = NULL;
    const sl_val *schema = find_schema(t, c, &rules, err);
    sl_str text = schema ? sl_json(sl_task_arena(t), schema) : SL_S("");
    if (schema == NULL || !sl_task_open_out(t, SL_S("schema.avsc"), &out, &uri, err) || !out->write(out, text.p, text.n, err) || !out->finish(out, err)) {
        (void)sl_err_ctx(err, "%.*s", SL_ARG(c->from));
        return SL_TASK_FAILED;
    }
    sl_task_out_str(t, "uri", uri);
    return SL_TASK_DONE;
}

/* ---- IonToAvro ---- */

typedef struct writing {
    sl_task *task;
    const avro_cfg *c;
    sl_avro_rules rules;
    const sl_avro *type;
    sl_avro_file file;
    int64_t count;
} writing;

static bool left_out(writing *w, int64_t record, sl_err *err)
{
    sl_err_ctx(err, "record %lld", (long long)record);
    if (sl_str_eqc(w->c->on_bad, "ERROR") || err->kind == SL_ERR_LIMIT)
        return false;
    if (sl_str_eqc(w->c->on_bad, "WARN"))
        sl_task_log(w->task, SL_WARN, "left out: %s", err->message);
    return true;
}

static bool write_records(writing *w, sl_records *in, sl_err *err)
{
    SL_ARENA arena = sl_arena_new();
    sl_arena_mark mark = sl_arena_get_mark(arena);
    const sl_val *row;
    int got;
    while ((got = sl_records_next(in, arena, &row, err)) == 1) {
        if (sl_avro_encode(&w->file.block, arena, w->type, row, &w->rules, err)) {
            w->count++;
            if (!sl_avro_file_added(&w->file, err))
                return false;
        } else if (!left_out(w, in->count, err))
            return false;
        if ((in->count & 4095) == 0 && sl_task_cancelled(w->task))
            return sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped while writing");
        sl_arena_rewind(arena, mark);
    }
    return got == 0 && sl_avro_file_finish(&w->file, err);
}

static sl_outcome write_run(sl_task *t, void *cfg, sl_err *err)
{
    const avro_cfg *c = cfg;
    SL_ARENA held = sl_arena_new();
    SL_WRITER out = NULL;
    sl_str uri;
    sl_records in = { 0 };
    writing w = { .task = t, .c = c };
    const sl_val *schema = rules_of(sl_task_arena(t), c, &w.rules, err) ? given_schema(t, c, &w.rules, err) : NULL;
    if (schema == NULL || (w.type = sl_avro_parse(sl_task_arena(t), schema, err)) == NULL || !sl_task_open_out(t, SL_S("records.avro"), &out, &uri, err))
        return SL_TASK_FAILED;
    bool ok = sl_avro_file_begin(&w.file, held, out, schema, err) && sl_records_open(&in, t, c->from, err) && write_records(&w, &in, err);
    sl_records_close(&in);
    if (!ok) {
        (void)sl_err_ctx(err, "%.*s", SL_ARG(c->from));
        return SL_TASK_FAILED;
    }
    sl_task_out_str(t, "uri", uri);
    sl_task_out_int(t, "size", w.count);
    sl_task_counter(t, "records", (double)w.count);
    return SL_TASK_DONE;
}

#define AVRO "io.kestra.plugin.serdes.avro."
const sl_task_type sl_avro_to_ion = { .type = AVRO "AvroToIon", .aliases = AVRO "AvroReader", .doc = "Reads an Avro file into records.", .cfg_size = sizeof(avro_cfg), .opts = read_opts, .outs = sl_serdes_outs, .run = read_run };
const sl_task_type sl_ion_to_avro = { .type = AVRO "IonToAvro", .aliases = AVRO "AvroWriter", .doc = "Writes records as an Avro file, by a schema or by what they are.", .cfg_size = sizeof(avro_cfg), .opts = write_opts, .outs = sl_serdes_outs, .run = write_run };
const sl_task_type sl_avro_infer_schema = { .type = AVRO "InferAvroSchemaFromIon", .doc = "Finds out the Avro schema of records.", .cfg_size = sizeof(avro_cfg), .opts = infer_opts, .outs = infer_outs, .run = infer_run };
