// Times reading images from a Parquet file, beside plain reading of the same bytes in the same run.
//   parquet_bench [FOLDER]      writes 200 MiB to FOLDER (default: /tmp) and removes them
#include "parallel/base/check.h"
#include "parallel/base/rng.h"
#include "runtime/formats/parquet/reader.h"
#include "runtime/formats/parquet/writer.h"
#include "tests/bench/turns.h"

#include <fmt/format.h>

#include <filesystem>
#include <functional>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

namespace retinue::runtime {
namespace {

using bench::Way;

constexpr int kRounds = 7;
constexpr std::int64_t kBytes = std::int64_t{200} << 20;

/// Writes rows of an id, a caption and "an image" of 50 to 150 KB. Returns their number.
std::int64_t write_file(const std::string& path) {
  ParquetWriter writer(path, {{"id", ParquetKind::kText},
                              {"caption", ParquetKind::kText},
                              {"image", ParquetKind::kBinary}});
  std::string noise(std::size_t{256} << 10, '\0');
  for (std::size_t i = 0; i < noise.size(); ++i) noise[i] = static_cast<char>(random_bits(1, i));
  std::int64_t rows = 0;
  for (std::int64_t written = 0; written < kBytes; ++rows) {
    const std::uint64_t bits = random_bits(2, static_cast<std::uint64_t>(rows));
    const std::size_t size = 50000 + bits % 100000;
    const std::string id = fmt::format("image-{:06}", rows);
    const std::string_view image = std::string_view(noise).substr(bits % 100000, size);
    writer.add(std::vector<ParquetValue>{
        std::string_view(id), std::string_view("A backpack is right of a helicopter."), image});
    written += static_cast<std::int64_t>(size);
  }
  writer.commit();
  return rows;
}

/// Reads every row of a column with a new reader.
void read_cells(const std::string& path, const ParquetOptions& options, const char* column,
                std::int64_t threads, const std::function<std::int64_t(std::int64_t)>& nth) {
  const auto file = ParquetFile::open(path, options).value();
  const int index = file->column(column).value();
  std::vector<std::jthread> readers;
  for (std::int64_t thread = 0; thread < threads; ++thread)
    readers.emplace_back([&, thread] {
      for (std::int64_t row = thread; row < file->rows(); row += threads)
        check(!file->cell(nth(row), index).value().null, "an image");
    });
}

void run(const std::string& where) {
  std::string folder = where + "/retinue-parquet-XXXXXX";
  check(::mkdtemp(folder.data()) != nullptr, "a temporary folder can be made");
  const std::string path = folder + "/images.parquet";
  const std::int64_t rows = write_file(path);
  const auto bytes = static_cast<double>(std::filesystem::file_size(path));
  const auto in_order = [](std::int64_t row) { return row; };
  // A prime larger than the number of rows: visits each row once, far from the one before.
  const auto anywhere = [rows](std::int64_t row) { return row * 1000003 % rows; };
  std::vector<Way> ways = {
      {"plain read", bytes, [&] { bench::read_plainly(path, std::size_t{1} << 20); }},
      {"images in order", bytes, [&] { read_cells(path, {}, "image", 1, in_order); }},
      {"images in order, 2 threads", bytes, [&] { read_cells(path, {}, "image", 2, in_order); }},
      {"images in any order, 32 MiB cached", bytes,
       [&] { read_cells(path, {.cache_bytes = 32 << 20}, "image", 1, anywhere); }},
      {"ids alone", bytes, [&] { read_cells(path, {}, "id", 1, in_order); }}};
  bench::time_in_turns(ways, kRounds);
  fmt::print("{:.0f} MB, {} rows, warm; median of {} rounds (least, most)\n", bytes * 1e-6, rows,
             kRounds);
  for (const Way& way : ways)
    if (way.name == "ids alone")
      fmt::print("{:<34} {:.2f} ms ({:.2f}, {:.2f})\n", way.name, way.median_s() * 1e3,
                 way.least_s() * 1e3, way.most_s() * 1e3);
    else
      fmt::print("{:<34} {:.0f} MB/s ({:.0f}, {:.0f}), {:.2f} of plain read\n", way.name,
                 way.rate() * 1e-6, bytes / way.most_s() * 1e-6, bytes / way.least_s() * 1e-6,
                 way.rate() / ways[0].rate());
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace retinue::runtime

int main(int argc, char** argv) { retinue::runtime::run(argc > 1 ? argv[1] : "/tmp"); }
