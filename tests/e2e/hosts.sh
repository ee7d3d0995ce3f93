# hosts.sh: three hosts that share nothing but a folder: network namespaces with a name and an address each. Parts, then
# MPI ranks over TCP, give the bytes of a single run.
unshare -rnm true 2> /dev/null || { echo 'network namespaces are not allowed here'; exit 77; }
for tool in ip nsenter mpirun; do command -v $tool > /dev/null || { echo "no $tool here"; exit 77; }; done
ldd "$(command -v planish)" | grep -q libmpi || { echo 'planish was built without MPI'; exit 77; }
cat > inside.sh << 'END'
. "$E2E/prelude.sh"
mount -t tmpfs none /run
ip netns add switch
ip -n switch link add bridge type bridge || { echo 'no bridges in this kernel'; exit 77; }
ip -n switch link set bridge up
for h in 1 2 3; do
    ip netns add host$h
    ip -n host$h link add eth0 type veth peer name port$h netns switch || { echo 'no veth in this kernel'; exit 77; }
    ip -n host$h addr add 10.99.0.$h/24 dev eth0
    for link in lo eth0; do ip -n host$h link set $link up; done
    ip -n switch link set port$h master bridge up
done
# on I COMMAND...: as the host with this number, or with the address that ends in it. launch: what mpirun uses for ssh.
cat > on << 'ON'
#!/bin/bash
host=${1##*.}; shift
exec nsenter --net=/run/netns/host$host unshare --uts bash -c "hostname host$host; exec \"\$@\"" _ "$@"
ON
cat > launch << 'LAUNCH'
#!/bin/bash
host=$1; shift
exec "$(dirname "$0")/on" "$host" bash -c "$*"
LAUNCH
chmod +x on launch
received() {
    ip -n host$1 -s -j link show eth0 > link.json
    ask link.json 'd[0]["stats64"]["rx"]["bytes"]'
}
for i in 1 2 3; do ./on $i hostname; done
planish convert "$stories" -o ref.gguf --type q4_k_m -j 1 > /dev/null
planish convert "$stories" -o ref --to mlx --type affine4-g32 -j 1 > /dev/null
for i in 1 2 3; do
    ./on $i planish convert "$stories" -o a.gguf --type q4_k_m -j 1 --part $i/3 > /dev/null &
    ./on $i planish convert "$stories" -o out --to mlx --type affine4-g32 -j 1 --part $i/3 > /dev/null &
done
wait
./on 2 planish merge a.gguf a.gguf.part-*.journal > /dev/null
./on 3 planish merge out out.part-*.journal > /dev/null
same a.gguf ref.gguf
rm -f out/*.part-*
diff -r out ref
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
before=$(received 3)
./on 1 mpirun -q --oversubscribe -n 3 --host 10.99.0.1,10.99.0.2,10.99.0.3 --mca plm_rsh_agent "$PWD/launch" \
    --mca btl tcp,self bash -c 'echo "$(hostname) has rank $OMPI_COMM_WORLD_RANK" >> ranks; exec "$@"' _ \
    planish convert "$stories" -o m.gguf --type q4_k_m -j 1 > /dev/null 2> messages
grep -v 'Warning: setpgid' messages     # of a race inside mpirun
sort ranks
[ $(($(received 3) - before)) -gt 4096 ] || echo 'nothing went over the network'
same m.gguf ref.gguf
END
unshare -rnm bash inside.sh
code=$?
[ $code -ne 77 ] || exit 77
echo "exit $code"
