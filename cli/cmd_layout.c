/* cmd_layout.c: planish layout. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/opts.h"
#include "core/layout.h"
#include "core/layout_table.h"

enum { ARGUMENTS = 64, MOST_SHOWN = 65536 };

static const pl_usage usage = {
    .command = "layout",
    .arguments = "LAYOUT [OPERATION [ARGUMENT...]]",
    .summary = "Reckons with layouts: index functions as shape:stride, nested, the first mode the fastest\n"
               "(docs/layouts.md). LAYOUT is such a text, a shape alone (compact strides), a composed one\n"
               "S<bits,base,shift> o offset o layout, or a name of --list. TILER is a layout, or <L0,L1,...>\n"
               "for each mode. Operations:\n"
               "  (none)                   size, rank, the fewest modes, whether it is one to one\n"
               "  eval [I...]              places of indices or coordinates as (1,(0,2)); without any, of all\n"
               "  coalesce [modes]         the same function by the fewest modes; of each mode on its own\n"
               "  compose TILER            LAYOUT after TILER\n"
               "  complement [M]           what fills its gaps, up to M (default: its cosize)\n"
               "  inverse [right|left]     inverse function (default: right)\n"
               "  divide TILER [KIND]      cut into tiles; KIND: logical (default), zipped, tiled, flat\n"
               "  product LAYOUT [KIND]    repeated at LAYOUT's places; KIND: logical (default), blocked, raked\n"
               "  size, cosize             number of indices; largest place + 1\n"
               "  check                    exit code 1 if it is no bijection of 0 .. size-1",
    .example = "  planish layout '(6,2):(8,2)' compose '(4,3):(3,1)'\n"
               "  planish layout q4_k eval 0 1 2 3\n"
               "  planish layout 'marlin[K=64,N=128]' check",
    .most = 2 + ARGUMENTS,
};

static pl_status read_layout(const char *text, pl_composed *out)
{
    const pl_layout_row *row;
    *out = (pl_composed){ .offset = 0 };
    if (text[0] >= 'a' && text[0] <= 'z') return pl_layout_find(text, &out->layout, &row);
    return pl_composed_parse(text, out);
}

/* A layout, or several in <>. */
static pl_status read_tiler(const char *text, pl_tiler *out)
{
    pl_composed one;
    if (strchr(text, '<')) return pl_tiler_parse(text, out);
    PL_TRY(read_layout(text, &one));
    *out = (pl_tiler){ .count = 1 };
    out->mode[0] = one.layout;
    return PL_OK;
}

static pl_status read_number(const char *text, int64_t *out)
{
    pl_tuple t;
    PL_TRY(pl_tuple_parse(text, &t));
    if (t.count > 1) return pl_fail(PL_E_WISH, "'%s' should be one number", text);
    *out = t.value[0];
    return PL_OK;
}

/* Index of the word among `names`, the first if there is none. */
static pl_status read_kind(const char *text, const char *const *names, int count, int *out)
{
    for (*out = 0; text && *out < count; ++*out)
        if (!strcmp(text, names[*out])) return PL_OK;
    if (!text) return PL_OK;
    return pl_fail(PL_E_WISH, "unknown kind '%s'; see 'planish layout --help'", text);
}

static pl_status show(const pl_layout *l)
{
    char text[PL_LAYOUT_TEXT];
    pl_ui_print("%s\n", pl_layout_print(l, text));
    return PL_OK;
}

/* ---- operations; arg: NULL ends ---- */

static pl_status op_coalesce(const pl_composed *c, const char *const *arg)
{
    static const char *const kinds[] = { "all", "modes" };
    pl_layout out;
    int kind;
    PL_TRY(read_kind(arg[0], kinds, PL_COUNT(kinds), &kind));
    if (kind == 1) PL_TRY(pl_layout_coalesce_modes(&c->layout, &out));
    else pl_layout_coalesce(&c->layout, &out);
    return show(&out);
}

static pl_status op_compose(const pl_composed *c, const char *const *arg)
{
    pl_tiler tiler;
    pl_layout out;
    PL_TRY(read_tiler(arg[0], &tiler));
    PL_TRY(pl_layout_compose_tiler(&c->layout, &tiler, &out));
    return show(&out);
}

static pl_status op_complement(const pl_composed *c, const char *const *arg)
{
    int64_t m = pl_layout_cosize(&c->layout);
    pl_layout out;
    if (arg[0]) PL_TRY(read_number(arg[0], &m));
    PL_TRY(pl_layout_complement(&c->layout, m, &out));
    return show(&out);
}

static pl_status op_inverse(const pl_composed *c, const char *const *arg)
{
    static const char *const kinds[] = { "right", "left" };
    pl_layout out;
    int kind;
    PL_TRY(read_kind(arg[0], kinds, PL_COUNT(kinds), &kind));
    PL_TRY((kind ? pl_layout_left_inverse : pl_layout_right_inverse)(&c->layout, &out));
    return show(&out);
}

static pl_status op_divide(const pl_composed *c, const char *const *arg)
{
    static const char *const kinds[] = { "logical", "zipped", "tiled", "flat" };
    pl_tiler tiler;
    pl_layout out;
    int kind;
    PL_TRY(read_tiler(arg[0], &tiler));
    PL_TRY(read_kind(arg[1], kinds, PL_COUNT(kinds), &kind));
    PL_TRY(pl_layout_divide((pl_divide)kind, &c->layout, &tiler, &out));
    return show(&out);
}

static pl_status op_product(const pl_composed *c, const char *const *arg)
{
    static const char *const kinds[] = { "logical", "blocked", "raked" };
    pl_composed other;
    pl_layout out;
    int kind;
    PL_TRY(read_layout(arg[0], &other));
    PL_TRY(read_kind(arg[1], kinds, PL_COUNT(kinds), &kind));
    PL_TRY(pl_layout_product((pl_product)kind, &c->layout, &other.layout, &out));
    return show(&out);
}

static pl_status op_eval(const pl_composed *c, const char *const *arg)
{
    int64_t size = pl_layout_size(&c->layout), place;
    pl_tuple at;
    if (!arg[0] && size > MOST_SHOWN)
        return pl_fail(PL_E_WISH, "the layout has %" PRId64 " places; name the indices wanted", size);
    for (int i = 0; arg[i]; i++) {
        PL_TRY(pl_tuple_parse(arg[i], &at));
        PL_TRY(pl_layout_eval_tuple(&c->layout, &at, &place));
        pl_ui_print("%s%" PRId64, i ? " " : "", pl_swizzle_at(c->swizzle, c->offset + place));
    }
    for (int64_t i = 0; !arg[0] && i < size; i++) pl_ui_print("%s%" PRId64, i ? " " : "", pl_composed_at(c, i));
    pl_ui_print("\n");
    return PL_OK;
}

static pl_status op_size(const pl_composed *c, const char *const *arg)
{
    pl_ui_print("%" PRId64 "\n", pl_layout_size(&c->layout));
    return PL_OK;
}

static pl_status op_cosize(const pl_composed *c, const char *const *arg)
{
    pl_ui_print("%" PRId64 "\n", pl_layout_cosize(&c->layout));
    return PL_OK;
}

static pl_status one_to_one(const pl_composed *c, const char **words)
{
    bool bijective, injective;
    PL_TRY(pl_composed_bijective(c, &bijective));
    PL_TRY(pl_composed_injective(c, &injective));
    *words = bijective ? "bijective" : injective ? "injective, but not onto 0 .. size-1" : "not injective";
    return PL_OK;
}

static pl_status op_check(const pl_composed *c, const char *const *arg)
{
    const char *words;
    PL_TRY(one_to_one(c, &words));
    pl_ui_print("%s\n", words);
    return strcmp(words, "bijective") == 0 ? PL_OK : PL_E_CHECK;
}

static pl_status op_facts(const pl_composed *c, const char *const *arg)
{
    char text[PL_LAYOUT_TEXT];
    const char *words;
    pl_layout fewest;
    pl_layout_coalesce(&c->layout, &fewest);
    PL_TRY(one_to_one(c, &words));
    pl_ui_print("layout     %s\n", pl_composed_print(c, text));
    pl_ui_print("size       %" PRId64 ", cosize %" PRId64 ", rank %d, depth %d\n", pl_layout_size(&c->layout),
                pl_layout_cosize(&c->layout), pl_layout_rank(&c->layout), pl_layout_depth(&c->layout));
    pl_ui_print("coalesced  %s\n", pl_layout_print(&fewest, text));
    pl_ui_print("function   %s\n", words);
    return PL_OK;
}

static const struct {
    const char *name;
    int least, most;            /* arguments */
    bool swizzled;              /* takes composed layouts */
    pl_status (*run)(const pl_composed *c, const char *const *arg);
} operations[] = {
    { "eval", 0, ARGUMENTS, true, op_eval },
    { "coalesce", 0, 1, false, op_coalesce },
    { "compose", 1, 1, false, op_compose },
    { "complement", 0, 1, false, op_complement },
    { "inverse", 0, 1, false, op_inverse },
    { "divide", 1, 2, false, op_divide },
    { "product", 1, 2, false, op_product },
    { "size", 0, 0, true, op_size },
    { "cosize", 0, 0, false, op_cosize },
    { "check", 0, 0, true, op_check },
};

static pl_status operate(const char *const *arg)
{
    pl_composed c;
    int given = 0;
    PL_TRY(read_layout(arg[0], &c));
    if (!arg[1]) return op_facts(&c, arg + 1);
    while (arg[2 + given]) given++;
    for (int i = 0; i < PL_COUNT(operations); i++) {
        if (strcmp(arg[1], operations[i].name) != 0) continue;
        if (given < operations[i].least || given > operations[i].most)
            return pl_fail(PL_E_WISH, "'%s' takes %d to %d arguments, not %d; see 'planish layout --help'", arg[1],
                           operations[i].least, operations[i].most, given);
        if (!operations[i].swizzled && (c.swizzle.bits || c.offset))
            return pl_fail(PL_E_WISH, "'%s' takes a layout without swizzle and offset", arg[1]);
        return operations[i].run(&c, arg + 2);
    }
    return pl_fail(PL_E_WISH, "unknown operation '%s'; see 'planish layout --help'", arg[1]);
}

static pl_status list(void)
{
    const pl_layout_row *row;
    pl_table *table;
    PL_TRY(pl_table_create(4, (const bool[]){ false, true, false, false }, &table));
    pl_status code = pl_table_row(table, (const char *const[]){ "name", "bits", "layout", "what" });
    for (int i = 0; code == PL_OK && (row = pl_layout_row_at(i)); i++) {
        char name[48], bits[12] = "";
        int used = snprintf(name, sizeof name, "%s", row->name);
        for (int k = 0; k < PL_LAYOUT_NAMES && row->names[k]; k++)
            used += snprintf(name + used, sizeof name - (size_t)used, "%s%s=", k ? "," : "[", row->names[k]);
        if (row->names[0]) snprintf(name + used, sizeof name - (size_t)used, "]");
        if (row->bits) snprintf(bits, sizeof bits, "%d", row->bits);
        code = pl_table_row(table, (const char *const[]){ name, bits, row->text, row->what });
    }
    if (code == PL_OK) pl_table_print(table);
    pl_table_destroy(table);
    return code;
}

static pl_status run(int argc, const char **argv)
{
    const char *arg[2 + ARGUMENTS + 1] = { NULL };
    bool all = false, help;
    const pl_opt opts[] = {
        { "list", 0, PL_OPT_FLAG, &all, NULL, "show the layouts that have names: the orders of packed formats", 0, 0, NULL },
    };
    PL_TRY(pl_opts_parse(argc, argv, &usage, opts, PL_COUNT(opts), arg, &help));
    if (help) return PL_OK;
    if (all) return list();
    if (!arg[0])
        return pl_fail(PL_E_WISH, "an argument is missing; usage: planish %s %s", usage.command, usage.arguments);
    pl_status code = operate(arg);
    return code == PL_E_INPUT ? PL_E_WISH : code;      /* what is bad was typed */
}

const pl_command pl_cmd_layout = { "layout", "reckon with the orders of packed elements", run };
