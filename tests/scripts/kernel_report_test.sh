#!/usr/bin/env bash
# Tests what scripts/kernel_report.sh reads from compiler output: facts, names, verdicts, table and JSON. Needs no nvcc.
. "$(dirname "${BASH_SOURCE[0]}")/harness.sh"
parts=$root/scripts/gpu

write_inputs() {
  cat >ptxas.log <<'END'
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_Z4fastIiEvPT_' for 'sm_90a'
ptxas info    : Function properties for _Z4fastIiEvPT_
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 168 registers, used 1 barriers, 1536 bytes smem
ptxas info    : Compile time = 124.018 ms
ptxas info    : Compiling entry function '_Z4slowPf' for 'sm_90a'
ptxas info    : Function properties for _Z4slowPf
    424 bytes stack frame, 976 bytes spill stores, 712 bytes spill loads
ptxas info    : Function properties for _Z6helperf
    64 bytes stack frame, 8 bytes spill stores, 8 bytes spill loads
ptxas info    : Used 255 registers, used 1 barriers, 424 bytes cumulative stack size
END
  cat >all.ptx <<'END'
.visible .entry _Z4fastIiEvPT_(
{
	cp.async.cg.shared.global [%r1], [%rd1], 16;
	cp.async.commit_group;
	ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r1}, [%r2];
	mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%f1}, {%r1};
	mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%f1}, {%r1};
}
.func _Z6helperf(
{
	mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%f1}, {%r1};
}
.entry _Z4slowPf(
{
	add.f32 %f1, %f2, %f3;
}
END
  : >sass.txt
}
facts() { awk -f "$parts/kernel_facts.awk" kind=ptxas ptxas.log kind=ptx all.ptx kind=sass sass.txt; }

test_registers_spills_and_shared_memory_are_read_per_kernel() {
  write_inputs
  expect_equal "$(facts | sed -n 1p | cut -f 1-6)" $'_Z4fastIiEvPT_\t168\t0\t0\t0\t1536'
  expect_equal "$(facts | sed -n 2p | cut -f 1-6)" $'_Z4slowPf\t255\t424\t976\t712\t0'
}
test_instructions_are_counted_in_ptx() {
  write_inputs
  expect_equal "$(facts | cut -f 7-10)" $'2\t0\t1\t1\n0\t0\t0\t0'
}
test_instructions_in_sass_replace_those_in_ptx() {
  write_inputs
  cat >sass.txt <<'END'
		Function : _Z4fastIiEvPT_
        /*0100*/                   HMMA.16816.F32.BF16 R4, R8, R12, R4 ;
        /*0110*/                   HGMMA.64x64x16.F32 R4, gdesc[UR4] ;
        /*0120*/                   LDGSTS.E.BYPASS.128 [R3], [R4.64] ;
        /*0130*/                   LDSM.16.M88.4 R8, [R2] ;
        /*0140*/                   LDSM.16.MT88.4 R8, [R2] ;
END
  expect_equal "$(facts | sed -n 1p | cut -f 7-10)" $'1\t1\t1\t2'
}
test_names_lose_namespaces_parameters_and_casts() {
  names=$(awk -f "$parts/short_names.awk" <<'END'
void retinue::ops::detail::_GLOBAL__N__3fb25937_12_attention_cu_1ce6a13e::attention_kernel<256>(retinue::ops::detail::_GLOBAL__N__3fb25937_12_attention_cu_1ce6a13e::Operands, int)
void retinue::(anonymous namespace)::over_rows_kernel<retinue::ops::(anonymous namespace)::GeluOf<__nv_bfloat16, (retinue::ops::Gelu)1, 8> >(long, long)
merge_splits_kernel(Operands)
void k<(int)4, (bool)1>(float*)
END
  )
  expect_equal "$names" $'attention_kernel<256>\nover_rows_kernel<GeluOf<__nv_bfloat16, 1, 8>>\nmerge_splits_kernel\nk<4, 1>'
}

# judge DEMANDS < kernels
judge() { printf '%s\n' "$1" >demands.txt; awk -f "$parts/judge_kernels.awk" demands.txt -; }
# kernel NAME SPILLED MMA [LOOP]: instructions, mma, calls, local, bytes of the main loop
kernel() {
  printf 'a.cu\t%s\t32\t0\t%d\t%d\t0\t%d\t0\t0\t0\t%s\n' "$1" "$2" "$2" "$3" "${4:-$'-\t-\t-\t-\t-'}"
}

write_sass() {
  cat >sass.txt <<'END'
		Function : _Z4fastIiEvPT_
        /*0000*/                   LDC R1, c[0x0][0x28] ;   /* 0x00000a00ff017b82 */
                                                            /* 0x000e620000000800 */
        /*0010*/                   LDG.E R2, [R4.64] ;
        /*0020*/              @!P0 BRA 0x10 ;
        /*0030*/                   LDGSTS.E.BYPASS.128 [R3], [R4.64] ;
        /*0040*/                   HMMA.16816.F32.BF16 R4, R8, R12, R4 ;
        /*0050*/                   HMMA.16816.F32.BF16 R4, R8, R12, R4 ;
        /*0060*/               @P1 CALL.REL.NOINC 0x100 ;
        /*0070*/                   STL [R1], R2 ;
        /*0080*/               @P0 BRA 0x30 ;
        /*0090*/                   BRA.U UP0, 0x10 ;
        /*00a0*/                   EXIT ;
        /*00b0*/                   BRA 0xb0 ;
		Function : _Z8straightPf
        /*0000*/                   LDG.E.64 R2, [R4.64] ;
        /*0010*/                   EXIT ;
        /*0020*/                   BRA 0x20 ;
END
}
test_the_main_loop_is_the_smallest_with_the_most_mma() {
  write_sass
  expect_equal "$(awk -f "$parts/loop_facts.awk" sass.txt | sed -n 1p)" $'_Z4fastIiEvPT_\t6\t2\t1\t1\t16'
}
test_a_kernel_without_loops_counts_whole() {
  write_sass
  expect_equal "$(awk -f "$parts/loop_facts.awk" sass.txt | sed -n 2p)" $'_Z8straightPf\t3\t0\t0\t0\t8'
}
test_a_main_loop_below_its_floors_is_bad() {
  while IFS='|' read -r loop what; do
    judged=$(kernel k 0 8 "$(tr ' ' '\t' <<<"$loop")" | judge 'k  10%  whole  16  the hot one') && fail "$loop passed"
    expect_match "$judged" "^BAD: $what"
  done <<'END'
100 9 0 0 16|9 mma among 100 instructions of the main loop, wanted 10%
100 10 1 0 16|the main loop has 1 calls and 0 accesses to local memory
100 10 0 2 16|the main loop has 0 calls and 2 accesses to local memory
100 10 0 0 8|the main loop reads at most 8 bytes at once, wanted 16
END
  kernel k 0 8 $'100\t10\t1\t0\t16' | judge 'k  10%  calls  16  the hot one' >judged || fail 'a call that is allowed failed'
  kernel k 0 8 $'100\t10\t0\t0\t16' | judge 'k  10%  whole  16  the hot one' >judged || fail 'a loop at its floors failed'
  kernel k 0 8 | judge 'k  10%  whole  16  the hot one' >judged || fail 'a loop that was not read failed'
}

test_a_kernel_that_spills_is_bad() {
  judged=$(kernel k 8 0 | judge '# none') && fail 'a spill passed'
  expect_match "$judged" '^BAD: spills 8 bytes'
}
test_a_spill_may_be_excused_with_a_reason() {
  judged=$(kernel 'wide<256>' 8 4 | judge 'wide<256>  mma  spills  -  no model has it') || fail 'an excused spill failed'
  expect_match "$judged" '^ok: no model has it'
}
test_a_kernel_without_mma_where_one_is_meant_is_bad() {
  judged=$(kernel attention 0 0 | judge 'attention  mma  whole  -  the hot one') && fail 'a missing mma passed'
  expect_match "$judged" '^BAD: no mma, though the hot one'
}
test_a_demand_that_names_no_kernel_is_an_error() {
  judged=$( (kernel k 0 0 | judge 'renamed  mma  whole  -  x') 2>&1) && fail 'a demand without a kernel passed'
  expect_match "$judged" 'no kernel is called renamed'
}
test_a_malformed_line_of_demands_is_an_error() {
  judged=$( (kernel k 0 0 | judge 'k  tensor  whole  -  x') 2>&1) && fail 'a malformed line passed'
  expect_match "$judged" 'demands.txt:1: wanted PATTERN'
}
test_every_demand_of_the_project_has_a_reason() {
  while read -r line; do
    case $line in '#'* | '') continue ;; esac
    expect_match "$line" '  (mma|-|[0-9]+%) +(whole|calls|spills) +(-|[0-9]+) +[a-z]'
  done <"$parts/hot_kernels.txt"
}
test_table_and_json_hold_every_kernel() {
  { kernel 'a<"x">' 0 2; kernel b 0 0; } | judge '# none' >judged.tsv
  variables=(-v arch=sm_90a -v version=13.0.88 -v revision=abc -v counted=PTX)
  table=$(awk "${variables[@]}" -f "$parts/kernel_table.awk" judged.tsv)
  expect_match "$table" 'kernels for sm_90a, nvcc 13.0.88, revision abc; instructions counted in PTX; main loops not read'
  expect_match "$table" '^\| a: b +\| +32 \|'
  json=$(awk "${variables[@]}" -f "$parts/kernel_json.awk" judged.tsv)
  expect_match "$json" '"kernel": "a<\\"x\\">", "registers": 32'
  if command -v python3 >/dev/null; then
    expect_equal "$(python3 -c 'import json,sys; print(len(json.load(sys.stdin)["kernels"]))' <<<"$json")" 2
  fi
}
run_tests
