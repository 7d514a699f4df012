#include "layers/ops/matmul_tuning.h"

#include "tests/support/op_test.h"
#include "tests/support/reference.h"
#include "tests/support/temporary_folder.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

namespace retinue::test {
namespace {

using ops::MatmulKind;
using ops::MatmulTuning;

const std::string kMachine = "Some GPU, driver 13000, cublasLt 130100";

MatmulTuning some_tuning() {
  MatmulTuning tuning;
  tuning.put({64, 48, 1, false, DType::kBF16}, 1, {1, 2, 3, 4, 5, 6, 7, ~0ULL});
  tuning.put({64, 48, 1, true, DType::kBF16}, 128, {9});
  tuning.put({4096, 48, 8, false, DType::kF32}, 2048, {0, 7});
  return tuning;
}
std::string content(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

TEST(MatmulTuning, SharesAnAlgorithmUpToAPowerOfTwoRows) {
  const MatmulTuning tuning = some_tuning();
  const MatmulKind kind{64, 48, 1, true, DType::kBF16};
  EXPECT_EQ(tuning.find(kind, 64), nullptr);
  for (const std::int64_t rows : {65, 100, 128}) {
    ASSERT_NE(tuning.find(kind, rows), nullptr) << rows;
    EXPECT_EQ((*tuning.find(kind, rows))[0], 9U);
  }
  EXPECT_EQ(tuning.find(kind, 129), nullptr);
  EXPECT_EQ(tuning.find({64, 48, 1, true, DType::kF32}, 100), nullptr);
}

TEST(MatmulTuning, ComesBackFromItsFile) {
  const TemporaryFolder folder;
  const std::string path = folder.path("new/folder/matmul.txt");
  some_tuning().save(path, kMachine);
  std::string why_not = "not asked";
  EXPECT_EQ(MatmulTuning::load(path, kMachine, why_not), some_tuning());
  EXPECT_EQ(why_not, "");
  some_tuning().save(path, kMachine);  // over the first file
  EXPECT_EQ(MatmulTuning::load(path, kMachine, why_not).size(), 3U);
}

TEST(MatmulTuning, TakesNothingOfAnotherMachineAndSaysSo) {
  const TemporaryFolder folder;
  some_tuning().save(folder.path("a"), kMachine);
  std::string why_not;
  EXPECT_EQ(MatmulTuning::load(folder.path("a"), "Another GPU", why_not).size(), 0U);
  EXPECT_NE(why_not.find("Some GPU"), std::string::npos) << why_not;
  EXPECT_EQ(MatmulTuning::load(folder.path("absent"), kMachine, why_not).size(), 0U);
  EXPECT_NE(why_not.find("does not exist"), std::string::npos) << why_not;
}

TEST(MatmulTuning, TakesNothingOfAFileThatIsCutOrChangedAnywhere) {
  const TemporaryFolder folder;
  some_tuning().save(folder.path("whole"), kMachine);
  const std::string whole = content(folder.path("whole"));
  for (std::size_t at = 0; at < whole.size(); ++at) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    for (const std::string& damaged : {whole.substr(0, at), changed}) {
      std::string why_not;
      EXPECT_EQ(MatmulTuning::load(folder.write("damaged", damaged), kMachine, why_not).size(), 0U)
          << at;
      EXPECT_NE(why_not, "") << at;
    }
  }
}

TEST(MatmulTuning, SaysWhereItCannotBeWritten) {
  const TemporaryFolder folder;
  const std::string file = folder.write("file", "");
  EXPECT_THROW(some_tuning().save(file + "/below", kMachine), SystemError);
}

/// Timers that find candidate `favourite` of each bucket fastest, and count.
ops::MatmulTimer favouring(int favourite, int& calls) {
  return [favourite, &calls](const std::function<void()>& work) {
    work();
    return calls++ == favourite ? 1.0 : 2.0;
  };
}

struct Way {
  int leaves;
  bool bias;
};

TEST(TuneMatmul, TakesTheFastestOfTheOfferedAlgorithms) {
  constexpr std::int64_t kInputs = 256, kOutputs = 40, kRows = 3;
  for_each_isa([&](Context& ctx) {
    auto x = Guarded<BFloat16>::random({kRows, kInputs}, 1);
    auto rows = Guarded<BFloat16>::random({kOutputs, kInputs}, 2);
    auto bias = Guarded<BFloat16>::random({kOutputs}, 3);
    Packed<BFloat16> w(ctx, rows, kOutputs, kInputs);
    for (const Way way : {Way{1, false}, Way{1, true}, Way{4, false}}) {
      const MatmulKind kind{kInputs, kOutputs, way.leaves, way.bias, DType::kBF16};
      std::vector<MatmulTuning::Algorithm> taken;
      for (const int favourite : {0, 1, 2}) {
        MatmulTuning tuning;
        int calls = 0;
        ops::tune_matmul(ctx, {w.matrix(), way.leaves, way.bias}, favouring(favourite, calls),
                         tuning);
        if (ctx.device().type == DeviceType::kCpu) {
          EXPECT_EQ(calls, 0);
          EXPECT_EQ(tuning.size(), 0U);
          continue;
        }
        ASSERT_GT(calls, 2);
        EXPECT_EQ(tuning.size(), 1U);
        taken.push_back(*tuning.find(kind, 1));
      }
      if (taken.empty()) continue;
      EXPECT_NE(taken[0], taken[1]);
      EXPECT_NE(taken[1], taken[2]);

      // Every choice computes the product.
      MatmulTuning tuning;
      for (const std::int64_t bucket : {1, 4}) tuning.put(kind, bucket, taken[2]);
      ops::set_matmul_tuning(ctx, &tuning);
      Guarded<BFloat16> y({kRows, kOutputs});
      if (way.leaves == 1)
        ops::matmul(ctx, x, w.matrix(), way.bias ? ConstTensorView(bias.view()) : ConstTensorView{},
                    y);
      else
        ops::matmul_tree(ctx, x, w.matrix(), way.leaves, y);
      ops::set_matmul_tuning(ctx, nullptr);
      const auto want =
          matmul_reference(x.doubles(), rows.doubles(), way.bias ? bias.doubles() : Doubles{},
                           kRows, kOutputs, kInputs);
      EXPECT_TRUE(close(y.doubles(), want, bound_of(DType::kBF16, 1, kInputs + 8)));
    }
  });
}

TEST(TuneMatmul, TakesNoAlgorithmOfOtherBitsWhereTheyMustBeEqual) {
  constexpr std::int64_t kInputs = 32, kOutputs = 32768, kRows = 1;
  for_each_isa([&](Context& ctx) {
    if (ctx.device().type == DeviceType::kCpu) return;
    auto x = Guarded<BFloat16>::random({kRows, kInputs}, 1);
    auto rows = Guarded<BFloat16>::random({kOutputs, kInputs}, 2);
    auto bias = Guarded<BFloat16>::random({kOutputs}, 3);
    Packed<BFloat16> w(ctx, rows, kOutputs, kInputs);
    for (const Way way : {Way{1, false}, Way{1, true}, Way{4, false}}) {
      const auto product = [&](const MatmulTuning* tuning) {
        ops::set_matmul_tuning(ctx, tuning);
        Guarded<BFloat16> y({kRows, kOutputs});
        if (way.leaves == 1)
          ops::matmul(ctx, x, w.matrix(),
                      way.bias ? ConstTensorView(bias.view()) : ConstTensorView{}, y);
        else
          ops::matmul_tree(ctx, x, w.matrix(), way.leaves, y);
        ops::set_matmul_tuning(ctx, nullptr);
        return y.doubles();
      };
      const Doubles want = product(nullptr);
      ops::TunedProduct timed{w.matrix(), way.leaves, way.bias};
      std::set<MatmulTuning::Algorithm> taken_equal, taken_any;
      int calls = 1;
      for (int favourite = 0; favourite < calls; ++favourite) {
        timed.bits = ops::TunedBits::kEqual;
        MatmulTuning equal, any;
        calls = 0;
        ops::tune_matmul(ctx, timed, favouring(favourite, calls), equal);
        EXPECT_EQ(equal.size(), 1U);
        taken_equal.insert(*equal.find(timed.kind(), kRows));
        EXPECT_EQ(product(&equal), want) << "favourite " << favourite;
        timed.bits = ops::TunedBits::kAny;
        int ignored = 0;
        ops::tune_matmul(ctx, timed, favouring(favourite, ignored), any);
        taken_any.insert(*any.find(timed.kind(), kRows));
      }
      if (!build::kCudaEmulated) continue;  // a GPU's library may offer algorithms of one kind only
      EXPECT_GT(taken_equal.size(), 1U) << "no other algorithm has these bits";
      EXPECT_GT(taken_any.size(), taken_equal.size()) << "no algorithm has other bits";
    }
  });
}

TEST(TuneMatmul, LeavesSmallWeightsToTheAlgorithmOfEveryShape) {
  for_each_isa([&](Context& ctx) {
    auto rows = Guarded<BFloat16>::random({16, 32}, 2);
    Packed<BFloat16> w(ctx, rows, 16, 32);
    MatmulTuning tuning;
    ops::tune_matmul(ctx, {.w = w.matrix(), .max_rows = 5, .bits = ops::TunedBits::kEqual},
                     ops::event_timer(ctx), tuning);
    EXPECT_EQ(tuning.size(), 0U);
  });
}

TEST(TuneMatmul, TimesEachBucketOnce) {
  for_each_isa([&](Context& ctx) {
    if (ctx.device().type == DeviceType::kCpu) return;
    auto rows = Guarded<BFloat16>::random({16, 32}, 2);
    Packed<BFloat16> w(ctx, rows, 16, 32);
    MatmulTuning tuning;
    const ops::TunedProduct product{.w = w.matrix(), .max_rows = 5};
    ops::tune_matmul(ctx, product, ops::event_timer(ctx), tuning);
    EXPECT_EQ(tuning.size(), 4U);  // 1, 2, 4 and 8
    ops::tune_matmul(
        ctx, product,
        [](const std::function<void()>&) {
          ADD_FAILURE() << "timed again";
          return 1.0;
        },
        tuning);
    EXPECT_NE(ops::matmul_machine(ctx.device()).find("cublasLt"), std::string::npos);
  });
}

}  // namespace
}  // namespace retinue::test
