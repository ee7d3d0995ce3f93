/* utf8.c: one character of UTF-8. Apart from text.c, so that sentences can be made printable without its libraries. */
#include "core/text.h"

int pl_utf8_next(const char *s, size_t len, uint32_t *codepoint)
{
    const uint8_t *b = (const uint8_t *)s;
    if (len == 0) return 0;
    if (b[0] < 0x80) {
        *codepoint = b[0];
        return 1;
    }
    int n = b[0] >= 0xf0 ? 4 : b[0] >= 0xe0 ? 3 : 2;
    if (b[0] < 0xc2 || b[0] > 0xf4 || len < (size_t)n) return 0;
    uint32_t c = b[0] & (0x7fu >> n);
    for (int i = 1; i < n; i++) {
        if ((b[i] & 0xc0) != 0x80) return 0;
        c = c << 6 | (b[i] & 0x3f);
    }
    /* too long a form, half of a surrogate pair, beyond Unicode */
    if (c < (n == 4 ? 0x10000u : n == 3 ? 0x800u : 0x80u) || (c >= 0xd800 && c < 0xe000) || c > 0x10ffff) return 0;
    *codepoint = c;
    return n;
}
