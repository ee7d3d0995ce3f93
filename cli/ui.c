/* ui.c: results to standard output, progress and messages to standard error. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "core/fs.h"
#include "core/log.h"

static struct {
    bool quiet, verbose, terminal;
    bool line_open;             /* a progress line stands on the terminal */
    double began, last;
    int last_tenth;
    const char *task;
} ui;

static void close_line(void)
{
    if (ui.line_open) fprintf(stderr, "\r\033[K");
    ui.line_open = false;
}

static void on_message(void *ctx, pl_level level, const char *text)
{
    (void)ctx;
    static const char *const prefix[] = { "error: ", "warning: ", "", "debug: " };
    if ((level == PL_LOG_INFO && ui.quiet) || (level == PL_LOG_DEBUG && !ui.verbose)) return;
    close_line();
    fprintf(stderr, "%s%s\n", prefix[level], text);
}

static void amount(const pl_progress_event *e, int64_t value, char *out, size_t size)
{
    char buffer[24];
    if (!strcmp(e->unit, "B")) snprintf(out, size, "%s", pl_ui_bytes(value, buffer));
    else snprintf(out, size, "%lld %s", (long long)value, e->unit);
}

/* A bar with rate and time left on a terminal, a plain line per tenth elsewhere. */
static void on_progress(void *ctx, const pl_progress_event *e)
{
    (void)ctx;
    if (ui.quiet || e->total <= 0) return;
    double now = pl_seconds();
    if (ui.task != e->task) {
        ui.task = e->task;
        ui.began = now;
        ui.last = 0;
        ui.last_tenth = 0;
    }
    double share = (double)e->done / (double)e->total, spent = now - ui.began;
    char done[48], total[48], rate[96] = "";
    amount(e, e->done, done, sizeof done);
    amount(e, e->total, total, sizeof total);
    if (ui.terminal) {
        if (now - ui.last < 0.1 && e->done < e->total) return;
        ui.last = now;
        if (spent > 0.5 && share > 0) {
            char per_second[48];
            amount(e, (int64_t)((double)e->done / spent), per_second, sizeof per_second);
            snprintf(rate, sizeof rate, "  %s/s  %.0f s left", per_second, spent / share - spent);
        }
        int filled = (int)(share * 24);
        fprintf(stderr, "\r\033[K%s [%.*s%*s] %3.0f %%  %s%s", e->task, filled,
                "########################", 24 - filled, "", share * 100, total, rate);
        ui.line_open = true;
        if (e->done >= e->total) close_line();
        fflush(stderr);
    } else if (spent > 5) {             /* short jobs need no lines */
        int tenth = (int)(share * 10);
        if (tenth <= ui.last_tenth) return;
        ui.last_tenth = tenth;
        if (strcmp(e->unit, "B")) snprintf(done, sizeof done, "%lld", (long long)e->done);
        fprintf(stderr, "%s: %d %% (%s of %s, %.0f s)\n", e->task, tenth * 10, done, total, spent);
    }
}

void pl_ui_start(bool quiet, bool verbose)
{
    ui.quiet = quiet;
    ui.verbose = verbose;
    ui.terminal = isatty(STDERR_FILENO);
    pl_log_sink sink = { on_message, on_progress, NULL };
    pl_log_set(&sink);
}

void pl_ui_end(void) { close_line(); }

const char *pl_ui_bytes(int64_t bytes, char buffer[24])
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
    double value = (double)bytes;
    int unit = 0;
    for (; value >= 1024 && unit < 5; unit++) value /= 1024;
    snprintf(buffer, 24, unit ? "%.2f %s" : "%.0f %s", value, units[unit]);
    return buffer;
}

const char *pl_ui_count(int64_t count, char buffer[32])
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%lld", (long long)count), at = 0;
    for (int i = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0 && digits[i - 1] != '-') buffer[at++] = ',';
        buffer[at++] = digits[i];
    }
    buffer[at] = 0;
    return buffer;
}

const char *pl_ui_shape(int64_t rows, int64_t cols, char buffer[48])
{
    if (cols == 1) snprintf(buffer, 48, "%lld", (long long)rows);
    else snprintf(buffer, 48, "%lld x %lld", (long long)rows, (long long)cols);
    return buffer;
}

void pl_ui_times(const char *name, int count, char *out, size_t size)
{
    if (count > 1) snprintf(out, size, "%s x%d", name, count);
    else snprintf(out, size, "%s", name);
}

void pl_ui_print(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
}

pl_status pl_ui_flush(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout)) return PL_OK;
    return pl_fail(PL_E_IO, "writing to standard output failed");
}

/* ---- tables ---- */

struct pl_table {
    int columns, rows, room;
    bool right[16];
    char **cell;
};

pl_status pl_table_create(int columns, const bool *right, pl_table **out)
{
    pl_table *t = pl_alloc(1, sizeof *t);
    *out = t;
    if (!t) return PL_E_MEMORY;
    t->columns = columns;
    memcpy(t->right, right, (size_t)columns * sizeof *right);
    return PL_OK;
}

pl_status pl_table_row(pl_table *t, const char *const *cells)
{
    if (t->rows == t->room) {
        int room = t->room ? 2 * t->room : 32;
        char **grown = pl_realloc(t->cell, (int64_t)room * t->columns, sizeof *grown);
        if (!grown) return PL_E_MEMORY;
        t->cell = grown;
        t->room = room;
    }
    char **row = t->cell + (size_t)t->rows * (size_t)t->columns;
    for (int i = 0; i < t->columns; i++) row[i] = pl_strdup(cells[i]);
    t->rows++;
    for (int i = 0; i < t->columns; i++) {
        if (!row[i]) return PL_E_MEMORY;
        pl_printable(row[i]);
    }
    return PL_OK;
}

void pl_table_print(const pl_table *t)
{
    int width[16] = { 0 };
    for (int r = 0; r < t->rows; r++)
        for (int c = 0; c < t->columns; c++) {
            int len = (int)strlen(t->cell[r * t->columns + c]);
            if (len > width[c]) width[c] = len;
        }
    for (int r = 0; r < t->rows; r++) {
        for (int c = 0; c < t->columns; c++) {
            const char *text = t->cell[r * t->columns + c], *gap = c ? "  " : "";
            if (c + 1 == t->columns && !*text) break;       /* no blanks at the end of a line */
            if (t->right[c]) printf("%s%*s", gap, width[c], text);
            else if (c + 1 < t->columns) printf("%s%-*s", gap, width[c], text);
            else printf("%s%s", gap, text);
        }
        printf("\n");
    }
}

void pl_table_destroy(pl_table *t)
{
    if (!t) return;
    for (int i = 0; i < t->rows * t->columns; i++) pl_free(t->cell[i]);
    pl_free(t->cell);
    pl_free(t);
}

pl_status pl_ui_json(const char *text, const char *path)
{
    fflush(stdout);
    return pl_file_save(path, text, strlen(text));
}
