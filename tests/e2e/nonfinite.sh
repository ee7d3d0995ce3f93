# nonfinite.sh: weights that are NaN or infinite: refused with their number and first place, or kept.
break_model nan nan
try planish convert nan -o a.gguf --type q8_0 -j 2
left . | grep gguf || true
try planish convert nan -o a.gguf --type q8_0 -j 2 --allow-nonfinite
planish convert nan -o b.gguf --type q8_0 -j 1 --allow-nonfinite --json > report.json
ask report.json 'd["nonfinite"], [t["name"] for t in d["tensors"] if "rel_error" not in t]'
same a.gguf b.gguf
# A block that has one has nothing else: 32 values of the output are not finite.
try planish convert a.gguf -o c.gguf --type q8_0 -j 2
try planish convert a.gguf -o c.gguf --type q8_0 -j 2 --allow-nonfinite
same a.gguf c.gguf
try planish run a.gguf -p Once -n 1
# What is finite but too large for the type stays refused.
break_model huge huge
try planish convert huge -o d.gguf --type f16 -j 2 --allow-nonfinite
