// A warm engine allocates no memory: this executable counts every call of operator new.
#include "parallel/comm/local/local_communicator.h"
#include "runtime/engine/engine.h"
#include "runtime/engine/engine_plan.h"
#include "tests/support/tiny_model.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <execinfo.h>
#include <new>
#include <thread>
#include <unistd.h>

namespace {

std::atomic<bool> g_counts = false;
std::atomic<int> g_allocations = 0;

void* counted(std::size_t size, std::size_t alignment) {
  if (g_counts && ++g_allocations <= 4) {
    // The first few print where they come from.
    g_counts = false;
    void* frames[24];
    backtrace_symbols_fd(frames, backtrace(frames, 24), STDERR_FILENO);
    std::fputs("\n", stderr);
    g_counts = true;
  }
  void* data = alignment == 0
                   ? std::malloc(size == 0 ? 1 : size)
                   : std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  if (data == nullptr) throw std::bad_alloc();
  return data;
}

}  // namespace

void* operator new(std::size_t size) { return counted(size, 0); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return counted(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* data) noexcept { std::free(data); }
void operator delete(void* data, std::size_t) noexcept { std::free(data); }
void operator delete(void* data, std::align_val_t) noexcept { std::free(data); }
void operator delete(void* data, std::size_t, std::align_val_t) noexcept { std::free(data); }

namespace retinue::runtime {
namespace {

class NoPixels final : public PixelSource {
 public:
  void prefetch(std::uint64_t) override {}
  std::optional<Result<layers::Patches>> take(std::uint64_t) override { return std::nullopt; }
};

/// Allocations of all ranks and threads in `steps` steps that decode, after others to warm up.
int allocations(int tensor, int threads, int steps) {
  const std::string folder =
      std::string(RETINUE_SOURCE_DIR) + "/tests/golden/model/configs/gqa8-tied";
  const auto config = layers::load_model_config(folder);
  EngineSizing sizing;
  sizing.max_sequences = 4;
  sizing.max_batch_tokens = 64;
  sizing.max_new_tokens = 200;
  sizing.max_image_patches = 512;
  const EnginePlan plan =
      plan_engine(config, {}, Device{}, tensor, threads, std::int64_t{1} << 30, sizing);
  auto group = make_local_group(tensor, "tensor", 60);
  std::vector<std::jthread> ranks;
  for (int r = 0; r < tensor; ++r)
    ranks.emplace_back([&, r] {
      Communicator& comm = *group[static_cast<std::size_t>(r)];
      MemoryLedger ledger;
      const auto buffer = [&](std::int64_t bytes, MemoryTag tag) {
        return Buffer(ledger, Device{}, static_cast<std::size_t>(bytes), tag);
      };
      Context ctx(Device{}, threads, buffer(plan.activation_bytes, MemoryTag::kActivations),
                  buffer(plan.scratch_bytes, MemoryTag::kScratch));
      layers::RandomSource source(1);
      layers::ModelOptions options;
      options.kv_blocks = plan.limits.kv_blocks;
      options.kv_block_size = plan.limits.kv_block_tokens;
      options.feature_rows = plan.limits.feature_rows;
      options.pixel_values.resize(768);
      layers::Qwen3Vl model(ctx, ledger, config, {r, tensor, tensor > 1 ? &comm : nullptr, 1},
                            &source, options);
      NoPixels pixels;
      const SteadyClock clock;
      Engine engine({.ctx = ctx,
                     .ledger = ledger,
                     .model = model,
                     .limits = plan.limits,
                     .control = comm,
                     .pixels = pixels,
                     .clock = clock});
      // Requests of the full length first: lists have grown to what they will ever hold.
      const auto submit = [&](std::uint64_t first) {
        for (std::uint64_t i = first; r == 0 && i < first + 4; ++i) {
          Request request;
          request.id = i;
          request.ids = {3, 1, 4, static_cast<std::int32_t>(i)};
          request.max_new_tokens = 100;
          EXPECT_FALSE(engine.submit(std::move(request)));
        }
      };
      submit(0);
      for (int i = 0; i < 110; ++i) engine.step();
      submit(4);
      for (int i = 0; i < 5; ++i) engine.step();
      // All ranks are warm when the first begins to count, and still run when the last ends.
      comm.barrier();
      if (r == 0) g_counts = true;
      comm.barrier();
      for (int i = 0; i < steps; ++i) engine.step();
      comm.barrier();
      if (r == 0) g_counts = false;
      comm.barrier();
      if (r == 0) engine.cancel(), engine.drain();
      while (engine.step()) {
      }
    });
  ranks.clear();
  return g_allocations.exchange(0);
}

TEST(EngineAllocations, ThereAreNoneInStepsThatDecode) {
  EXPECT_EQ(allocations(1, 1, 80), 0);
  EXPECT_EQ(allocations(1, 2, 80), 0) << "with two threads";
}

TEST(EngineAllocations, ThereAreNoneWithRanksAsThreads) { EXPECT_EQ(allocations(2, 1, 80), 0); }

}  // namespace
}  // namespace retinue::runtime
