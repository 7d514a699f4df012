# Prints the GPU facts of `retinue doctor --json` in one line. Exits 1 and names the missing facts when a rank lacks its
# GPU, driver or memory, or when a collective of the ranks' own communicators was not swept. Needs -v ranks=N;
# -v emulated=1 needs no driver, since an emulator has none. The JSON has a key on each line; other lines are ignored.
function value(line) { sub(/^[^:]*: */, "", line); gsub(/[",]/, "", line); return line }
function lack(what) { lacking = lacking (lacking == "" ? "" : ", ") what }
/^  "verdict": / { verdict = value($0) }
/^  "[a-z_]+": / { section = $1 }
section == "\"ranks\":" && /^      "gpu": / { rank++; in_gpu = 1; next }
in_gpu && /^      }/ { in_gpu = 0 }
in_gpu && /^        "name": / { names[rank] = value($0) }
in_gpu && /^        "driver": / { drivers[rank] = value($0) }
in_gpu && /^        "memory_bytes": / { bytes[rank] = value($0) + 0 }
section == "\"sweeps\":" && /^      "device": / { device = value($0) }
section == "\"sweeps\":" && /^      "collective": / && device == "cuda" { swept[value($0)]++ }
END {
  if (verdict == "") lack("a verdict")
  for (i = 1; i <= ranks; i++) {
    if (names[i] == "" || names[i] == "null") lack("the GPU of rank " i - 1)
    if ((drivers[i] == "" || drivers[i] == "null") && !emulated) lack("the driver of rank " i - 1)
    if (bytes[i] <= 0) lack("the memory of rank " i - 1)
  }
  count = split("all_reduce all_gather broadcast", wanted, " ")
  for (i = 1; i <= count && ranks > 1; i++) if (!(wanted[i] in swept)) lack("a sweep of " wanted[i] " between GPUs")
  if (lacking != "") { print "verdict " verdict "; missing: " lacking; exit 1 }
  printf "verdict %s; %s, driver %s, %.0f GB", verdict, names[1], drivers[1] == "" ? "none" : drivers[1], bytes[1] * 1e-9
  print (ranks > 1 ? "; " count " collectives of NCCL swept" : "")
}
