# faults.sh: a few of each command's calls to the system, and of its requests for memory, fail; faults.py has the long form.
[ -z "$PLANISH_SANITIZED" ] || { echo 'sanitizers want to be loaded first'; exit 77; }
planish=$(command -v planish)
cases='over a set,over a folder,over the input,to a pack,go on with a folder,merge a folder,inspect a folder,check two'
cases+=',by io_uring,buffered,calibrate,diff as,layout,verify-load'
"$PYTHON" "$E2E/faults.py" --points 1 --only "$cases" "$planish" "$(dirname "$planish")/../tests/e2e/libfail_at.so" \
    figures.json > told.txt 2>&1 && echo 'nothing wrong' || cat told.txt
ask figures.json 'sorted(d["total"])'
ask figures.json '[kind for kind, c in d["total"].items() if not c["struck"] or c["wrong"]], len(d["rows"])'
left
