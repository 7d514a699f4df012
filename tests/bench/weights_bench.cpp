// Times loading weights beside plain reading of the same file, in turns in one run:
//   weights_bench [FOLDER] [THREADS]
// Writes a checkpoint of the 8B's widths to FOLDER (default: /tmp), which stays in the page cache.
#include "layers/modules/tensor_axis.h"
#include "layers/weights/weight_store.h"
#include "tests/bench/turns.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <unistd.h>
#include <vector>

namespace retinue {
namespace {

using bench::Way;

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

void run(const std::string& where, int threads) {
  std::string folder = where + "/retinue-weights-XXXXXX";
  check(::mkdtemp(folder.data()) != nullptr, "a temporary folder can be made");
  const std::string path = folder + "/model.safetensors";
  const auto bytes = static_cast<double>(write_checkpoint(path));
  std::vector<Way> ways = {
      {"plain read", bytes, [&] { bench::read_plainly(path, std::size_t{4} << 20); }},
      {"load, tensor 1", bytes, [&] { load(folder, threads, 1); }},
      {"load, one of tensor 4", bytes / 4, [&] { load(folder, threads, 4); }}};
  bench::time_in_turns(ways, kRounds);
  fmt::print("{:.2f} GB, {} threads, median of {} rounds (least, most)\n", bytes * 1e-9, threads,
             kRounds);
  for (const Way& way : ways)
    fmt::print("{:<24} {:.2f} GB/s ({:.2f}, {:.2f}), {:.2f} of plain read\n", way.name,
               way.rate() * 1e-9, way.bytes / way.most_s() * 1e-9, way.bytes / way.least_s() * 1e-9,
               way.rate() / ways[0].rate());
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace retinue

int main(int argc, char** argv) {
  retinue::run(argc > 1 ? argv[1] : "/tmp", argc > 2 ? std::atoi(argv[2]) : 2);
}
