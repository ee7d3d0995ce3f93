/* recipe.h: the user's wish: one storage type for every matrix and rules that override it.
 * docs/recipe.md describes the JSON. */
#ifndef CORE_RECIPE_H
#define CORE_RECIPE_H

#include "core/tensor.h"

typedef struct pl_rule {
    int role;                   /* -1: any */
    int first_layer, last_layer;/* inclusive; -1 .. INT_MAX when not given: tensors of no layer too */
    const char *name;           /* shell pattern on the source's tensor name; NULL: any */
    pl_type type;               /* scheme NULL: the default */
    const char *method;         /* NULL: the default */
    int used;                   /* how many tensors it matched, counted by the plan */
} pl_rule;

typedef struct pl_recipe {
    pl_type type;               /* of every matrix no rule speaks of */
    const char *method;         /* NULL: chosen by the plan */
    const char *encoder;        /* method of matrices that get new bytes: "best", "rtn"; NULL: rtn */
    const pl_type *choice;      /* [model's tensors] before `type`, behind the rules; scheme NULL: none. NULL: none */
    pl_rule *rule;              /* the first that matches decides */
    int rules;
} pl_recipe;

/* Takes the rules of a recipe file (and its type and method, unless they are set). Memory from
 * arena. Unknown keys, roles, types are PL_E_WISH: a typing error must not change a model silently. */
pl_status pl_recipe_load(const char *path, pl_recipe *recipe, pl_arena *arena);
/* First rule for this tensor, NULL if none. */
pl_rule *pl_recipe_match(pl_recipe *recipe, const pl_tensor *t);

#endif
