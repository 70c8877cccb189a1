#!/usr/bin/env bash
# Runs a small study on a real Slurm: Debian's packages as a one-node cluster of this machine, in a temporary folder.
#
#   test/slurm.sh
#
# Needs root, for the daemons and for `apt-get install slurm-wlm munge` where they are missing, and the .venv of setup.sh.
set -euo pipefail
cd "$(dirname "$0")/.."

WAIT_S=60 # for a daemon to answer
python=.venv/bin/python

[[ $(id -u) == 0 ]] || { echo "error: test/slurm.sh: needs root, found $(id -un)" >&2; exit 2; }
[[ -x $python ]] || { echo "error: test/slurm.sh: .venv is missing, run ./setup.sh first" >&2; exit 2; }
export PATH=$PATH:/usr/sbin
if ! (command -v slurmctld && command -v slurmd && command -v sbatch && command -v munged) >/dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurm-wlm munge >/dev/null
fi

work=$(mktemp -d)
export SLURM_CONF=$work/slurm.conf
daemons=()
finish() {
  local status=$?
  trap - EXIT
  if [[ $status != 0 ]]; then
    echo "FAILED with exit code $status; what the daemons and jobs said last:"
    tail -n 20 "$work"/*.log "$work"/study*.txt "$work"/runs/slurm/*.{out,err} 2>/dev/null || true
  fi
  scancel --name=hie-study 2>/dev/null && wait_for "the jobs' end" no_jobs || true
  [[ ${#daemons[@]} == 0 ]] || kill "${daemons[@]}" 2>/dev/null || true
  wait
  for process in $(grep -lzx "SLURM_CONF=$SLURM_CONF" /proc/[0-9]*/environ 2>/dev/null); do # steps that outlived slurmd
    kill -KILL "$(basename "$(dirname "$process")")" 2>/dev/null || true
  done
  rm -rf "$work"
  exit "$status"
}
trap finish EXIT
trap 'exit 143' INT TERM

wait_for() { # WHAT COMMAND...: until the command succeeds
  local what=$1 start=$SECONDS
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS - start < WAIT_S)) || { echo "error: $what did not come within $WAIT_S s" >&2; return 1; }
    sleep 0.2
  done
}

no_jobs() {
  local jobs
  jobs=$(squeue --noheader) && [[ -z $jobs ]]
}

idle() { [[ $(sinfo --noheader --format=%T) == idle ]]; }

study() { # LOG EXIT_CODE OPTION...: runs the study and holds its exit code
  local log=$work/$1 expected=$2 status=0
  shift 2
  timeout --foreground 1800 $python -m training.study --protocol native --seeds 0 --epochs 1 --executor slurm \
    --slurm timeout_min=30 cpus_per_task=1 mem_gb=2 --data "$work/packed" --runs "$work/runs" --results "$work/results" \
    "$@" >"$log" 2>&1 || status=$?
  [[ $status == "$expected" ]] || { echo "WRONG: exit code $status, expected $expected"; return 1; }
}

completed() { # NUMBER: so many jobs that Slurm itself lists as completed
  [[ $(grep -c 'Name=hie-study JobState=COMPLETED' "$work/jobs.txt") == "$1" ]]
}

says() { # LOG TEXT
  grep -qF "$2" "$work/$1" || { echo "WRONG: the study did not say '$2'"; return 1; }
}

echo "== a one-node cluster"
read -r control_port node_port < <($python -c '
import socket
sockets = [socket.create_server(("", 0)) for _ in range(2)]
print(*(s.getsockname()[1] for s in sockets))')
host=$(hostname -s)
chmod 755 "$work" # munge's socket is for everybody
mkdir -m 755 "$work"/{munge,state,spool,packed}
head -c 1024 /dev/urandom >"$work/munge/key"
chmod 600 "$work/munge/key"
cat >"$SLURM_CONF" <<END
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$control_port
SlurmdPort=$node_port
AuthType=auth/munge
AuthInfo=socket=$work/munge/socket
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
ReturnToService=2
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/filetxt
JobCompLoc=$work/jobs.txt
SlurmdParameters=config_overrides
NodeName=$host NodeAddr=127.0.0.1 CPUs=2 RealMemory=$(awk '/^MemTotal/ {print int($2 / 1024)}' /proc/meminfo) State=UNKNOWN
PartitionName=all Nodes=$host Default=YES MaxTime=INFINITE State=UP
END
munged --foreground --force --key-file="$work/munge/key" --socket="$work/munge/socket" --pid-file="$work/munge/pid" \
  --seed-file="$work/munge/seed" --log-file="$work/munge.log" >"$work/munged.log" 2>&1 &
daemons+=($!)
wait_for "munge's socket" test -S "$work/munge/socket"
slurmctld -D >"$work/slurmctld.stdout.log" 2>&1 &
daemons+=($!)
slurmd -D >"$work/slurmd.stdout.log" 2>&1 &
daemons+=($!)
wait_for "an idle node" idle

echo "== two runs, each a job"
$python test/slurm_cases.py write "$work/packed"
study study1.txt 0 --losses dice tversky --folds 0
says study1.txt "2 of 2 runs to do"
$python test/slurm_cases.py check "$work/results/native.csv" dice:0 tversky:0
wait_for "Slurm's word that two jobs completed" completed 2
submitted=("$work"/runs/slurm/*_submitted.pkl)
[[ ${#submitted[@]} == 2 ]] || { echo "WRONG: ${#submitted[@]} jobs were submitted"; exit 1; }
for file in "${submitted[@]}"; do
  id=$(basename "$file" _submitted.pkl)
  scontrol show job "$id" | grep -E '^ *(JobState|BatchHost|RunTime)=' || { echo "WRONG: Slurm knows no job $id"; exit 1; }
  grep -q "JobId=$id .*JobState=COMPLETED" "$work/jobs.txt" || { echo "WRONG: job $id did not complete"; exit 1; }
done

echo "== the same again: nothing to do"
cp "$work/results/native.csv" "$work/before.csv"
study study2.txt 0 --losses dice tversky --folds 0
says study2.txt "0 of 2 runs to do"
cmp "$work/before.csv" "$work/results/native.csv"

echo "== one run that cannot be done, beside one that can"
checkpoint=$work/runs/native/dice-fold1-seed0/checkpoint.pt
mkdir -p "$(dirname "$checkpoint")"
echo damaged >"$checkpoint"
study study3.txt 2 --losses dice tversky --folds 1
says study3.txt "native dice fold 1 seed 0: model.errors.UserError: $checkpoint: damaged"
says study3.txt "1 of 2 runs failed"
$python test/slurm_cases.py check "$work/results/native.csv" dice:0 tversky:0 tversky:1

echo "Slurm checks passed in $SECONDS s"
