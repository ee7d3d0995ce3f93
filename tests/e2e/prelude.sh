# prelude.sh: what every case begins with: the models at hand and the few commands cases share.
stories=$SOURCE/calib-data/stories260k
tales=$SOURCE/calib-data/tinystories.txt
exec 3>&1 4>&2

# try COMMAND...: runs it as typed. The command and its exit code stand in the case's outputs, also where
# the command's own output goes elsewhere.
try() {
    local shown='$' arg code=0
    for arg; do
        case $arg in '' | *[!A-Za-z0-9_./:=+,-]*) shown+=" '$arg'" ;; *) shown+=" $arg" ;; esac
    done
    printf '%s\n' "$shown" >&3
    printf '%s\n' "$shown" >&4
    "$@" 3>&- 4>&- || code=$?
    [ $code -eq 0 ] || printf '[exit %d]\n' $code >&3
    return 0
}
# ask FILE EXPRESSION: prints a Python expression over a JSON document d.
ask() {
    "$PYTHON" -c 'import json, sys; d = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$@"
}
# edit FILE STATEMENTS: changes a JSON document d by Python.
edit() {
    "$PYTHON" -c 'import json, sys; d = json.load(open(sys.argv[1])); exec(sys.argv[2])
json.dump(d, open(sys.argv[1], "w"))' "$@"
}
# What a folder holds, to show that nothing was left behind.
left() { (cd "${1:-.}" && find . -mindepth 1 | sort); }
same() { cmp -s "$1" "$2" || echo "$1 and $2 differ"; }
differ() { ! cmp -s "$1" "$2" || echo "$1 and $2 are the same"; }
size() { stat -L -c %s "$1"; }
make_model() { "$PYTHON" "$E2E/make_model.py" "$@"; }
break_model() { "$PYTHON" "$E2E/break_model.py" "$stories" "$@"; }
poke() { "$PYTHON" "$E2E/poke.py" "$@"; }
watch() { "$PYTHON" "$E2E/watch.py" "$@"; }
