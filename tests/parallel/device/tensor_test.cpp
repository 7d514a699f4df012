#include "parallel/device/tensor.h"

#include <gtest/gtest.h>

#include <numeric>

namespace retinue {
namespace {

class Views : public testing::Test {
 protected:
  Views() : tensor_(ledger_, {}, DType::kI32, {4, 6}, MemoryTag::kActivations) {
    auto* data = tensor_.view().data<std::int32_t>();
    std::iota(data, data + 24, 0);
  }
  static std::int32_t at(ConstTensorView x, std::int64_t row, std::int64_t column) {
    return x.data<std::int32_t>()[row * x.row_stride() + column];
  }
  MemoryLedger ledger_;
  Tensor tensor_;
};

TEST_F(Views, TakeRowsAndColumns) {
  const TensorView whole = tensor_;
  EXPECT_TRUE(whole.is_contiguous());
  const TensorView rows = whole.rows(1, 2);
  EXPECT_EQ(rows.shape(), Shape({2, 6}));
  EXPECT_TRUE(rows.is_contiguous());
  EXPECT_EQ(at(rows, 1, 5), 17);
  const TensorView columns = rows.columns(2, 3);
  EXPECT_EQ(columns.shape(), Shape({2, 3}));
  EXPECT_EQ(columns.row_stride(), 6);
  EXPECT_FALSE(columns.is_contiguous());
  EXPECT_EQ(at(columns, 0, 0), 8);
  EXPECT_EQ(at(columns, 1, 2), 16);
  EXPECT_EQ(columns.size_bytes(), 24U);
  EXPECT_TRUE(columns.rows(1, 1).is_contiguous());  // one row has no gaps
  EXPECT_EQ(whole.rows(4, 0).numel(), 0);
}

TEST_F(Views, ReshapeWhatIsContiguous) {
  const TensorView whole = tensor_;
  const TensorView heads = whole.reshape({4, 2, 3});
  EXPECT_EQ(heads.row_stride(), 6);
  EXPECT_EQ(heads.dim(-1), 3);
  EXPECT_EQ(whole.rows(2, 2).reshape({12}).data<std::int32_t>()[0], 12);
  EXPECT_THROW((void)whole.reshape({4, 7}), BugError);
  EXPECT_THROW((void)whole.columns(0, 3).reshape({12}), BugError);
}

TEST_F(Views, RefuseWhatIsOutside) {
  const TensorView whole = tensor_;
  EXPECT_THROW((void)whole.rows(3, 2), BugError);
  EXPECT_THROW((void)whole.rows(-1, 1), BugError);
  EXPECT_THROW((void)whole.columns(5, 2), BugError);
  EXPECT_THROW((void)whole.columns(0, -1), BugError);
  EXPECT_THROW((void)whole.reshape({2, 2, 6}).columns(0, 1), BugError);
  EXPECT_THROW((void)whole.data<float>(), BugError);
  EXPECT_THROW((void)whole.dim(2), BugError);
  EXPECT_THROW(TensorView(whole.bytes(), DType::kI32, {2, 6}, 5), BugError);
}

}  // namespace
}  // namespace retinue
