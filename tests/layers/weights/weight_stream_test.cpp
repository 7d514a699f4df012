#include "layers/weights/weight_stream.h"

#include "layers/weights/weight_store.h"
#include "parallel/base/build_config.h"
#include "parallel/base/check.h"
#include "parallel/device/cuda/runtime.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <thread>

namespace retinue::layers {
namespace {

using testing::AllOf;
using testing::HasSubstr;

const std::string kSharded =
    std::string(RETINUE_SOURCE_DIR) + "/tests/golden/model/configs/sharded";

Context make_context(MemoryLedger& ledger, int threads = 1, Device device = {}) {
  return {device, threads, Buffer(ledger, device, 256, MemoryTag::kActivations),
          Buffer(ledger, device, 256, MemoryTag::kScratch)};
}

/// Rows of a matrix whose elements are their indices; fails for the pieces in its list.
class Counting final : public WeightSource {
 public:
  void read(const std::string& name, const Shape& shape, const WeightSlice& slice,
            TensorView to) override {
    if (slice.first_row % 3 == 1) std::this_thread::yield();
    // The first to fail in order is the last to fail in time.
    if (slice.first_row == fails_from) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    if (slice.first_row >= fails_from)
      throw SystemError("cannot read " + name + " at row " + std::to_string(slice.first_row));
    for (std::int64_t r = 0; r < slice.rows; ++r)
      for (std::int64_t c = 0; c < slice.columns; ++c)
        to.data<float>()[r * to.row_stride() + c] =
            static_cast<float>((slice.first_row + r) * shape[1] + slice.first_column + c);
    ++reads;
  }
  void finish() override {}

  std::int64_t fails_from = 1 << 30;
  std::atomic<int> reads = 0;
};

struct Streamed {
  std::vector<std::size_t> order;
  std::vector<float> values;
};
constexpr std::int64_t kWidth = 5;

Streamed stream(Counting& source, int readers, std::int64_t count, MemoryLedger& ledger,
                std::int64_t place_fails_at = -1) {
  Context ctx = make_context(ledger);
  const std::string name = "w";
  std::vector<WeightPiece> pieces;
  for (std::int64_t row = 0; row < count; ++row)
    pieces.push_back({&name, Shape{count, kWidth}, {row, 1, 0, kWidth}, DType::kF32});
  Streamed out;
  stream_weights(ctx, ledger, source, readers, pieces, [&](std::size_t i, ConstTensorView rows) {
    if (static_cast<std::int64_t>(i) == place_fails_at) throw SystemError("no device");
    out.order.push_back(i);
    const float* values = rows.data<float>();
    out.values.insert(out.values.end(), values, values + kWidth);
  });
  return out;
}

TEST(WeightStream, PlacesEveryPieceOnceInOrderWhicheverThreadReadIt) {
  for (const int readers : {1, 2, 7})
    for (const std::int64_t count : {1, 2, 3, 5, 200}) {
      SCOPED_TRACE(std::to_string(readers) + " readers, " + std::to_string(count) + " pieces");
      Counting source;
      MemoryLedger ledger;
      const Streamed out = stream(source, readers, count, ledger);
      ASSERT_EQ(out.order.size(), static_cast<std::size_t>(count));
      EXPECT_EQ(source.reads, count);
      for (std::size_t i = 0; i < out.order.size(); ++i) EXPECT_EQ(out.order[i], i);
      for (std::size_t i = 0; i < out.values.size(); ++i)
        EXPECT_EQ(out.values[i], static_cast<float>(i));
      EXPECT_EQ(ledger.bytes(MemoryTag::kStaging), 0);
    }
}

TEST(WeightStream, TheFirstFailedPieceInOrderIsReported) {
  for (const int readers : {1, 2, 7})
    for (const std::int64_t from : {0, 1, 17, 99}) {
      Counting source;
      source.fails_from = from;
      MemoryLedger ledger;
      try {
        stream(source, readers, 100, ledger);
        FAIL() << "row " << from << " cannot be read";
      } catch (const SystemError& error) {
        EXPECT_EQ(std::string(error.what()), "cannot read w at row " + std::to_string(from));
      }
      EXPECT_EQ(ledger.bytes(MemoryTag::kStaging), 0);
    }
}

TEST(WeightStream, AFailureOfTheDeviceEndsTheReaders) {
  Counting source;
  MemoryLedger ledger;
  EXPECT_THROW(stream(source, 3, 1000, ledger, 5), SystemError);
  EXPECT_LT(source.reads, 20) << "readers are no further ahead than the ring is long";
}

TEST(WeightStream, ShortMemoryIsASystemError) {
  Counting source;
  MemoryLedger ledger;
  Context ctx = make_context(ledger);
  const std::string name = "w";
  const std::vector<WeightPiece> pieces = {{&name, Shape{1, kWidth}, {0, 1, 0, kWidth}}};
  ledger.fail_after(1);
  EXPECT_THROW(stream_weights(ctx, ledger, source, 1, pieces, [](auto, auto) {}), SystemError);
}

/// A checkpoint that loses bytes while it is read.
class Shrinking : public testing::Test {
 protected:
  Shrinking() {
    std::filesystem::copy(kSharded, folder_.path(), std::filesystem::copy_options::recursive);
  }
  test::TemporaryFolder folder_;
};

TEST_F(Shrinking, AFileThatBecameShorterIsNamedWithTheTensor) {
  CheckpointSource source(folder_.path());
  const std::string name = "model.language_model.norm.weight";
  Checkpoint checkpoint(folder_.path());
  const StoredTensor& tensor = *checkpoint.find(name);
  const std::string path = checkpoint.file_of(name).path();
  std::vector<BFloat16> values(static_cast<std::size_t>(tensor.shape.numel()));
  const WeightSlice slice{0, tensor.shape[0], 0, 1};
  const TensorView to(reinterpret_cast<std::byte*>(values.data()), DType::kBF16,
                      Shape{tensor.shape[0], 1});
  EXPECT_NO_THROW(source.read(name, tensor.shape, slice, to));
  std::filesystem::resize_file(path, 100);
  try {
    source.read(name, tensor.shape, slice, to);
    FAIL() << "the tensor is gone";
  } catch (const SystemError& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr(path), HasSubstr(name), HasSubstr("became shorter")));
  }
}

TEST_F(Shrinking, TheStoreNamesTheTensorAndFreesItsMemory) {
  CheckpointSource source(folder_.path());
  MemoryLedger ledger;
  Context ctx = make_context(ledger, 3);
  Checkpoint checkpoint(folder_.path());
  const std::string name = "model.language_model.norm.weight";
  const std::int64_t size = checkpoint.find(name)->shape[0];
  {
    WeightStore store(ctx, ledger, &source, DType::kBF16);
    store.vector(name, size);
    std::filesystem::resize_file(checkpoint.file_of(name).path(), 100);
    EXPECT_THROW(store.load(), SystemError);
  }
  EXPECT_EQ(ledger.bytes(MemoryTag::kStaging), 0);
  EXPECT_EQ(ledger.bytes(MemoryTag::kWeights), 0);
}

TEST(WeightStore, AMissingTensorIsReportedWhenItIsAskedForNotWhenItIsRead) {
  CheckpointSource source(kSharded);
  MemoryLedger ledger;
  Context ctx = make_context(ledger);
  WeightStore store(ctx, ledger, &source, DType::kBF16);
  EXPECT_THROW(store.vector("model.language_model.norm.bias", 8), UsageError);
}

std::vector<Device> devices() {
  std::vector<Device> all = {{}};
  if constexpr (build::kCuda)
    if (cuda::availability().devices > 0) all.push_back({DeviceType::kCuda, 0});
  return all;
}

/// The bytes of `view`, wherever it is.
std::vector<std::byte> bytes_of(Context& ctx, ConstTensorView view) {
  std::vector<std::byte> bytes(view.size_bytes());
  ctx.stream().copy(bytes.data(), view.bytes(), bytes.size());
  ctx.stream().synchronize();
  return bytes;
}

// The same weights twice: computed on the device by the rule, and read through the ring from a
// source without the rule.
TEST(WeightStore, WeightsComputedOnTheDeviceEqualWeightsRead) {
  class Read final : public WeightSource {
   public:
    void read(const std::string& name, const Shape& shape, const WeightSlice& slice,
              TensorView to) override {
      rule_.read(name, shape, slice, to);
    }
    void finish() override {}

   private:
    RandomSource rule_{3};
  };
  for (const Device device : devices()) {
    SCOPED_TRACE(to_string(device));
    MemoryLedger ledger;
    Context ctx = make_context(ledger, 2, device);
    RandomSource made(3);
    Read read;
    // 2100 rows of 1031 floats are three pieces, and no multiple of a panel's sixteen.
    std::vector<std::vector<std::byte>> found[2];
    WeightSource* const sources[2] = {&made, &read};
    for (int i = 0; i < 2; ++i) {
      WeightStore store(ctx, ledger, sources[i], DType::kF32);
      const auto whole = store.matrix({{"q", Shape{2100, 1031}, 0, 2100}}, 0, 1031);
      const auto parts =
          store.matrix({{"k", Shape{40, 64}, 7, 21}, {"v", Shape{40, 64}, 1, 3}}, 13, 31);
      const auto table = store.table("t", Shape{50, 33});
      const auto vector = store.vector("b.bias", 100, 9, 77);
      store.load();
      for (const ConstTensorView& view :
           {ConstTensorView(whole.data), ConstTensorView(parts.data), table, vector})
        found[i].push_back(bytes_of(ctx, view));
    }
    for (std::size_t v = 0; v < 4; ++v) EXPECT_EQ(found[0][v], found[1][v]) << "tensor " << v;
    EXPECT_EQ(ledger.bytes(MemoryTag::kStaging), 0);
  }
}

}  // namespace
}  // namespace retinue::layers
