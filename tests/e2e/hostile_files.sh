# hostile_files.sh: files that want to hurt: they ask for more memory than there is, lead out of their folder,
# command the terminal, or end while they are read.
# memory: 64 MiB
gguf() { "$PYTHON" -c '
import struct, sys
def s(t): return struct.pack("<Q", len(t)) + t
out = b"GGUF" + struct.pack("<IQQ", 3, *map(int, sys.argv[2:4]))
open(sys.argv[1], "wb").write((out + eval(sys.argv[4])).ljust(160, b"x"))' "$@"; }
gguf string.gguf 0 1 's(b"general.name") + struct.pack("<IQ", 8, 1 << 30)'
gguf array.gguf 0 1 's(b"tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 1 << 30)'
gguf keys.gguf 0 65536 'b""'
gguf tensors.gguf 262144 0 'b""'
gguf data.gguf 1 0 's(b"token_embd.weight") + struct.pack("<IQQIQ", 2, 1 << 20, 1 << 10, 0, 0)'
gguf name.gguf 0 1 's(b"general.architecture") + struct.pack("<IQ", 8, 9) + b"\033[2Jllama"'
for file in string array keys tensors data name; do
    try planish convert $file.gguf -o out.gguf --type q8_0 -j 2
done
header() { # folder, safetensors header
    cp -r "$stories" "$1"
    "$PYTHON" -c '
import struct, sys
open(sys.argv[1], "wb").write(struct.pack("<Q", len(sys.argv[2])) + sys.argv[2].encode())' "$1/model.safetensors" "$2"
}
header escapes '{"\u001b]0;owned\u0007":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'
header deep "$(printf '%0.s[' $(seq 1000) | sed 's/^/{"a":/')"
header wide '{"a":{"dtype":"F32","shape":[4503599627370496,4503599627370496],"data_offsets":[0,0]}}'
for folder in escapes deep wide; do
    try planish convert $folder -o out.gguf --type q8_0 -j 2
done
cp -r "$stories" link
mv link/model.safetensors elsewhere
ln -s ../elsewhere link/model.safetensors
try planish convert link -o out.gguf --type q8_0 -j 2
left . | grep -E 'partial|out.gguf' || true
