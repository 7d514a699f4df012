#include "parallel/device/staging.h"

#include "parallel/base/check.h"

#include <gtest/gtest.h>

namespace retinue {
namespace {

TEST(StagingRing, GivesItsTwoPiecesInTurn) {
  MemoryLedger ledger;
  StagingRing ring(ledger, Device{}, 256);
  EXPECT_EQ(ledger.bytes(MemoryTag::kStaging), StagingRing::bytes(256));
  std::byte* const first = ring.next();
  ring.enqueued(Stream{Device{}});
  std::byte* const second = ring.next();
  EXPECT_EQ(second, first + 256);
  EXPECT_EQ(ring.next(), first);
}

TEST(Staging, IsTheMemoryItselfOnCpu) {
  Context ctx = Context::plan(Device{}, 1);
  std::byte staged[4];
  EXPECT_EQ(upload(ctx, staged, sizeof(staged)), staged);
  const ConstTensorView value(staged, DType::kU8, Shape{2, 2});
  EXPECT_EQ(download(ctx, value, nullptr), staged);
  EXPECT_THROW((void)download(ctx, value.columns(0, 1), nullptr), BugError);
}

}  // namespace
}  // namespace retinue
