# shellcheck shell=bash
# Start and comparison of a caption job over simulated hosts (simulated_hosts.sh). Tests source it in the project's root.
#   read_options NAME ARGUMENT…   sets $items (--items, 400), $retinue and $model; exits with 2 where an option is unknown
#                                 or the program is missing. Messages begin with NAME
#   test_up                       makes $folder and the hosts; both are removed when the script exits
#   test_down                     removes them, for a script with an exit handler of its own
#   list_items                    writes $folder/list.jsonl, which repeats the examples
#   records OUTPUT                prints how many items have a record in the journal
#   compare OUTPUT                prints whether its captions equal those of $folder/alone: equal or different

. scripts/simulated_hosts.sh

read_options() { # NAME ARGUMENT…
  local name=$1
  shift
  items=400
  while [ $# -gt 0 ]; do
    case $1 in
      --items) items=$2; shift 2 ;;
      *) echo "[$name] unknown option $1. Known: --items" >&2; exit 2 ;;
    esac
  done
  # shellcheck disable=SC2034 # for the sourcing script
  model=$PWD/configs/models/emoji-captioner
  retinue=$PWD/build/bin/retinue
  [ -x "$retinue" ] || { echo "[$name] $retinue is missing: run scripts/build.sh" >&2; exit 2; }
}

test_down() {
  hosts_down
  rm -rf "$folder"
}

test_up() {
  folder=$(mktemp -d)
  trap test_down EXIT
  hosts_up "$folder"
}

list_items() {
  local images=("$PWD"/configs/examples/*.png) i
  for ((i = 0; i < items; ++i)); do
    printf '{"id": "item-%d", "image": "%s"}\n' "$i" "${images[i % ${#images[@]}]}"
  done >"$folder/list.jsonl"
}

records() { # OUTPUT
  cat "$1"/journal/*.seg 2>/dev/null | grep -c ' D ' || true
}

compare() { # OUTPUT
  cmp -s "$folder/alone/captions.jsonl" "$1/captions.jsonl" && echo equal || echo different
}
