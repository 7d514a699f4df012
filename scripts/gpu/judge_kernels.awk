# Checks kernels against the demands of hot_kernels.txt. Input: that file, then lines of
#   source, short name, registers, stack, spill stores, spill loads, shared, mma, wgmma, copies, ldmatrix (tabs)
# Output: the same with a verdict in front: "ok", "ok: reason" or "BAD: what". Exits 1 when a kernel is bad or a demand
# names no kernel (on standard error).
BEGIN { FS = "\t"; OFS = "\t" }
FNR == NR {
  if (/^#/ || /^[ \t]*$/) next
  split($0, word, /[ \t]+/)
  pattern[++demands] = word[1]; tensor[demands] = word[2]; room[demands] = word[3]
  reason[demands] = $0
  sub(/^[^ \t]+[ \t]+[^ \t]+[ \t]+[^ \t]+[ \t]*/, "", reason[demands])
  if ((tensor[demands] != "mma" && tensor[demands] != "-") || (room[demands] != "whole" && room[demands] != "spills")) {
    printf "[kernels] %s:%d: wanted PATTERN mma|- whole|spills REASON, got '%s'\n", FILENAME, FNR, $0 >"/dev/stderr"
    bad = 1
  }
  next
}
{
  demand = 0
  for (i = 1; i <= demands && !demand; i++) if ($2 ~ "^(" pattern[i] ")$") { demand = i; used[i] = 1 }
  # Every demand that matches counts as used, not only the deciding one.
  for (i = 1; i <= demands; i++) if ($2 ~ "^(" pattern[i] ")$") used[i] = 1
  verdict = "ok"
  spilled = $5 + $6 > 0
  if (spilled && demand && room[demand] == "spills") verdict = "ok: " reason[demand]
  else if (spilled) verdict = "BAD: spills " $5 " bytes, reads " $6
  if (demand && tensor[demand] == "mma" && $8 + $9 == 0) verdict = "BAD: no mma, though " reason[demand]
  if (verdict ~ /^BAD/) bad = 1
  print verdict, $0
}
END {
  for (i = 1; i <= demands; i++) if (!used[i]) {
    printf "[kernels] no kernel is called %s. If it was renamed, rename it in hot_kernels.txt, too.\n", pattern[i] >"/dev/stderr"
    bad = 1
  }
  exit bad
}
