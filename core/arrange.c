/* arrange.c: the table of layouts that packs are written in. */
#include "core/arrange.h"

#include <stdio.h>
#include <string.h>

/* One part of matrices of one kind, [N][K], with G scales in a row and L bytes of the part in a row.
 *
 * marlin: the tiles of Marlin's kernels, 16 columns x 64 rows, and their order of scales; for codes of 8 bits that of
 *   the kernels that came after it. (arXiv 2408.11743, and the code that goes with it.)
 * rows4, rows8: blocks of 4 or 8 rows side by side, first their scales, then 4 or 8 bytes of codes of each in turn, as
 *   llama.cpp's CPU kernels repack them at run time (block_q4_0x4, block_q4_0x8 ...), codes of Q4_0 as two's
 * complement. nvfp4-atom: what the tensor cores of NVIDIA's Blackwell take: codes row by row, then the scales in atoms
 * of 128 rows x 4 blocks; of types that keep scales apart only these move.
 *
 * A field's text says which element of the original is stored at place p; see docs/layouts.md. */
typedef struct form {
    const char *name;
    int element;                            /* of matrices of plain blocks: their dtype; -1: see takes */
    bool (*takes)(const pl_packed *p);
    int role;                               /* of the part */
    int32_t band, step;                     /* rows and columns come in multiples of these */
    int32_t unit;                           /* bytes; 0: all is one unit */
    struct {
        int bits;                           /* 0: those of the part's numbers */
        int flip, from;
        const char *order, *pieces;         /* of neighbouring rows; NULL: one */
    } field[2];
} form;

static bool whole_numbers(const pl_packed *p, int bits)
{
    const pl_type *t = &p->type;
    return t->scheme == &pl_scheme_ints && t->symmetric && t->bits == bits && (!t->group || p->cols % t->group == 0);
}

static bool int4(const pl_packed *p) { return whole_numbers(p, 4); }
static bool int8(const pl_packed *p) { return whole_numbers(p, 8); }
static bool one_scale(const pl_packed *p) { return (int4(p) || int8(p)) && pl_packed_groups(p) == 1; }
static bool many_scales(const pl_packed *p) { return (int4(p) || int8(p)) && pl_packed_groups(p) > 1; }

/* Codes in one part, a scale of one byte for every few columns in another. */
static bool micro(const pl_packed *p)
{
    const pl_type *t = &p->type;
    return t->scheme == &pl_scheme_scaled && t->group_rows == 1 && t->scale->bytes == 1 && t->group > 0 &&
           p->cols % t->group == 0 && pl_packed_groups(p) % 4 == 0;
}

static const form forms[] = {
    { "marlin", -1, int4, PL_CODES, 64, 16, 0,
      { { 4, 0, 0, "(((2,2,2),4,(4,8)),N/64,K/16):(((8,8K,1),16K,(2,K)),64K,16)", "K/16" } } },
    { "marlin", -1, int8, PL_CODES, 64, 16, 0,
      { { 8, 0, 0, "(((2,2,2),4,(4,8)),N/64,K/16):(((8,1,8K),16K,(2,K)),64K,16)", "K/16" } } },
    { "marlin", -1, many_scales, PL_SCALES, 64, 1, 0, { { 0, 0, 0, "(8,8,N/64,G):(8G,G,64G,1)", "G" } } },
    { "marlin", -1, one_scale, PL_SCALES, 64, 1, 0, { { 0, 0, 0, "(2,4,4,N/32):(1,8,2,32)", NULL } } },
    { "rows4", PL_Q4_0, NULL, PL_CODES, 4, 1, 4 * 18,
      { { 8, 0, 0, "(2,4,K/32,N/4):(1,L,18,4L)", NULL }, { 8, 0x88, 2, "(4,4,4,K/32,N/4):(1,L,4,18,4L)", NULL } } },
    { "rows4", PL_IQ4_NL, NULL, PL_CODES, 4, 1, 4 * 18,
      { { 8, 0, 0, "(2,4,K/32,N/4):(1,L,18,4L)", NULL }, { 8, 0, 2, "(4,4,4,K/32,N/4):(1,L,4,18,4L)", NULL } } },
    { "rows4", PL_Q8_0, NULL, PL_CODES, 4, 1, 4 * 34,
      { { 8, 0, 0, "(2,4,K/32,N/4):(1,L,34,4L)", NULL }, { 8, 0, 2, "(4,4,8,K/32,N/4):(1,L,4,34,4L)", NULL } } },
    { "rows4", PL_MXFP4, NULL, PL_CODES, 4, 1, 4 * 17,
      { { 8, 0, 0, "(4,K/32,N/4):(L,17,4L)", NULL }, { 8, 0, 1, "(4,4,4,K/32,N/4):(1,L,4,17,4L)", NULL } } },
    { "rows8", PL_Q4_0, NULL, PL_CODES, 8, 1, 8 * 18,
      { { 8, 0, 0, "(2,8,K/32,N/8):(1,L,18,8L)", NULL }, { 8, 0x88, 2, "(8,8,2,K/32,N/8):(1,L,8,18,8L)", NULL } } },
    { "rows8", PL_IQ4_NL, NULL, PL_CODES, 8, 1, 8 * 18,
      { { 8, 0, 0, "(2,8,K/32,N/8):(1,L,18,8L)", NULL }, { 8, 0, 2, "(8,8,2,K/32,N/8):(1,L,8,18,8L)", NULL } } },
    { "rows8", PL_Q8_0, NULL, PL_CODES, 8, 1, 8 * 34,
      { { 8, 0, 0, "(2,8,K/32,N/8):(1,L,34,8L)", NULL }, { 8, 0, 2, "(8,8,4,K/32,N/8):(1,L,8,34,8L)", NULL } } },
    { "rows8", PL_MXFP4, NULL, PL_CODES, 8, 1, 8 * 17,
      { { 8, 0, 0, "(8,K/32,N/8):(L,17,8L)", NULL }, { 8, 0, 1, "(8,8,2,K/32,N/8):(1,L,8,17,8L)", NULL } } },
    { "nvfp4-atom", PL_NVFP4, NULL, PL_CODES, 128, 64, 0,
      { { 4, 0, 4, "(8,2,4,K/64,N):(2,1,16,72,2L)", NULL },
        { 8, 0, 0, "(4,4,32,K/64,N/128):(1,32L,L,36,128L)", NULL } } },
    { "nvfp4-atom", PL_MXFP4, NULL, PL_CODES, 128, 128, 0,
      { { 4, 0, 1, "(16,2,K/32,N):(2,1,34,2L)", NULL },
        { 8, 0, 0, "(4,4,32,K/128,N/128):(17,32L,L,68,128L)", NULL } } },
    { "nvfp4-atom", -1, micro, PL_SCALES, 128, 1, 0,
      { { 8, 0, 0, "(4,4,32,G/4,N/128):(1,32G,G,4,128G)", NULL } } },
};

const char *pl_arrange_list(void) { return "marlin, rows4, rows8, nvfp4-atom"; }

bool pl_arrange_known(const char *name)
{
    for (int i = 0; i < PL_COUNT(forms); i++)
        if (!strcmp(forms[i].name, name)) return true;
    return false;
}

/* Is this row about such matrices? */
static bool about(const form *f, const char *name, const pl_packed *p)
{
    if (strcmp(f->name, name)) return false;
    if (f->element < 0) return f->takes(p);
    return p->type.element == &pl_dtypes[f->element] && p->granule == 1;
}

static const form *form_of(const char *name, const pl_packed *p, int role)
{
    for (int i = 0; i < PL_COUNT(forms); i++)
        if (about(&forms[i], name, p) && forms[i].role == role) return &forms[i];
    return NULL;
}

int32_t pl_arrange_band(const char *name, const pl_packed *p)
{
    int32_t band = 0;
    for (int i = 0; i < p->nparts; i++) {
        const form *f = form_of(name, p, p->part[i].role);
        if (!f) continue;
        if (p->rows % f->band || p->cols % f->step) return 0;
        band = f->band > band ? f->band : band;
    }
    return band;
}

pl_status pl_arrange_part(const char *name, const pl_packed *p, int part, pl_arrangement *out)
{
    const pl_part *from = &p->part[part];
    const form *f = form_of(name, p, from->role);
    *out = (pl_arrangement){ .name = name };
    if (!f || !p->rows) return PL_OK;
    const pl_layout_name names[] = { { "N", p->rows }, { "K", p->cols }, { "L", from->stride },
                                     { "G", p->nparts > 1 ? pl_packed_groups(p) : 0 } };
    out->bytes = from->bytes;
    out->unit = f->unit ? f->unit : from->bytes;
    for (int i = 0; i < PL_COUNT(f->field) && f->field[i].order; i++) {
        pl_field *to = &out->field[out->fields++];
        const char *apart = f->field[i].pieces;
        pl_layout pieces;
        to->bits = f->field[i].bits ? f->field[i].bits : from->dtype->bytes * 8;
        to->flip = f->field[i].flip;
        to->from = f->field[i].from;
        PL_TRY(pl_layout_parse_names(f->field[i].order, names, PL_COUNT(names), &to->order));
        PL_TRY(pl_layout_parse_names(apart ? apart : "1", names, PL_COUNT(names), &pieces));
        to->pieces = pieces.shape.value[0];
    }
    return PL_OK;
}
