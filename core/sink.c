/* sink.c: life of a sink. */
#include "core/sink.h"

#include <stdio.h>
#include <string.h>

pl_status pl_sink_create(const pl_sink_ops *ops, pl_sink **out)
{
    *out = NULL;
    pl_sink *s = pl_alloc(1, sizeof *s);
    void *state = pl_alloc((int64_t)ops->state_size, 1);
    if (!s || !state) {
        pl_free(s);
        pl_free(state);
        return PL_E_MEMORY;
    }
    *s = (pl_sink){ .ops = ops, .state = state, .files = 1 };
    *out = s;
    return PL_OK;
}

void pl_sink_close(pl_sink *s)
{
    if (!s) return;
    s->ops->close(s);
    pl_free(s->state);
    pl_free(s);
}

pl_status pl_sink_file_name(const pl_sink *s, const char *path, int i, char out[PATH_MAX])
{
    if (s->ops->file_name) return s->ops->file_name(s, path, i, out);
    if (snprintf(out, PATH_MAX, "%s", path) < PATH_MAX) return PL_OK;
    return pl_fail(PL_E_WISH, "the output's path is longer than %d bytes", PATH_MAX - 1);
}

pl_status pl_sink_within(const char *what, int id, int64_t bytes, int64_t offset, size_t len)
{
    int64_t end;
    if (len <= INT64_MAX && pl_add_ok(offset, (int64_t)len, &end) && end <= bytes) return PL_OK;
    return pl_fail(PL_E_WISH, "bytes outside %s %d: %zu at %lld", what, id, len, (long long)offset);
}

const pl_sink_ops *pl_sink_find(const pl_sink_ops *const *sinks, const char *name)
{
    for (; *sinks; sinks++)
        if (!strcmp((*sinks)->name, name)) return *sinks;
    return NULL;
}
