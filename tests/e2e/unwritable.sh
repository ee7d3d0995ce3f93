# unwritable.sh: a folder that may not be written to.
cp "$(command -v planish)" program
cp -r "$stories" model
mkdir closed
chmod 755 . && chmod 555 closed
user=()
if [ "$(id -u)" -eq 0 ]; then user=(setpriv --reuid 65534 --regid 65534 --clear-groups); fi
"${user[@]}" test -r program || { echo 'no other user is to be had here'; exit 77; }
as_user() { "${user[@]}" "$@"; }
try as_user ./program convert model -o closed/a.gguf --type q8_0 -j 2
left closed
chmod 000 model/model.safetensors
try as_user ./program convert model -o a.gguf --type q8_0 -j 2
chmod 755 closed
