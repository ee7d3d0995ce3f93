/* hf_meta.h: what a Hugging Face folder says about its model for people. */
#ifndef FORMATS_HF_META_H
#define FORMATS_HF_META_H

#include "core/json.h"
#include "core/model.h"

/* Fills model->name and model->meta (general.name, .organization, .finetune, .basename, .version,
 * .size_label, .license*, .base_model.*, .dataset.*, .tags, .languages, .sampling.*) as llama.cpp's
 * converter does: from the front matter of README.md, `_name_or_path` of config.json, the folder's name,
 * generation_config.json, model->parameters and its tensors. Front matter beyond plain values and lists
 * of them is passed over. Memory from arena. */
pl_status pl_hf_meta_read(const char *folder, const pl_json *config, pl_arena *arena,
                          pl_model *model);

#endif
