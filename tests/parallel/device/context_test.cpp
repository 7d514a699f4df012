#include "parallel/device/context.h"

#include "parallel/base/check.h"

#include <gtest/gtest.h>

#include <any>
#include <string>
#include <vector>

namespace retinue {
namespace {

Context context_of(MemoryLedger& ledger, std::size_t activations, std::size_t scratch) {
  return Context({}, 2, Buffer(ledger, {}, activations, MemoryTag::kActivations),
                 Buffer(ledger, {}, scratch, MemoryTag::kScratch));
}

TEST(Context, GivesAFrameBackAlsoWhenSomethingThrows) {
  MemoryLedger ledger;
  Context ctx = context_of(ledger, 1024, 0);
  EXPECT_THROW(
      {
        Frame frame(ctx);
        ctx.alloc({100}, DType::kF32);
        ctx.alloc({1000}, DType::kF32);
      },
      BugError);
  EXPECT_EQ(ctx.arena().mark(), 0U);
}

TEST(Context, HandsStagesToItsSink) {
  MemoryLedger ledger;
  Context ctx = context_of(ledger, 1024, 0);
  const TensorView x = ctx.alloc({2, 3}, DType::kF32);
  ctx.stage("layer", 3, x);  // there is no sink yet
  std::vector<std::string> seen;
  ctx.set_stage_sink([&](std::string_view name, int index, ConstTensorView value) {
    seen.push_back(std::string(name) + "/" + std::to_string(index) + value.shape().to_string());
  });
  ctx.stage("layer", 3, x);
  ctx.stage("logits", x);
  EXPECT_EQ(seen, (std::vector<std::string>{"layer/3[2, 3]", "logits/-1[2, 3]"}));
}

TEST(Context, HandsAnAttachmentOn) {
  Context ctx = Context::plan({}, 1);
  EXPECT_FALSE(ctx.attachment().has_value());
  ctx.attach(7);
  EXPECT_EQ(std::any_cast<int>(ctx.attachment()), 7);
}

TEST(Context, NeedsAThread) { EXPECT_THROW(Context::plan({}, 0), BugError); }

}  // namespace
}  // namespace retinue
