# outputs.sh: outputs that stand already, cannot be written, or are the input; nothing is left behind.
try planish convert "$stories" -o a.gguf --type q8_0 -j 2
cp a.gguf before
try planish convert "$stories" -o a.gguf --type q4_0 --pure -j 2
same a.gguf before
try planish convert "$stories" -o a.gguf --type q4_0 --pure -j 2 --force
differ a.gguf before
cp a.gguf before
# The output may not be the input, under any name.
try planish convert a.gguf -o a.gguf --type q8_0 -j 2 --force
ln -s a.gguf symbolic.gguf
ln a.gguf hard.gguf
try planish convert a.gguf -o symbolic.gguf --type q8_0 -j 2 --force
try planish convert symbolic.gguf -o a.gguf --type q8_0 -j 2 --force
try planish convert hard.gguf -o a.gguf --type q8_0 -j 2 --force
cp -r "$stories" model
try planish convert model -o model/model.safetensors --type q8_0 -j 2 --force
same model/model.safetensors "$stories/model.safetensors"
same a.gguf before
try planish convert "$stories" -o absent/a.gguf --type q8_0 -j 2
mkdir folder
try planish convert "$stories" -o folder --type q8_0 -j 2 --force
try planish convert "$stories" -o folder/ --type q8_0 -j 2 --force
try planish convert "$stories" -o a.gguf/b.gguf --type q8_0 -j 2
try planish convert absent -o b.gguf --type q8_0 -j 2
try planish convert folder -o b.gguf --type q8_0 -j 2
try planish convert "$stories" -o '' --type q8_0 -j 2
ln -s nowhere dangling.gguf
try planish convert "$stories" -o dangling.gguf --type q8_0 -j 2
left
