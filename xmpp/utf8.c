/*
 * UTF-8, read strictly (see utf8.h): the table of well-formed byte sequences in RFC 3629 section 4.
 */
#include "xmpp/utf8.h"

size_t utf8_sequence(const unsigned char *s, size_t len)
{
    unsigned low = 0x80, high = 0xBF; /* of the second byte */
    size_t need;
    if (len == 0)
        return 0;
    if (s[0] >= 0xC2 && s[0] <= 0xDF) {
        need = 2;
    } else if (s[0] >= 0xE0 && s[0] <= 0xEF) {
        need = 3;
        low = s[0] == 0xE0 ? 0xA0 : 0x80;  /* no overlong form */
        high = s[0] == 0xED ? 0x9F : 0xBF; /* no surrogate */
    } else if (s[0] >= 0xF0 && s[0] <= 0xF4) {
        need = 4;
        low = s[0] == 0xF0 ? 0x90 : 0x80;
        high = s[0] == 0xF4 ? 0x8F : 0xBF; /* no more than U+10FFFF */
    } else {
        return 0;
    }
    if (len < need || s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < need; i++)
        if (s[i] < 0x80 || s[i] > 0xBF)
            return 0;
    return need;
}

bool utf8_valid(const char *text, size_t len)
{
    const unsigned char *s = (const unsigned char *)text;
    for (size_t i = 0; i < len;) {
        size_t step = s[i] < 0x80 ? 1 : utf8_sequence(s + i, len - i);
        if (step == 0)
            return false;
        i += step;
    }
    return true;
}
