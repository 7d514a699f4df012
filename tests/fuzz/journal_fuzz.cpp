// Any bytes as a segment of a journal and, after the last "\0", as a crash report: every entry that is
// read is whole, and its item exists.
#include "parallel/base/check.h"
#include "runtime/output/journal.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace retinue;
  constexpr std::int64_t kItems = 32;
  static const std::string folder = [] {
    std::string name = (std::filesystem::temp_directory_path() / "journal-fuzz-XXXXXX").string();
    check(::mkdtemp(name.data()) != nullptr, "a temporary folder can be made");
    std::filesystem::create_directories(name + "/journal");
    return name;
  }();
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::size_t cut = std::min(bytes.rfind('\0'), bytes.size());
  const auto write = [](const std::string& path, std::string_view text) {
    std::ofstream(path, std::ios::binary)
        .write(text.data(), static_cast<std::streamsize>(text.size()));
  };
  write(runtime::segment_path(folder, 0, 0), bytes.substr(0, cut));
  write(runtime::crash_report_path(folder, 0, 0), bytes.substr(std::min(cut + 1, bytes.size())));
  const runtime::Journal journal(folder, kItems);
  std::int64_t ended = 0;
  for (std::int64_t i = 0; i < kItems; ++i)
    if (journal.done(i) || journal.failed(i)) {
      ++ended;
      check(journal.text(i).find('\n') == std::string::npos, "an entry is one line");
    }
  check(ended == journal.done_count() + journal.failed_count(), "counts equal the entries");
  for (const std::int64_t item : journal.crash_attribution().suspects())
    check(!journal.crash_attribution().by_item().contains(item),
          "an item is either attributed or a suspect");
  return 0;
}
