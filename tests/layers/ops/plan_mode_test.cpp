// A planning context and the real run it plans for.
#include "layers/ops/attention.h"
#include "layers/ops/matmul.h"
#include "parallel/device/context.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

namespace retinue {
namespace {

Context context_of(MemoryLedger& ledger, std::size_t activations, std::size_t scratch) {
  return Context({}, 2, Buffer(ledger, {}, activations, MemoryTag::kActivations),
                 Buffer(ledger, {}, scratch, MemoryTag::kScratch));
}

/// In place of a layer: nested frames, an op that wants scratch, shapes that depend on `tokens`.
void forward(Context& ctx, std::int64_t tokens, const ops::PackedMatrix& w) {
  Frame frame(ctx);
  const TensorView x = ctx.alloc({tokens, w.inputs}, DType::kBF16);
  if (!ctx.planning()) std::memset(x.bytes(), 0, x.size_bytes());
  {
    Frame inner(ctx);
    ops::matmul(ctx, x, w, {}, ctx.alloc({tokens, w.outputs}, DType::kF32));
  }
  const TensorView qkv = ctx.alloc({tokens, 2, 16}, DType::kBF16);
  if (!ctx.planning()) std::memset(qkv.bytes(), 0, qkv.size_bytes());
  ops::attention(ctx, qkv, qkv, qkv, std::vector<std::int64_t>{0, tokens}, 1,
                 ctx.alloc({tokens, 32}, DType::kBF16));
}

TEST(PlanMode, RecordsThePeaksOfTheRealRun) {
  MemoryLedger ledger;
  const std::int64_t outputs = 48, inputs = 30;
  Tensor weights(ledger, {}, DType::kBF16,
                 Shape{ops::packed_numel({}, DType::kBF16, outputs, inputs)}, MemoryTag::kWeights);
  std::memset(weights.view().bytes(), 0, weights.view().size_bytes());
  const ops::PackedMatrix w{weights.view(), outputs, inputs};
  for (const std::int64_t tokens : {1, 17, 200}) {
    Context plan = Context::plan({}, 2);
    EXPECT_TRUE(plan.planning());
    forward(plan, tokens, w);
    const std::size_t activations = plan.arena().peak_bytes(), scratch = plan.peak_scratch_bytes();
    EXPECT_GT(activations, 0U);
    EXPECT_GT(scratch, 0U);
    // The planned bytes are enough, and all are used; fewer are refused.
    Context real = context_of(ledger, activations, scratch);
    forward(real, tokens, w);
    EXPECT_EQ(real.arena().peak_bytes(), activations);
    EXPECT_EQ(real.peak_scratch_bytes(), scratch);
    EXPECT_EQ(real.arena().mark(), 0U);
    Context narrow = context_of(ledger, activations - 1, scratch);
    EXPECT_THROW(forward(narrow, tokens, w), BugError);
    Context without = context_of(ledger, activations, scratch - 1);
    EXPECT_THROW(forward(without, tokens, w), BugError);
  }
}

TEST(PlanMode, RunsNoKernelButChecksShapes) {
  Context plan = Context::plan({}, 1);
  const TensorView x = plan.alloc({3, 30}, DType::kBF16), y = plan.alloc({3, 48}, DType::kBF16);
  const ops::PackedMatrix w{plan.alloc({48 * 30}, DType::kBF16), 48, 30};
  ops::matmul(plan, x, w, {}, y);  // its views have no memory
  EXPECT_THROW(ops::matmul(plan, y, w, {}, x), BugError);
}

}  // namespace
}  // namespace retinue
