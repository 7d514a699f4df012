# Steps of gpu_check.sh: each runs with a time limit, and none can stop the others. gpu_check.sh sources this with $work
# set to an empty folder. A step adds a line to $work/steps.tsv: name, status, seconds, tests, failures, on the GPU,
# detail. The status is one of
#   passed      the step ran and found no fault
#   failed      the step ran and found a fault
#   crashed     a signal ended the step
#   timed out   the step was stopped at its limit
#   not run     the step could not run: no GPU, a missing program, no time left
#   left out    the host lacks an optional tool; this is no failure
budget_s=${budget_s:-470}
patience=${patience:-1} # limits of steps are so many times as long
blocked=${blocked:-} # why no step can run on a GPU; empty: steps can
started_s=$SECONDS

note_step() { # name status seconds tests failures on_gpu detail
  # Tabs and line ends separate the table's cells.
  printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$4" "$5" "$6" "$(tr '\t\n' '  ' <<<"$7" | sed 's/ *$//')" \
    >>"$work/steps.tsv"
  printf '%-21s %-10s %4s s  %s\n' "$1" "$2" "$3" "$7"
}

# Runs "$@" for at most $2 seconds, $patience times, its output to $work/NAME.log. Sets status (empty when it exited by itself), code,
# seconds and detail. Fails when the step was not started.
run_limited() { # name limit_s command…
  local name=$1 limit=$(($2 * patience)) left=$((budget_s - (SECONDS - started_s))) begin=$SECONDS
  shift 2
  status='' code=0 seconds=0 detail=''
  if [ "$left" -lt 5 ]; then
    status='not run' detail="the $budget_s s of --budget-s are spent"
    return 1
  fi
  if ! command -v "$1" >/dev/null; then
    status='not run' detail="$1 is missing"
    return 1
  fi
  if [ "$limit" -gt "$left" ]; then limit=$left; fi
  timeout --kill-after=5 "$limit" "$@" >"$work/$name.log" 2>&1 </dev/null || code=$?
  seconds=$((SECONDS - begin))
  if [ $code = 124 ] || { [ $code = 137 ] && [ $seconds -ge "$limit" ]; }; then
    status='timed out' detail="after $limit s, in $(last_test "$work/$name.log")"
  elif [ $code -gt 128 ]; then
    status=crashed detail="signal $((code - 128)), in $(last_test "$work/$name.log")"
  fi
  return 0
}

# The test in which a GoogleTest log ends, else the log's last line.
last_test() {
  local test
  test=$(sed -n 's/^\[ RUN      \] //p' "$1" | tail -n 1)
  printf '%s' "${test:-$(last_line "$1")}"
}
last_line() { grep -v '^[[:space:]]*$' "$1" | tail -n 1 | cut -c 1-200; }

# A step that passes when its command exits 0.
plain_step() { # name limit_s gpu|cpu command…
  local name=$1 limit=$2 where=$3
  shift 3
  if [ "$where" = gpu ] && [ -n "$blocked" ]; then
    note_step "$name" 'not run' 0 '' '' '' "$blocked"
    return 1
  fi
  if run_limited "$name" "$limit" "$@" && [ -z "$status" ]; then
    status=passed
    if [ $code != 0 ]; then status=failed detail="exit $code: $(last_line "$work/$name.log")"; fi
  fi
  note_step "$name" "$status" "$seconds" '' '' '' "$detail"
  [ "$status" = passed ]
}

# A GoogleTest program; at least one of its tests must run on CUDA.
gtest_step() { # name limit_s command…
  local name=$1 limit=$2 tests='' failures='' on_gpu='' names='' results=$work/$1.json
  shift 2
  if [ -n "$blocked" ]; then
    note_step "$name" 'not run' 0 '' '' '' "$blocked"
    return 1
  fi
  rm -f "$results"
  if run_limited "$name" "$limit" "$@" "--gtest_output=json:$results" && [ -z "$status" ]; then
    if [ ! -s "$results" ] || ! IFS=$'\t' read -r tests failures on_gpu names < <(awk -f "$parts/gtest_results.awk" "$results"); then
      status=crashed detail="exit $code without results, in $(last_test "$work/$name.log")"
    elif [ "$tests" = 0 ]; then
      status=failed detail='no test of that name: nothing was checked'
    elif [ "$failures" != 0 ] || [ $code != 0 ]; then
      status=failed detail="${names:-exit $code: $(last_line "$work/$name.log")}"
    elif [ "$on_gpu" = 0 ]; then
      status=failed detail='none of its tests ran on the GPU'
    else
      status=passed
    fi
  fi
  note_step "$name" "$status" "$seconds" "$tests" "$failures" "$on_gpu" "$detail"
  [ "$status" = passed ]
}
