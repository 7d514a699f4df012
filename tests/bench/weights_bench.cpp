// Loading weights beside plain reading of the same file, in turns in one run:
//   weights_bench [FOLDER] [THREADS]
// Writes a checkpoint of the 8B's widths to FOLDER (default: /tmp), which stays in the page cache.
#include "layers/modules/tensor_axis.h"
#include "layers/weights/weight_store.h"
#include "tests/support/temporary_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fcntl.h>
#include <functional>
#include <unistd.h>
#include <vector>

namespace retinue {
namespace {

constexpr int kLayers = 4;
constexpr int kRounds = 5;

struct Matrix {
  const char* name;
  std::int64_t outputs, inputs;
  bool by_columns;  ///< split over the inputs, as row-parallel layers are
};
constexpr Matrix kMatrices[] = {{"qkv", 6144, 4096, false},
                                {"o", 4096, 4096, true},
                                {"gate_up", 24576, 4096, false},
                                {"down", 4096, 12288, true}};

std::string name_of(int layer, const Matrix& matrix) {
  return fmt::format("layers.{}.{}", layer, matrix.name);
}

/// Returns the bytes of the file.
std::int64_t write_checkpoint(const std::string& path) {
  std::string header = "{";
  std::int64_t at = 0;
  for (int layer = 0; layer < kLayers; ++layer)
    for (const Matrix& m : kMatrices) {
      const std::int64_t bytes = m.outputs * m.inputs * 2;
      header += fmt::format(R"({}"{}":{{"dtype":"BF16","shape":[{},{}],"data_offsets":[{},{}]}})",
                            header.size() > 1 ? "," : "", name_of(layer, m), m.outputs, m.inputs,
                            at, at + bytes);
      at += bytes;
    }
  header += "}";
  std::ofstream file(path, std::ios::binary);
  const std::uint64_t length = header.size();
  file.write(reinterpret_cast<const char*>(&length), 8);
  file << header;
  std::vector<std::uint16_t> values(std::size_t{1} << 20);
  std::uint64_t state = 1;
  for (std::int64_t left = at; left > 0;) {
    for (auto& value : values)
      value = static_cast<std::uint16_t>((state = state * 6364136223846793005ULL + 1) >> 33);
    const std::int64_t piece = std::min<std::int64_t>(left, std::int64_t{2} << 20);
    file.write(reinterpret_cast<const char*>(values.data()), piece);
    left -= piece;
  }
  return at;
}

void load(const std::string& folder, int threads, int tensor) {
  MemoryLedger ledger;
  Context ctx(Device{}, threads, Buffer(ledger, Device{}, 256, MemoryTag::kActivations),
              Buffer(ledger, Device{}, 256, MemoryTag::kScratch));
  layers::CheckpointSource source(folder);
  layers::WeightStore store(ctx, ledger, &source, DType::kBF16);
  layers::TensorAxis axis;
  axis.size = tensor;
  for (int layer = 0; layer < kLayers; ++layer)
    for (const Matrix& m : kMatrices) {
      const Shape shape{m.outputs, m.inputs};
      if (m.by_columns)
        store.matrix({{name_of(layer, m), shape, 0, m.outputs}}, 0, axis.per_rank(m.inputs));
      else
        store.matrix({{name_of(layer, m), shape, 0, axis.per_rank(m.outputs)}}, 0, m.inputs);
    }
  store.load();
}

void read_plainly(const std::string& path) {
  std::vector<char> buffer(std::size_t{4} << 20);
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  while (::read(fd, buffer.data(), buffer.size()) > 0) {
  }
  ::close(fd);
}

struct Way {
  std::string name;
  double share;  ///< of the file's bytes
  std::function<void()> body;
  std::vector<double> seconds = {};
};

void run(const std::string& where, int threads) {
  std::string folder = where + "/retinue-weights-XXXXXX";
  check(::mkdtemp(folder.data()) != nullptr, "a temporary folder can be made");
  const std::string path = folder + "/model.safetensors";
  const auto bytes = static_cast<double>(write_checkpoint(path));
  std::vector<Way> ways = {{"plain read", 1, [&] { read_plainly(path); }},
                           {"load, tensor 1", 1, [&] { load(folder, threads, 1); }},
                           {"load, one of tensor 4", 0.25, [&] { load(folder, threads, 4); }}};
  for (int round = -1; round < kRounds; ++round)
    for (Way& way : ways) {
      const auto start = std::chrono::steady_clock::now();
      way.body();
      const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
      if (round >= 0) way.seconds.push_back(taken.count());
    }
  fmt::print("{:.2f} GB, {} threads, median of {} rounds (least, most)\n", bytes * 1e-9, threads,
             kRounds);
  for (Way& way : ways) std::ranges::sort(way.seconds);
  const auto rate = [&](const Way& way, double s) { return bytes * way.share / s * 1e-9; };
  const double plain = rate(ways[0], ways[0].seconds[kRounds / 2]);
  for (const Way& way : ways) {
    const double median = rate(way, way.seconds[kRounds / 2]);
    fmt::print("{:<24} {:.2f} GB/s ({:.2f}, {:.2f}), {:.2f} of plain read\n", way.name, median,
               rate(way, way.seconds.back()), rate(way, way.seconds.front()), median / plain);
  }
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace retinue

int main(int argc, char** argv) {
  retinue::run(argc > 1 ? argv[1] : "/tmp", argc > 2 ? std::atoi(argv[2]) : 2);
}
