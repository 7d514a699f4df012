#!/usr/bin/env bash
# Tests the doctor and a caption job on 4 ranks over two simulated hosts (simulated_hosts.sh). The doctor must finish
# and name both. One host of the job is killed in the middle; the job resumes, and its captions must have the bytes of a
# job on one host. Layouts: 4x1, 2x2, 1x4.
#   scripts/two_hosts_test.sh [--items N]
# Needs root with CAP_SYS_ADMIN and `ip` (package iproute2). Removes only what it made.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/job_on_hosts.sh
read_options two-hosts "$@"
test_up

list_items
ask=(caption --model "$model" --input "$folder/list.jsonl" --prompt "Describe this image."
  --max-new-tokens 24 --quiet --threads 1)
"$retinue" "${ask[@]}" --output "$folder/alone"

# Runs a command of retinue on two ranks of each host, started from the first.
on_both() { # COMMAND…
  "$enter" "$host_a" "OMPI_MCA_plm_rsh_agent=$enter OMPI_MCA_btl_tcp_if_include=eth0 \
    OMPI_MCA_oob_tcp_if_include=eth0 OMPI_MCA_pml=ob1 OMPI_MCA_btl=self,vader,tcp OMPI_MCA_mpi_yield_when_idle=1 \
    OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none \
    exec $(printf '%q ' "$retinue" "$@") --hosts $host_a:2,$host_b:2"
}
job_on_both() { # OUTPUT TENSOR
  on_both "${ask[@]}" --output "$1" --tensor-parallel "$2"
}

failed=0
rc=0
on_both doctor --model "$model" --threads 1 --tensor-parallel 2 --quiet \
  >"$folder/doctor" 2>"$folder/log" || rc=$?
seen=$(grep -oE "$host_a|$host_b" "$folder/doctor" | sort -u | wc -l)
echo "doctor on 4 ranks: exit code $rc, $seen hosts named"
# 3 means that something is broken, which the doctor may find on simulated hosts.
[[ ($rc = 0 || $rc = 3) && $seen = 2 ]] || { failed=1; cat "$folder/doctor" "$folder/log"; }

for tensor in 1 2 4; do
  layout=$((4 / tensor))x$tensor
  output=$folder/$layout
  job_on_both "$output" $tensor 2>"$folder/log" &
  job=$!
  until [ "$(records "$output")" -ge $((items / 4)) ]; do
    if ! kill -0 $job 2>/dev/null; then echo "$layout: ended before a host was killed"; cat "$folder/log"; break; fi
    sleep 0.02
  done
  killed=$(date +%s%N)
  ip netns pids "$host_b" | xargs -r kill -9
  rc=0
  wait $job || rc=$?
  after=$((($(date +%s%N) - killed) / 1000000))
  left=$(ip netns pids "$host_a" | wc -w)
  done_before=$(records "$output")
  first=$(grep -m 1 retinue: "$folder/log" || true)
  rc2=0
  job_on_both "$output" $tensor 2>"$folder/log" || rc2=$?
  same=$(compare "$output")
  echo "$layout: host killed after $done_before of $items items; exit code $rc after $after ms, $left processes left;" \
    "again: exit code $rc2, captions $same${first:+ ($first)}"
  [ $rc = 75 ] && [ $rc2 = 0 ] && [ "$same" = equal ] && [ "$left" = 0 ] || { failed=1; tail -5 "$folder/log"; }
done
exit $failed
