# Writes gpu_check.json from facts.tsv and steps.tsv, followed by the benchmark's JSON unchanged (it may be empty).
function text(s) {
  gsub(/\\/, "\\\\", s); gsub(/"/, "\\\"", s); gsub(/[[:cntrl:]]/, " ", s)
  return "\"" s "\""
}
function number(s) { return s ~ /^[0-9]+$/ ? s : "null" }
BEGIN { FS = "\t"; printf "{\"schema_version\": 1, \"emulated\": %s,\n\"facts\": {", emulated ? "true" : "false" }
FILENAME ~ /facts\.tsv$/ { printf "%s\n  %s: %s", (facts++ ? "," : ""), text($1), text($2); next }
FILENAME ~ /steps\.tsv$/ {
  if (!steps++) printf "\n},\n\"steps\": ["
  printf "%s\n  {\"name\": %s, \"status\": %s, \"seconds\": %s, \"tests\": %s, \"failures\": %s, \"on_gpu\": %s, \"detail\": %s}", \
    (steps > 1 ? "," : ""), text($1), text($2), number($3), number($4), number($5), number($6), text($7)
  if ($2 != "passed" && $2 != "left out") bad++
  if ($2 == "passed") passed++
  next
}
{ if (!bench++) printf "\n],\n\"passed\": %s,\n\"bench\": ", (bad == 0 && passed > 0) ? "true" : "false"; print }
END { if (!bench) printf "\n],\n\"passed\": %s,\n\"bench\": null\n", (bad == 0 && passed > 0) ? "true" : "false"; print "}" }
