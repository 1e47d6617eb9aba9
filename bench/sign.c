/* bench/sign.c: Signature Version 4 on one core: canonical request, string to sign, signature, header; the key of the day is kept. */
#include <stdio.h>

#include "auth/sigv4.h"
#include "base/arena.h"
#include "base/clock.h"

int main(void)
{
    enum { COUNT = 300000 };
    SL_ARENA a = sl_arena_new();
    sl_sigv4_scope scope;
    uint8_t key[SL_SIGV4_KEY];
    sl_val *headers = sl_map(a);
    sl_map_set_str(a, headers, "host", SL_S("examplebucket.s3.eu-central-1.amazonaws.com"));
    sl_map_set_str(a, headers, "x-amz-date", SL_S("20150830T123600Z"));
    sl_map_set_str(a, headers, "x-amz-content-sha256", SL_S(SL_SIGV4_UNSIGNED));
    sl_sigv4_scope_at(&scope, 1440938160, SL_S("eu-central-1"), SL_S("s3"));
    sl_sigv4_key(SL_S("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"), &scope, key);
    sl_sigv4_request r = { .method = SL_S("PUT"), .path = SL_S("/folder/part-00017.csv.gz"), .query = SL_S("partNumber=17&uploadId=abcdefghijklmnop"), .headers = headers, .payload = SL_S(SL_SIGV4_UNSIGNED), .s3 = true };
    sl_arena_mark mark = sl_arena_get_mark(a);
    size_t total = 0;
    int64_t begin = sl_mono_ms();
    for (int i = 0; i < COUNT; i++) {
        total += sl_sigv4_authorization(a, &r, &scope, SL_S("AKIDEXAMPLE"), key, NULL).n;
        sl_arena_rewind(a, mark);
    }
    double seconds = (double)(sl_mono_ms() - begin) / 1000;
    printf("%zu %.0f\n", total / COUNT, COUNT / seconds);
    return 0;
}
