/*
 * local/dynamo_number.c: DynamoDB's numbers: decimal, up to 38 digits, 1E-130 to 9.9E+125. See dynamo.h.
 * Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
 */
#include <ctype.h>
#include <openssl/bn.h>

#include "base/arena.h"
#include "local/dynamo.h"

enum { DIGITS_MAX = 38, EXPONENT_MIN = -130, EXPONENT_MAX = 125, TEXT_MAX = 300 };

/* digits * 10^exponent; digits: without zeros at its ends, "0" for zero. */
typedef struct number {
    bool minus;
    sl_str digits;
    int exponent;
} number;

static bool in_range(number *n)
{
    while (n->digits.n > 1 && n->digits.p[0] == '0')
        n->digits = sl_str_sub(n->digits, 1, n->digits.n);
    while (n->digits.n > 1 && n->digits.p[n->digits.n - 1] == '0') {
        n->digits.n--;
        n->exponent++;
    }
    if (n->digits.n == 1 && n->digits.p[0] == '0') {
        n->minus = false;
        n->exponent = 0;
    }
    int first = n->exponent + (int)n->digits.n - 1; /* the exponent in d.ddd notation */
    return n->digits.n <= DIGITS_MAX && first >= EXPONENT_MIN && first <= EXPONENT_MAX;
}

static bool parse(sl_arena *a, sl_str text, number *ret)
{
    sl_buf digits = sl_buf_new(a, TEXT_MAX);
    int64_t exponent = 0;
    bool point = false;
    size_t i = text.n > 0 && (text.p[0] == '-' || text.p[0] == '+');
    int behind = 0;
    if (text.n == 0 || text.n > TEXT_MAX)
        return false;
    for (; i < text.n && (isdigit((unsigned char)text.p[i]) || (text.p[i] == '.' && !point)); i++) {
        point |= text.p[i] == '.';
        if (text.p[i] != '.') {
            sl_buf_add(&digits, sl_str_sub(text, i, i + 1));
            behind += point;
        }
    }
    if (digits.n == 0)
        return false;
    if (i < text.n && (text.p[i] == 'e' || text.p[i] == 'E')) {
        sl_str rest = sl_str_sub(text, i + 1, text.n);
        if (rest.n > 1 && rest.p[0] == '+' && isdigit((unsigned char)rest.p[1]))
            rest = sl_str_sub(rest, 1, rest.n);
        if (!sl_parse_int(rest, &exponent) || exponent < -1000 || exponent > 1000)
            return false;
        i = text.n;
    }
    *ret = (number){ .minus = text.p[0] == '-', .digits = sl_buf_str(&digits), .exponent = (int)exponent - behind };
    return i == text.n && in_range(ret);
}

static sl_str text_of(sl_arena *a, const number *n)
{
    sl_buf b = sl_buf_new(a, TEXT_MAX);
    int point = (int)n->digits.n + n->exponent; /* so many digits before it */
    if (n->minus)
        sl_buf_addc(&b, "-");
    if (point <= 0)
        sl_buf_addc(&b, "0.");
    for (int i = point; i < 0; i++)
        sl_buf_addc(&b, "0");
    for (size_t i = 0; i < n->digits.n; i++) {
        if ((int)i == point && i > 0)
            sl_buf_addc(&b, ".");
        sl_buf_add(&b, sl_str_sub(n->digits, i, i + 1));
    }
    for (int i = (int)n->digits.n; i < point; i++)
        sl_buf_addc(&b, "0");
    return sl_buf_str(&b);
}

bool sl_ddb_number(sl_arena *a, sl_str text, sl_str *ret)
{
    number n;
    if (!parse(a, text, &n))
        return false;
    *ret = text_of(a, &n);
    return true;
}

/* digits * 10^(exponent - common) as a big number. */
static BIGNUM *scaled(sl_arena *a, const number *n, int common)
{
    BIGNUM *big = NULL;
    sl_buf b = sl_buf_new(a, 2 * TEXT_MAX);
    if (n->minus)
        sl_buf_addc(&b, "-");
    sl_buf_add(&b, n->digits);
    for (int i = common; i < n->exponent; i++)
        sl_buf_addc(&b, "0");
    return BN_dec2bn(&big, sl_cstr(a, sl_buf_str(&b))) > 0 ? big : NULL;
}

bool sl_ddb_sum(sl_arena *a, sl_str left, sl_str right, bool minus, sl_str *ret)
{
    number m, n, sum;
    if (!parse(a, left, &m) || !parse(a, right, &n))
        return false;
    n.minus ^= minus;
    int common = m.exponent < n.exponent ? m.exponent : n.exponent;
    BIGNUM *x = scaled(a, &m, common), *y = scaled(a, &n, common), *z = BN_new();
    char *text = x != NULL && y != NULL && z != NULL && BN_add(z, x, y) ? BN_bn2dec(z) : NULL;
    bool ok = text != NULL;
    if (ok) {
        sl_str digits = sl_str_dup(a, sl_str_c(text));
        sum = (number){ .minus = digits.p[0] == '-', .digits = digits.p[0] == '-' ? sl_str_sub(digits, 1, digits.n) : digits, .exponent = common };
        ok = in_range(&sum);
        if (ok)
            *ret = text_of(a, &sum);
    }
    OPENSSL_free(text);
    BN_free(x);
    BN_free(y);
    BN_free(z);
    return ok;
}
