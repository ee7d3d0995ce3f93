/* status.c: the thread's last error sentence. */
#include "core/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char sentence[PL_ERROR_BYTES];

pl_status pl_fail(pl_status code, const char *format, ...)
{
    /* Through a buffer of its own: the arguments may point into the old sentence. */
    char text[PL_ERROR_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    memcpy(sentence, text, sizeof text);
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
    memcpy(sentence, text, sizeof text);
    return code;
}

const char *pl_error(void) { return sentence; }

int pl_status_exit(pl_status code) { return code > PL_E_IO ? PL_E_IO : code; }
