/*
 * local/taxi.c: sample data: seeded trips of New York taxis with the true headers and quirks of the public files, of any
 * month and number of rows: /sample-data/{green|yellow}/{green|yellow}_tripdata_YYYY-MM.csv[.gz]?rows=N
 *
 * Quirks kept: CRLF line ends and an empty ehail_fee in the green files, leading-dot decimals (.00), empty congestion
 * surcharges before 2019-02, passenger counts and codes left empty in some rows.
 */
#include "base/arena.h"
#include "base/io.h"
#include "local/cloud_private.h"

enum { ROWS_DEFAULT = 1000, ROWS_MAX = 20000000 };

typedef struct maker {
    sl_arena *a;
    sl_buf out;
    uint64_t state;
    bool green;
    int year, month;
} maker;

static uint32_t next(maker *m, uint32_t below)
{
    m->state = m->state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (uint32_t)(m->state >> 33) % below;
}

static const char GREEN[] = "VendorID,lpep_pickup_datetime,lpep_dropoff_datetime,store_and_fwd_flag,RatecodeID,PULocationID,DOLocationID,passenger_count,trip_distance,fare_amount,extra,mta_tax,"
                            "tip_amount,tolls_amount,ehail_fee,improvement_surcharge,total_amount,payment_type,trip_type,congestion_surcharge\r\n";
static const char YELLOW[] = "VendorID,tpep_pickup_datetime,tpep_dropoff_datetime,passenger_count,trip_distance,RatecodeID,store_and_fwd_flag,PULocationID,DOLocationID,payment_type,fare_amount,extra,"
                             "mta_tax,tip_amount,tolls_amount,improvement_surcharge,total_amount,congestion_surcharge\n";

static void add_time(maker *m, int64_t s)
{
    sl_civil c = sl_civil_from_seconds(s);
    sl_buf_fmt(&m->out, "%04lld-%02d-%02d %02d:%02d:%02d,", (long long)c.year, c.month, c.day, c.hour, c.minute, c.second);
}

/* Cents as the files have them: no trailing zeros in most columns. */
static void add_money(maker *m, uint32_t cents)
{
    if (cents % 100 == 0)
        sl_buf_fmt(&m->out, "%u", cents / 100);
    else if (cents % 10 == 0)
        sl_buf_fmt(&m->out, "%u.%u", cents / 100, cents / 10 % 10);
    else
        sl_buf_fmt(&m->out, "%u.%02u", cents / 100, cents % 100);
}

static void add_distance(maker *m, uint32_t hundredths)
{
    if (m->green && hundredths < 100)
        sl_buf_fmt(&m->out, ".%02u", hundredths);
    else
        sl_buf_fmt(&m->out, "%u.%02u", hundredths / 100, hundredths % 100);
}

static void add_row(maker *m, int64_t month_start, int64_t month_seconds)
{
    int64_t pickup = month_start + next(m, (uint32_t)month_seconds);
    uint32_t minutes = 1 + next(m, 60), distance = next(m, 100) == 0 ? 0 : next(m, 1500), fare = 250 + distance * 2 + minutes * 30, extra = next(m, 3) * 50, tip = next(m, 2) ? fare / 5 : 0,
             tolls = next(m, 20) == 0 ? 576 : 0, surcharge = m->year > 2019 || m->month > 1 ? (m->green ? 275 : 250) : 0;
    bool blank = next(m, 50) == 0;
    uint32_t vendor = 1 + next(m, 2), rate = next(m, 40) ? 1 : 2 + next(m, 4), from = 1 + next(m, 265), to = 1 + next(m, 265), payment = 1 + next(m, 2), passengers = 1 + next(m, 6);
    uint32_t total = fare + extra + 50 + tip + tolls + 30 + surcharge;
    sl_buf_fmt(&m->out, blank && m->green ? "," : "%u,", vendor);
    add_time(m, pickup);
    add_time(m, pickup + minutes * 60 + next(m, 60));
    if (m->green) {
        sl_buf_fmt(&m->out, blank ? ",,%u,%u,," : "N,%u,%u,%u,%u,", blank ? from : rate, blank ? to : from, to, passengers);
        add_distance(m, distance);
        sl_buf_char(&m->out, ',');
    } else {
        sl_buf_fmt(&m->out, blank ? "," : "%u,", passengers);
        add_distance(m, distance);
        sl_buf_fmt(&m->out, blank ? ",,,%u,%u,," : ",%u,N,%u,%u,%u,", blank ? from : rate, blank ? to : from, to, payment);
    }
    const uint32_t money[] = { fare, extra, 50, tip, tolls };
    for (size_t i = 0; i < SL_COUNT(money); i++) {
        add_money(m, money[i]);
        sl_buf_char(&m->out, ',');
    }
    if (m->green)
        sl_buf_char(&m->out, ','); /* ehail_fee was never filled */
    add_money(m, 30);
    sl_buf_char(&m->out, ',');
    add_money(m, total);
    if (m->green)
        sl_buf_fmt(&m->out, blank ? ",,," : ",%u,%u,", payment, 1 + (next(m, 40) == 0));
    else
        sl_buf_char(&m->out, ',');
    if (surcharge > 0 && !blank)
        add_money(m, surcharge);
    sl_buf_addc(&m->out, m->green ? "\r\n" : "\n");
}

/* green_tripdata_2019-01.csv.gz */
static bool parse_name(sl_str name, maker *m, bool *gzip)
{
    int64_t year, month;
    *gzip = sl_str_ends(name, SL_S(".gz"));
    if (*gzip)
        name = sl_str_sub(name, 0, name.n - 3);
    m->green = sl_str_starts(name, SL_S("green_tripdata_"));
    size_t head = m->green ? 15 : 16;
    if ((!m->green && !sl_str_starts(name, SL_S("yellow_tripdata_"))) || name.n != head + 11 || !sl_str_ends(name, SL_S(".csv")))
        return false;
    if (!sl_parse_int(sl_str_sub(name, head, head + 4), &year) || !sl_parse_int(sl_str_sub(name, head + 5, head + 7), &month) || month < 1 || month > 12)
        return false;
    m->year = (int)year;
    m->month = (int)month;
    return true;
}

static sl_str compress(sl_arena *a, sl_str data)
{
    sl_buf out = sl_buf_new(a, SIZE_MAX / 4);
    sl_err err;
    SL_WRITER z = sl_writer_gzip(sl_writer_memory(&out), 1);
    for (size_t at = 0; at < data.n; at += 1 << 20)
        (void)z->write(z, data.p + at, data.n - at < 1 << 20 ? data.n - at : 1 << 20, &err);
    (void)z->finish(z, &err);
    return sl_buf_str(&out);
}

void sl_taxi_get(void *self, sl_server_request *req, sl_server_response *resp)
{
    (void)self;
    maker m = { .a = req->arena, .out = sl_buf_new(req->arena, SIZE_MAX / 4) };
    bool gzip;
    int64_t rows = ROWS_DEFAULT;
    if (!parse_name(req->segments[req->segment_count - 1], &m, &gzip)) {
        sl_respond_text(resp, 404, SL_S("there is {green|yellow}_tripdata_YYYY-MM.csv[.gz], with ?rows=N\n"));
        return;
    }
    (void)sl_parse_int(sl_request_param(req, "rows"), &rows);
    if (rows < 0 || rows > ROWS_MAX) {
        sl_respond_text(resp, 400, SL_S("rows must be from 0 to 20000000\n"));
        return;
    }
    m.state = (uint64_t)m.year * 100 + (uint64_t)m.month + (m.green ? 7919 : 0);
    int64_t start = sl_days_from_civil(m.year, m.month, 1) * 86400, seconds = sl_days_in_month(m.year, m.month) * 86400LL;
    sl_buf_addc(&m.out, m.green ? GREEN : YELLOW);
    for (int64_t i = 0; i < rows; i++)
        add_row(&m, start, seconds);
    resp->status = 200;
    resp->content_type = gzip ? "application/gzip" : "text/csv";
    resp->body = gzip ? compress(req->arena, sl_buf_str(&m.out)) : sl_buf_str(&m.out);
}
