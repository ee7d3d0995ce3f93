/* log.h: what libraries may say while they work. They never print; the command line decides how. */
#ifndef CORE_LOG_H
#define CORE_LOG_H

#include "core/base.h"

typedef enum pl_level { PL_LOG_ERROR, PL_LOG_WARN, PL_LOG_INFO, PL_LOG_DEBUG } pl_level;

/* A measure of how far a long job is. `unit` is "B" for bytes, else a noun ("windows"). */
typedef struct pl_progress_event {
    const char *task;           /* "convert", "check" */
    const char *item;           /* what is being worked on, or NULL */
    const char *unit;
    int64_t done, total;
} pl_progress_event;

/* Receivers; either may be NULL. They may be called from any worker, one at a time. */
typedef struct pl_log_sink {
    void (*message)(void *ctx, pl_level level, const char *text);
    void (*progress)(void *ctx, const pl_progress_event *event);
    void *ctx;
} pl_log_sink;

/* Set once, before work begins. Until then nothing is said. */
void pl_log_set(const pl_log_sink *sink);
void pl_log(pl_level level, const char *format, ...) PL_PRINTF(2, 3);
void pl_progress(const char *task, const char *item, const char *unit, int64_t done, int64_t total);

#endif
