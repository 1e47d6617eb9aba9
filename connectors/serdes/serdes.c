/* connectors/serdes/serdes.c: see serdes.h; the connector. */
#include "connectors/serdes/serdes.h"

#include "base/arena.h"
#include "base/json.h"
#include "base/limits.h"
#include "connectors/connectors.h"
#include "connectors/csv/source.h"
#include "connectors/serdes/charset.h"

struct sl_out {
    sl_task *task;
    sl_arena *arena;
    sl_buf buffer;
    sl_writer *file;
    sl_str uri;
};

const sl_opt sl_serdes_outs[] = { { .name = "uri", .type = SL_OPT_STR, .doc = "The file." }, { .name = "size", .type = SL_OPT_INT, .doc = "Records." }, { 0 } };

sl_out *sl_out_open(sl_task *t, const char *name, sl_str charset, sl_err *err)
{
    sl_writer *file;
    sl_str uri;
    if (!sl_task_open_out(t, sl_str_c(name), &file, &uri, err) || (file = sl_writer_charset(file, charset, err)) == NULL)
        return NULL;
    sl_arena *a = sl_arena_new();
    sl_out *o = SL_NEW(a, sl_out);
    *o = (sl_out){ .task = t, .arena = a, .buffer = sl_buf_new(a, SIZE_MAX / 4), .file = file, .uri = uri };
    return o;
}

void sl_out_close(sl_out *o)
{
    if (o == NULL)
        return;
    sl_writer_close(&o->file);
    sl_arena_free(o->arena);
}

sl_buf *sl_out_buffer(sl_out *o)
{
    return &o->buffer;
}

static bool flush(sl_out *o, sl_err *err)
{
    bool ok = o->buffer.n == 0 || o->file->write(o->file, o->buffer.p, o->buffer.n, err);
    o->buffer.n = 0;
    return ok;
}

bool sl_out_pass(sl_out *o, sl_err *err)
{
    return o->buffer.n < SL_IO_BLOCK || flush(o, err);
}

bool sl_out_finish(sl_out *o, int64_t records, sl_err *err)
{
    if (!flush(o, err) || !o->file->finish(o->file, err))
        return false;
    sl_task_out_str(o->task, "uri", o->uri);
    sl_task_out_int(o->task, "size", records);
    sl_task_counter(o->task, "records", (double)records);
    return true;
}

const sl_val *sl_serdes_moved(sl_arena *a, const sl_val *v, const sl_tz *zone)
{
    if (zone == NULL || (v->type != SL_TIME && v->type != SL_LIST && v->type != SL_MAP))
        return v;
    if (v->type == SL_TIME)
        return v->t.kind == SL_TIME_ZONED ? sl_val_time(a, sl_time_at(v->t.s, v->t.ns, zone)) : v;
    sl_val *out = v->type == SL_LIST ? sl_list(a) : sl_map(a);
    for (size_t i = 0; i < sl_val_count(v); i++) {
        if (v->type == SL_LIST)
            sl_list_add(a, out, sl_serdes_moved(a, v->list.items[i], zone));
        else
            sl_map_set(a, out, v->map.entries[i].key, sl_serdes_moved(a, v->map.entries[i].value, zone));
    }
    return out;
}

sl_reader *sl_serdes_in(sl_task *t, sl_str uri, sl_str charset, sl_err *err)
{
    sl_reader *in;
    return sl_task_open_in(t, uri, &in, err) ? sl_reader_charset(in, charset, err) : NULL;
}

char *sl_serdes_quote(char *to, sl_str s)
{
    static const char digits[] = "0123456789abcdef";
    *to++ = '"';
    for (size_t i = 0; i < s.n; i++) {
        for (size_t n = 8; n == 8 && i + 8 <= s.n; i += n, to += n) {
            memcpy(to, s.p + i, 8);
            n = sl_json_plain_bytes(s.p + i);
        }
        if (i == s.n)
            break;
        unsigned char ch = (unsigned char)s.p[i];
        if (ch >= 0x20 && ch != '"' && ch != '\\') {
            *to++ = (char)ch;
            continue;
        }
        *to++ = '\\';
        switch (ch) {
        case '\n': *to++ = 'n'; break;
        case '\r': *to++ = 'r'; break;
        case '\t': *to++ = 't'; break;
        case '"':
        case '\\': *to++ = (char)ch; break;
        default:
            *to++ = 'x';
            *to++ = digits[ch >> 4];
            *to++ = digits[ch & 15];
            break;
        }
    }
    *to++ = '"';
    return to;
}

static const sl_task_type *const tasks[] = { &sl_csv_to_ion, &sl_ion_to_csv, &sl_ion_to_json, &sl_json_to_ion, &sl_json_to_jsonl, &sl_parquet_to_ion, &sl_ion_to_parquet, &sl_xml_to_ion, &sl_ion_to_xml, &sl_excel_to_ion, &sl_ion_to_excel, &sl_avro_to_ion, &sl_ion_to_avro, &sl_avro_infer_schema, &sl_csv_inspect, &sl_csv_clean, NULL };
const sl_connector sl_connector_serdes = { .name = "serdes", .tasks = tasks };
