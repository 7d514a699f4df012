# Writes judged kernels (see judge_kernels.awk) as JSON.
function text(s) { gsub(/\\/, "\\\\", s); gsub(/"/, "\\\"", s); return "\"" s "\"" }
function loop() {
  if ($13 == "-") return "null"
  return sprintf("{\"instructions\": %d, \"mma\": %d, \"calls\": %d, \"local_accesses\": %d, \"widest_access_bytes\": %d}",
    $13, $14, $15, $16, $17)
}
BEGIN {
  FS = "\t"
  printf "{\"schema_version\": 1, \"architecture\": %s, \"nvcc\": %s, \"revision\": %s, \"counted_in\": %s, \"kernels\": [",
    text(arch), text(version), text(revision), text(counted)
}
{
  printf "%s\n  {\"source\": %s, \"kernel\": %s, \"registers\": %d, \"stack_bytes\": %d, \"spill_store_bytes\": %d, " \
    "\"spill_load_bytes\": %d, \"static_shared_bytes\": %d, \"mma\": %d, \"wgmma\": %d, \"async_copies\": %d, " \
    "\"ldmatrix\": %d, \"main_loop\": %s, \"verdict\": %s}", (NR > 1 ? "," : ""), text($2), text($3), $4, $5, $6, $7, $8,
    $9, $10, $11, $12, loop(), text($1)
}
END { print "\n]}" }
