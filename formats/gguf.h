/* gguf.h: shared by the files that read and write GGUF: key names, limits, a scanned file. */
#ifndef FORMATS_GGUF_H
#define FORMATS_GGUF_H

#include "core/fs.h"
#include "core/model.h"

/* Limits of this format, beside those of core/base.h. */
enum {
    PL_GGUF_VERSION = 3,            /* written; 2 and 3 are read */
    PL_GGUF_ALIGNMENT = 32,         /* of tensor data, unless general.alignment says otherwise */
    PL_GGUF_MIN_ALIGNMENT = 8,      /* the format's own rule */
    PL_GGUF_MAX_ALIGNMENT = 1 << 16,
    PL_GGUF_MAX_NAME = 63,          /* bytes of a tensor name */
    PL_GGUF_MAX_KEY = 1 << 10,      /* bytes of a key */
    PL_GGUF_MAX_ARRAY = 1 << 30,    /* elements of an array, bytes of a string */
    PL_GGUF_MAX_CARRIED = 1 << 26,  /* bytes of one value that is carried over as it is */
    PL_GGUF_QUANT_VERSION = 2,
    PL_GGUF_FTYPE_OTHER = 1024      /* general.file_type of a mix that has no number */
};

#define PL_GGUF_KEY_ARCH "general.architecture"
#define PL_GGUF_KEY_TYPE "general.type"
#define PL_GGUF_KEY_NAME "general.name"
#define PL_GGUF_KEY_FTYPE "general.file_type"
#define PL_GGUF_KEY_QUANT "general.quantization_version"
#define PL_GGUF_KEY_ALIGNMENT "general.alignment"
#define PL_GGUF_KEY_IMATRIX_FILE "quantize.imatrix.file"
#define PL_GGUF_KEY_IMATRIX_DATASET "quantize.imatrix.dataset"
#define PL_GGUF_KEY_IMATRIX_ENTRIES "quantize.imatrix.entries_count"
#define PL_GGUF_KEY_IMATRIX_CHUNKS "quantize.imatrix.chunks_count"
#define PL_GGUF_KEY_SPLIT_NO "split.no"
#define PL_GGUF_KEY_SPLIT_COUNT "split.count"
#define PL_GGUF_KEY_SPLIT_TENSORS "split.tensors.count"

/* Behind "<architecture>." */
#define PL_GGUF_CONTEXT "context_length"
#define PL_GGUF_HIDDEN "embedding_length"
#define PL_GGUF_LAYERS "block_count"
#define PL_GGUF_FFN "feed_forward_length"
#define PL_GGUF_HEADS "attention.head_count"
#define PL_GGUF_KV_HEADS "attention.head_count_kv"
#define PL_GGUF_NORM_EPS "attention.layer_norm_rms_epsilon"
#define PL_GGUF_KEY_LENGTH "attention.key_length"
#define PL_GGUF_VALUE_LENGTH "attention.value_length"
#define PL_GGUF_ROPE_BASE "rope.freq_base"
#define PL_GGUF_ROPE_DIM "rope.dimension_count"
#define PL_GGUF_ROPE_SCALING "rope.scaling.type"
#define PL_GGUF_ROPE_FACTOR "rope.scaling.factor"
#define PL_GGUF_ROPE_FACTOR_OLD "rope.scale_linear"
#define PL_GGUF_VOCAB_SIZE "vocab_size"

#define PL_GGUF_TOK_MODEL "tokenizer.ggml.model"
#define PL_GGUF_TOK_PRE "tokenizer.ggml.pre"
#define PL_GGUF_TOK_TOKENS "tokenizer.ggml.tokens"
#define PL_GGUF_TOK_SCORES "tokenizer.ggml.scores"
#define PL_GGUF_TOK_TYPES "tokenizer.ggml.token_type"
#define PL_GGUF_TOK_MERGES "tokenizer.ggml.merges"
#define PL_GGUF_TOK_BOS "tokenizer.ggml.bos_token_id"
#define PL_GGUF_TOK_EOS "tokenizer.ggml.eos_token_id"
#define PL_GGUF_TOK_EOT "tokenizer.ggml.eot_token_id"
#define PL_GGUF_TOK_EOM "tokenizer.ggml.eom_token_id"
#define PL_GGUF_TOK_UNK "tokenizer.ggml.unknown_token_id"
#define PL_GGUF_TOK_PAD "tokenizer.ggml.padding_token_id"
#define PL_GGUF_TOK_SEP "tokenizer.ggml.seperator_token_id"     /* the format's spelling */
#define PL_GGUF_TOK_MASK "tokenizer.ggml.mask_token_id"
#define PL_GGUF_TOK_ADD_BOS "tokenizer.ggml.add_bos_token"
#define PL_GGUF_TOK_ADD_EOS "tokenizer.ggml.add_eos_token"
#define PL_GGUF_TOK_ADD_SEP "tokenizer.ggml.add_sep_token"
#define PL_GGUF_TOK_LOWERCASE "tokenizer.ggml.normalizer.lowercase"
#define PL_GGUF_TOK_ACCENTS "tokenizer.ggml.normalizer.strip_accents"
#define PL_GGUF_TOK_PREFIX "tokenizer.ggml.add_space_prefix"
#define PL_GGUF_TOK_CHAT "tokenizer.chat_template"      /* of others: ".name" behind it */
#define PL_GGUF_TOK_CHATS "tokenizer.chat_templates"    /* their names */

/* A key of a scanned file. Scalars are at hand; strings and arrays stay in the file until somebody
 * wants them. */
typedef struct pl_gguf_kv {
    const char *key;
    uint8_t type, element;      /* pl_meta_type; element: of an array */
    bool used;                  /* a reader understood it; the others are carried to the sink */
    int64_t count;              /* elements of an array, bytes of a string */
    int64_t at, bytes;          /* place in the file of the characters or elements */
    union { uint64_t u; int64_t i; double f; } value;
} pl_gguf_kv;

typedef struct pl_gguf_info {
    const char *name;
    const pl_dtype *dtype;
    int64_t rows, cols;         /* a vector is [n][1] */
    int64_t planes;             /* matrices in it, one behind the other: 1 if it has not three dimensions */
    int64_t at, bytes;          /* place in the file; bytes: of all */
} pl_gguf_info;

typedef struct pl_gguf {
    pl_file *file;
    const char *path;           /* for messages */
    pl_gguf_kv *kv;             /* in the order of the file */
    int kvs;
    pl_gguf_kv **by_key;        /* the same, sorted */
    pl_gguf_info *info;         /* in the order of the file */
    int infos;
    int64_t alignment, data;    /* data: where tensor data begins */
} pl_gguf;

/* ---- gguf_scan.c: the container ---- */

/* Checks header, keys and tensor infos of an open file and fills *out; memory from arena. */
pl_status pl_gguf_scan(pl_file *file, pl_arena *arena, pl_gguf *out);
/* The same of one that lies inside another file: its bytes at .. at+bytes-1. Offsets in *out are those of the outer. */
pl_status pl_gguf_scan_inside(pl_file *file, int64_t at, int64_t bytes, pl_arena *arena, pl_gguf *out);
/* NULL if there is no such key. Does not mark it used. */
pl_gguf_kv *pl_gguf_find(const pl_gguf *g, const char *key);
/* Bytes of one scalar of a type; 0 for strings and arrays. */
int pl_gguf_scalar_bytes(int type);

/* Typed values; a found key is marked used. An absent one leaves *out as it is, PL_E_INPUT if
 * `required`. A wrong type or a number outside [low, high] is PL_E_INPUT, naming key and value. */
/* Any integer type; also an array of `same` integers if all are equal (same 0: no arrays). */
pl_status pl_gguf_int(const pl_gguf *g, const char *key, bool required, int64_t low, int64_t high,
                      int64_t same, int64_t *out);
pl_status pl_gguf_number(const pl_gguf *g, const char *key, bool required, double *out);
pl_status pl_gguf_bool(const pl_gguf *g, const char *key, bool *out);
pl_status pl_gguf_string(const pl_gguf *g, const char *key, bool required, pl_arena *arena,
                         const char **out);
/* Strings of an array of strings [kv->count]; they share one piece of memory. */
pl_status pl_gguf_strings(const pl_gguf *g, const pl_gguf_kv *kv, pl_arena *arena, pl_text **out);
/* Bytes of a string or of an array of scalars, with a NUL behind them. */
pl_status pl_gguf_bytes(const pl_gguf *g, const pl_gguf_kv *kv, pl_arena *arena, void **out);

/* ---- gguf_split.c: models in several files ---- */

/* The files of a model in their order; keys are those of the first. */
typedef struct pl_gguf_set {
    pl_gguf *shard;
    int shards;
} pl_gguf_set;

/* Opens and scans a file and, if it is part of a set, all the others, whichever was named. PL_E_INPUT
 * for a file that is missing, has another number than its name, or does not belong to the others. On
 * failure too the caller closes. Memory from arena. */
pl_status pl_gguf_set_open(const char *path, pl_arena *arena, pl_gguf_set *out);
void pl_gguf_set_close(pl_gguf_set *set);
/* Is the path "PREFIX-00002-of-00003.gguf"? prefix: bytes of PREFIX; no from 1. */
bool pl_gguf_shard_parse(const char *path, size_t *prefix, int *no, int *count);
/* The reverse; of `path`, the first `prefix` bytes count. */
pl_status pl_gguf_shard_name(const char *path, size_t prefix, int no, int count, char out[PATH_MAX]);

/* ---- gguf_vocab.c ---- */

/* The vocabulary, memory from arena; *out = NULL if the file has none. Tokenizer models that
 * planish does not know are PL_E_INPUT. `pre` replaces the name of the pre-tokenizer; NULL: as the file says. */
pl_status pl_gguf_vocab(const pl_gguf *g, const char *pre, pl_arena *arena, pl_vocab **out);
/* Is this a token that runtimes take as an end of generation because of its text? */
bool pl_gguf_ends_by_text(const pl_text *token);

#endif
