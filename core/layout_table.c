/* layout_table.c: the orders of packed formats as data. */
#include "core/layout_table.h"

#include <stdio.h>
#include <string.h>

#include "core/dtype.h"

#define NIBBLES_32 "(2,16):(16,1)"
#define NIBBLES_64 "(2,32,4):(32,1,64)"
#define PAIRS "(4,32,2):(32,1,128)"
#define BITS "(8,32):(32,1)"

static const pl_layout_row rows[] = {
    { "q4_0", NIBBLES_32, { 0 }, 4, PL_Q4_0, 2, 0, false, "32 codes, the first half in low nibbles" },
    { "q4_1", NIBBLES_32, { 0 }, 4, PL_Q4_1, 4, 0, false, "as q4_0" },
    { "q5_0", NIBBLES_32, { 0 }, 4, PL_Q5_0, 6, 0, false, "as q4_0" },
    { "q5_0.high", "32:1", { 0 }, 1, PL_Q5_0, 2, 4, false, "fifth bits" },
    { "q5_1", NIBBLES_32, { 0 }, 4, PL_Q5_1, 8, 0, false, "as q4_0" },
    { "q5_1.high", "32:1", { 0 }, 1, PL_Q5_1, 4, 4, false, "fifth bits" },
    { "q8_0", "32:1", { 0 }, 8, PL_Q8_0, 2, 0, false, "bytes in order" },
    { "q2_k", PAIRS, { 0 }, 2, PL_Q2_K, 16, 0, false, "256 codes, four that are 32 apart in a byte" },
    { "q3_k", PAIRS, { 0 }, 2, PL_Q3_K, 32, 0, false, "as q2_k" },
    { "q3_k.high", BITS, { 0 }, 1, PL_Q3_K, 0, 2, false, "third bits, eight that are 32 apart in a byte" },
    { "q4_k", NIBBLES_64, { 0 }, 4, PL_Q4_K, 16, 0, false, "four groups of 32 low and 32 high nibbles" },
    { "q5_k", NIBBLES_64, { 0 }, 4, PL_Q5_K, 48, 0, false, "as q4_k" },
    { "q5_k.high", BITS, { 0 }, 1, PL_Q5_K, 16, 4, false, "fifth bits, eight that are 32 apart in a byte" },
    { "q6_k", "(2,32,2,2):(64,1,32,128)", { 0 }, 4, PL_Q6_K, 0, 0, false, "two groups of 64 low and 64 high nibbles" },
    { "q6_k.high", PAIRS, { 0 }, 2, PL_Q6_K, 128, 4, false, "upper two bits, as q2_k" },
    { "iq4_nl", NIBBLES_32, { 0 }, 4, PL_IQ4_NL, 2, 0, false, "as q4_0" },
    { "iq4_xs", "(2,16,8):(16,1,32)", { 0 }, 4, PL_IQ4_XS, 8, 0, false, "as q4_0, eight times" },
    { "tq2_0", PAIRS, { 0 }, 2, PL_TQ2_0, 0, 0, false, "as q2_k" },
    { "mxfp4", NIBBLES_32, { 0 }, 4, PL_MXFP4, 1, 0, false, "as q4_0" },
    { "nvfp4", "(2,8,4):(8,1,16)", { 0 }, 4, PL_NVFP4, 4, 0, false,
      "64 codes, four groups of 8 low and 8 high nibbles" },
    { "q1_0", "128:1", { 0 }, 1, PL_Q1_0, 2, 0, false, "bits in order" },
    { "q2_0", "64:1", { 0 }, 2, PL_Q2_0, 2, 0, false, "pairs of bits in order" },
    { "words", "n:1", { "n" }, 0, -1, 0, 0, false, "MLX, compressed-tensors, GPTQ: a stream of n codes in order" },
    { "awq", "(4,2):(2,1)", { 0 }, 4, -1, 0, 0, false, "AWQ gemm: the eight codes of a word" },
    { "rope", "(2,h/2):(h/2,1)", { "h" }, 0, -1, 0, 0, false, "rows of a head of h in llama's GGUF order" },
    { "marlin.tile", "((2,2,2),4,(4,8)):((128,8,16),256,(32,1))", { 0 }, 4, -1, 0, 0, false,
      "Marlin: a tile of 16 x 64 given as four of 16 x 16" },
    { "marlin", "(((2,2,2),4,(4,8)),N/64,K/16):(((8N,8,N),16,(2N,1)),64,16N)", { "K", "N" }, 4, -1, 0, 0, false,
      "Marlin: a K x N matrix, K a multiple of 16, N of 64" },
    { "scales.k", "((32,4),(V,4)):((16,4),(0,1))", { "V" }, 8, -1, 0, 0, false,
      "Blackwell's scales: (row, column) of 128 x 4 blocks of V to one of 512 scales" },
    { "q4_0.rows", "(2,b,R,16/b):(16,1,ld,b)", { "b", "R", "ld" }, 4, -1, 0, 0, false,
      "llama.cpp's repack of Q4_0: R rows ld apart, b bytes of each in turn" },
    { "q8_0.rows", "(b,R,32/b):(1,ld,b)", { "b", "R", "ld" }, 8, -1, 0, 0, false, "the same of Q8_0" },
    { "i2_s", "(4,32):(32,1)", { 0 }, 2, -1, 0, 0, true, "bitnet.cpp, x86: 128 codes, high bits first" },
    { "i2_s.arm", "(4,16):(16,1)", { 0 }, 2, -1, 0, 0, true, "bitnet.cpp, ARM: 64 codes, high bits first" },
    { "i2_s.rows", "(4,n):(ld,1)", { "n", "ld" }, 2, -1, 0, 0, true,
      "bitnet.cpp: n columns of four rows, high bits first" },
};

const pl_layout_row *pl_layout_row_at(int i) { return i < PL_COUNT(rows) ? &rows[i] : NULL; }

static const pl_layout_row *row_of(const char *name, size_t len)
{
    for (int i = 0; i < PL_COUNT(rows); i++)
        if (strlen(rows[i].name) == len && !strncmp(rows[i].name, name, len)) return &rows[i];
    return NULL;
}

/* "K=64" and so on up to a bracket. */
static pl_status numbers(const char *text, const char *at, const pl_layout_row *row, pl_layout_name *names)
{
    bool known[PL_LAYOUT_NAMES] = { false };
    int wanted = 0;
    for (; wanted < PL_LAYOUT_NAMES && row->names[wanted]; wanted++) names[wanted].name = row->names[wanted];
    while (*at && *at != ']') {
        pl_tuple value;
        char number[24];
        int i = 0;
        size_t len = strcspn(at, "="), digits = at[len] ? strcspn(at + len + 1, ",]") : 0;
        while (i < wanted && (strlen(names[i].name) != len || strncmp(names[i].name, at, len))) i++;
        if (i == wanted || known[i] || digits == 0 || digits >= sizeof number)
            return pl_fail(PL_E_INPUT, "'%.100s': expected a number of '%s', as in [K=64,N=128], at '%.20s'", text,
                           row->name, at);
        snprintf(number, sizeof number, "%.*s", (int)digits, at + len + 1);
        PL_TRY(pl_tuple_parse(number, &value));
        names[i].value = value.value[0];
        known[i] = true;
        at += len + 1 + digits;
        if (*at == ',') at++;
    }
    if (*at && at[1]) return pl_fail(PL_E_INPUT, "'%.100s' goes on behind its bracket", text);
    for (int i = 0; i < wanted; i++)
        if (!known[i])
            return pl_fail(PL_E_INPUT, "'%.100s': '%s' needs a number %s in brackets, as in [K=64,N=128]", text,
                           row->name, names[i].name);
    return PL_OK;
}

pl_status pl_layout_find(const char *text, pl_layout *out, const pl_layout_row **row)
{
    size_t len = strcspn(text, "["), all = strlen(text);
    const pl_layout_row *found = row_of(text, len);
    pl_layout_name names[PL_LAYOUT_NAMES] = { { NULL, 0 } };
    int count = 0;
    if (!found || (text[len] && text[all - 1] != ']'))
        return pl_fail(PL_E_INPUT, "no layout has the name '%.100s'", text);
    PL_TRY(numbers(text, text + len + (text[len] == '['), found, names));
    while (count < PL_LAYOUT_NAMES && names[count].name) count++;
    PL_TRY(pl_layout_parse_names(found->text, names, count, out));
    *row = found;
    return PL_OK;
}
