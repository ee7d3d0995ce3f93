/* hf_rules.h: what tokenizer.json says about text besides its tokens: normalizer, pre-tokenizer, frame. */
#ifndef FORMATS_HF_RULES_H
#define FORMATS_HF_RULES_H

#include "core/json.h"
#include "core/vocab.h"

typedef struct pl_hf_rules {
    pl_vocab_kind kind;
    const char *pre;                    /* these as in pl_vocab */
    bool add_space_prefix, prefix_first, prefix_unspaced;
    bool whole_words, nfc, lowercase, strip_accents;
    bool framed;                        /* the post-processor says what stands around a text: */
    const char *first, *last;           /* special tokens, NULL: none; into the document */
    bool plain_ends;                    /* the post-processor is there, but puts nothing around a text */
} pl_hf_rules;

/* From the parsed tokenizer.json. `pre` is the pre-tokenizer to take a byte-level vocabulary's for (GGUF's
 * names), NULL: the one that the file's expressions are known as. What would give other ids than we can is
 * PL_E_INPUT and named; what makes a difference in corners only is a warning. */
pl_status pl_hf_rules_read(const pl_json *doc, const char *pre, const char *origin, pl_hf_rules *out);

#endif
