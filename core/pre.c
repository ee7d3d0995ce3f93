/* pre.c: the table of pre-tokenizers. */
#include "core/pre.h"

#include <string.h>

#define SUFFIXES "'s|'t|'re|'ve|'m|'ll|'d"
#define SPACES "\\s+(?!\\S)|\\s+"
#define LINES "\\s*[\\r\\n]+|" SPACES
#define LETTERS "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
#define SIGNS " ?[^\\s\\p{L}\\p{N}]+"

/* Words with their marks and suffixes, digits as given: one by one or three at a time. */
#define WORDS(digits) "(?i:" SUFFIXES ")|" LETTERS "|" digits "|" SIGNS "[\\r\\n]*|" LINES
/* A word changes where a lower-case letter is followed by an upper-case one. */
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASED(suffix, digits)                                                                      \
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" suffix "|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER    \
    "*" suffix "|" digits "|" SIGNS "[\\r\\n/]*|" LINES

#define LLAMA3 { WORDS("\\p{N}{1,3}") }
#define QWEN2 { WORDS("\\p{N}") }
#define GPT4O { CASED("(?i:" SUFFIXES ")?", "\\p{N}{1,3}") }
#define BLOOM " ?[^(\\s|.,!?…。，、।۔،)]+"
#define BAILING(digits)                                                                            \
    "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|" digits "| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|"  \
    "\\s*[\\r\\n]|" SPACES

/* Letters that have a case, as listed by DeepSeek. */
#define CASED_LETTERS                                                                              \
    "A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ" \
    "-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ" \
    "-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎ" \
    "ꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃"
#define CJK "[一-龥ࠀ-一가-퟿]+"

/* A folder is taken for the first row with its stages and flags, under the row's first name. */
static const pl_pre table[] = {
    { { "gpt-2", "phi-2", "jina-es", "jina-de", "jina-v1-en", "jina-v2-es", "jina-v2-de", "jina-v2-code",
        "roberta-bpe", "gigachat", "a.x-4.0", "mellum", "jais", "trillion", "granite-docling", "exaone4" },
      { PL_PRE_BYTE_LEVEL }, 0 },
    { { "olmo", "mpt", "modern-bert" }, { PL_PRE_BYTE_LEVEL }, PL_PRE_NFC },
    { { "smollm", "starcoder", "refact", "codeshell", "exaone", "minerva-7b", "mellum2" },
      { PL_PRE_DIGIT, PL_PRE_BYTE_LEVEL }, 0 },
    { { "command-r" }, { PL_PRE_DIGIT, PL_PRE_BYTE_LEVEL }, PL_PRE_NFC },
    { { "llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano" },
      LLAMA3, PL_PRE_WHOLE_WORDS | PL_PRE_ADD_BOS },
    { { "dbrx", "smaug-bpe", "chatglm-bpe" }, LLAMA3, 0 },
    { { "dbrx" }, { BAILING("\\p{N}{1,3}") }, 0 },
    { { "glm4", "glm5" }, LLAMA3, PL_PRE_WHOLE_WORDS },
    { { "qwen2", "deepseek-r1-qwen", "stablelm2", "megrez", "kormo", "f2llmv2" }, QWEN2, PL_PRE_NFC },
    { { "hunyuan", "solar-open", "grok-2" }, QWEN2, 0 },
    { { "qwen35" },
      { "(?i:" SUFFIXES ")|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" LINES },
      PL_PRE_NFC },
    { { "gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2" }, GPT4O, 0 },
    { { "granite-embed-multi-97m" }, GPT4O, PL_PRE_WHOLE_WORDS },
    { { "tekken" }, { CASED("", "\\p{N}") }, PL_PRE_WHOLE_WORDS | PL_PRE_ADD_BOS },
    { { "deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4" },
      { "\\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+",
        "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|"
        " ?[\\p{P}\\p{S}]+[\\r\\n]*|" LINES }, 0 },
    { { "deepseek-coder" }, { "[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", CJK, PL_PRE_DIGIT }, 0 },
    { { "deepseek-llm" },
      { "[\\r\\n]", "\\s?[" CASED_LETTERS "]+", "\\s?[!-/:-~！-／：-～‘-‟\xE3\x80\x80-。]+", "\\s+$", CJK,
        PL_PRE_DIGIT }, 0 },
    { { "falcon" }, { PL_PRE_PUNCTUATION, PL_PRE_BYTE_LEVEL, PL_PRE_BYTE_DIGITS, "[0-9][0-9][0-9]" }, 0 },
    { { "bloom", "poro-chat", "gpt3-finnish" }, { BLOOM }, 0 },
    { { "viking" }, { BLOOM, PL_PRE_DIGIT }, 0 },
    { { "bailingmoe", "bailingmoe2", "llada-moe" }, { BAILING("\\p{N}") }, 0 },
    { { "seed-coder" }, { "(?i:" SUFFIXES ")|" LETTERS "|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|" LINES }, 0 },
    { { "exaone-moe" },
      { "(?i:" SUFFIXES ")|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}|" SIGNS "[\\r\\n/]?|"
        "\\s*[\\r\\n]|" SPACES }, 0 },
    { { "jais-2" },
      { "(?i:" SUFFIXES ")|" LETTERS "|\\p{N}{1,3}|" SIGNS "[\\r\\n]*|\\s*[\\r\\n]+|\\s{512}(?!\\S)|"
        "\\s{256}(?!\\S)|\\s{128}(?!\\S)|\\s{64}(?!\\S)|\\s{32}(?!\\S)|\\s{16}(?!\\S)|\\s{8}(?!\\S)|"
        "\\s{4}(?!\\S)|\\s{1,2}(?!\\S)|\\s{1}" }, 0 },
    { { "minicpm5" }, { "\\p{N}{1,3}", WORDS("\\p{N}+") }, PL_PRE_WHOLE_WORDS },
    { { "laguna" }, { "[^\\n]+|[\\n]+", WORDS("\\p{N}") }, 0 },
    { { "ufakzeka" }, { LETTERS "|\\p{N}|" SIGNS "[\\r\\n]*|" LINES }, 0 },
    { { "default" }, { "[\\p{P}$+<=>^~|]+", PL_PRE_BYTE_LEVEL, PL_PRE_DIGITS, "[0-9][0-9][0-9]" }, 0 },
};

const pl_pre *pl_pre_find(const char *name)
{
    for (int i = 0; i < PL_COUNT(table); i++)
        for (int k = 0; k < PL_PRE_NAMES && table[i].name[k]; k++)
            if (!strcmp(table[i].name[k], name)) return &table[i];
    return NULL;
}

/* The next character of an expression; some files hold line ends instead of \r and \n. */
static int next_char(const char **at)
{
    unsigned char c = (unsigned char)*(*at)++;
    if (c != '\\' || (**at != 'r' && **at != 'n')) return c;
    return *(*at)++ == 'r' ? '\r' : '\n';
}

static bool same_expression(const char *a, const char *b)
{
    if (!a || !b) return a == b;
    for (;;) {
        int c = next_char(&a);
        if (c != next_char(&b)) return false;
        if (!c) return true;
    }
}

static bool same_stages(const pl_pre *row, const char *const *stage)
{
    for (int i = 0; i < PL_PRE_STAGES; i++)
        if (!same_expression(row->stage[i], stage[i])) return false;
    return true;
}

const pl_pre *pl_pre_by_stages(const char *const *stage, unsigned flags)
{
    const pl_pre *first = NULL;
    for (int i = 0; i < PL_COUNT(table); i++) {
        if (!same_stages(&table[i], stage)) continue;
        if ((table[i].flags & ~PL_PRE_ADD_BOS) == flags) return &table[i];
        if (!first) first = &table[i];
    }
    return first;
}

void pl_pre_list(char out[PL_PRE_LIST])
{
    size_t at = 0;
    out[0] = 0;
    for (int i = 0; i < PL_COUNT(table); i++) {
        const char *name = table[i].name[0];
        size_t len = strlen(name);
        if (pl_pre_find(name) != &table[i] || at + len + 3 > PL_PRE_LIST) continue;
        if (at) memcpy(out + at, ", ", 2), at += 2;
        memcpy(out + at, name, len + 1);
        at += len;
    }
}
