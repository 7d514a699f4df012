#include "layers/decoder/mrope.h"
#include "tests/support/source_folder.h"
#include "tests/support/tiny_model.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <fstream>

namespace retinue {
namespace {

using test::GoldenCase;
using test::TinyModel;

class Golden : public testing::TestWithParam<std::tuple<std::string, std::string>> {
 protected:
  GoldenCase golden_ = test::load_golden_case(std::get<0>(GetParam()), std::get<1>(GetParam()));

  /// Stages of a run, with the logits cut to the rows that the reference stored.
  std::map<std::string, std::vector<float>> run(DType dtype) {
    TinyModel model(golden_.config, dtype);
    std::vector<float> logits = model.run(golden_);
    const auto vocab = static_cast<std::ptrdiff_t>(logits.size() / golden_.ids.size());
    logits.erase(logits.begin(), logits.begin() + golden_.logits_first_row * vocab);
    model.stages["logits"] = std::move(logits);
    return model.stages;
  }
};

// Two f32 implementations that sum in different orders: torch's own sdpa and eager kernels differ
// by 7e-7 on these models; a wrong formula shows at 1e-3 or more.
TEST_P(Golden, EveryStageMatchesTheReferenceInF32) {
  const auto stages = run(DType::kF32);
  ASSERT_FALSE(golden_.stages.empty());
  for (const auto& [name, reference] : golden_.stages) {
    ASSERT_TRUE(stages.contains(name)) << name;
    ASSERT_EQ(stages.at(name).size(), reference.size()) << name;
    EXPECT_LT(test::relative_l2(stages.at(name), reference), 1e-5) << name;
  }
}

// bf16 has the reference's roundings in the reference's places, so its error against f32 must be
// that of transformers' own bf16 run. Half as much again leaves room for sums in another order.
TEST_P(Golden, Bf16ErrsNoMoreThanTheReferenceItself) {
  const auto stages = run(DType::kBF16);
  for (const auto& [name, reference] : golden_.stages) {
    ASSERT_TRUE(stages.contains(name)) << name;
    EXPECT_LE(test::relative_l2(stages.at(name), reference), 1.5 * golden_.error.at(name)) << name;
  }
}

TEST_P(Golden, PositionsMatchTheReference) {
  const auto config = layers::load_model_config(test::source_folder() +
                                                "/tests/golden/model/configs/" + golden_.config);
  const auto positions = layers::prompt_positions(config, golden_.ids, golden_.prompt_grids);
  EXPECT_EQ(positions.values, golden_.positions);
}

INSTANTIATE_TEST_SUITE_P(, Golden,
                         testing::Combine(testing::ValuesIn(test::golden_configs()),
                                          testing::ValuesIn(test::golden_cases())),
                         [](const auto& instance) {
                           std::string name =
                               std::get<0>(instance.param) + "_" + std::get<1>(instance.param);
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace retinue
