/* fuzz.h: what fuzz targets share. A target takes one input, which may stand for several files, and
 * breaks off the process if anything happens but success or a proper refusal. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include "core/source.h"

/* Files of one input; FUZZ_CUT stands between them. */
#define FUZZ_CUT "\n>>>>>>\n"
enum { FUZZ_PARTS = 6, FUZZ_BYTES = 1 << 20 };

typedef struct fuzz_part { const uint8_t *data; size_t len; } fuzz_part;

typedef struct fuzz_target {
    const char *name;
    /* What each part is, the last letter for all others too: j JSON, s safetensors, g GGUF, t anything. */
    const char *kinds;
    void (*run)(const fuzz_part *part, int parts);
} fuzz_target;

extern const fuzz_target fuzz_json, fuzz_recipe, fuzz_safetensors, fuzz_index, fuzz_config, fuzz_tokenizer,
    fuzz_sp_model, fuzz_gguf, fuzz_split, fuzz_folder, fuzz_imatrix, fuzz_layout, fuzz_pack;

/* All of them and "memory", NULL ends. An input of "memory" begins with two bytes, which allocation
 * fails, and one, for which of the first ten. */
extern const fuzz_target *const fuzz_targets[];
const fuzz_target *fuzz_find(const char *name);
int fuzz_split_parts(const uint8_t *data, size_t len, fuzz_part part[FUZZ_PARTS]);

/* One input. Beyond what the target checks: no memory is left behind, and at no time does the heap hold
 * more than FUZZ_SPARE bytes and the input (where a sanitizer counts it). */
enum { FUZZ_SPARE = 64 << 20 };
void fuzz_run(const fuzz_target *target, const uint8_t *data, size_t len);

/* ---- for targets ---- */

/* Path of a file in the process's own folder, valid for three further calls. */
const char *fuzz_path(const char *name);
const char *fuzz_folder_path(void);
/* The file with the content of a part; without a part it is not there. Returns its path. */
const char *fuzz_file(const char *name, const fuzz_part *part);
/* Part `i` if there are so many. */
static inline const fuzz_part *fuzz_part_at(const fuzz_part *part, int parts, int i)
{
    return i < parts ? &part[i] : NULL;
}

/* True if the call failed. A failure must be a refusal of the input, with a sentence. */
bool fuzz_refused(pl_status code);
#define fuzz_check(condition) ((condition) ? (void)0 : fuzz_die(__FILE__, __LINE__, #condition))
_Noreturn void fuzz_die(const char *file, int line, const char *what);
/* A call that must succeed, as long as no allocation fails; true if it did. */
#define fuzz_must(call) fuzz_succeeded(call, __FILE__, __LINE__)
bool fuzz_succeeded(pl_status code, const char *file, int line);

/* Does to an open model what the program would do: reads every row, reads text by the vocabulary, writes
 * it as GGUF and opens what was written. Closes it. */
void fuzz_use_model(pl_source *s);
/* Builds the tokenizer, reads text with it. */
void fuzz_use_vocab(const pl_vocab *vocab, const fuzz_part *text);

#endif
