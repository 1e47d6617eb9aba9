/*
 * local/s3_tags.c: tags of objects of the S3 face, kept as the header that can bring them: x-amz-tagging.
 * API: https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectTagging.html
 */
#include "base/arena.h"
#include "base/json.h"
#include "base/xml.h"
#include "local/s3.h"

enum { TAGS_MAX = 10, NAME_MAX_CHARS = 128, VALUE_MAX_CHARS = 256, ANSWER_MAX = 64 << 10 };

static size_t characters(sl_str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += ((unsigned char)s.p[i] & 0xC0) != 0x80;
    return n;
}

static bool invalid(sl_s3_call *x, const char *message)
{
    return sl_refuse(&x->why, x->arena, 400, "InvalidTag", "%s", message);
}

/* {name: value} of a=1&b=2. */
static bool split(sl_s3_call *x, sl_str header, sl_val **ret)
{
    sl_str rest = header, one, name;
    *ret = sl_map(x->arena);
    while (rest.n > 0 && sl_str_cut(&rest, '&', &one)) {
        sl_str value = one;
        (void)sl_str_cut(&value, '=', &name);
        if (!sl_percent_decode(x->arena, name, true, &name) || !sl_percent_decode(x->arena, value.p ? value : SL_S(""), true, &value))
            return sl_refuse(&x->why, x->arena, 400, "InvalidArgument", "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.");
        if (sl_get_str(*ret, name) != NULL)
            return invalid(x, "Cannot provide multiple Tags with the same key");
        sl_map_set(x->arena, *ret, name, sl_val_str(x->arena, value));
    }
    return true;
}

bool sl_s3_tags_fit(sl_s3_call *x, sl_str header)
{
    sl_val *tags;
    if (!split(x, header, &tags))
        return false;
    if (tags->map.n > TAGS_MAX)
        return sl_refuse(&x->why, x->arena, 400, "BadRequest", "Object tags cannot be greater than 10");
    for (size_t i = 0; i < tags->map.n; i++) {
        size_t name = characters(tags->map.entries[i].key), value = characters(tags->map.entries[i].value->s);
        if (name == 0 || name > NAME_MAX_CHARS)
            return invalid(x, "The TagKey you have provided is invalid");
        if (value > VALUE_MAX_CHARS)
            return invalid(x, "The TagValue you have provided is invalid");
    }
    return true;
}

static bool find(sl_s3_call *x, sl_s3_row *row, const sl_val **ret_headers)
{
    sl_err err;
    if (!sl_s3_bucket_there(x, x->bucket) || !sl_s3_row_find(x, x->bucket, x->key, sl_request_param(x->req, "versionId"), row))
        return false;
    *ret_headers = sl_json_parse(x->arena, row->headers, &err);
    return *ret_headers != NULL || sl_s3_broken(x, &err);
}

bool sl_s3_tags_get(sl_s3_call *x)
{
    sl_s3_row row;
    sl_val *tags;
    const sl_val *headers;
    sl_arena *a = x->arena;
    if (!find(x, &row, &headers) || !split(x, sl_get_text(headers, "x-amz-tagging"), &tags))
        return false;
    sl_buf b = sl_buf_new(a, ANSWER_MAX);
    sl_buf_addc(&b, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Tagging xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><TagSet>");
    for (size_t i = 0; i < tags->map.n; i++)
        sl_buf_fmt(&b, "<Tag><Key>%.*s</Key><Value>%.*s</Value></Tag>", SL_ARG(sl_xml_escape(a, tags->map.entries[i].key)), SL_ARG(sl_xml_escape(a, tags->map.entries[i].value->s)));
    sl_buf_addc(&b, "</TagSet></Tagging>");
    sl_s3_answer_xml(x, 200, &b);
    sl_s3_tell_version(x);
    return true;
}

/* header "": none any more. */
static bool set(sl_s3_call *x, sl_str header)
{
    sl_s3_row row;
    const sl_val *headers;
    if (!find(x, &row, &headers))
        return false;
    sl_val *changed = sl_map_shallow(x->arena, headers);
    (void)sl_map_remove(changed, SL_S("x-amz-tagging"));
    sl_map_opt_str(x->arena, changed, "x-amz-tagging", header);
    row.headers = sl_json(x->arena, changed);
    if (!sl_s3_row_describe(x, &row))
        return false;
    sl_s3_tell_version(x);
    return true;
}

bool sl_s3_tags_put(sl_s3_call *x, sl_str body)
{
    sl_err err;
    sl_str root;
    sl_arena *a = x->arena;
    const sl_val *doc = sl_xml_parse(a, body, &root, &err), *list = sl_xml_all(sl_xml_get(doc, "TagSet"), "Tag");
    sl_buf b = sl_buf_new(a, ANSWER_MAX);
    if (doc == NULL || !sl_str_eqc(root, "Tagging"))
        return sl_refuse(&x->why, a, 400, "MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema");
    for (size_t i = 0; i < sl_val_count(list); i++) {
        sl_str name = sl_percent(a, sl_xml_text(sl_at(list, i), "Key"), NULL), value = sl_percent(a, sl_xml_text(sl_at(list, i), "Value"), NULL);
        sl_buf_fmt(&b, "%s%.*s=%.*s", b.n ? "&" : "", SL_ARG(name), SL_ARG(value));
    }
    if (!sl_s3_tags_fit(x, sl_buf_str(&b)) || !set(x, sl_buf_str(&b)))
        return false;
    x->resp->status = 200;
    return true;
}

bool sl_s3_tags_delete(sl_s3_call *x)
{
    if (!set(x, SL_S("")))
        return false;
    x->resp->status = 204;
    return true;
}
