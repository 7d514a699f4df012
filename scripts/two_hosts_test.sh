#!/usr/bin/env bash
# A caption job of 4 ranks over two simulated hosts: network namespaces on a bridge, each with its own host name,
# loopback and shared memory. One host is killed in the middle, the job goes on, and its captions must be the bytes of
# a job on one host. In each layout: 4x1, 2x2, 1x4.
#   scripts/two_hosts_test.sh [--items N]
# Wants root with CAP_SYS_ADMIN and `ip` (package iproute2). Takes down only what it made.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
items=400
while [ $# -gt 0 ]; do
  case $1 in
    --items) items=$2; shift 2 ;;
    *) echo "[two-hosts] unknown option $1. Known: --items" >&2; exit 2 ;;
  esac
done
retinue=$PWD/build/bin/retinue
[ -x "$retinue" ] || { echo "[two-hosts] $retinue is missing: run scripts/build.sh" >&2; exit 2; }
tag=rt$$ # names of what is made, so that two runs do not meet
folder=$(mktemp -d)

take_down() {
  local name
  for name in "$tag"a "$tag"b "$tag"s; do
    if ip netns list | grep -q "^$name\b"; then
      ip netns pids "$name" | xargs -r kill -9 || true
      ip netns del "$name"
    fi
    rm -rf "/etc/netns/$name"
  done
  rm -rf "$folder"
}
trap take_down EXIT

host() { # NAME ADDRESS
  ip netns add "$1"
  ip link add "v$1" netns "$1" type veth peer name "p$1" netns "$tag"s
  ip -n "$tag"s link set "p$1" master br0 up
  ip -n "$1" link set "v$1" name eth0
  ip -n "$1" addr add "$2/24" dev eth0
  ip -n "$1" link set eth0 up
  ip -n "$1" link set lo up
  mkdir -p "/etc/netns/$1"
  printf '127.0.0.1 localhost\n10.77.0.10 %sa\n10.77.0.11 %sb\n' "$tag" "$tag" >"/etc/netns/$1/hosts"
}
ip netns add "$tag"s || { echo "[two-hosts] cannot make network namespaces here: root and CAP_SYS_ADMIN are needed" >&2; exit 2; }
ip -n "$tag"s link add br0 type bridge
ip -n "$tag"s link set br0 up
host "$tag"a 10.77.0.10
host "$tag"b 10.77.0.11

# What mpirun calls instead of ssh: HOST COMMAND…
cat >"$folder/enter" <<'ENTER'
#!/usr/bin/env bash
host=$1
shift
exec ip netns exec "$host" unshare --uts --mount bash -c \
  'hostname "$0"; mount -t tmpfs none /dev/shm; exec bash -c "$1"' "$host" "$*"
ENTER
chmod +x "$folder/enter"

for ((i = 0; i < items; ++i)); do
  printf '{"id": "item-%d", "image": "%s"}\n' "$i" "$PWD/configs/examples/$(ls configs/examples | grep png | sed -n $((i % 6 + 1))p)"
done >"$folder/list.jsonl"
ask=(caption --model "$PWD/configs/models/emoji-captioner" --input "$folder/list.jsonl" --prompt "Describe this image."
  --max-new-tokens 24 --quiet --threads 1)
"$retinue" "${ask[@]}" --output "$folder/alone"

# The job over both hosts, started from the first.
over_both() { # OUTPUT TENSOR
  "$folder/enter" "$tag"a "OMPI_MCA_plm_rsh_agent=$folder/enter OMPI_MCA_btl_tcp_if_include=eth0 \
    OMPI_MCA_oob_tcp_if_include=eth0 OMPI_MCA_pml=ob1 OMPI_MCA_btl=self,vader,tcp OMPI_MCA_mpi_yield_when_idle=1 \
    OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none \
    exec $(printf '%q ' "$retinue" "${ask[@]}") --hosts ${tag}a:2,${tag}b:2 --tensor-parallel $2 --output $1"
}

failed=0
for tensor in 1 2 4; do
  layout=$((4 / tensor))x$tensor
  output=$folder/$layout
  over_both "$output" $tensor 2>"$folder/log" &
  job=$!
  until [ "$(cat "$output"/journal/*.seg 2>/dev/null | grep -c ' D ')" -ge $((items / 4)) ]; do
    if ! kill -0 $job 2>/dev/null; then echo "$layout: ended before a host was killed"; cat "$folder/log"; break; fi
    sleep 0.02
  done
  killed=$(date +%s%N)
  ip netns pids "$tag"b | xargs -r kill -9
  rc=0
  wait $job || rc=$?
  after=$((($(date +%s%N) - killed) / 1000000))
  left=$(ip netns pids "$tag"a | wc -w)
  done_before=$(cat "$output"/journal/*.seg | grep -c ' D ')
  first=$(grep -m 1 retinue: "$folder/log" || true)
  rc2=0
  over_both "$output" $tensor 2>"$folder/log" || rc2=$?
  same=different
  cmp -s "$folder/alone/captions.jsonl" "$output/captions.jsonl" && same=equal
  echo "$layout: host killed after $done_before of $items items; exit code $rc after $after ms, $left processes left;" \
    "again: exit code $rc2, captions $same${first:+ ($first)}"
  [ $rc = 75 ] && [ $rc2 = 0 ] && [ $same = equal ] && [ "$left" = 0 ] || { failed=1; tail -5 "$folder/log"; }
done
exit $failed
