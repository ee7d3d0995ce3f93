/* status.c: the thread's last error sentence. */
#include "core/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/text.h"

static _Thread_local char sentence[PL_ERROR_BYTES];

char *pl_printable(char *text)
{
    size_t len = strlen(text);
    for (size_t i = 0; i < len;) {
        uint32_t c;
        int n = pl_utf8_next(text + i, len - i, &c);
        if (n == 0 || c < 0x20 || (c >= 0x7f && c < 0xa0)) memset(text + i, '?', n ? (size_t)n : 1);
        i += n ? (size_t)n : 1;
    }
    return text;
}

pl_status pl_fail(pl_status code, const char *format, ...)
{
    /* Through a buffer of its own: the arguments may point into the old sentence. */
    char text[PL_ERROR_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    memcpy(sentence, pl_printable(text), sizeof text);
    return code;
}

pl_status pl_fail_prefix(pl_status code, const char *format, ...)
{
    char text[PL_ERROR_BYTES];
    va_list args;
    va_start(args, format);
    int used = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (used < 0) used = 0;
    if (used < (int)sizeof text) {
        size_t room = sizeof text - (size_t)used - 1, len = strnlen(sentence, sizeof sentence - 1);
        if (len > room) len = room;
        memcpy(text + used, sentence, len);
        text[(size_t)used + len] = 0;
    }
    memcpy(sentence, pl_printable(text), sizeof text);
    return code;
}

const char *pl_error(void) { return sentence; }

int pl_status_exit(pl_status code) { return code > PL_E_IO ? PL_E_IO : code; }
