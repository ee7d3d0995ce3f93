/* model.c: what follows from hyper-parameters; finding tensors by identity. */
#include "core/model.h"

#include <math.h>
#include <stdlib.h>

double pl_yarn_magnitude(const pl_hparams *hp)
{
    return hp->rope_factor > 1 ? 0.1 * log((double)hp->rope_factor) + 1 : 1;
}

static int compare_entries(const void *a, const void *b)
{
    const pl_model_entry *x = a, *y = b;
    return pl_id_compare(x->id, y->id);
}

pl_status pl_model_index(pl_model *model, pl_arena *arena)
{
    model->entry = PL_NEW(arena, pl_model_entry, model->tensors);
    if (!model->entry) return PL_E_MEMORY;
    for (int i = 0; i < model->tensors; i++)
        model->entry[i] = (pl_model_entry){ model->tensor[i].id, i };
    qsort(model->entry, (size_t)model->tensors, sizeof *model->entry, compare_entries);
    for (int i = 1; i < model->tensors; i++) {
        if (pl_id_compare(model->entry[i - 1].id, model->entry[i].id)) continue;
        return pl_fail(PL_E_INPUT, "tensors '%s' and '%s' play the same role",
                       model->tensor[model->entry[i - 1].tensor].name,
                       model->tensor[model->entry[i].tensor].name);
    }
    return PL_OK;
}

int pl_model_find(const pl_model *model, pl_id id)
{
    int low = 0, high = model->tensors - 1;
    while (low <= high) {
        int middle = low + (high - low) / 2, order = pl_id_compare(model->entry[middle].id, id);
        if (order == 0) return model->entry[middle].tensor;
        if (order < 0) low = middle + 1;
        else high = middle - 1;
    }
    return -1;
}
