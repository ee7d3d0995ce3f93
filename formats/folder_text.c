/* folder_text.c: texts of an output folder: config.json with other members, the model card. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/json.h"
#include "formats/folder.h"

/* ---- config.json ---- */

static const char *skip_space(const char *s)
{
    while (*s == ' ' || *s == '\n' || *s == '\t' || *s == '\r') s++;
    return s;
}

/* Behind the string that begins here. */
static const char *skip_string(const char *s)
{
    for (s++; *s && *s != '"'; s++)
        if (*s == '\\' && s[1]) s++;
    return *s ? s + 1 : s;
}

/* Behind the value that begins here, in text that is JSON. */
static const char *skip_value(const char *s)
{
    int depth = 0;
    while (*s) {
        if (*s == '"') {
            s = skip_string(s);
            continue;
        }
        if (depth == 0 && (*s == ',' || *s == '}')) break;
        if (*s == '{' || *s == '[') depth++;
        if (*s == '}' || *s == ']') depth--;
        s++;
    }
    while (s[-1] == ' ' || s[-1] == '\n' || s[-1] == '\t' || s[-1] == '\r') s--;
    return s;
}

typedef struct writer { char *at; int members; } writer;

static void put(writer *w, const char *s, size_t len)
{
    memcpy(w->at, s, len);
    w->at += len;
}

static void put_text(writer *w, const char *s) { put(w, s, strlen(s)); }

static void put_separator(writer *w) { put_text(w, w->members++ ? ",\n  " : "\n  "); }

static void put_edit(writer *w, const pl_folder_edit *e)
{
    put_separator(w);
    put_text(w, "\"");
    put_text(w, e->key);
    put_text(w, "\": ");
    for (const char *s = e->value; *s; s++) {
        put(w, s, 1);
        if (*s == '\n') put_text(w, "  ");
    }
}

static const pl_folder_edit *find_edit(const pl_folder_edit *edit, int edits, const char *key, size_t len)
{
    for (int i = 0; i < edits; i++)
        if (strlen(edit[i].key) == len && !strncmp(edit[i].key, key, len)) return &edit[i];
    return NULL;
}

/* text: an object. Members keep their text, so numbers and nested members look as before. */
static void edit_members(const char *text, const pl_folder_edit *edit, int edits, bool *done, writer *w)
{
    put_text(w, "{");
    const char *s = skip_space(skip_space(text) + 1);
    while (*s == '"') {
        const char *key = s, *behind = skip_string(key), *value = skip_space(skip_space(behind) + 1);
        const char *end = skip_value(value);
        const pl_folder_edit *e = find_edit(edit, edits, key + 1, (size_t)(behind - key) - 2);
        if (e) done[e - edit] = true;
        if (e && e->value) put_edit(w, e);
        if (!e) {
            put_separator(w);
            put(w, key, (size_t)(end - key));
        }
        s = skip_space(end);
        if (*s == ',') s = skip_space(s + 1);
    }
    for (int i = 0; i < edits; i++)
        if (!done[i] && edit[i].value && !edit[i].only) put_edit(w, &edit[i]);
    put_text(w, "\n}\n");
}

pl_status pl_folder_edit_json(const char *text, const char *origin, const pl_folder_edit *edit, int edits,
                              pl_arena *arena, const char **out)
{
    pl_json *doc;
    size_t len = strlen(text), room = 16;
    PL_TRY(pl_json_parse(text, len, origin, &doc));
    bool object = pl_json_is(doc, PL_JSON_OBJECT);
    room += len + 5 * (size_t)pl_json_count(doc);       /* a separator each */
    pl_json_free(doc);
    if (!object) return pl_fail(PL_E_INPUT, "%s: should be an object", origin);
    for (int i = 0; i < edits; i++) room += strlen(edit[i].key) + (edit[i].value ? 3 * strlen(edit[i].value) : 0) + 16;
    char *buffer = PL_NEW(arena, char, (int64_t)room);
    bool *done = PL_ZNEW(arena, bool, edits + 1);
    if (!buffer || !done) return PL_E_MEMORY;
    writer w = { .at = buffer };
    edit_members(text, edit, edits, done, &w);
    *w.at = 0;
    *out = buffer;
    return PL_OK;
}

/* ---- README.md ---- */

/* Matrices of one type, or everything that is no matrix. */
typedef struct share { pl_type type; bool vectors; int64_t tensors, weights, bytes; } share;

enum { MAX_SHARES = 32 };       /* further types join the last */

static int sum_shares(const pl_plan *plan, const pl_model *model, share list[MAX_SHARES])
{
    int count = 0;
    for (int i = 0; i < plan->steps; i++) {
        const pl_packed *p = &plan->step[i].out;
        bool vector = !(model->tensor[plan->step[i].tensor].flags & PL_TENSOR_MATRIX);
        int k = 0;
        while (k < count && (vector != list[k].vectors || (!vector && !pl_type_equal(&list[k].type, &p->type)))) k++;
        if (k == MAX_SHARES) k--;
        if (k == count) list[count++] = (share){ .type = p->type, .vectors = vector };
        list[k].tensors++;
        list[k].weights += p->rows * p->cols;
        list[k].bytes += pl_packed_bytes(p);
    }
    return count;
}

/* A text for one line of the card, from what a file said; only characters of a name if it is to stand in YAML. */
static const char *plain_text(pl_arena *arena, const char *text, size_t len, bool word)
{
    char *copy = pl_arena_text(arena, text, len);
    for (char *s = copy; s && *s; s++) {
        bool letter = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z');
        bool name = letter || (*s >= '0' && *s <= '9') || *s == '-' || *s == '.';
        if (word && !name) return "other";
        if ((unsigned char)*s < ' ' || *s == '<' || *s == '|') *s = ' ';
    }
    return copy;
}

static const pl_meta *find_meta(const pl_model *model, const char *key)
{
    for (int i = 0; i < model->metas; i++)
        if (!strcmp(model->meta[i].key, key) && model->meta[i].type == PL_META_STRING) return &model->meta[i];
    return NULL;
}

static const char *front_matter(const pl_folder *f)
{
    const pl_meta *license = find_meta(f->model, "general.license");
    const char *text = "", *name = "";
    if (license) name = plain_text(f->arena, license->value.text.s, license->value.text.len, true);
    if (!license && !f->library) return text;
    return pl_arena_format(f->arena, "---\n%s%s%s%s%s%s---\n\n", f->library ? "library_name: " : "",
                           f->library ? f->library : "", f->library ? "\n" : "", license ? "license: " : "",
                           name ? name : "other", license ? "\n" : "");
}

pl_status pl_folder_card(const pl_folder *f, const char **out)
{
    share list[MAX_SHARES];
    double body, file;
    int shares = sum_shares(f->plan, f->model, list);
    const char *name = f->model->name ? f->model->name : f->model->arch, *front = front_matter(f);
    pl_plan_bpw(f->plan, f->model, &body, &file);
    name = plain_text(f->arena, name, strlen(name), false);
    const char *text = pl_arena_format(f->arena, "%s# %s\n\n%s, written as %s by planish " PL_VERSION ".\n\n"
                                       "| stored as | tensors | weights | bytes |\n|---|---:|---:|---:|\n",
                                       front ? front : "", name ? name : "", name ? name : "", f->title);
    for (int i = 0; i < shares && text; i++)
        text = pl_arena_format(f->arena, "%s| %s | %" PRId64 " | %" PRId64 " | %" PRId64 " |\n", text,
                               list[i].vectors ? "norms, biases and other small tensors" : pl_type_name(&list[i].type),
                               list[i].tensors, list[i].weights, list[i].bytes);
    if (text)
        text = pl_arena_format(f->arena, "%s\nAll tensors: %" PRId64 " bytes; matrices of the blocks: %.3f bits per "
                               "weight.\n", text, f->layout.data_bytes, body);
    *out = text;
    return text && front && name ? PL_OK : PL_E_MEMORY;
}
