/* pre.h: pre-tokenizers by GGUF's names: how byte-level vocabularies cut text into words. */
#ifndef CORE_PRE_H
#define CORE_PRE_H

#include "core/status.h"

enum { PL_PRE_STAGES = 6, PL_PRE_NAMES = 16 };

/* What readers of GGUF take a vocabulary to be for its pre-tokenizer's name alone. */
enum {
    PL_PRE_WHOLE_WORDS = 1,     /* a word that is a token becomes it, whatever the merges say */
    PL_PRE_NFC = 2,             /* text is brought into normalization form C first */
    PL_PRE_ADD_BOS = 4          /* BOS in front, unless the file says otherwise */
};

typedef struct pl_pre {
    const char *name[PL_PRE_NAMES];     /* NULL behind the last */
    /* Expressions as tokenizer.json spells them, NULL behind the last. Each cuts the pieces that those
     * before it left; what it matches and what lies between the matches are pieces alike. */
    const char *stage[PL_PRE_STAGES];
    unsigned flags;
} pl_pre;

/* NULL: not known. */
const pl_pre *pl_pre_find(const char *name);
/* The row with these stages [PL_PRE_STAGES]; of several the one with these flags (but for ADD_BOS, which
 * files tell), else the first. */
const pl_pre *pl_pre_by_stages(const char *const *stage, unsigned flags);
/* The first name of each row, with commas between them, for messages. */
enum { PL_PRE_LIST = 500 };
void pl_pre_list(char out[PL_PRE_LIST]);

/* The expressions that steps of tokenizer.json without one stand for. */
#define PL_PRE_BYTE_LEVEL                                                                          \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define PL_PRE_DIGIT "\\p{N}"
#define PL_PRE_DIGITS "\\p{N}+"
#define PL_PRE_BYTE_DIGITS "[0-9]+"     /* the same where only bytes are seen any more */
#define PL_PRE_PUNCTUATION "[\\p{P}$+<=>^`|~]+"

#endif
