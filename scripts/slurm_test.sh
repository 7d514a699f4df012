#!/usr/bin/env bash
# Tests Retinue under Slurm: a cluster of two simulated nodes (simulated_hosts.sh), each with a slurmd of its own.
#   1. srun starts a caption job of 4 ranks on both nodes; its captions must have the bytes of a job on one host
#   2. srun starts the doctor on 4 ranks
#   3. scripts/slurm/caption.sbatch is submitted, a rank is killed in the middle, the job requeues itself, and its
#      captions must have the same bytes
#   scripts/slurm_test.sh [--items N]
# Needs root with CAP_SYS_ADMIN, iproute2, slurm-wlm and munge. Removes only what it made.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/job_on_hosts.sh
read_options slurm "$@"
for program in slurmctld slurmd srun munged ip; do
  PATH=$PATH:/usr/sbin command -v $program >/dev/null ||
    { echo "[slurm] $program is missing: apt-get install slurm-wlm munge iproute2" >&2; exit 2; }
done
PATH=$PATH:/usr/sbin
test_up
chmod 755 "$folder"
take_down() {
  if [ -f "$folder/munged.pid" ]; then kill "$(cat "$folder/munged.pid")" 2>/dev/null || true; fi
  test_down
}
trap take_down EXIT

# The cluster: munge for authentication, slurmctld and one slurmd on the first host, one slurmd on the second.
# Credentials expire after 5 s, so that a requeued job starts again in seconds.
mkdir -p "$folder"/{state,spool.n0,spool.n1,tmp.n0,tmp.n1}
head -c 1024 /dev/urandom >"$folder/munge.key"
chmod 400 "$folder/munge.key"
munged --force --key-file="$folder/munge.key" --socket="$folder/munge.sock" --pid-file="$folder/munged.pid" \
  --log-file="$folder/munged.log" --seed-file="$folder/munge.seed"
cat >"$folder/slurm.conf" <<CONF
ClusterName=simulated
SlurmctldHost=$host_a(10.77.0.10)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.sock,cred_expire=5
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
MpiDefault=pmix
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
MailProg=/bin/true
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.%n.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.%n.log
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool.%n
TmpFS=$folder/tmp.%n
NodeName=n0 NodeHostname=$host_a NodeAddr=10.77.0.10 CPUs=32 RealMemory=2000
NodeName=n1 NodeHostname=$host_b NodeAddr=10.77.0.11 CPUs=32 RealMemory=2000
PartitionName=main Nodes=ALL Default=YES State=UP OverSubscribe=YES
CONF

# Nothing is limited by control groups, but Slurm loads a plugin for them: cgroup/v1 has no requirements here.
echo CgroupPlugin=cgroup/v1 >"$folder/cgroup.conf"
daemon() { # HOST COMMAND
  "$enter" "$1" "$2" >"$folder/start.log" 2>&1 && return
  echo "[slurm] '$2' does not start:" >&2
  tail -n 12 "$folder"/start.log "$folder"/slurm*.log >&2
  exit 1
}
daemon "$host_a" "slurmctld -f $folder/slurm.conf"
daemon "$host_a" "slurmd -N n0 -f $folder/slurm.conf"
daemon "$host_b" "slurmd -N n1 -f $folder/slurm.conf"
slurm() { "$enter" "$host_a" "cd $PWD; export SLURM_CONF=$folder/slurm.conf; $*"; }
for ((i = 0; i < 100; ++i)); do
  [ "$(slurm sinfo -h -o %T -N 2>/dev/null | grep -c idle)" = 2 ] && break
  sleep 0.2
done
slurm sinfo -N

list_items
ask=(--model "$model" --input "$folder/list.jsonl" --max-new-tokens 24)
"$retinue" caption "${ask[@]}" --quiet --output "$folder/alone"

failed=0
check() { # WHAT OUTPUT EXIT_CODE
  local same
  same=$(compare "$2")
  echo "$1: exit code $3, captions $same"
  [ "$3" = 0 ] && [ "$same" = equal ] || failed=1
}
# Waiting ranks yield: the simulated nodes have more CPUs than this machine.
yielding="export OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_btl=self,vader,tcp OMPI_MCA_btl_tcp_if_include=eth0;"
for tensor in 1 2; do
  rc=0
  slurm "$yielding srun --mpi=pmix -N 2 --ntasks-per-node=2 $(printf '%q ' "$retinue" caption "${ask[@]}") --threads 1 \
    --tensor-parallel $tensor --quiet --output $folder/srun$tensor" || rc=$?
  check "srun, 2 nodes of 2 ranks, data $((4 / tensor)) x tensor $tensor" "$folder/srun$tensor" $rc
done

rc=0
slurm "$yielding srun --mpi=pmix -N 2 --ntasks-per-node=2 $retinue doctor --threads 1 --model $model" || rc=$?
echo "srun, the doctor on 4 ranks: exit code $rc"
[ $rc = 0 ] || failed=1

# The shipped recipe, with ranks on both nodes; one rank is killed when a quarter of the items is done.
output=$folder/batch
job=$(slurm "$yielding export MODEL=$model INPUT=$folder/list.jsonl OUTPUT=$output RETINUE=$retinue; \
  sbatch --parsable --cpus-per-task=1 --output=$folder/batch.log scripts/slurm/caption.sbatch \
    --threads 1 --max-new-tokens 24")
for ((i = 0; i < 600; ++i)); do
  [ "$(records "$output")" -ge $((items / 4)) ] && break
  sleep 0.05
done
before=$(records "$output")
ip netns pids "$host_b" | while read -r pid; do
  [ "$(readlink "/proc/$pid/exe")" = "$(readlink -f "$retinue")" ] && kill -9 "$pid" && break
done || true
state= waited=0
for ((i = 0; i < 1200; ++i)); do
  state=$(slurm scontrol -o show job "$job" 2>/dev/null | grep -o 'JobState=[A-Z]*' | cut -d= -f2 || true)
  # Slurm holds a requeued job for two minutes; its credentials expire long before (cred_expire).
  if [ "$state" = PENDING ] && [ $((++waited)) = 50 ]; then
    slurm scontrol update "JobId=$job" StartTime=now
  fi
  case $state in COMPLETED | FAILED | CANCELLED | TIMEOUT) break ;; esac
  sleep 0.2
done
restarts=$(slurm scontrol -o show job "$job" | grep -o 'Restarts=[0-9]*' | cut -d= -f2)
echo "sbatch: a rank killed after $before of $items items, $restarts restart(s), the job is $state"
[ "$state" = COMPLETED ] && [ "$restarts" -ge 1 ] || { failed=1; tail -20 "$folder/batch.log"; }
check "sbatch, requeued" "$output" "$([ "$state" = COMPLETED ] && echo 0 || echo 1)"
[ $failed = 0 ] || tail -n 5 "$folder"/slurm*.log
exit $failed
