#!/usr/bin/env bash
# Tests scripts/gpu_check.sh with fake programs: libraries, results, limits, crashes, thresholds, tables.
. "$(dirname "${BASH_SOURCE[0]}")/harness.sh"

# Writes fake programs of a host with a GPU, all of which succeed. FAKE_* changes the behaviour of one.
write_host() {
  mkdir -p bin tools out
  program tools/nvidia-smi 'echo "NVIDIA Pretend, 143771 MiB, ${FAKE_DRIVER:-580.95.05}"'
  # The PATH has only what the script itself needs, so that it finds no CUDA tools of this machine.
  program tools/compute-sanitizer '
    echo "${FAKE_SANITIZER:-========= ERROR SUMMARY: 0 errors}"
    exit "${FAKE_SANITIZER_CODE:-0}"'
  program bin/retinue '
    case $1 in
      info)
        printf "version: 0\nrevision: abc123\ncuda: %s\n" "${FAKE_CUDA:-available}"
        printf "cuda_versions:\n  driver: 13.0\n  nccl: 2.28.9\ndevices: cpu"
        for ((i = 0; i < ${FAKE_GPUS:-1}; i++)); do printf " cuda:%d" $i; done
        printf "\ngpus:\n  cuda:0:\n    name: Pretend\n    compute_capability: ${FAKE_CAPABILITY:-9.0}\n"
        exit "${FAKE_INFO_CODE:-0}" ;;
      trace)
        case "$* " in *--ranks\ 2\ *) echo "logits_sha256 ${FAKE_LOGITS:-5e}" ;; *) echo "logits_sha256 5e" ;; esac ;;
      doctor)
        ranks=1 gpu="\"gpu\": {
        \"name\": \"Pretend\",
        \"driver\": \"${FAKE_DOCTOR_DRIVER-580}\",
        \"memory_bytes\": 143771000000
      }"
        case "$* " in *--ranks\ 2\ *) ranks=2 ;; esac
        printf "{\n  \"verdict\": \"%s\",\n  \"ranks\": [\n" "${FAKE_VERDICT:-slow}"
        for ((i = 0; i < ranks; i++)); do printf "    {\n      %s\n    },\n" "$gpu"; done
        printf "  ],\n  \"sweeps\": [\n"
        for collective in all_reduce all_gather ${FAKE_SWEEP-broadcast}; do
          printf "    {\n      \"device\": \"cuda\",\n      \"collective\": \"%s\",\n    },\n" $collective
        done
        printf "  ]\n}\n"
        exit "${FAKE_DOCTOR_CODE:-0}" ;;
      caption)
        while [ $# -gt 0 ]; do
          case $1 in --output) output=$2 ;; --device) device=$2 ;; --ranks) ranks=$2 ;; esac
          shift
        done
        if [ "$device" = cuda ] && [ -n "${FAKE_CAPTION_CODE:-}" ]; then echo "retinue: no engine"; exit "$FAKE_CAPTION_CODE"; fi
        mkdir -p "$output"
        for i in 1 2 3 4 5 6; do
          text="a dog \\\"$i\\\""
          if [ "$device" = cuda ] && [ "$i" -le "${FAKE_OTHER_TEXTS:-0}" ]; then text="a cat"; fi
          if [ "${ranks:-1}" = 2 ] && [ "$i" = 1 ] && [ -n "${FAKE_OTHER_BITS:-}" ]; then text+=" "; fi
          echo "{\"id\": \"$i\", \"text\": \"$text\"}"
        done >"$output/captions.jsonl"
        seconds=${FAKE_SECONDS:-32}
        case $output in *_fp8) seconds=${FAKE_FP8_SECONDS:-20} ;; esac
        printf "{\n  \"this_run\": {\n    \"seconds\": %s,\n    \"done\": 320,\n    \"media\": 320,\n    \"prompt_tokens\": 348160,\n    \"completion_tokens\": 40960\n  },\n  \"startup\": {\n    \"weights_s\": 8.0\n  }\n}\n" \
          $((seconds + 8)) >"$output/report.json" ;;
    esac'
  for test in layers_ops_test parallel_comm_nccl_test parallel_comm_nccl_mpi_test runtime_cuda_test; do
    program "bin/$test" '
      name=$(basename "$0")
      for argument in "$@"; do case $argument in --gtest_output=json:*) results=${argument#*json:} ;; esac; done
      echo "$*" >>"$(dirname "$0")/../calls"
      echo "[ RUN      ] Suite.Second"
      if [ "$name" = "${FAKE_CRASH:-}" ]; then kill -SEGV $$; fi
      if [ "$name" = "${FAKE_HANG:-}" ]; then exec sleep 60; fi
      if [ "$name" = "${FAKE_SILENT:-}" ]; then exit 1; fi
      cat "$(dirname "$0")/../results/$name.json" >"$results" 2>/dev/null || cat "$(dirname "$0")/../results/well.json" >"$results"
      grep -q "\"failures\": \[" "$results" && exit 1
      exit 0'
  done
  program bin/mpirun 'while [ "$1" != -np ]; do shift; done; shift 2; exec "$@"'
  program bin/study_data 'mkdir -p "$1/model"; echo "$*" >>"$(dirname "$0")/../calls"'
  program bin/cuda_kernels_bench '
    echo "a table"
    while [ "$1" != --json ]; do shift; done
    cat "$(dirname "$0")/../results/bench.json" >"$2"
    if [ -n "${FAKE_BENCH_CRASH:-}" ]; then kill -ABRT $$; fi'
  mkdir results
  results 2 0 >results/well.json
  bench_row 'qkv M=2048 N=10240 K=5120' 0.95 >results/row
  bench results/row >results/bench.json
}
# GoogleTest's JSON of two tests; the first ran on CUDA unless $3 is no, and fails when $2 is 1.
results() { # tests failures [no]
  printf '{\n  "tests": %s,\n  "failures": %s,\n  "disabled": 0,\n  "name": "AllTests",\n  "testsuites": [\n    {\n' "$1" "$2"
  printf '      "name": "Rows\\/0",\n      "tests": 2,\n      "failures": %s,\n      "testsuite": [\n        {\n' "$2"
  printf '          "name": "AreWhole",\n          "status": "RUN",\n          "result": "COMPLETED",\n'
  [ "${3:-}" = no ] || printf '          "cuda": "1",\n'
  if [ "$2" != 0 ]; then
    printf '          "failures": [\n            {\n              "failure": "x.cpp:1 wanted \\"2\\"",\n              "type": ""\n            }\n          ],\n'
  fi
  printf '          "classname": "Rows\\/0"\n        },\n        {\n          "name": "AreEmpty",\n          "status": "RUN",\n'
  printf '          "classname": "Rows\\/0"\n        }\n      ]\n    }\n  ]\n}\n'
}
bench_row() { printf '{"group":"matmul","name":"%s","us":12.5,"gb_per_s":3000.0,"tflop_per_s":700.1,"limit_us":11.0,"ratio":%s}' "$1" "$2"; }
bench() { # files with a row each
  printf '{"schema_version": 1, "machine": {"device":"x"},\n"results": [\n'
  local comma='' row
  for row in "$@"; do printf '%s' "$comma"; cat "$row"; comma=$',\n'; done
  printf '\n]}\n'
}
# Runs the check on that host; sets $code to its exit code and $table to its table.
check() {
  code=0
  env PATH="$folder/tools:/usr/bin:/bin" "$root/scripts/gpu_check.sh" --bin bin --output out "$@" >out/stdout 2>&1 || code=$?
  table=$(cat out/gpu_check.txt 2>/dev/null)
}
expect_json() { # expression of python over j
  if command -v python3 >/dev/null; then
    python3 -c "import json; j = json.load(open('out/gpu_check.json')); assert $1, j" 2>>out/stdout ||
      fail "gpu_check.json: not $1: $(tail -n 1 out/stdout)"
  fi
}

test_all_well_is_exit_0() {
  write_host
  check
  expect_equal "$code" 0
  expect_match "$table" '^[0-9]+ passed, 0 failed, 0 NOT RUN, 0 left out: all well$'
  expect_match "$table" '^gpu +NVIDIA Pretend, 143771 MiB, 580.95.05$'
  expect_match "$table" '^revision +abc123$'
  expect_match "$table" '^versions +driver: 13.0 nccl: 2.28.9$'
  expect_json 'j["passed"] is True and len(j["steps"]) == 28 and j["bench"]["results"][0]["us"] == 12.5'
}
test_every_file_is_one_of_three() {
  write_host
  check --only ops
  rm out/stdout
  expect_equal "$(ls out | tr '\n' ' ')" 'gpu_check.json gpu_check.log gpu_check.txt '
}
test_the_bits_of_matmul_are_checked_first() {
  write_host
  check --only matmul_bits,ops
  expect_match "$(head -n 1 calls)" '^--gtest_filter=MatmulBits\*'
  expect_match "$(sed -n 2p calls)" '^--gtest_filter=-MatmulBits\*'
}
test_a_failing_test_is_named_and_stops_nothing() {
  write_host
  results 2 1 >results/layers_ops_test.json
  check --only ops,caption_gpu
  expect_equal "$code" 1
  expect_match "$table" '^ops +failed +[0-9]+ +2 +1 +1 +Rows\\/0.AreWhole$'
  expect_match "$table" '^caption_gpu +passed'
  expect_json '[s for s in j["steps"] if s["name"] == "ops"][0]["failures"] == 1 and not j["passed"]'
}
test_a_crash_names_signal_and_test_and_stops_nothing() {
  write_host
  FAKE_CRASH=parallel_comm_nccl_test check --only nccl,bench
  expect_equal "$code" 1
  expect_match "$table" '^nccl +crashed .*signal 11, in Suite.Second$'
  expect_match "$table" '^bench +passed'
}
test_a_program_that_ends_without_results_has_crashed() {
  write_host
  FAKE_SILENT=parallel_comm_nccl_test check --only nccl
  expect_match "$table" '^nccl +crashed .*exit 1 without results'
}
test_a_hanging_step_is_stopped_and_named() {
  write_host
  work=$folder parts=$root/scripts/gpu
  . "$root/scripts/gpu/steps.sh"
  export FAKE_HANG=runtime_cuda_test
  gtest_step jobs 1 "$folder/bin/runtime_cuda_test" >/dev/null && fail 'it passed'
  plain_step later 60 cpu true >/dev/null || fail 'it stopped the next'
  expect_match "$(cat steps.tsv)" $'^jobs\ttimed out\t.*after 1 s, in Suite.Second$'
  expect_match "$(cat steps.tsv)" $'^later\tpassed\t'
}
test_steps_beyond_the_budget_are_not_run_and_fail_the_check() {
  write_host
  check --budget-s 1
  expect_equal "$code" 1
  expect_match "$table" '^ops +not run .*the 1 s of --budget-s are spent$'
  expect_match "$table" '^1 passed, 0 failed, [0-9]+ NOT RUN, 0 left out: NOT WELL$'
  expect_json 'not j["passed"]'
}
test_a_filter_that_matches_no_test_is_a_failure() {
  write_host
  results 0 0 >results/layers_ops_test.json
  check --only matmul_bits
  expect_match "$table" '^matmul_bits +failed .*nothing was checked'
}
test_tests_that_never_touch_the_gpu_are_a_failure_of_ops() {
  write_host
  results 2 0 no >results/layers_ops_test.json
  check --only ops
  expect_match "$table" '^ops +failed .*none of its tests ran on the GPU'
}
test_meshes_of_four_gpus_run_only_where_there_are_four() {
  write_host
  check --only jobs
  expect_match "$(cat calls)" '^--gtest_filter=\*:-\*OnEveryMesh'
  rm calls
  FAKE_GPUS=4 check --only jobs
  expect_match "$(cat calls)" '^--gtest_filter=\* '
}
test_jobs_with_fp8_weights_run_on_ampere_and_newer() {
  write_host
  FAKE_GPUS=4 FAKE_CAPABILITY=7.5 check --only jobs
  expect_match "$(cat calls)" '^--gtest_filter=\*:-\*fp8\*:\*Fp8\* '
  for capability in 8.0 8.9 12.0; do
    rm calls
    FAKE_GPUS=4 FAKE_CAPABILITY=$capability check --only jobs
    expect_match "$(cat calls)" '^--gtest_filter=\* '
  done
}
test_logits_of_other_bits_with_two_ranks_are_a_failure() {
  write_host
  FAKE_LOGITS=0f check --only trace_bits
  expect_equal "$code" 1
  expect_match "$table" '^trace_gqa8-tied_1 +passed'
  expect_match "$table" '^trace_gqa8-tied_bits +failed .*of one rank: 5e, of two: 0f'
}
test_an_old_driver_is_named() {
  write_host
  FAKE_DRIVER=570.86.15 FAKE_CUDA='unavailable: cudaErrorInsufficientDriver' check --only ops,caption_cpu
  expect_equal "$code" 1
  expect_match "$table" '^info +failed .*the driver, 570.86.15, is too old: CUDA 13 needs 580 or newer'
  expect_match "$table" '^ops +not run .*570.86.15'
  expect_match "$table" '^caption_cpu +passed'
}
test_without_a_gpu_the_reason_of_the_program_is_shown() {
  write_host
  FAKE_CUDA='unavailable: no CUDA-capable device is detected' check --only bench
  expect_equal "$code" 1
  expect_match "$table" '^bench +not run .*no CUDA-capable device is detected'
}
test_a_missing_driver_is_named() {
  write_host
  rm tools/nvidia-smi
  # CUDA itself reports a missing driver as an old one.
  RETINUE_FIND_ROOT=$folder/host FAKE_CUDA='unavailable: cudaErrorInsufficientDriver' check --only ops
  expect_match "$table" '^info +failed .*no driver here'
}
test_a_program_that_cannot_start_is_named() {
  write_host
  FAKE_INFO_CODE=127 check --only ops
  expect_match "$table" '^info +failed .*exit 127'
  expect_match "$table" '^ops +not run '
}
test_captions_of_other_bits_with_two_ranks_are_a_failure() {
  write_host
  FAKE_OTHER_BITS=1 check --only caption_gpu,caption_tensor2
  expect_equal "$code" 1
  expect_match "$table" '^caption_tensor2_bits +failed .*differs from one rank'
}
test_captions_of_weights_read_together_must_have_the_same_bits() {
  write_host
  FAKE_OTHER_BITS=1 check --only caption_gpu,caption_once2
  expect_equal "$code" 1
  expect_match "$table" '^caption_once2_bits +failed .*differs from one rank'
}
test_the_doctor_may_find_this_host_broken() {
  write_host
  FAKE_DOCTOR_CODE=3 FAKE_VERDICT=broken check --only doctor,doctor2
  expect_equal "$code" 0
  expect_match "$table" '^doctor +passed .*verdict broken; Pretend, driver 580, 144 GB$'
  expect_match "$table" '^doctor2 +passed .*144 GB; 3 collectives of NCCL swept$'
}
test_a_doctor_that_fails_is_a_failure() {
  write_host
  FAKE_DOCTOR_CODE=75 check --only doctor
  expect_equal "$code" 1
  expect_match "$table" '^doctor +failed .*exit 75'
}
test_a_doctor_that_does_not_name_the_driver_is_a_failure() {
  write_host
  FAKE_DOCTOR_DRIVER='' check --only doctor2
  expect_equal "$code" 1
  expect_match "$table" '^doctor2 +failed .*missing: the driver of rank 0, the driver of rank 1$'
}
test_a_doctor_that_sweeps_no_broadcast_between_gpus_is_a_failure() {
  write_host
  FAKE_SWEEP='' check --only doctor,doctor2
  expect_equal "$code" 1
  expect_match "$table" '^doctor +passed'
  expect_match "$table" '^doctor2 +failed .*missing: a sweep of broadcast between GPUs$'
}
test_a_close_word_may_differ_from_the_cpu() {
  write_host
  FAKE_OTHER_TEXTS=1 check --only caption_cpu,caption_gpu,caption_text
  expect_equal "$code" 0
  expect_match "$table" '^caption_text +passed .*5 of 6 texts'
}
test_other_captions_than_the_cpu_are_a_failure() {
  write_host
  FAKE_OTHER_TEXTS=2 check --only caption_cpu,caption_gpu,caption_text
  expect_equal "$code" 1
  expect_match "$table" '^caption_text +failed .*4 of 6 texts'
}
test_a_caption_run_that_fails_shows_its_last_line() {
  write_host
  FAKE_CAPTION_CODE=2 check --only caption_gpu,caption_text
  expect_match "$table" '^caption_gpu +failed .*exit 2: retinue: no engine$'
  expect_no_match "$table" '^caption_text'
}
test_an_op_below_its_aim_is_shown_and_no_failure() {
  write_host
  bench_row 'qkv M=2048 N=10240 K=5120' 0.80 >results/row
  bench results/row >results/bench.json
  check --only bench
  expect_equal "$code" 0
  expect_match "$table" '^qkv M=2048 .* 0.800 +below aim \(0.50, 0.93\)$'
}
test_an_op_below_its_floor_is_a_failure() {
  write_host
  bench_row 'qkv M=2048 N=10240 K=5120' 0.30 >results/row
  bench results/row >results/bench.json
  check --only bench
  expect_equal "$code" 1
  expect_match "$table" '^bench +failed .*1 ops: 1 below their floor'
  expect_match "$table" 'BELOW FLOOR \(0.50, 0.93\)$'
}
# goal_rows SECONDS_OF_A_PRODUCT RATIO_OF_DECODING: all rows that goals are made of, 1e12 operations each
goal_rows() {
  printf '{"schema_version": 1, "machine": {"matmul_tflop_per_s": 500},\n"results": [\n'
  local name comma=''
  for name in 'tuned qkv M=2048 N=1' 'tuned gate_up M=2048 N=1' 'tuned o_proj M=2048 N=1 K=8 in 8 leaves' \
    'tuned down M=2048 N=1 K=8 in 8 leaves' 'vision qkv M=4096 N=1' 'vision proj M=4096 N=1' 'vision fc1 M=4096 N=1' \
    'vision fc2 M=4096 N=1' 'fp8 qkv M=2048 N=1' 'fp8 gate_up M=2048 N=1' 'fp8 o_proj M=2048 N=1' 'fp8 down M=2048 N=1'; do
    printf '%s{"group":"matmul","name":"%s","us":%s,"flops":1e12,"ratio":1}' "$comma" "$name" "$1"
    comma=$',\n'
  done
  for name in 32 43 64 256; do
    printf '%s{"group":"attention","name":"decode %s x 1 of 1152, heads","us":1,"flops":1,"ratio":%s}' "$comma" "$name" "$2"
  done
  printf '\n]}\n'
}
test_the_table_says_which_goals_are_met() {
  write_host
  goal_rows 2000 0.91 >results/bench.json # 1e12 operations in 2 ms: the limit, and less than FP8 wants
  check --only bench
  expect_match "$table" '^products in bf16, 2048 rows, .* 1.000 +0.93  met$'
  expect_match "$table" '^products in FP8, 2048 rows, .* 1.000 +1.60  not met$'
  expect_match "$table" '^attention of 32 to 256 sequences .* 0.910 +0.90  met$'
  expect_match "$(tail -n 1 <<<"$table")" ': all well$'
}
test_jobs_of_the_32b_are_compared_with_their_arithmetic() {
  write_host
  goal_rows 2000 0.91 >results/bench.json
  # 1088 tokens in and 128 out with 4096 patches take 8.340e13 operations: 5 captions per second 4.17e14.
  FAKE_SECONDS=64 FAKE_FP8_SECONDS=40 check --part fast
  expect_equal "$code" 0
  expect_match "$table" '^captions_32b +passed'
  expect_match "$table" '^captions per second, bf16, .* 0.834 +0.80  met$'
  expect_match "$table" '^captions per second in FP8 over bf16 .* 1.600 +1.55  met$'
  expect_match "$(cat calls)" 'data_captions_32b_fp8 --shape 32b-fp8'
  FAKE_CAPABILITY=7.5 check --part fast
  expect_no_match "$table" 'captions_32b_fp8|in FP8 over bf16'
  FAKE_CAPTION_CODE=1 check --part fast
  expect_equal "$code" 1
  expect_match "$table" '^captions_32b +failed'
  expect_no_match "$table" 'captions per second'
}
test_a_goal_of_which_rows_are_missing_is_not_shown() {
  write_host
  goal_rows 2000 0.91 | grep -v '"tuned down\|"decode 43' >results/bench.json
  check --only bench
  expect_no_match "$table" 'products in bf16|attention of 32'
  expect_match "$table" 'products in FP8'
}
test_a_part_has_its_own_steps_alone() {
  write_host
  check --part right
  expect_no_match "$table" '^bench '
  expect_match "$table" '^ops +passed'
  expect_equal "$code" 0
  check --part fast
  expect_match "$table" '^bench +passed'
  expect_no_match "$table" '^(ops|doctor|caption_gpu|memcheck|trace_gqa8-tied_1) '
  expect_equal "$code" 0
  check --part quick
  expect_equal "$code" 2
}
test_an_op_that_fails_in_the_benchmark_is_a_failure() {
  write_host
  printf '{"group":"rows","name":"add","error":"[cuda] bad"}' >results/failed
  bench results/failed results/row >results/bench.json
  check --only bench
  expect_equal "$code" 1
  expect_match "$table" '^add +FAILED: \[cuda\] bad$'
}
test_rows_before_a_crash_of_the_benchmark_are_kept() {
  write_host
  head -n 3 results/bench.json >results/half.json
  mv results/half.json results/bench.json
  FAKE_BENCH_CRASH=1 check --only bench
  expect_match "$table" '^bench +crashed .*until then 1 ops'
  expect_match "$table" '^qkv M=2048'
  expect_json 'len(j["bench"]["results"]) == 1'
}
test_errors_that_the_sanitizer_finds_are_a_failure() {
  write_host
  FAKE_SANITIZER='========= Invalid __global__ write of size 4 bytes' FAKE_SANITIZER_CODE=99 check --only memcheck
  expect_equal "$code" 1
  expect_match "$table" '^memcheck +failed .*exit 99: .*Invalid __global__ write'
}
test_a_sanitizer_without_a_summary_is_a_failure() {
  write_host
  FAKE_SANITIZER='nothing' check --only memcheck
  expect_match "$table" '^memcheck +failed'
}
test_a_device_that_the_sanitizer_does_not_support_is_left_out() {
  write_host
  FAKE_SANITIZER='========= Error: Device not supported' FAKE_SANITIZER_CODE=1 check --only memcheck
  expect_equal "$code" 0
  expect_match "$table" '^memcheck +left out'
}
test_the_table_says_that_an_emulator_ran() {
  write_host
  bench_row 'qkv M=2048 N=10240 K=5120' 0.01 >results/row
  bench results/row >results/bench.json
  FAKE_CUDA='emulated, for tests' check --only bench
  expect_equal "$code" 0
  expect_match "$table" '^GPU CHECK ON THE EMULATOR'
  expect_json 'j["emulated"] is True'
}
test_a_missing_program_is_not_run_and_not_well() {
  write_host
  rm bin/parallel_comm_nccl_test
  check --only nccl
  expect_equal "$code" 1
  expect_match "$table" '^nccl +not run .*parallel_comm_nccl_test is missing$'
}
test_an_unknown_option_is_exit_2() {
  write_host
  check --fast
  expect_equal "$code" 2
  expect_match "$(cat out/stdout)" 'unknown option --fast. Known:'
}
test_an_unknown_step_is_exit_2() {
  write_host
  check --only ops,matmul_bit
  expect_equal "$code" 2
  expect_match "$(cat out/stdout)" 'matmul_bit: no such step. Known: matmul_bits ops'
}
test_a_folder_without_the_program_is_exit_2() {
  mkdir bin out
  check
  expect_equal "$code" 2
  expect_match "$(cat out/stdout)" 'no retinue in bin'
}
run_tests
