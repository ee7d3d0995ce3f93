/* log.c: hands messages and progress to whoever asked for them. */
#include "core/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>

#include "core/status.h"

static pl_log_sink receiver;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void pl_log_set(const pl_log_sink *sink) { receiver = sink ? *sink : (pl_log_sink){ 0 }; }

void pl_log(pl_level level, const char *format, ...)
{
    if (!receiver.message) return;
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    pthread_mutex_lock(&lock);
    receiver.message(receiver.ctx, level, pl_printable(text));
    pthread_mutex_unlock(&lock);
}

void pl_progress(const char *task, const char *item, const char *unit, int64_t done, int64_t total)
{
    if (!receiver.progress) return;
    pl_progress_event event = { task, item, unit, done, total };
    pthread_mutex_lock(&lock);
    receiver.progress(receiver.ctx, &event);
    pthread_mutex_unlock(&lock);
}
