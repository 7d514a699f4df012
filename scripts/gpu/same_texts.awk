# Counts the records of two captions.jsonl that have the same text, by id; prints "EQUAL TOTAL". Records hold "id" and
# "text" as strings.
function field(key,   at, rest, i, c, out) {
  at = index($0, "\"" key "\":")
  if (!at) return "\001"
  rest = substr($0, at + length(key) + 3)
  sub(/^ *"/, "", rest)
  for (i = 1; i <= length(rest); i++) {
    c = substr(rest, i, 1)
    if (c == "\\") { out = out c substr(rest, ++i, 1); continue }
    if (c == "\"") break
    out = out c
  }
  return out
}
FNR == NR { text[field("id")] = field("text"); next }
{ total++; id = field("id"); if (id in text && text[id] == field("text")) equal++ }
END { printf "%d %d\n", equal, total }
