/* connectors/serdes/json_tasks.c: io.kestra.plugin.serdes.json: IonToJson, JsonToIon, JsonToJsonl. */
#include "base/arena.h"
#include "base/ion.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/time.h"
#include "connectors/records.h"
#include "connectors/serdes/serdes.h"
#include "connectors/serdes/shape.h"

enum { WHOLE_MAX = 256 << 20 };

typedef struct json_cfg {
    sl_str from, charset, zone;
    const sl_val *annotations;
    bool lines;
} json_cfg;

#define FROM { .name = "from", .type = SL_OPT_STR, .offset = SL_FIELD(json_cfg, from), .flags = SL_REQUIRED, .doc = "The file (kestra:// URI)." }
#define CHARSET { .name = "charset", .type = SL_OPT_STR, .offset = SL_FIELD(json_cfg, charset), .fallback = "UTF-8", .doc = "Encoding of the JSON." }
#define LINES(words) { .name = "newLine", .type = SL_OPT_BOOL, .offset = SL_FIELD(json_cfg, lines), .fallback = "true", .doc = words }

static const sl_opt write_opts[] = {
    FROM,
    CHARSET,
    LINES("One record a line; else one document, an array when there are several records."),
    { .name = "timeZoneId", .type = SL_OPT_STR, .offset = SL_FIELD(json_cfg, zone), .doc = "Zone that times with a zone are written in." },
    { .name = "shouldKeepAnnotations", .type = SL_OPT_ANY, .offset = SL_FIELD(json_cfg, annotations), .doc = "Accepted: the records of the tasks here have none but those of times." },
    { 0 },
};
static const sl_opt read_opts[] = { FROM, CHARSET, LINES("One value a line; else one document, an array's elements become records."), { 0 } };
static const sl_opt jsonl_opts[] = { FROM, CHARSET, { 0 } };

/* ---- IonToJson ---- */

static bool write_record(sl_records *in, sl_shape *shape, sl_arena *arena, sl_str line, const sl_tz *zone, sl_buf *b, sl_err *err)
{
    if (sl_shape_match(shape, line)) {
        sl_shape_write(shape, b);
        return true;
    }
    const sl_val *row = sl_records_parse(in, arena, line, err);
    if (row == NULL)
        return false;
    sl_buf_add(b, sl_json(arena, sl_serdes_moved(arena, row, zone)));
    sl_shape_learn(shape, line, row);
    return true;
}

static bool write_all(const json_cfg *c, sl_task *t, sl_records *in, sl_shape *shape, sl_out *out, const sl_tz *zone, sl_err *err)
{
    SL_ARENA arena = sl_arena_new();
    sl_arena_mark mark = sl_arena_get_mark(arena);
    sl_str line;
    int got;
    sl_buf *b = sl_out_buffer(out);
    while ((got = sl_records_line(in, &line, err)) == 1) {
        /* Whether it is to be an array is known at the second record: the first one is in the buffer still. */
        if (!c->lines && in->count == 2) {
            sl_str first = sl_str_dup(arena, sl_buf_str(b));
            b->n = 0;
            sl_buf_char(b, '[');
            sl_buf_add(b, first);
        }
        if (!c->lines && in->count > 1)
            sl_buf_char(b, ',');
        if (!write_record(in, shape, arena, line, zone, b, err))
            return false;
        if (c->lines)
            sl_buf_char(b, '\n');
        if ((c->lines || in->count > 1) && !sl_out_pass(out, err))
            return false;
        if ((in->count & 4095) == 0 && sl_task_cancelled(t))
            return sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped while writing");
        sl_arena_rewind(arena, mark);
    }
    if (!c->lines && in->count != 1)
        sl_buf_addc(b, in->count == 0 ? "[]" : "]");
    return got == 0;
}

static sl_outcome write_run(sl_task *t, void *cfg, sl_err *err)
{
    const json_cfg *c = cfg;
    sl_records in = { 0 };
    const sl_tz *zone = c->zone.n > 0 ? sl_tz_find(c->zone, err) : NULL;
    if (c->zone.n > 0 && zone == NULL)
        return SL_TASK_FAILED;
    sl_shape shape;
    sl_shape_open(&shape, SL_SHAPE_ION, SL_SHAPE_JSON);
    sl_out *out = sl_out_open(t, c->lines ? "records.jsonl" : "records.json", c->charset, err);
    bool ok = out != NULL && sl_records_open(&in, t, c->from, err) && write_all(c, t, &in, &shape, out, zone, err) && sl_out_finish(out, in.count, err);
    sl_records_close(&in);
    sl_shape_close(&shape);
    sl_out_close(out);
    return ok ? SL_TASK_DONE : SL_TASK_FAILED;
}

/* ---- JsonToIon, JsonToJsonl ---- */

typedef void (*put_fn)(sl_buf *b, sl_arena *arena, const sl_val *v);

static void put_json(sl_buf *b, sl_arena *arena, const sl_val *v)
{
    sl_buf_add(b, sl_json(arena, v));
}

static bool read_lines(sl_reader *in, sl_out *out, sl_shape *shape, sl_task *t, int64_t *count, sl_err *err)
{
    SL_ARENA arena = sl_arena_new();
    SL_ARENA held = sl_arena_new();
    sl_arena_mark mark = sl_arena_get_mark(arena);
    sl_lines *lines = sl_lines_new(held, in, SL_RECORD_MAX);
    sl_str line;
    int got;
    for (int64_t n = 1; (got = sl_lines_next(lines, &line, err)) == 1; n++) {
        sl_str record = sl_str_trim(line);
        if (record.n == 0)
            continue;
        if (sl_shape_match(shape, record))
            sl_shape_write(shape, sl_out_buffer(out));
        else {
            const sl_val *v = sl_json_parse(arena, line, err);
            if (v == NULL) {
                err->line = (uint32_t)n;
                return sl_err_ctx(err, "line %lld of the file", (long long)n);
            }
            sl_ion_write(sl_out_buffer(out), arena, v);
            sl_shape_learn(shape, record, v);
        }
        sl_buf_char(sl_out_buffer(out), '\n');
        ++*count;
        if (!sl_out_pass(out, err))
            return false;
        if ((*count & 4095) == 0 && sl_task_cancelled(t))
            return sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped while reading");
        sl_arena_rewind(arena, mark);
    }
    return got == 0;
}

static bool by_line(sl_reader *in, sl_out *out, sl_task *t, int64_t *count, sl_err *err)
{
    sl_shape shape;
    sl_shape_open(&shape, SL_SHAPE_JSON, SL_SHAPE_ION);
    bool ok = read_lines(in, out, &shape, t, count, err);
    sl_shape_close(&shape);
    return ok;
}

static bool whole(sl_reader *in, sl_out *out, put_fn put, int64_t *count, sl_err *err)
{
    SL_ARENA arena = sl_arena_new();
    sl_str text;
    if (!sl_io_read_all(arena, in, WHOLE_MAX, &text, err))
        return false;
    if (sl_str_trim(text).n == 0)
        return true;
    const sl_val *doc = sl_json_parse(arena, text, err);
    if (doc == NULL)
        return false;
    size_t n = doc->type == SL_LIST ? doc->list.n : 1;
    for (size_t i = 0; i < n; i++) {
        put(sl_out_buffer(out), arena, doc->type == SL_LIST ? doc->list.items[i] : doc);
        sl_buf_char(sl_out_buffer(out), '\n');
        if (!sl_out_pass(out, err))
            return false;
    }
    *count = (int64_t)n;
    return true;
}

static sl_outcome convert(sl_task *t, const json_cfg *c, const char *name, put_fn put, bool lines, sl_err *err)
{
    SL_READER text = sl_serdes_in(t, c->from, c->charset, err);
    int64_t count = 0;
    sl_out *out = text ? sl_out_open(t, name, SL_S(""), err) : NULL;
    bool ok = out != NULL && (lines ? by_line(text, out, t, &count, err) : whole(text, out, put, &count, err)) && sl_out_finish(out, count, err);
    sl_out_close(out);
    if (!ok)
        (void)sl_err_ctx(err, "%.*s", SL_ARG(c->from));
    return ok ? SL_TASK_DONE : SL_TASK_FAILED;
}

static sl_outcome read_run(sl_task *t, void *cfg, sl_err *err)
{
    const json_cfg *c = cfg;
    return convert(t, c, "records.ion", sl_ion_write, c->lines, err);
}

static sl_outcome jsonl_run(sl_task *t, void *cfg, sl_err *err)
{
    return convert(t, cfg, "records.jsonl", put_json, false, err);
}

#define JSON "io.kestra.plugin.serdes.json."
const sl_task_type sl_ion_to_json = { .type = JSON "IonToJson", .aliases = JSON "JsonWriter", .doc = "Writes records as JSON.", .cfg_size = sizeof(json_cfg), .opts = write_opts, .outs = sl_serdes_outs, .run = write_run };
const sl_task_type sl_json_to_ion = { .type = JSON "JsonToIon", .aliases = JSON "JsonReader", .doc = "Reads JSON into records.", .cfg_size = sizeof(json_cfg), .opts = read_opts, .outs = sl_serdes_outs, .run = read_run };
const sl_task_type sl_json_to_jsonl = { .type = JSON "JsonToJsonl", .doc = "Writes the elements of a JSON array one a line.", .cfg_size = sizeof(json_cfg), .opts = jsonl_opts, .outs = sl_serdes_outs, .run = jsonl_run };
