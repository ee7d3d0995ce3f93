# layout.sh: layouts as typed: every example of docs/layouts.md, and what cannot be.
try planish layout '(4,(2,3)):(2,(1,8))'
try planish layout '(4,(2,3)):(2,(1,8))' eval
try planish layout '(4,(2,3)):(2,(1,8))' eval 17 '(1,4)' '(1,(0,2))'
try planish layout '(4,(2,3))'
try planish layout '(2,(1,6)):(1,(6,2))' coalesce
try planish layout '(2,(1,6)):(1,(6,2))' coalesce modes
try planish layout '(6,2):(8,2)' compose '(4,3):(3,1)'
try planish layout '((2,2),3):((24,2),8)' eval
try planish layout '20:2' compose '(5,4):(4,1)'
try planish layout '(10,2):(16,4)' compose '(5,4):(1,5)'
try planish layout '(12,(4,8)):(59,(13,1))' compose '<3:4, 8:2>'
try planish layout '4:1' complement 24
try planish layout '4:2' complement 24
try planish layout '(2,2):(1,6)' complement 24
try planish layout '(4,3):(1,8)' complement
try planish layout '(2,4,6):(4,1,8)' inverse
try planish layout '4:2' inverse
try planish layout '4:2' inverse left
try planish layout '(4,2,3):(2,1,8)' divide '4:2'
try planish layout '(9,(4,8)):(59,(13,1))' divide '<3:3,(2,4):(1,8)>'
try planish layout '(9,(4,8)):(59,(13,1))' divide '<3:3,(2,4):(1,8)>' zipped
try planish layout '(9,(4,8)):(59,(13,1))' divide '<3:3,(2,4):(1,8)>' tiled
try planish layout '(9,(4,8)):(59,(13,1))' divide '<3:3,(2,4):(1,8)>' flat
try planish layout '(2,2):(4,1)' product '6:1'
try planish layout '(2,5):(5,1)' product '(3,4):(1,3)' blocked
try planish layout '(2,5):(5,1)' product '(3,4):(1,3)' raked
try planish layout 'S<2,0,3> o 0 o (8,4):(1,8)' eval
try planish layout 'S<2,0,3> o 0 o (8,4):(1,8)' check
try planish layout '(2,16):(16,1)' size
try planish layout '(6,2):(8,2)' cosize
try planish layout '(4,3):(1,8)' check
try planish layout '(4,3):(1,0)' check
try planish layout q4_k
try planish layout q4_k eval 0 1 2 63 64
try planish layout marlin.tile inverse
try planish layout 'marlin[K=4096,N=11008]' check
try planish layout --list
# The examples of the documentation print what stands there.
"$PYTHON" - "$SOURCE/docs/layouts.md" <<'END'
import re, subprocess, sys, textwrap
examples = re.findall(r"^    \$ (planish .*)\n((?:    (?!\$).*\n)+)", open(sys.argv[1], encoding="utf-8").read(), re.M)
for command, expected in examples:
    got = subprocess.run(command, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
    if got != textwrap.dedent(expected):
        print(command, got, sep="\n")
print(len(examples), "examples")
END
# What cannot be.
try planish layout
try planish layout '(4,('
try planish layout '(4,2):(1,4)' turn
try planish layout '(4,2):(1,4)' compose
try planish layout '(4,2):(1,4)' compose '2:1' '2:1'
try planish layout '(4,2):(1,4)' complement '(3,4)'
try planish layout '(4,2):(1,4)' inverse up
try planish layout '(6,2):(8,2)' compose '2:4'
try planish layout '(4,4):(1,10)' compose '(2,2):(2,2)'
try planish layout '10:1' divide '4:1'
try planish layout '(2,2):(2,3)' complement 24
try planish layout '4:1' eval 4
try planish layout '1000000:1' eval
try planish layout 'S<2,0,3> o 0 o 8:1' coalesce
try planish layout '4:-1'
try planish layout '(9999999999,9999999999):(1,1)'
try planish layout marlin
try planish layout 'marlin[K=7,N=64]'
try planish layout q9_k
