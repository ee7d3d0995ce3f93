/* recipe.h: the user's wish: a mix or one storage type for every matrix, and rules that override it.
 * docs/recipe.md describes the JSON. */
#ifndef CORE_RECIPE_H
#define CORE_RECIPE_H

#include "core/mix.h"
#include "core/text.h"

typedef struct pl_rule {
    int role;                   /* -1: any */
    int first_layer, last_layer;/* inclusive; -1 .. INT_MAX when not given: tensors of no layer too */
    const char *name;           /* shell pattern on the source's tensor name; NULL: any */
    pl_regex *regex;            /* on the source's or the sink's tensor name; NULL: any */
    const char *expression;     /* what regex was made of */
    pl_type type;               /* scheme NULL: the default */
    const char *method;         /* NULL: the default */
    int used;                   /* how many tensors it matched, counted by the plan */
} pl_rule;

typedef struct pl_recipe {
    pl_type type;               /* of every matrix no rule speaks of; of a mix the base */
    const pl_mix *mix;          /* NULL: `type` for all */
    bool pure;                  /* `type` for all in spite of the mix, which still names the file */
    const char *method;         /* NULL: chosen by the plan */
    const char *encoder;        /* method of matrices that get new bytes: "best", "rtn"; NULL: rtn */
    const pl_type *choice;      /* [model's tensors] before type and mix, behind the rules; scheme NULL: no choice. Or
                                 * NULL */
    pl_rule *rule;              /* the first that matches decides */
    int rules;
    int kept;                   /* of these, at the front, made by pl_recipe_keep */
} pl_recipe;

/* Sets type and mix by a name: a mix if llama-quantize has one of that name, else a storage type. PL_E_WISH lists
 * the names there are. */
pl_status pl_recipe_wish(pl_recipe *recipe, const char *name);
/* Takes the rules of a recipe file (and its type and method, unless they are set). Memory from
 * arena. Unknown keys, roles, types are PL_E_WISH: a typing error must not change a model silently. */
pl_status pl_recipe_load(const char *path, pl_recipe *recipe, pl_arena *arena);
/* Puts a rule in front of all others for each of the wishes "REGEX=TYPE", in their order. Once; the recipe must be
 * released then, even after an error. Memory from arena. PL_E_WISH if there is no '=', no such type, or the
 * expression does not compile. */
pl_status pl_recipe_keep(pl_recipe *recipe, const char *const *wishes, int count, pl_arena *arena);
/* Frees the expressions. */
void pl_recipe_release(pl_recipe *recipe);
/* First rule for this tensor, *out is NULL if none. name: as the sink calls it; used if kept is not 0. PL_E_WISH when
 * an expression gives up. */
pl_status pl_recipe_match(pl_recipe *recipe, const pl_tensor *t, const char *name, pl_rule **out);

#endif
