# Prints captions beside the true ones, and the score.
#   awk -f scripts/score_captions.awk MANIFEST CAPTIONS      a manifest with "truth", and the captions.jsonl of its job
# A caption in the grammar of scripts/demo/grammar.py is parsed; free text names an object where it contains its name.

function text(line, key,    at, value) {
  if (!match(line, "\"" key "\": ?\"([^\"\\\\]|\\\\.)*\"")) return ""
  value = substr(line, RSTART, RLENGTH)
  sub("^\"" key "\": ?\"", "", value)
  return substr(value, 1, length(value) - 1)
}

# Writes the objects of a caption to out; returns their number, 0 where it is free text.
function objects(caption, out,    n, i) {
  if (!sub(/ on an? [a-z ]+ background\.$/, "", caption)) return 0
  sub(/ is$/, "", caption)
  gsub(/ (is|and) (above|below|left of|right of) /, "|", caption)
  n = split(caption, out, "|")
  for (i = 1; i <= n; i++) sub(/^[Aa]n? /, "", out[i])
  return n
}

function background(caption) {
  if (!match(caption, / on an? [a-z ]+ background\.$/)) return ""
  caption = substr(caption, RSTART, RLENGTH)
  sub(/^ on an? /, "", caption)
  return caption
}

function has(name, caption, said, n,    i) {
  for (i = 1; i <= n; i++) if (said[i] == name) return 1
  return n == 0 && index(" " tolower(caption) " ", " " name) > 0
}

function percent(part, whole) { return whole ? 100 * part / whole : 0 }

FNR == NR { if ((id = text($0, "id")) != "") truth[id] = text($0, "truth"); next }

(id = text($0, "id")) in truth && truth[id] != "" {
  caption = text($0, "caption")
  right = caption == truth[id]
  printf "%s %-17s said   %s\n  %-17s truth  %s\n", right ? " " : "!", id, caption, "", truth[id]
  n = objects(truth[id], wanted)
  if (n == 0) { questions++; answered += right; next }
  captions++
  exact += right
  grounds += background(caption) == background(truth[id])
  m = objects(caption, said)
  for (i = 1; i <= n; i++) { asked++; found += has(wanted[i], caption, said, m) }
}

END {
  printf "\nobjects named    %d of %d, %.1f %%\n", found, asked, percent(found, asked)
  printf "backgrounds      %d of %d, %.1f %%\n", grounds, captions, percent(grounds, captions)
  printf "exact captions   %d of %d, %.1f %%\n", exact, captions, percent(exact, captions)
  if (questions) printf "exact answers    %d of %d, %.1f %%\n", answered, questions, percent(answered, questions)
}
