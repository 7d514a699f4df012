// The contract of DECISIONS.md 3: the same request gives the same logits, bit for bit, whatever the
// tensor axis, the chunking of the prompt, the size of KV blocks or the number of threads.
#include "parallel/base/hash.h"
#include "parallel/comm/local/local_communicator.h"
#include "tests/support/tiny_model.h"

#include <gtest/gtest.h>

#include <thread>

namespace retinue {
namespace {

using test::GoldenCase;
using test::TinyModel;

std::string hash_of(const std::vector<float>& values) {
  return sha256_hex(std::as_bytes(std::span(values)));
}

/// Logits of the prompt and of three tokens after it.
std::string run(const GoldenCase& golden, DType dtype, Communicator* tensor, int threads,
                std::int64_t block_size, std::int64_t chunk) {
  TinyModel model(golden.config, dtype, tensor, threads, block_size);
  std::string hashes = hash_of(model.run(golden, chunk));
  for (std::int32_t i = 0; i < 3; ++i) hashes += hash_of(model.decode(10 + i, 100 + i));
  return hashes;
}

class Invariance : public testing::TestWithParam<std::tuple<std::string, DType>> {
 protected:
  GoldenCase golden_ = test::load_golden_case(
      std::get<0>(GetParam()), std::get<0>(GetParam()).starts_with("fp8-") ? "image" : "mixed");
  DType dtype_ = std::get<1>(GetParam());
  std::string alone_ = run(golden_, dtype_, nullptr, 1, 32, 1 << 20);
};

TEST_P(Invariance, TensorAxisOf2And4And8GivesTheBitsOf1) {
  for (const int size : {2, 4, 8}) {
    auto group = make_local_group(size, "tensor", 60);
    std::vector<std::string> hashes(static_cast<std::size_t>(size));
    std::vector<std::jthread> ranks;
    for (std::size_t r = 0; r < hashes.size(); ++r)
      ranks.emplace_back([&, r] {
        hashes[r] = run(golden_, dtype_, group[r].get(), 1, 32, 1 << 20);
        group[r]->barrier();
      });
    ranks.clear();
    for (const std::string& hash : hashes) EXPECT_EQ(hash, alone_) << size << " ranks";
  }
}

TEST_P(Invariance, AnyChunkingOfThePromptGivesTheBitsOfOnePiece) {
  for (const std::int64_t chunk : {1, 7, 16, 31})
    EXPECT_EQ(test::TinyModel(golden_.config, dtype_).run(golden_, chunk),
              test::TinyModel(golden_.config, dtype_).run(golden_))
        << "chunks of " << chunk;
}

TEST_P(Invariance, KvBlockSizeAndThreadsDoNotShow) {
  for (const std::int64_t block_size : {16, 64, 128})
    EXPECT_EQ(run(golden_, dtype_, nullptr, 1, block_size, 1 << 20), alone_);
  for (const int threads : {2, 3, 5})
    EXPECT_EQ(run(golden_, dtype_, nullptr, threads, 32, 1 << 20), alone_);
}

std::string name_of(const testing::TestParamInfo<std::tuple<std::string, DType>>& instance) {
  std::string text =
      std::get<0>(instance.param) + "_" + std::string(name(std::get<1>(instance.param)));
  std::replace(text.begin(), text.end(), '-', '_');
  return text;
}

INSTANTIATE_TEST_SUITE_P(, Invariance,
                         testing::Combine(testing::ValuesIn(test::golden_configs()),
                                          testing::Values(DType::kF32, DType::kBF16)),
                         name_of);
// The one whose sums have eight leaves.
INSTANTIATE_TEST_SUITE_P(Fp8, Invariance,
                         testing::Combine(testing::Values("fp8-wide"),
                                          testing::Values(DType::kBF16)),
                         name_of);

}  // namespace
}  // namespace retinue
