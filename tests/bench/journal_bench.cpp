// Times a job's journal: appends the records of a segment again.
//   journal_bench SEGMENT [FSYNC_INTERVAL_MS]
// Prints the microseconds per record.
#include "runtime/output/journal.h"
#include "tests/support/temporary_folder.h"

#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

int main(int argc, char** argv) {
  using namespace retinue;
  if (argc < 2) {
    std::fputs("usage: journal_bench SEGMENT [FSYNC_INTERVAL_MS]\n", stderr);
    return 2;
  }
  std::vector<std::string> records;
  std::ifstream file(argv[1]);
  for (std::string line; std::getline(file, line);)
    if (const auto at = line.find('{'); at != std::string::npos) records.push_back(line.substr(at));
  if (records.empty()) return 2;
  const test::TemporaryFolder folder;
  runtime::SegmentWriter journal(folder.path("r00000.e0.seg"), argc > 2 ? std::atoi(argv[2]) : 50);
  const auto start = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < records.size(); ++i)
    journal.append(runtime::EntryType::kDone, static_cast<std::int64_t>(i), records[i]);
  const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - start;
  journal.close();
  fmt::print("{:.2f}\n", took.count() / static_cast<double>(records.size()));
  return 0;
}
