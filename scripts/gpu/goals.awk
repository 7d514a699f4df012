# Says which goals the rows of cuda_kernels_bench's JSON, and the jobs of job_rate.awk's lines, meet. A goal is a ratio to
# a limit that the same run measured: a large matmul for arithmetic, a large copy for memory. Prints nothing where no row
# belongs to a goal.
# With json_field.awk.
function show(what, got, want) {
  if (!shown++) printf "%-66s %6s %6s\n", "goal (ratio to the limit of this run)", "got", "wanted"
  printf "%-66s %6.3f %6.2f  %s\n", what, got, want, (got >= want ? "met" : "not met")
}
/"matmul_tflop_per_s":/ { limit = field("matmul_tflop_per_s") * 1e12 }
/"job":/ { per_s[field("job")] = field("per_s") + 0; flops[field("job")] = field("flops") + 0; next }
!/"group":/ || index($0, "\"error\":") { next }
{ name = field("name") }
name ~ /^(tuned (qkv|gate_up)|tuned (o_proj|down)|vision (qkv|proj|fc1|fc2)) M=(2048|4096) / && (name !~ /o_proj|down/ || name ~ /leaves/) {
  bf16_flops += field("flops"); products_s += field("us") / 1e6; bf16++
}
name ~ /^fp8 (qkv|gate_up|o_proj|down) M=2048 / { fp8_flops += field("flops"); fp8_products_s += field("us") / 1e6; fp8++ }
name ~ /^decode (32|43|64|256) x 1 of 1152/ { ratio = field("ratio") + 0; if (!decode++ || ratio < least) least = ratio }
END {
  # All eight products, or none: a part would flatter.
  if (bf16 == 8) show("products in bf16, 2048 rows, of the 32B and its tower", bf16_flops / products_s / limit, 0.93)
  if (fp8 == 4) show("products in FP8, 2048 rows, of the 32B's decoder", fp8_flops / fp8_products_s / limit, 1.6)
  bf16_s = per_s["captions_32b"]; fp8_s = per_s["captions_32b_fp8"]
  if (limit && bf16_s) show("captions per second, bf16, times their arithmetic", bf16_s * flops["captions_32b"] / limit, 0.80)
  if (bf16_s && fp8_s) show("captions per second in FP8 over bf16", fp8_s / bf16_s, 1.55)
  if (decode == 4) show("attention of 32 to 256 sequences that decode, the slowest", least, 0.90)
}
