#include "layers/weights/shared_checkpoint.h"

#include "layers/weights/weight_store.h"
#include "parallel/base/check.h"
#include "parallel/comm/local/local_communicator.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <thread>

namespace retinue::layers {
namespace {

using testing::HasSubstr;

const std::string kSharded =
    std::string(RETINUE_SOURCE_DIR) + "/tests/golden/model/configs/sharded";
const std::string kFp8 =
    std::string(RETINUE_SOURCE_DIR) + "/tests/golden/fp8/configs/fp8-quantiser";
const std::string kCaptioner = std::string(RETINUE_SOURCE_DIR) + "/configs/models/emoji-captioner";

Context make_context(MemoryLedger& ledger) {
  return {Device{}, 1, Buffer(ledger, Device{}, 256, MemoryTag::kActivations),
          Buffer(ledger, Device{}, 256, MemoryTag::kScratch)};
}

/// The needs of rank `index` of `tensor` for every tensor of a folder: matrices by rows or by
/// columns, every fifth whole, every seventh twice, vectors whole or in part.
std::vector<WeightNeed> needs_of(const Checkpoint& checkpoint,
                                 const std::vector<std::string>& names, int index, int tensor,
                                 DType dtype) {
  std::vector<WeightNeed> needs;
  for (std::size_t t = 0; t < names.size(); ++t) {
    const Shape& shape = checkpoint.find(names[t])->shape;
    const std::int64_t rows = shape[0], columns = shape.numel() / shape[0];
    WeightSlice slice{0, rows, 0, columns};
    const bool by_columns = t % 2 == 1 && columns % tensor == 0 && columns > 1;
    if (t % 5 != 0 && by_columns)
      slice = {0, rows, columns / tensor * index, columns / tensor};
    else if (t % 5 != 0 && rows % tensor == 0)
      slice = {rows / tensor * index, rows / tensor, 0, columns};
    const bool fp8 = checkpoint.find(names[t])->type == StoredType::kF8E4M3;
    needs.push_back({&names[t], shape, slice, fp8 ? DType::kF8E4M3 : dtype});
    if (t % 7 == 0) needs.push_back(needs.back());
  }
  return needs;
}

struct Loaded {
  std::vector<std::vector<std::byte>> values;  ///< of each need
  WeightTraffic traffic;
};

Loaded load(SharedCheckpointSource& source, std::span<const WeightNeed> needs) {
  MemoryLedger ledger;
  Context ctx = make_context(ledger);
  Loaded loaded;
  const auto row_bytes = [](const WeightNeed& need) {
    return need.slice.columns * static_cast<std::int64_t>(size_bytes(need.dtype));
  };
  std::vector<std::int64_t> filled(needs.size());
  for (const WeightNeed& need : needs)
    loaded.values.emplace_back(static_cast<std::size_t>(need.slice.rows * row_bytes(need)));
  source.deliver(ctx, ledger, needs, [&](std::size_t need, std::int64_t row, ConstTensorView rows) {
    std::memcpy(loaded.values[need].data() + row * row_bytes(needs[need]), rows.bytes(),
                rows.size_bytes());
    filled[need] += rows.dim(0);
  });
  for (std::size_t i = 0; i < needs.size(); ++i)
    EXPECT_EQ(filled[i], needs[i].slice.rows) << *needs[i].name;
  loaded.traffic = source.traffic();
  return loaded;
}

struct Layout {
  int data, tensor;
};

struct Case {
  std::string name, folder;
  Layout layout;
};

class SharedCheckpoint : public testing::TestWithParam<Case> {};

TEST_P(SharedCheckpoint, EachByteIsReadOnceAndArrivesAsItWouldAlone) {
  const auto& [name, folder, layout] = GetParam();
  const Checkpoint checkpoint(folder);
  const std::vector<std::string> names = checkpoint.names();
  std::int64_t stored = 0;
  for (const std::string& tensor : names)
    stored += static_cast<std::int64_t>(checkpoint.find(tensor)->bytes.size());
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    std::mutex mutex;
    std::int64_t read = 0, exchanged = 0;
    {
      auto group = make_local_group(layout.data * layout.tensor, "world", 30);
      std::vector<std::jthread> threads;
      for (auto& rank : group)
        threads.emplace_back([&] {
          const auto needs =
              needs_of(checkpoint, names, rank->rank() % layout.tensor, layout.tensor, dtype);
          SharedCheckpointSource source(folder, *rank);
          const Loaded loaded = load(source, needs);
          for (std::size_t i = 0; i < needs.size(); ++i) {
            const WeightSlice& slice = needs[i].slice;
            std::vector<std::byte> alone(loaded.values[i].size());
            CheckpointSource(folder).read(
                *needs[i].name, needs[i].shape, slice,
                TensorView(alone.data(), needs[i].dtype, Shape{slice.rows, slice.columns}));
            ASSERT_EQ(loaded.values[i], alone) << *needs[i].name;
          }
          const std::scoped_lock lock(mutex);
          read += loaded.traffic.read_bytes;
          exchanged += loaded.traffic.exchanged_bytes;
        });
    }
    EXPECT_EQ(read, stored);
    if (layout.data * layout.tensor == 1) {
      EXPECT_EQ(exchanged, 0);
    }
    if (layout.tensor == 1) {
      EXPECT_EQ(exchanged, stored * (layout.data - 1));  // each rank wants all and reads a part
    }
  }
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const auto& [name, folder] :
       {std::pair{"sharded", kSharded}, std::pair{"captioner", kCaptioner}, std::pair{"fp8", kFp8}})
    for (const Layout layout :
         {Layout{1, 1}, {2, 1}, {1, 2}, {3, 1}, {2, 2}, {4, 1}, {1, 4}, {4, 2}, {1, 8}, {8, 1}})
      all.push_back({name + std::string("_data") + std::to_string(layout.data) + "_tensor" +
                         std::to_string(layout.tensor),
                     folder, layout});
  return all;
}

INSTANTIATE_TEST_SUITE_P(, SharedCheckpoint, testing::ValuesIn(cases()),
                         [](const auto& instance) { return instance.param.name; });

class SharedCheckpointFails : public testing::Test {
 protected:
  /// A copy for one rank.
  [[nodiscard]] std::string copied() const {
    const std::string copy = folder_.path() + "/model";
    std::filesystem::copy(kCaptioner, copy);
    return copy;
  }
  /// Loads on three ranks, the last from `copy`, which is changed when all have opened theirs.
  std::vector<std::string> errors(const std::string& copy, const std::function<void()>& change) {
    std::vector<std::string> messages(3);
    auto group = make_local_group(3, "world", 30);
    std::vector<std::jthread> threads;
    for (auto& rank : group)
      threads.emplace_back([&] {
        const std::string& folder = rank->rank() == 2 ? copy : kCaptioner;
        try {
          const Checkpoint checkpoint(folder);
          const std::vector<std::string> names = checkpoint.names();
          SharedCheckpointSource source(folder, *rank);
          rank->barrier();
          if (rank->rank() == 2) change();
          rank->barrier();
          load(source, needs_of(checkpoint, names, 0, 1, DType::kBF16));
        } catch (const std::exception& error) {
          messages[static_cast<std::size_t>(rank->rank())] = error.what();
          rank->abort(error.what());
        }
      });
    threads.clear();
    return messages;
  }

  test::TemporaryFolder folder_;
};

TEST_F(SharedCheckpointFails, ATruncatedFileEndsAllRanksAndIsNamed) {
  const std::string copy = copied();
  const auto messages =
      errors(copy, [&] { std::filesystem::resize_file(copy + "/model.safetensors", 100'000); });
  EXPECT_THAT(messages[2], HasSubstr(copy + "/model.safetensors"));
  EXPECT_NE(messages[0], "");
  EXPECT_NE(messages[1], "");
}

TEST_F(SharedCheckpointFails, OtherWeightsOnOneRankAreRefusedByAll) {
  const std::string copy = folder_.path() + "/model";
  std::filesystem::copy(kSharded, copy);
  for (const std::string& message : errors(copy, [] {}))
    EXPECT_THAT(message, HasSubstr("rank 2 sees other weights than rank 0"));
}

}  // namespace
}  // namespace retinue::layers
