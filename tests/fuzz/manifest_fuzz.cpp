// Any bytes as a manifest, JSON lines or a batch file: a UsageError, or items that the item table
// gives back as they were.
#include "parallel/base/check.h"
#include "runtime/dataset/item_table.h"
#include "runtime/dataset/manifest.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace retinue::runtime;

class Items final : public ItemSink {
 public:
  bool add(Item item) override {
    items.push_back(std::move(item));
    return items.size() < kMost;
  }
  void passed_over(std::string_view, std::string_view) override {}

  std::vector<Item> items;

 private:
  static constexpr std::size_t kMost = 64;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::istringstream lines(std::string(reinterpret_cast<const char*>(data), size));
  Items sink;
  try {
    detail::read_manifest(lines, "fuzz.jsonl", "/nowhere", sink);
  } catch (const retinue::UsageError&) {
    return 0;
  }
  const ItemTable table = ItemTable::of(sink.items);
  for (std::size_t i = 0; i < table.size(); ++i) {
    const Item item = table.item(i);
    if (item.id.empty() || pack_item(item) != table.packed(i)) std::abort();
  }
  return 0;
}
