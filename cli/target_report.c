/* target_report.c: what was chosen for a wished size, what it costs, and what the next steps would. */
#include <math.h>
#include <stdio.h>

#include "cli/target.h"

static const char *const modes[] = { "auto", "tensor", "layer", "none" };

double pl_target_loss(const pl_target_item *item, int type) { return item->sensitivity * item->error[type]; }

/* The next larger type that loses less (up), or the next smaller one; -1: none. */
static int next_type(const pl_target *t, const pl_target_item *item, bool up)
{
    int best = -1;
    for (int o = 0; o < t->types; o++) {
        int64_t bytes = item->bytes[o], now = item->bytes[item->choice];
        if (isnan(item->error[o]) || (up ? bytes <= now : bytes >= now)) continue;
        if (up && !(item->error[o] < item->error[item->choice])) continue;
        if (best < 0 || (up ? bytes < item->bytes[best] : bytes > item->bytes[best]) ||
            (bytes == item->bytes[best] && item->error[o] < item->error[best])) best = o;
    }
    return best;
}

static double relative_error(const pl_target_item *item)
{
    return item->energy > 0 ? sqrt(item->error[item->choice] / item->energy) : 0;
}

/* "q5_k +81,920 -0.00012" */
static void step_text(const pl_target *t, const pl_target_item *item, bool up, char *out, size_t size)
{
    char count[32];
    int next = next_type(t, item, up);
    out[0] = 0;
    if (next < 0) return;
    int64_t bytes = item->bytes[next] - item->bytes[item->choice];
    snprintf(out, size, "%s %s%s %+.2g", pl_type_name(&t->type[next]), up ? "+" : "-",
             pl_ui_count(up ? bytes : -bytes, count), pl_target_loss(item, next) - pl_target_loss(item, item->choice));
}

pl_status pl_target_table(const pl_target *t)
{
    pl_table *table;
    PL_TRY(pl_table_create(7, (bool[]){ false, false, true, true, true, false, false }, &table));
    pl_status code = pl_table_row(table, (const char *[]){ "tensor", "type", "bytes", "error", "loss",
                                                           "next larger: bytes, loss", "next smaller" });
    for (int i = 0; i < t->items && code == PL_OK; i++) {
        const pl_target_item *item = &t->item[i];
        char name[PL_MAX_NAME + 16], bytes[32], error[24], loss[24], up[96], down[96];
        pl_ui_times(item->name, item->tensors, name, sizeof name);
        pl_ui_count(item->bytes[item->choice], bytes);
        snprintf(error, sizeof error, "%.4f", relative_error(item));
        snprintf(loss, sizeof loss, "%.3g", pl_target_loss(item, item->choice));
        step_text(t, item, true, up, sizeof up);
        step_text(t, item, false, down, sizeof down);
        code = pl_table_row(table, (const char *[]){ name, pl_type_name(&t->type[item->choice]), bytes, error, loss,
                                                     up, down });
    }
    if (code == PL_OK) pl_table_print(table);
    pl_table_destroy(table);
    return code;
}

void pl_target_totals(const pl_target *t)
{
    char wanted[32], bytes[32];
    pl_ui_print("target: %s of %s bytes (%.2f %% below), ", pl_ui_count(t->bytes, bytes),
                pl_ui_count(t->wanted, wanted), 100.0 * (double)(t->wanted - t->bytes) / (double)t->wanted);
    if (t->wish.probe == PL_PROBE_NONE) pl_ui_print("loss about %.4f by usual costs of errors, not probed\n", t->loss);
    else {
        pl_ui_print("KL divergence %.4f predicted from %d passes (%d new)", t->loss, t->probes_asked, t->probes_run);
        if (isnan(t->measured)) pl_ui_print("\n");
        else pl_ui_print(", %.4f measured\n", t->measured);
    }
}

static void step_json(const pl_target *t, const pl_target_item *item, bool up, pl_json_writer *w)
{
    int next = next_type(t, item, up);
    if (next < 0) {
        pl_json_put_null(w, up ? "larger" : "smaller");
        return;
    }
    pl_json_begin_object(w, up ? "larger" : "smaller");
    pl_json_put_text(w, "type", pl_type_name(&t->type[next]));
    pl_json_put_int(w, "bytes", item->bytes[next]);
    pl_json_put_number(w, "loss", pl_target_loss(item, next));
    pl_json_end(w);
}

void pl_target_json(const pl_target *t, pl_json_writer *w)
{
    pl_json_begin_object(w, "target");
    pl_json_put_int(w, "bytes_wanted", t->wanted);
    pl_json_put_int(w, "bytes", t->bytes);
    pl_json_put_text(w, "probe", modes[t->wish.probe]);
    pl_json_put_text(w, "loss_unit", t->wish.probe == PL_PROBE_NONE ? "estimate" : "kld");
    pl_json_put_int(w, "passes", t->probes_asked);
    pl_json_put_int(w, "passes_new", t->probes_run);
    pl_json_put_number(w, "loss_predicted", t->loss);
    pl_json_put_number(w, "loss_measured", t->measured);
    pl_json_put_number(w, "seconds", t->seconds);
    pl_json_begin_array(w, "tensors");
    for (int i = 0; i < t->items; i++) {
        const pl_target_item *item = &t->item[i];
        pl_json_begin_object(w, NULL);
        pl_json_put_text(w, "name", item->name);
        pl_json_put_int(w, "count", item->tensors);
        pl_json_put_text(w, "type", pl_type_name(&t->type[item->choice]));
        pl_json_put_int(w, "bytes", item->bytes[item->choice]);
        pl_json_put_number(w, "rel_error", relative_error(item));
        pl_json_put_number(w, "sensitivity", item->sensitivity);
        pl_json_put_number(w, "loss", pl_target_loss(item, item->choice));
        step_json(t, item, true, w);
        step_json(t, item, false, w);
        pl_json_end(w);
    }
    pl_json_end(w);
    pl_json_end(w);
}
