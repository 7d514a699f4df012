#include "runtime/dataset/item_table_builder.h"

#include "parallel/base/check.h"
#include "runtime/formats/atomic_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>
#include <vector>

namespace retinue::runtime {
namespace {

namespace fs = std::filesystem;

/// The table of a folder; nothing where there is none, or a damaged one.
std::optional<ItemTable> table_in(const std::string& folder) {
  try {
    return ItemTable(folder);
  } catch (const SystemError&) {
    return std::nullopt;
  }
}

bool same_bytes(const std::string& a, const std::string& b) {
  std::ifstream first(a, std::ios::binary), second(b, std::ios::binary);
  std::vector<char> left(std::size_t{1} << 18), right(left.size());
  while (first && second) {
    first.read(left.data(), static_cast<std::streamsize>(left.size()));
    second.read(right.data(), static_cast<std::streamsize>(right.size()));
    if (first.gcount() != second.gcount() ||
        !std::equal(left.begin(), left.begin() + first.gcount(), right.begin()))
      return false;
  }
  return first.eof() && second.eof();
}

/// Continues a job of an earlier version, which called the table's folder "manifest". A folder of that
/// name that is no item table of a job is not ours.
void rename_earlier_table(const std::string& job) {
  const std::string earlier = job + "/manifest";
  std::error_code error;
  if (!fs::exists(job + "/job.json", error) || !fs::exists(earlier + "/table.json", error) ||
      fs::exists(table_folder(job), error))
    return;
  fs::rename(earlier, table_folder(job), error);
  if (error)
    throw SystemError(fmt::format(
        "[output] {}: cannot be renamed: {}. Mend the disk, then run the same command again.",
        earlier, error.message()));
}

}  // namespace

std::string table_folder(const std::string& job) { return job + "/item_table"; }

ItemTableBuilder::ItemTableBuilder(std::string job, const SourceOptions& options,
                                   std::istream& standard_input)
    : folder_(table_folder(job)), part_(folder_ + ".part") {
  rename_earlier_table(job);
  try {
    items_ = list_table(options, standard_input, part_);
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(part_, ignored);
    throw;
  }
}

ItemTableBuilder::~ItemTableBuilder() {
  std::error_code ignored;
  fs::remove_all(part_, ignored);
}

std::string ItemTableBuilder::difference() const {
  const auto before = table_in(folder_);
  if (!before || before->sha256() == items_.sha256()) return "";
  try {
    const auto at = first_difference(*before, items_);
    if (!at) return "";
    const auto shown = [&](const ItemTable& table) {
      return *at < table.size() ? describe(table.item(*at)) : std::string("none");
    };
    return fmt::format("The first item that differs is number {}: was {}; now {}.", *at + 1,
                       shown(*before), shown(items_));
  } catch (const SystemError&) {
    return "";  // The old table is damaged: the hashes differ, and more cannot be said.
  }
}

void ItemTableBuilder::publish() {
  bool same = true;
  for (const char* name : {"/items", "/index", "/table.json"})
    same = same && same_bytes(folder_ + name, part_ + name);
  if (same) return;
  // No record belongs to the old table yet, or it is damaged.
  std::error_code error;
  fs::remove_all(folder_, error);
  if (!error) fs::rename(part_, folder_, error);
  if (error)
    throw SystemError(fmt::format(
        "[output] {}: cannot be renamed: {}. Mend the disk, then run the same command again.",
        part_, error.message()));
  sync_folder(fs::path(folder_).parent_path().string());
}

}  // namespace retinue::runtime
