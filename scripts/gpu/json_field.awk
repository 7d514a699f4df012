# The value of a key in a line of JSON that holds one flat object; empty where it has none. For other awk programs.
function field(key,   at, rest) {
  at = index($0, "\"" key "\":")
  if (!at) return ""
  rest = substr($0, at + length(key) + 3)
  if (substr(rest, 1, 1) == "\"") { sub(/^"/, "", rest); sub(/".*/, "", rest) } else sub(/[,}].*/, "", rest)
  return rest
}
