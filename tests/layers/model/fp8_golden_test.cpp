#include "layers/weights/weight_store.h"
#include "tests/support/reference.h"
#include "tests/support/tiny_model.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstring>
#include <fstream>

namespace retinue {
namespace {

using test::GoldenCase;
using test::TinyModel;

class Fp8Golden : public testing::TestWithParam<std::string> {};

layers::SafetensorsFile linears_of(const std::string& config) {
  return layers::SafetensorsFile(test::golden_root(config) + "cases/" + config +
                                 "/linears.safetensors");
}

struct Values {
  std::vector<BFloat16> values;
  std::int64_t rows, columns;
};
Values values_of(const layers::SafetensorsFile& file, const std::string& name) {
  const layers::StoredTensor& tensor = file.tensors().at(name);
  Values v{std::vector<BFloat16>(static_cast<std::size_t>(tensor.shape.numel())), tensor.shape[0],
           tensor.shape[1]};
  std::memcpy(v.values.data(), tensor.bytes.data(), tensor.bytes.size());
  return v;
}

/// What transformers' FP8Linear computed from the same input: quantisation is exact, so that only
/// the order of sums differs, and both round once. A sum of 128 products and one over groups err by
/// (128 + 2 · groups) · 2⁻²⁴ of the sum of absolute terms each.
TEST_P(Fp8Golden, EachLinearLayerMatchesTransformers) {
  const std::string& config = GetParam();
  const auto model = layers::load_model_config(test::golden_root(config) + "configs/" + config);
  const layers::SafetensorsFile file = linears_of(config);
  int modules = 0;
  for (const auto& [name, tensor] : file.tensors()) {
    if (!name.ends_with(".x")) continue;
    ++modules;
    const std::string module = name.substr(0, name.size() - 2);
    SCOPED_TRACE(module);
    const Values x = values_of(file, name), want = values_of(file, module + ".y");
    MemoryLedger ledger;
    Context ctx(Device{}, 1, Buffer(ledger, Device{}, 4096, MemoryTag::kActivations),
                Buffer(ledger, Device{}, 4 << 20, MemoryTag::kScratch));
    const auto source = test::golden_weights(config);
    layers::WeightStore store(ctx, ledger, source.get(), DType::kBF16, &*model.fp8);
    const ops::PackedMatrix w = store.projection(
        {{module + ".weight", Shape{want.columns, x.columns}, 0, want.columns}}, 0, x.columns);
    store.load();
    ASSERT_EQ(w.data.dtype(), DType::kF8E4M3);
    std::vector<float> y(want.values.size());
    ops::matmul(ctx,
                {reinterpret_cast<const std::byte*>(x.values.data()), DType::kBF16,
                 Shape{x.rows, x.columns}},
                w, {},
                TensorView(reinterpret_cast<std::byte*>(y.data()), DType::kF32,
                           Shape{x.rows, want.columns}));
    double squares = 0, errors = 0;
    for (std::size_t i = 0; i < y.size(); ++i) {
      const double wanted = to_float(want.values[i]);
      squares += wanted * wanted, errors += (y[i] - wanted) * (y[i] - wanted);
    }
    // The terms of a sum of random signs are about sqrt(inputs) times the sum; 4 covers the spread.
    const double steps = 128 + 2 * static_cast<double>(x.columns) / 128;
    const double of_sums = 2 * steps * test::kU32 * 4 * std::sqrt(static_cast<double>(x.columns));
    EXPECT_LT(std::sqrt(errors / squares), test::unit_roundoff(DType::kBF16) + of_sums);
  }
  EXPECT_EQ(modules, 7);
}

// bf16 rounds other sums another way, and each such rounding may quantise to the next e4m3, a step
// of 6 to 12 %. So the bound is what transformers' own results change by when its sums are
// taken in another order; half as much again leaves room for chance.
TEST_P(Fp8Golden, StagesDifferNoMoreThanTransformersInAnotherOrder) {
  for (const char* name : {"text", "image"}) {
    SCOPED_TRACE(name);
    const GoldenCase golden = test::load_golden_case(GetParam(), name);
    TinyModel model(GetParam(), DType::kBF16);
    model.stages["logits"] = model.run(golden);
    ASSERT_FALSE(golden.stages.empty());
    for (const auto& [stage, reference] : golden.stages) {
      ASSERT_TRUE(model.stages.contains(stage)) << stage;
      std::vector<float> last = model.stages.at(stage);
      ASSERT_GE(last.size(), reference.size()) << stage;
      last.erase(last.begin(), last.end() - static_cast<std::ptrdiff_t>(reference.size()));
      EXPECT_LE(test::relative_l2(last, reference), 1.5 * golden.error.at(stage)) << stage;
    }
  }
}

TEST_P(Fp8Golden, TheBestTokenIsTransformersWhereRoundingCannotChangeIt) {
  std::ifstream file(test::golden_root(GetParam()) + "cases/" + GetParam() + "/greedy.json");
  int compared = 0;
  for (const auto& row : nlohmann::json::parse(file)) {
    const auto ids = row["input_ids"].get<std::vector<std::int32_t>>();
    TinyModel model(GetParam(), DType::kBF16);
    const std::vector<float> logits = model.prefill(ids);
    const std::size_t vocab = logits.size() / ids.size();
    for (const std::size_t step : row["sure_steps"]) {
      const auto first =
          logits.begin() +
          static_cast<std::ptrdiff_t>((row["first_step"].get<std::size_t>() + step) * vocab);
      EXPECT_EQ(std::max_element(first, first + static_cast<std::ptrdiff_t>(vocab)) - first,
                row["best"][step].get<std::ptrdiff_t>());
      ++compared;
    }
  }
  EXPECT_GE(compared, 5);
}

INSTANTIATE_TEST_SUITE_P(, Fp8Golden, testing::ValuesIn(test::fp8_configs()),
                         [](const auto& instance) {
                           std::string name = instance.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace retinue
